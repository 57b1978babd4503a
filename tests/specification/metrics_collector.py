"""The blocks of the specification about ``metrics_collector.py``, verbatim."""

KEY_METHODS = """\
collector = ProductionMetricsCollector()

# Record metrics
collector.record_response_time("us-central1", "/process", 25.3)
collector.record_error("process", "us-central1", "timeout")
collector.record_cache_hit("l1", "persona")

# Get statistics
stats = collector.get_metric_statistics("response_time_us", minutes=60)
report = collector.get_current_status_report()

# Export
json_export = collection.export_metrics_json("response_time_us")
"""
