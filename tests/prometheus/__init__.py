"""What Prometheus says: scenarios, the script that asks promtool, and what it answered."""
