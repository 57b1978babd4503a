"""Adapters: the only modules that talk to a store, a bus or a vendor."""
