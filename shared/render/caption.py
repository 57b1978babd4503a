"""What a chart that stands alone says beside its lines: whose it is, and how old its data is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo

from ..panels import STALE_AFTER
from . import numbers


@dataclass(frozen=True, slots=True)
class Caption:
    """What a picture says beside its lines. ``data_to`` is the end of the newest data, None before any."""

    service: str
    environment: str
    now: datetime
    data_to: datetime | None
    until: datetime | None
    range_seconds: int

    @property
    def stale(self) -> bool:
        """Whether the newest data is too old to be called current."""
        about = self.until or self.now
        return self.data_to is None or about - self.data_to > STALE_AFTER

    def age(self, zone: tzinfo) -> str:
        """How old what is shown is, its times in ``zone``."""
        if self.data_to is None:
            return "no data"
        to = f"data to {numbers.moment(self.data_to, zone, self.now)}"
        if self.until is not None:
            return to
        old = numbers.age((self.now - self.data_to).total_seconds())
        since = f"no data since {numbers.moment(self.data_to, zone, self.now)} ({old})"
        return since if self.stale else f"{to}, {old} old"
