"""ION Monitoring: the domain (pure) and its adapters.

The package is ``shared`` in this repository and ``ion_monitoring`` where a service installs it, so its
modules import each other relatively.
"""
