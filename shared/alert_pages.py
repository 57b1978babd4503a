"""The pages of alerts: what fires and what fired, and one alert with its graph, its contributors and its timeline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo

from .alerts import ENDINGS, AlertState, AlertStateManager, Reason, State
from .audit import Deed, Entry
from .backtest_strip import backtest_strip
from .checks import alert_row
from .errors import PermanentError
from .frame import about_rules, frame
from .headline import subject_of, where_of
from .line_charts import chart_of
from .monitoring_config import MonitoringConfig
from .panels import KEPT_ROWS, Board, Cell, Headline, Panel, Row, Status, Table
from .reader import Reader
from .render import numbers
from .render.plain import value_text
from .rules import AlertRule, Query, Selection, Severity
from .series import Labels
from .sources import WINDOW_SECONDS, Sources, limit_of, read_sources, scope_text
from .tick import Transition
from .timeline import MINUTE_SECONDS, from_minute, minute_floor
from .value_cache import Window

ALERTS = "alerts"
HISTORY_SECONDS = 72 * 3600
_BEFORE = timedelta(minutes=45)
_AFTER = timedelta(minutes=15)
_LEAST = timedelta(hours=1)
_MOST_BEFORE_SECONDS = 3600
_SHOWN = 20
_WORDS: Mapping[Reason, str] = {
    Reason.STARTED: "Pending",
    Reason.CLEARED: "Back within its limit before it fired",
    Reason.FIRED: "Fired",
    Reason.RAISED: "Raised",
    Reason.RESOLVED: "Resolved",
    Reason.NO_DATA: "Ended without data",
    Reason.MISSING: "Data is missing",
    Reason.BACK: "Data is back",
    Reason.GONE: "Given up, still without data",
    Reason.FAILED: "The rule cannot be evaluated",
    Reason.WORKS: "The rule works again",
    Reason.REMOVED: "The rule was removed",
    Reason.REGROUPED: "The rule groups by other labels",
}


@dataclass(frozen=True, slots=True)
class Episode:
    """One firing and its end. ``began`` is when it went pending, ``ended`` None while it fires."""

    fingerprint: str
    rule_id: str
    labels: Labels
    severity: Severity
    began: datetime
    fired: datetime
    ended: datetime | None
    reason: Reason
    """How it ended; ``fired`` while it fires."""

    @property
    def status(self) -> Status:
        """As a page shows it."""
        if self.ended is None:
            return Status.of(self.severity)
        return Status.RESOLVED if self.reason is Reason.RESOLVED else Status.UNKNOWN


def build_alerts(
    config: MonitoringConfig,
    reader: Reader,
    start: datetime,
    end: datetime,
    now: datetime,
    zone: tzinfo = UTC,
    region: str = "",
) -> Board:
    """What is pending or fires at the end of (start, end], and every episode of the last three days before it."""
    sources, cursor = read_sources(config, reader, start, end, now, region)
    earlier = reader.transitions(sources.end - HISTORY_SECONDS, sources.end, now)
    found = [one for one in episodes(earlier) if sources.is_here(one.labels)]
    rows = [_episode_row(config, one, sources, zone) for one in sorted(found, key=lambda one: one.fired, reverse=True)]
    table = Table(
        "history", "History", "Rule", tuple(rows[:KEPT_ROWS]), "72 h, newest first",
        "Nothing has fired in 72 h.", len(rows), wide=True, most=_SHOWN,
    )  # fmt: skip
    return Board(
        **frame(sources, cursor, config.list_alert_rules(enabled_only=True), zone),
        name=ALERTS,
        title="Alerts",
        signals=(),
        panels=(table,),
        has_alerts=True,
        alerts_first=True,
    )


def build_alert(config: MonitoringConfig, reader: Reader, fingerprint: str, now: datetime, zone: tzinfo = UTC) -> Board:
    """One alert: its newest episode of the last three days, or what it is now. Raises PermanentError ``not_found``."""
    newest = minute_floor(now)
    mine = [t for t in reader.transitions(newest - HISTORY_SECONDS, newest, now) if t.fingerprint == fingerprint]
    state = next((one for one in reader.alerts() if one.fingerprint == fingerprint), None)
    if state is None and not mine:
        raise PermanentError("not_found", "There is no such alert, or it is more than 72 h old.")
    rule_id, labels = (state.rule_id, state.labels) if state else (mine[-1].rule_id, mine[-1].labels)
    episode = next(iter(reversed(list(episodes(mine)))), None)
    start, end = _around(episode, state, now)
    sources, cursor = read_sources(config, reader, start, end, now)
    rule = config.find_rule(rule_id)
    about = about_rules(sources, [rule] if rule else [])
    about = replace(
        about,
        alerts=tuple(one for one in about.alerts if one.fingerprint == fingerprint),
        others=tuple(one for one in sources.alerts if one.fingerprint != fingerprint),
        transitions=tuple(one for one in about.transitions if one.fingerprint == fingerprint),
    )
    told = frame(about, cursor, [rule] if rule else [], zone)
    told["headline"] = replace(told["headline"], action="", href="")
    if episode is not None and episode.ended is not None:
        told["headline"] = _ended(config, rule, episode, now, zone)
    taken = _taken(reader, fingerprint, episode, now)
    if taken is not None:
        note = f"{taken.author} has it, {numbers.moment(taken.at, zone, now)}"
        told["headline"] = replace(told["headline"], note=note)
    also = [one for one in AlertStateManager(about.others).get_active_alerts() if one.is_firing]
    told["alerts"] = tuple(alert_row(config, one) for one in also[:KEPT_ROWS])
    told["alerts_total"] = len(also)
    return Board(
        **told,
        alerts_title="Also firing",
        open_episode=state.fired_at if state and state.is_firing and taken is None else None,
        name=f"{ALERTS}/{fingerprint}",
        title=rule.name if rule else rule_id,
        signals=(),
        panels=tuple(_panels(about, rule, labels, episode, mine, zone)),
    )


def _taken(reader: Reader, fingerprint: str, episode: Episode | None, now: datetime) -> Entry | None:
    """Who has the episode, since when."""
    if episode is None:
        return None
    deeds = reader.actions(minute_floor(episode.fired), minute_floor(now) + MINUTE_SECONDS, now)
    mine = (one for one in deeds if one.deed is Deed.ACKNOWLEDGED and f"/{fingerprint}~" in one.target)
    return next(mine, None)


def episodes(transitions: Sequence[Transition]) -> Iterator[Episode]:
    """The episodes that fired, in the order in which they ended or, still firing, last; transitions oldest first."""
    began: dict[str, datetime] = {}
    running: dict[str, Episode] = {}
    for one in transitions:
        if one.after is State.PENDING:
            began[one.fingerprint] = one.at
        if one.after is State.FIRING and one.before is not State.FIRING:
            first = began.get(one.fingerprint, one.at)
            severity = Severity(one.severity)
            running[one.fingerprint] = Episode(
                one.fingerprint, one.rule_id, one.labels, severity, first, one.episode or one.at, None, Reason.FIRED
            )
        elif one.fingerprint in running and one.reason in ENDINGS:
            yield replace(running.pop(one.fingerprint), ended=one.at, reason=one.reason)
    yield from running.values()


def _episode_row(config: MonitoringConfig, one: Episode, sources: Sources, zone: tzinfo) -> Row:
    rule = config.find_rule(one.rule_id)
    lasted = ((one.ended or sources.about) - one.fired).total_seconds()
    how = _WORDS[one.reason] if one.ended else "still fires"
    return Row(
        rule.name.replace(" - ", ", ") if rule else one.rule_id,
        one.status,
        (
            Cell("where", "Where", None, "", note=_scope(config, rule, one.labels)),
            Cell("fired", "Fired", None, "", note=numbers.moment(one.fired, zone, sources.now)),
            Cell("lasted", "Lasted", None, "", note=numbers.age(lasted)),
            Cell("ended", "Ended", None, "", note=how),
        ),
        href=f"/{ALERTS}/{one.fingerprint}",
    )


def _scope(config: MonitoringConfig, rule: AlertRule | None, labels: Labels) -> str:
    return scope_text(labels, config.query_for(rule).group_by if rule else ())


def _around(episode: Episode | None, state: AlertState | None, now: datetime) -> tuple[datetime, datetime]:
    """The range to look at: from before it began until after its end, at least an hour and at most three days."""
    began = episode.began if episode else (state.pending_since or state.since if state else None) or now
    end = min(now, episode.ended + _AFTER) if episode and episode.ended else now
    start = max(min(began - _BEFORE, end - _LEAST), end - timedelta(seconds=HISTORY_SECONDS))
    return start, end


def _ended(config: MonitoringConfig, rule: AlertRule | None, one: Episode, now: datetime, zone: tzinfo) -> Headline:
    """An episode that is over, in words."""
    ended = one.ended or now
    what = f"{subject_of(config, one.rule_id)}{where_of(config, one.rule_id, one.labels)}"
    lasted = numbers.age((ended - one.fired).total_seconds())
    limit = limit_of(rule.threshold) if rule else None
    beyond = ""
    if rule and limit:
        side = "below" if limit.operator.value.startswith("<") else "above"
        beyond = f" was {side} {numbers.limit_number(limit, config.unit_for(rule))}"
    word = _WORDS[one.reason] if one.reason is not Reason.RESOLVED else "Resolved"
    ago = numbers.age((now - ended).total_seconds())
    detail = f"{numbers.stretch(one.fired, ended, zone, now)}, ended {ago} ago."
    return Headline(one.status, f"{word} after {lasted}: {what}{beyond}", detail)


def _panels(
    sources: Sources,
    rule: AlertRule | None,
    labels: Labels,
    episode: Episode | None,
    transitions: Sequence[Transition],
    zone: tzinfo,
) -> Iterator[Panel]:
    if rule is not None:
        query = _only(sources.config.query_for(rule), labels)
        title = f"{subject_of(sources.config, rule.id)}{where_of(sources.config, rule.id, labels)}"
        same = [one for one in sources.config.list_alert_rules(enabled_only=True)
                if sources.config.query_for(one) == sources.config.query_for(rule)]  # fmt: skip
        yield chart_of(sources, "alert", title, sources.config.unit_for(rule), query, same)
    yield _timeline(sources, rule, transitions, episode, zone)
    if rule is not None:
        yield from _contributors(sources, rule, labels, episode)
        yield backtest_strip(sources, rule, labels)


def _only(query: Query, labels: Labels) -> Query:
    """A rule's query of one of its groups alone."""

    def fixed(selection: Selection) -> Selection:
        return replace(selection, labels=tuple(sorted({*selection.labels, *labels})))

    return replace(query, select=fixed(query.select), per=fixed(query.per) if query.per else None, group_by=())


