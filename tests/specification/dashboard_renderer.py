"""The block of the specification about ``dashboard_renderer.py`` and its text and JSON examples, verbatim."""

KEY_METHODS = """\
renderer = DashboardRenderer()

# Render in different formats
text = renderer.render_overview_text(metrics)
json = renderer.render_json(data)
html = renderer.render_html(metrics, title="Dashboard")
markdown = renderer.render_markdown(metrics)

# Build dashboards
overview = DashboardBuilder.build_overview_dashboard(data)
regional = DashboardBuilder.build_regional_dashboard(data)
"""

TEXT_ROWS = (
    "  ✓ Global Availability              99.95%           [HEALTHY]",
    "  ✓ Global Error Rate                 0.30%           [HEALTHY]",
    "  ✓ Average Response Time            28.7ms           [HEALTHY]",
    "  ✓ P95 Response Time                36.4ms           [HEALTHY]",
    "  ✓ Cache Hit Rate                    82.3%           [HEALTHY]",
    "  ✓ Global Throughput             9,270 r/s           [HEALTHY]",
)
"""The rows of the text example. In the specification the last two stand a column to the left of the others."""

JSON_EXAMPLE = """\
{
  "timestamp": "2025-10-18T12:34:56Z",
  "dashboard": {
    "overview": {
      "availability": 99.95,
      "error_rate": 0.30,
      "response_time_avg": 28.7,
      "response_time_p95": 36.4,
      "cache_hit_rate": 82.3,
      "throughput": 9270
    },
    "regions": {
      "us_central1": {
        "response_time": 10.2,
        "cpu_utilization": 35.2,
        "memory_utilization": 42.5
      }
    }
  }
}
"""
