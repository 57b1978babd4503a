"""The blocks of the specification about ``monitoring_config.py``, verbatim."""

KEY_CLASSES = """\
config = MonitoringConfig()

# Access alert rules
alert_rules = config.list_alert_rules(enabled_only=True)

# Get metric thresholds
threshold = config.get_threshold(MetricType.RESPONSE_TIME)

# Get dashboards
dashboard = config.get_dashboard("overview")

# Alert state management
alert_manager = AlertStateManager()
alert_manager.add_alert(alert_state)
alert_manager.get_critical_alerts()
"""

ALERT_RULE_TEMPLATE = """\
AlertRule(
    name="High Response Time - Critical",
    description="P95 response time exceeds 200ms",
    metric_type=MetricType.RESPONSE_TIME,
    threshold=MetricThreshold(...),
    enabled=True,
    evaluation_window=300,      # seconds (5 min)
    evaluation_frequency=60,    # seconds
    min_occurrences=3,          # sustained violations
    cooldown_period=600,        # seconds (10 min)
    notification_channels=["slack", "pagerduty"],
    tags={"category": "performance", "region": "all"}
)
"""
