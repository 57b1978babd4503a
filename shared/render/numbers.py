"""Numbers, units, changes and ages as a person reads them.

Three significant digits; percentages have one decimal, two where the limit (or, without one, the value) is
close to 0 or 100 %: errors and availability. A percentage below 100 is never rounded to 100, nor one above 0 to
0. Terminal formats follow the specification's example (``99.95%``, ``28.7ms``, ``9,270 r/s``); HTML puts a narrow
no-break space before units and in thousands. A value that is absent or not finite is an en dash.
"""

from __future__ import annotations

import math
from datetime import datetime, tzinfo

from ..panels import Limit
from ..rules import Operator

ABSENT = "–"
MINUS = "−"
NARROW = "\u202f"
_SI = ("", "k", "M", "G", "T", "P")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_CONTINUOUS = ("ms", "s", "us", "µs", "pt")
_NEAR_AN_END = 10.0
_TERMINAL_SI_FROM = 1e7
_TERMINAL_UNITS = {"req/s": "r/s"}
_HTML_UNITS = {"r/s": "req/s"}
_NEGATED = {
    Operator.GREATER: "<=",
    Operator.GREATER_EQUAL: "<",
    Operator.LESS: ">=",
    Operator.LESS_EQUAL: ">",
    Operator.EQUAL: "!=",
    Operator.NOT_EQUAL: "==",
}


def figure(value: float | None, unit: str, limit: Limit | None = None) -> tuple[str, str]:
    """The digits and the unit apart, as a signal cell shows them: ``("9.27", "k req/s")``; absent: no unit."""
    if value is None or not math.isfinite(value):
        return ABSENT, ""
    sign, size = ("-" if value < 0 else ""), abs(value)
    if unit == "%":
        return _true_minus(sign + _percent(size, limit)), unit
    if unit in _CONTINUOUS:
        return _true_minus(sign + _three_digits(size)), unit
    if unit == "B":
        digits, prefix = _scaled(size, 1024.0, _BINARY)
        return _true_minus(sign + digits), prefix
    digits, prefix = _scaled(size, 1000.0, _SI)
    return _true_minus(sign + digits), f"{prefix} {_HTML_UNITS.get(unit, unit)}".strip()


def number(value: float | None, unit: str, limit: Limit | None = None) -> str:
    """Digits and unit with a narrow no-break space between: ``456 ms``."""
    digits, unit = figure(value, unit, limit)
    return f"{digits}{NARROW}{unit}" if unit else digits


def terminal_number(value: float | None, unit: str, limit: Limit | None = None) -> str:
    """A number as in the specification's example: ``99.95%``, ``28.7ms``, ``9,270 r/s``; ASCII but for absent."""
    if value is None or not math.isfinite(value):
        return ABSENT
    sign, size = ("-" if value < 0 else ""), abs(value)
    if unit == "%":
        return f"{sign}{_percent(size, limit).replace(' ', '')}%"
    if unit == "ms":
        return f"{sign}{size:,.1f}ms"
    if unit == "B" or size >= _TERMINAL_SI_FROM:
        return number(value, unit, limit).replace(NARROW, " ").replace(MINUS, "-")
    digits = f"{size:,.0f}" if size >= 1000 or size == int(size) else _three_digits(size)
    return f"{sign}{digits} {_TERMINAL_UNITS.get(unit, unit)}".rstrip()


def change(delta: float | None, unit: str, like: Limit | None = None) -> str:
    """A change as a cell shows it: ``↑ 420 ms``; ``no change`` for what rounds to 0, empty for None."""
    if delta is None or not math.isfinite(delta):
        return ""
    digits = _change_digits(abs(delta), unit, like)
    if not digits.strip("0."):
        return "no change"
    return f"{'↑' if delta > 0 else '↓'} {digits}{NARROW}{unit}".rstrip()


def signed(delta: float | None, unit: str) -> str:
    """A change with its sign: ``+2.3 %``, ``−0.2 pt``; empty for None."""
    if delta is None or not math.isfinite(delta):
        return ""
    digits = _change_digits(abs(delta), unit, None)
    sign = "" if not digits.strip("0.") else "+" if delta > 0 else MINUS
    return f"{sign}{digits}{NARROW}{unit}"


