"""The specification's Python blocks, verbatim, as text to execute."""
