"""What a page without data says: the smallest message that gives it some."""

from __future__ import annotations

import json
from datetime import datetime

from ..timeline import iso


def message(now: datetime) -> str:
    """A message for the topic ``metrics`` in native JSON, one observation at ``now``, in three lines."""
    point = {"metric": "response_time", "labels": {"region": "us-central1", "endpoint": "/process"}}
    observed = {"timestamp": iso(now.replace(microsecond=0)), "value": 25.3}
    head, tail = json.dumps(point)[:-1], json.dumps(observed)[1:]
    return f'{{"version": 1, "points": [\n  {head},\n   {tail}]}}'
