"""Numbers, units, changes and ages as a person reads them.

Three significant digits; percentages have one decimal, two where the limit (or, without one, the value) is
close to 0 or 100 %: errors and availability. A percentage below 100 is never rounded to 100, nor one above 0 to
0. From 1e15 on, or beyond the last prefix, a number has an exponent instead of its digits. Terminal formats follow
the specification's example (``99.95%``, ``28.7ms``, ``9,270 r/s``); HTML puts a narrow no-break space before units and
in thousands. A value that is absent or not finite is an en dash.
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
_EXPONENT_FROM = 1e15
_CHANGE_EXPONENT_FROM = 9.99e13
"""A change has an arrow and a unit beside its digits, and room for fewer of them."""
_TICK_SI_FROM = 1e5
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


def short(value: float | None, unit: str, limit: Limit | None = None) -> tuple[str, str]:
    """Digits and SI prefix alone, for a column whose head names the unit: ``("3.06", "k")``."""
    digits, shown = figure(value, unit, limit)
    return digits, shown.partition(" ")[0] if " " in shown or not unit else ""


def tick(value: float) -> str:
    """An axis label, at most seven characters: ``200``, ``0.05``, ``2.5 M``, ``2e20``."""
    if not math.isfinite(value):
        return ABSENT
    if abs(value) < _TICK_SI_FROM:
        return _exact(value)
    value = float(f"{value:.3g}")
    size = abs(value)
    power = min(len(_SI) - 1, int(math.log10(size) + 1e-9) // 3)
    if size >= 1000.0 ** len(_SI):
        return _true_minus(f"{value:.3g}".replace("e+", "e"))
    return _true_minus(f"{value / 1000.0**power:.3g}{NARROW}{_SI[power]}")


def terminal_number(value: float | None, unit: str, limit: Limit | None = None) -> str:
    """A number as in the specification's example: ``99.95%``, ``28.7ms``, ``9,270 r/s``; ASCII but for absent."""
    if value is None or not math.isfinite(value):
        return ABSENT
    sign, size = ("-" if value < 0 else ""), abs(value)
    if unit == "%":
        return f"{sign}{_percent(size, limit).replace(' ', '')}%"
    if unit == "ms":
        return f"{sign}{_exponent(size) if size >= _EXPONENT_FROM else f'{size:,.1f}'}ms"
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
    if abs(delta) >= _EXPONENT_FROM:
        return f"{'-' if delta < 0 else '+'}{_exponent(abs(delta))}{'%' if unit == '%' else ''}"
    places = 2 if unit == "pt" and _close_to_an_end(like) else 1
    return f"{delta:+,.{places}f}{'%' if unit == '%' else ''}"


def limit_number(limit: Limit, unit: str) -> str:
    """A limit as it was configured, with its unit: ``200 ms``, ``99.95 %``."""
    return f"{_exact(limit.value)}{NARROW}{unit}".rstrip()


def comparison(limit: Limit | None) -> str:
    """How a value breaks a limit: ``> 200``; empty for None."""
    return f"{limit.operator.value} {_exact(limit.value)}" if limit else ""


def times(factor: float) -> str:
    """How many times something is something else: ``2.3``."""
    return _exponent(factor) if factor >= _EXPONENT_FROM else f"{factor:,.1f}".replace(",", NARROW)


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


def moment(instant: datetime, zone: tzinfo, today: datetime) -> str:
    """The time of day in a zone, with its date where that is not the one of ``today``: ``17 Oct 14:05``."""
    local = instant.astimezone(zone)
    if local.date() == today.astimezone(zone).date():
        return local.strftime("%H:%M")
    year = f" {local.year}" if local.year != today.astimezone(zone).year else ""
    return f"{local.day} {local:%b}{year} {local:%H:%M}"


def stretch(start: datetime, end: datetime, zone: tzinfo, today: datetime) -> str:
    """A range between two instants: ``13:00 to 14:00``, ``17 Oct 13:00 to 14:00``, ``16 Oct 13:00 to 17 Oct 09:00``."""
    first = moment(start, zone, today)
    same_day = start.astimezone(zone).date() == end.astimezone(zone).date()
    return f"{first} to {clock(end, zone) if same_day else moment(end, zone, today)}"


def more(total: int, shown: int) -> str:
    """What a list leaves out: ``and 970 more``; empty for nothing."""
    return f"and {total - shown:,} more".replace(",", NARROW) if total > shown else ""


def _percent(size: float, limit: Limit | None) -> str:
    """0..100 and beyond, honest at both ends: ``< 0.01`` above 0, ``99.99`` below 100."""
    if size >= _EXPONENT_FROM:
        return _exponent(size)
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
    if size >= _CHANGE_EXPONENT_FROM:
        return _exponent(size)
    if unit == "pt":
        return f"{size:.{2 if _close_to_an_end(like) else 1}f}"
    return f"{size:.1f}" if unit == "%" else _three_digits(size)


def _three_digits(size: float) -> str:
    """Three significant digits from 1 up, two decimals below; thousands in full: ``1 234``. Not for SI scaling."""
    if 0 < size < 0.005:
        return "< 0.01"
    if size >= _EXPONENT_FROM:
        return _exponent(size)
    rounded = float(f"{size:.3g}")
    places = 0 if rounded >= 100 or rounded == 0 else 1 if rounded >= 10 else 2
    return f"{size:,.{places}f}".replace(",", NARROW)


def _exponent(size: float) -> str:
    """Three significant digits and a power of ten: ``1.00e200``."""
    return f"{size:.2e}".replace("e+", "e")


def _scaled(size: float, base: float, prefixes: tuple[str, ...]) -> tuple[str, str]:
    """Digits and prefix with 1 <= digits < base; below ``base`` a whole number stays whole.

    Beyond the last prefix there is none but the plain unit's, and an exponent.
    """
    power, whole = 0, size
    while power < len(prefixes) - 1 and float(f"{size:.3g}") >= base:
        size, power = size / base, power + 1
    if float(f"{size:.3g}") >= base:
        return _exponent(whole), prefixes[0]
    digits = f"{size:.0f}" if power == 0 and size == int(size) else _three_digits(size)
    return digits, prefixes[power]


def _exact(value: float) -> str:
    """A configured number as it was written, with thousands apart."""
    return _true_minus(f"{value:,.10g}".replace(",", NARROW))


def _true_minus(digits: str) -> str:
    return digits.replace("-", MINUS)
