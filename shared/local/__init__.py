"""The local run: all of the system in one process, with a simulated fleet, and the replay of a recorded series."""
