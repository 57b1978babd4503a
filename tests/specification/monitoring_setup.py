"""The blocks of the specification about ``monitoring_setup.py``, verbatim."""

KEY_FUNCTIONS = """\
setup = MonitoringSetup()

# Verify configuration
verification = setup.verify_configuration()

# Generate reports
summary = setup.generate_monitoring_summary()
dashboard = setup.generate_dashboard_report()
tuning_report = setup.generate_alert_tuning_report()

# Export configuration
config_json = setup.export_configuration_json()
"""
