"""A notification in words and numbers, before any format escapes them: what all channels say alike.

Every text here may hold what writers chose, as label values do; nothing is escaped, all of it is cleaned of what acts
instead of being read (``plain.clean``), so that each channel has only its own markup to defend against.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlencode

from ..alerts import AlertKind
from ..notifications import DIGEST_SPAN, Member, Notification, NotificationKind
from ..panels import Limit
from ..render.numbers import NARROW, age, clock, comparison, figure, number
from ..render.plain import clean, value_text
from ..rules import Severity
from ..timeline import minute_id, to_us
from ..wording import ended_well, how_it_ended
from . import Evidence, Turn

TITLE = "title"
"""Of a conversation, in its handle."""
BEFORE = timedelta(minutes=30)
"""Of the overview that a link opens, before what is told of."""
LONGEST = timedelta(hours=71)
SHOWN_NAMES = 10
MAX_NAME = 120
MAX_TEXT = 600


@dataclass(frozen=True, slots=True)
class Fact:
    """A short heading and its value."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Story:
    """``title`` is the conversation's, the same from its beginning to its end; ``status`` says where it stands.

    ``since`` is when it fired, aware UTC. ``url`` is empty where no dashboard is known, ``runbook_url`` without one.
    """

    title: str
    status: str
    sentence: str
    description: str
    facts: tuple[Fact, ...]
    severity: Severity
    kind: NotificationKind
    is_over: bool
    is_well: bool
    """Whether it is over because all is well again."""
    url: str
    runbook_url: str
    rule_id: str
    measured: str = ""
    """The value and its limit, as the end of a sentence that the title begins; empty where there are none."""
    is_digest: bool = False
    """The sentence is the report of a day, in lines."""

    @property
    def headline(self) -> str:
        """All of it on one line, for whoever sees no more: a pager, a lock screen."""
        if self.kind in _NEWS and self.measured:
            return f"{self.title} {self.measured}"
        return f"{self.title}: {self.status[:1].lower()}{self.status[1:]}"


def tell(notification: Notification, turn: Turn, dashboard_url: str, channel: str) -> Story:
    """What to say of a notification on a channel: the title is the one that its conversation began with."""
    told, evidence = notification, turn.evidence
    return Story(
        title=turn.handle.get(TITLE) or title(told),
        status=_status(told, channel),
        sentence=_sentence(told, channel),
        description=cut(clean_lines(told.description), MAX_TEXT),
        facts=tuple(_facts(told, evidence)),
        severity=told.severity,
        kind=told.kind,
        is_over=told.ends_on(channel),
        is_well=told.ends_on(channel) and ended_well(told.reason),
        url=link(told, dashboard_url),
        runbook_url=safe_url(told.runbook_url),
        rule_id=clean(told.rule_id),
        measured=_measured(told),
        is_digest=told.is_digest,
    )


_WITHOUT_VALUE = {AlertKind.NO_DATA.value: "has no data any more", AlertKind.FAILURE.value: "cannot be evaluated"}
_NEWS = {NotificationKind.FIRING, NotificationKind.RAISED, NotificationKind.ESCALATED}


def title(notification: Notification) -> str:
    """The rule's name and where: of several alerts, of how many."""
    where = place(notification)
    name = cut(clean(notification.rule_name), MAX_NAME)
    return f"{name}: {where}" if where else name


def place(notification: Notification) -> str:
    """Which groups a notification is about: ``europe-west1``, ``europe-west1, us-central1 and 3 more``."""
    if not notification.labels and not notification.also:
        return ""
    groups = [notification.labels, *(one.labels for one in notification.also)]
    names = [cut(" ".join(clean(value_text(value)) for _, value in labels) or "all", MAX_NAME) for labels in groups]
    rest = notification.alerts - min(len(names), SHOWN_NAMES)
    shown = ", ".join(names[:SHOWN_NAMES])
    return f"{shown} and {rest} more" if rest else shown


def link(notification: Notification, dashboard_url: str) -> str:
    """The alert's own page: its graph around the episode, what contributes, and where one takes it.

    Of what is about no single alert the overview, from half an hour before, of a digest at its day; empty without a
    dashboard.
    """
    if not dashboard_url:
        return ""
    if notification.kind not in (NotificationKind.SUMMARY, NotificationKind.NOTICE):
        return f"{dashboard_url}/alerts/{quote(notification.fingerprint, safe='')}"
    query = {"from": _minute(max(notification.fired_at - BEFORE, notification.at - LONGEST))}
    if notification.is_digest:
        query = {"from": _minute(notification.at - DIGEST_SPAN), "to": _minute(notification.at)}
    return f"{dashboard_url}/dashboards/overview?{urlencode(query)}"


