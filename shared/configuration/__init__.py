"""The configuration as data: one JSON document, its schema, and what reads, checks and writes it.

``defaults.json`` holds every fact of the specification, ``schema.json`` its form for editors. ``document`` reads
and writes; the program's face of it is ``monitoring_config.MonitoringConfig``.
"""
