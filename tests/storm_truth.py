"""What must hold after a storm: all that was said is in the store once, and all that is derived from it agrees."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from shared.buckets import SETTLE
from shared.cells import EMPTY, Cells, equal
from shared.formats.hour_columns import encode_hour
from shared.hours import build_hour, hour_of, minutes_of, read_hours
from shared.rollups import read_live, read_rollups, roll_up
from shared.self_watch import without_own
from shared.series import Series
from shared.store import Store
from shared.timeline import MINUTE_SECONDS, minute_id
from tests.storm_traffic import Ledger, Rows, rows_of


@dataclass(frozen=True, slots=True)
class Checked:
    """How much was compared: minutes of chunks, the rollups of those that have been judged, and hours."""

    minutes: int
    rollups: int
    hours: int


def check(store: Store, ledger: Ledger, judged: int, now: datetime) -> Checked:
    """Compare everything, up to the newest minute that the evaluator judged. Raises AssertionError."""
    minutes = ledger.minutes
    around = {minute + shift for minute in minutes for shift in (-MINUTE_SECONDS, 0, MINUTE_SECONDS)}
    for minute in sorted(around):
        _compare(f"the chunks of {minute_id(minute)}", read_live(store, minute, now), ledger.rows(minute))
    hours = {hour_of(minute) for minute in minutes if hour_of(minute) <= judged}
    for hour in sorted(hours):
        _check_hour(store, ledger, hour, now)
    rolled_up = [minute for minute in minutes if minute <= judged]
    for minute in rolled_up:
        _check_rollup(store, ledger, minute, now)
    return Checked(len(minutes), len(rolled_up), len(hours))


def _compare(what: str, cells: Cells, expected: Rows) -> None:
    found = rows_of(cells)
    wrong = [series for series in sorted({*found, *expected}) if found.get(series) != expected.get(series)]
    shown = "".join(f"\n{one}:\n  found    {found.get(one)}\n  expected {expected.get(one)}" for one in wrong[:3])
    assert not wrong, f"{len(wrong)} of {len(expected)} series differ in {what}{shown}"


def _check_rollup(store: Store, ledger: Ledger, minute: int, now: datetime) -> None:
    """The rollup that the evaluator left holds every chunk, and is what rolling up again gives.

    But for what it says of the monitoring: in a database that was restored, every document is as late as that.
    """
    left = without_own(read_rollups(store, [minute], now).get(minute, EMPTY))
    _compare(f"the rollup of {minute_id(minute)}", left, ledger.rows(minute))
    again = without_own(roll_up(store, minute, now, SETTLE).cells)
    assert equal(left, again), f"the rollup of {minute_id(minute)} is its chunks"


def _check_hour(store: Store, ledger: Ledger, hour: int, now: datetime) -> None:
    """The hour that the evaluator left is that of its minutes, and counts what was said in them."""
    left = read_hours(store, [hour], now)[hour]
    built = build_hour(hour, read_rollups(store, minutes_of(hour), now))
    assert encode_hour(hour, left.cells, left.slots) == encode_hour(hour, built.cells, built.slots), (
        f"the hour {minute_id(hour)} is its minutes"
    )
    expected: Counter[Series] = Counter()
    for minute in minutes_of(hour):
        expected.update({series: row.count for series, row in ledger.rows(minute).items()})
    own = without_own(left.cells)
    assert dict(zip(own.series, own.count.tolist(), strict=True)) == expected, f"the counts of {minute_id(hour)}"