def terminal_change(delta: float | None, unit: str, like: Limit | None = None) -> str:
    """A change in a terminal: ``+21.5``, ``-0.01``, ``+2.1%``; the unit is the value's own unless it is ``%``."""
    if delta is None or not math.isfinite(delta):
        return ""
    places = 2 if unit == "pt" and _close_to_an_end(like) else 1
    return f"{delta:+,.{places}f}{'%' if unit == '%' else ''}"


def limit_number(limit: Limit, unit: str) -> str:
    """A limit as it was configured, with its unit: ``200 ms``, ``99.95 %``."""
    return f"{_exact(limit.value)}{NARROW}{unit}".rstrip()


def comparison(limit: Limit) -> str:
    """How a value breaks a limit: ``> 200``."""
    return f"{limit.operator.value} {_exact(limit.value)}"


def acceptance(limit: Limit | None) -> str:
    """What a good value satisfies: ``<= 200`` for a rule on ``> 200``; ``no limit`` for None."""
    return f"{_NEGATED[limit.operator]} {limit.value:g}" if limit else "no limit"


def heading(title: str, unit: str) -> str:
    """A column's title with its unit, once: ``P95 ms``."""
    named = not unit or unit in title or title.endswith("/s")
    return title if named else f"{title} {unit}"


def age(seconds: float) -> str:
    """A duration in its two greatest units: ``12 s``, ``26 min``, ``1 h 11 min``, ``3 days 4 h``; never negative."""
    whole = max(0, int(seconds))
    minutes, hours, days = whole // 60, whole // 3600, whole // 86_400
    if minutes < 1:
        return f"{whole} s"
    if hours < 1:
        return f"{minutes} min"
    if days < 1:
        return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
    words = "1 day" if days == 1 else f"{days} days"
    return f"{words} {hours % 24} h" if hours % 24 else words


def span(seconds: float) -> str:
    """A range shown, in hours where it is whole hours: ``24 h``; otherwise as an age."""
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours} h" if hours and not rest else age(seconds)


def clock(instant: datetime, zone: tzinfo, seconds: bool = False) -> str:
    """The time of day in a zone: ``14:05`` or ``14:05:30``."""
    return instant.astimezone(zone).strftime("%H:%M:%S" if seconds else "%H:%M")


def _percent(size: float, limit: Limit | None) -> str:
    """0..100 and beyond, honest at both ends: ``< 0.01`` above 0, ``99.99`` below 100."""
    places = 2 if _close_to_an_end(limit) or (limit is None and (size < 1 or 99 < size < 100)) else 1
    least = 10**-places
    if 0 < size < least / 2:
        return f"< {least:.{places}f}"
    if size < 100 and round(size, places) >= 100:
        return f"{100 - least:.{places}f}"
    return f"{size:.{places}f}"


def _close_to_an_end(limit: Limit | None) -> bool:
    return limit is not None and min(abs(limit.value), abs(100 - limit.value)) <= _NEAR_AN_END


def _change_digits(size: float, unit: str, like: Limit | None) -> str:
    if unit == "pt":
        return f"{size:.{2 if _close_to_an_end(like) else 1}f}"
    return f"{size:.1f}" if unit == "%" else _three_digits(size)


def _three_digits(size: float) -> str:
    """Three significant digits from 1 up, two decimals below; thousands in full: ``1 234``. Not for SI scaling."""
    if 0 < size < 0.005:
        return "< 0.01"
    rounded = float(f"{size:.3g}")
    places = 0 if rounded >= 100 or rounded == 0 else 1 if rounded >= 10 else 2
    return f"{size:,.{places}f}".replace(",", NARROW)


def _scaled(size: float, base: float, prefixes: tuple[str, ...]) -> tuple[str, str]:
    """Digits and prefix with 1 <= digits < base; below ``base`` a whole number stays whole."""
    power = 0
    while power < len(prefixes) - 1 and float(f"{size:.3g}") >= base:
        size, power = size / base, power + 1
    digits = f"{size:.0f}" if power == 0 and size == int(size) else _three_digits(size)
    return digits, prefixes[power]


def _exact(value: float) -> str:
    """A configured number as it was written, with thousands apart."""
    return _true_minus(f"{value:,.10g}".replace(",", NARROW))


def _true_minus(digits: str) -> str:
    return digits.replace("-", MINUS)