def _timeline(
    sources: Sources, rule: AlertRule | None, transitions: Sequence[Transition], episode: Episode | None, zone: tzinfo
) -> Table:
    """What happened to the alert, and what people did about it, newest first."""
    unit = sources.config.unit_for(rule) if rule else ""
    began = episode.began if episode else from_minute(sources.start)
    told = [(one.at, _transition_row(sources, rule, one, unit, zone)) for one in transitions if one.at >= began]
    fingerprint = transitions[-1].fingerprint if transitions else ""
    first = minute_floor(began)
    deeds = (
        sources.reader.actions(first, minute_floor(sources.now) + MINUTE_SECONDS, sources.now) if fingerprint else []
    )
    told += [(one.at, _deed_row(sources, one, zone)) for one in deeds if f"/{fingerprint}~" in one.target]
    rows = [row for _, row in sorted(told, key=lambda pair: pair[0], reverse=True)]
    return Table("timeline", "Timeline", "Event", tuple(rows[:KEPT_ROWS]), "newest first", "Nothing happened yet.",
                 len(rows), most=_SHOWN)  # fmt: skip


def _transition_row(sources: Sources, rule: AlertRule | None, one: Transition, unit: str, zone: tzinfo) -> Row:
    limit = limit_of(rule.threshold_of(Severity(one.severity))) if rule else None
    status = {State.FIRING: Status.of(Severity(one.severity)), State.PENDING: Status.PENDING}.get(one.after)
    return Row(
        _WORDS.get(one.reason, one.reason.value),
        status or (Status.RESOLVED if one.reason is Reason.RESOLVED else Status.OK),
        (
            Cell("at", "When", None, "", note=numbers.moment(one.at, zone, sources.now)),
            Cell("value", "Value", one.value, unit, limit),
            Cell("who", "Who", None, "", note="evaluation"),
        ),
    )


