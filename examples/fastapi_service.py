"""A FastAPI service, measured.

pip install fastapi uvicorn .
cd examples
ION_PROJECT=my-project ION_REGION=us-central1 uvicorn fastapi_service:app
"""

from __future__ import annotations

import asyncio

from fastapi import FastAPI
from ion_monitoring.integrations.asgi import AsgiMiddleware
from ion_monitoring.metrics_collector import ProductionMetricsCollector
from ion_monitoring.performance import monitor_performance

collector = ProductionMetricsCollector()
app = FastAPI()
app.add_middleware(AsgiMiddleware, collector=collector)


@app.get("/personas/{name}")
async def persona(name: str) -> str:
    """A request that a persona answers."""
    collector.record_persona(name)
    return await think(name)


@app.get("/broken")
async def broken() -> str:
    """A request that fails."""
    raise RuntimeError("broken")


@monitor_performance(name="think")
async def think(name: str) -> str:
    """What takes the time."""
    await asyncio.sleep(0.002)
    return f"{name} says hello\n"