def _minute(instant: datetime) -> str:
    return minute_id(to_us(instant) // 1_000_000)


def safe_url(url: str) -> str:
    """The address, when it is http or https and of plain characters; otherwise none: no scheme that runs something."""
    plain = url.isascii() and url.isprintable() and not any(character in url for character in " <>\"'`\\|")
    return url if plain and url.lower().startswith(("https://", "http://")) else ""


def length(text: str) -> int:
    """In UTF-16 units, as most vendors count: of an emoji two. No fewer than its characters."""
    return len(text) + sum(character > "\uffff" for character in text)


def cut(text: str, most: int) -> str:
    """At most ``most`` UTF-16 units; what is left out is said, in characters: ``… (+123)``."""
    if length(text) <= most:
        return text
    kept, left = "", max(0, most - 12)
    for character in text:
        left -= length(character)
        if left < 0:
            break
        kept += character
    return f"{kept.rstrip()}… (+{len(text) - len(kept)})"


def clean_lines(text: str) -> str:
    """Several lines, each of them clean."""
    return "\n".join(clean(line) for line in text.splitlines())


def when(notification: Notification) -> str:
    """Since when: ``14:05``, or with its date where that is not the day of the decision."""
    fired = notification.fired_at
    same = fired.astimezone(UTC).date() == notification.at.astimezone(UTC).date()
    return clock(fired, UTC) if same else f"{fired.astimezone(UTC):%d %b %H:%M}"


def lasted(notification: Notification) -> str:
    """How long the episode has lasted so far: ``37 min``."""
    return age((notification.at - notification.fired_at).total_seconds())


def _status(told: Notification, channel: str) -> str:
    match told.kind:
        case NotificationKind.RESOLVED if told.ends_on(channel):
            return f"{how_it_ended(told.reason, told.about)} after {lasted(told)}"
        case NotificationKind.RESOLVED:
            return f"{told.still_firing} still firing"
        case NotificationKind.ACKNOWLEDGED:
            return f"Acknowledged by {_person(told)}"
        case NotificationKind.SILENCED:
            return f"Silenced by {_person(told)}"
        case NotificationKind.RAISED:
            return f"Worse, now {told.severity.value}"
        case NotificationKind.ESCALATED:
            return f"Nobody has it after {lasted(told)}"
        case NotificationKind.SUMMARY if told.is_digest:
            return f"24 hours to {told.at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        case NotificationKind.SUMMARY | NotificationKind.NOTICE:
            return "Notice"
    return told.severity.value.capitalize()


def _sentence(told: Notification, channel: str) -> str:
    if told.kind in (NotificationKind.SUMMARY, NotificationKind.NOTICE):
        return clean_lines(told.description)
    if told.kind is NotificationKind.SILENCED and told.until is not None:
        return f"Nobody is told of {place(told) or 'it'} until {clock(told.until, UTC)} UTC."
    where = f" in {place(told)}" if place(told) else ""
    if told.kind is NotificationKind.RESOLVED:
        more = "" if told.ends_on(channel) else f" {told.still_firing} of these alerts still fire."
        return f"It fired from {when(told)} to {clock(told.at, UTC)} UTC{where}.{more}"
    if told.about != AlertKind.THRESHOLD.value:
        return f"{clean_lines(told.description)} Since {when(told)} UTC."
    so_far = f" ({lasted(told).replace(' ', NARROW)})" if told.at > told.fired_at else ""  # not broken by a line
    if told.also:
        return (
            f"{told.alerts} alerts together: {_values(told)}. Alert on {_bound(told)}, since {when(told)} UTC{so_far}."
        )
    return f"The value{where} is {_value(told)}, alert on {_bound(told)}, since {when(told)} UTC{so_far}."


def _facts(told: Notification, evidence: Evidence) -> Iterator[Fact]:
    if told.about == AlertKind.THRESHOLD.value and told.kind not in (NotificationKind.SUMMARY, NotificationKind.NOTICE):
        if not told.also:
            yield Fact("Value", _value(told))
        yield Fact("Alert on", _bound(told))
        yield Fact("Usual", _usual(told, evidence) if evidence.usual else "not known yet")
    yield Fact("Since", f"{when(told)} UTC")
    if evidence.worst:
        yield Fact("Worst", cut(", ".join(clean(one) for one in evidence.worst), 200))
    if told.also:
        yield Fact("Alerts", f"{told.alerts} together")
    if evidence.ack is not None and told.kind is not NotificationKind.ACKNOWLEDGED:
        person = cut(clean(evidence.ack.author), MAX_NAME)
        yield Fact("Acknowledged", f"{person}, {clock(evidence.ack.at, UTC)} UTC")


def place_of(labels: tuple[tuple[str, str], ...]) -> str:
    """One group's label values."""
    return cut(" ".join(clean(value_text(value)) for _, value in labels), MAX_NAME)


def _values(told: Notification) -> str:
    """The groups with their values: ``eu 306 ms, us 280 ms and 3 more``."""
    first = Member(told.labels, told.value)
    shown = [first, *told.also][:SHOWN_NAMES]
    named = [f"{place_of(one.labels)} {number(one.value, clean(told.unit), _limit(told))}" for one in shown]
    rest = told.alerts - len(shown)
    return cut(", ".join(named), MAX_TEXT) + (f" and {rest} more" if rest else "")


def _value(told: Notification) -> str:
    return number(told.value, clean(told.unit), _limit(told))


def _bound(told: Notification) -> str:
    return f"{comparison(_limit(told))}{NARROW}{clean(told.unit)}".rstrip()


def _measured(told: Notification) -> str:
    if told.kind in (NotificationKind.SUMMARY, NotificationKind.NOTICE):
        return ""
    if told.about != AlertKind.THRESHOLD.value:
        return _WITHOUT_VALUE.get(told.about, "")
    if told.also:
        return f"fire together, the first with {_value(told)}, alert on {_bound(told)}"
    return f"is {_value(told)}, alert on {_bound(told)}"


def _usual(told: Notification, evidence: Evidence) -> str:
    low, high = evidence.usual or (0.0, 0.0)
    first, _ = figure(low, clean(told.unit), _limit(told))
    return f"{first} to {number(high, clean(told.unit), _limit(told))}"


def _limit(told: Notification) -> Limit:
    return Limit(told.threshold, told.operator, told.severity)


def _person(told: Notification) -> str:
    return cut(clean(told.author), MAX_NAME) or "somebody"