def _deed_row(sources: Sources, entry: Entry, zone: tzinfo) -> Row:
    what = {Deed.ACKNOWLEDGED: "Acknowledged"}.get(entry.deed, entry.deed.value.capitalize())
    return Row(
        f"{what}: {entry.comment}" if entry.comment else what,
        Status.OK,
        (
            Cell("at", "When", None, "", note=numbers.moment(entry.at, zone, sources.now)),
            Cell("value", "Value", None, "", note="–"),
            Cell("who", "Who", None, "", note=entry.author),
        ),
    )


def _contributors(sources: Sources, rule: AlertRule, labels: Labels, episode: Episode | None) -> Iterator[Table]:
    """For each label that the rule does not ask by: its values before and during the episode, the worst first."""
    query = sources.config.query_for(rule)
    metric = sources.config.metric(query.select.metric)
    asked = {*query.group_by, *(name for name, _ in query.select.labels)}
    per = sources.config.metric(query.per.metric) if query.per else metric
    shared = per.labels if per else ()  # a ratio has a value only where both of its sides have the label
    names = [name for name in (metric.labels if metric else ()) if name not in asked and name in shared]
    began = minute_floor(episode.began) if episode else sources.end - WINDOW_SECONDS
    ended = min(minute_floor(episode.ended), sources.end) if episode and episode.ended else sources.end
    during = Window(ended, max(WINDOW_SECONDS, min(_MOST_BEFORE_SECONDS, ended - began)))
    start = began - rule.min_occurrences * MINUTE_SECONDS - rule.evaluation_window
    before = Window(start, min(_MOST_BEFORE_SECONDS, max(WINDOW_SECONDS, start - sources.start)))
    for name in names:
        yield _contributor_table(sources, rule, name, replace(_only(query, labels), group_by=(name,)), before, during)


def _contributor_table(
    sources: Sources, rule: AlertRule, name: str, query: Query, before: Window, during: Window
) -> Table:
    unit, limit = sources.config.unit_for(rule), limit_of(rule.threshold)
    earlier, now = sources.values(query, before), sources.values(query, during)
    low_is_bad = rule.threshold.operator.value.startswith("<")
    worst = sorted(now, key=lambda labels: (now[labels] if low_is_bad else -now[labels], labels))
    top = max([*now.values(), rule.threshold.value * 1.2], default=0.0)
    rows = []
    for labels in worst[:KEPT_ROWS]:
        over = rule.violated_by(now[labels])
        status = Status.of(over.severity) if over else Status.OK
        cells = (
            Cell("during", "During", now[labels], unit, limit, top if top > 0 else None, status),
            Cell("before", "Before", earlier.get(labels), unit),
        )
        rows.append(Row(value_text(scope_text(labels, query.group_by)), status, cells))
    empty = f"No series of it has the label {name}."
    title = f"Contributors by {name}"
    return Table(f"by-{name}", title, name.capitalize(), tuple(rows), "worst first", empty, len(worst))
