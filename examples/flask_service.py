"""A Flask service, measured.

pip install flask gunicorn .
cd examples
ION_PROJECT=my-project ION_REGION=us-central1 gunicorn --workers 2 --threads 4 flask_service:app
"""

from __future__ import annotations

import time

from flask import Flask
from ion_monitoring.integrations.flask import monitor_flask
from ion_monitoring.metrics_collector import ProductionMetricsCollector
from ion_monitoring.performance import monitor_performance

collector = ProductionMetricsCollector()
app = Flask(__name__)
monitor_flask(app, collector)


@app.route("/personas/<name>")
def persona(name: str) -> str:
    """A request that a persona answers."""
    collector.record_persona(name)
    return think(name)


@app.route("/broken")
def broken() -> str:
    """A request that fails."""
    raise RuntimeError("broken")


@monitor_performance(name="think")
def think(name: str) -> str:
    """What takes the time."""
    time.sleep(0.002)
    return f"{name} says hello\n"
