"""Verification: whether the configuration is sound, every part of a system answers, and a probe arrives.

A check has a name, an outcome, what was found, and where it failed a fix to try. A probe is one marked observation
that is published as any service would, waited for in storage, in the rollup and where pages read; and one marked
notification that is waited for on its channels. Nothing is written but through the two topics.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from .alerts import fingerprint
from .configuration.models import Email
from .deliveries import DeliveryState
from .errors import MonitoringError
from .evaluator import STATE_PATH
from .monitoring_config import MonitoringConfig
from .notifications import Notification, NotificationKind
from .reader import Reader
from .render.report import Report, Section
from .rollups import read_live
from .rules import Operator, Severity
from .series import Series
from .store import Store
from .timeline import from_minute, iso, minute_floor, minute_of_us, to_us

PROBE_METRIC = "monitoring_probe"
PROBE_RULE_ID = "~probe"
EVALUATOR_LATE = timedelta(minutes=3)
TUNE_LATE = timedelta(days=2)
STORED_WITHIN_SECONDS = 60.0
SHOWN_WITHIN_SECONDS = 150.0
TOLD_WITHIN_SECONDS = 60.0

_STORAGE_FIX = (
    "check ION_PROJECT and ION_DATABASE, `gcloud auth application-default login`, and the role datastore.user"
)
_INGEST_FIX = "see the function ingest's log, its push subscription, and the dead letters (`make redrive`)"

Publish = Callable[[str, bytes, Mapping[str, str]], None]
"""To a topic by its name in the manifest; raises ``MonitoringError``."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; ``fix`` is what to try where it failed, or could be better."""

    name: str
    ok: bool
    found: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Verification:
    """What was checked, in order. True when all is as it should be."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether every check is as it should be."""
        return all(one.ok for one in self.checks)

    def __bool__(self) -> bool:
        return self.ok

    def report(self, subtitle: str = "") -> Report:
        """The checks as a table, the fixes below it."""
        rows = [("ok" if one.ok else "FAILED", one.name, one.found) for one in self.checks]
        fixes = [f"{one.name}: {one.fix}" for one in self.checks if one.fix]
        failed = sum(not one.ok for one in self.checks)
        verdict = "Everything is as it should be." if self.ok else f"{failed} of {len(self.checks)} checks failed."
        sections = [Section("Checks", [verdict], ("", "CHECK", "FOUND"), rows)]
        return Report("Verification", subtitle, [*sections, *([Section("To try", fixes)] if fixes else [])])

    def to_dict(self) -> dict[str, object]:
        """As a JSON document."""
        checks = [{"name": one.name, "ok": one.ok, "found": one.found, "fix": one.fix} for one in self.checks]
        return {"ok": self.ok, "checks": checks}


def verify_configuration(config: MonitoringConfig) -> Verification:
    """Whether the configuration says what it has to: it is read already, so every reference in it resolves."""
    return Verification(tuple(_of_configuration(config)))


def _of_configuration(config: MonitoringConfig) -> Iterator[Check]:
    rules = config.list_alert_rules(enabled_only=True)
    counts = f"{len(rules)} rules, {len(config.list_collections())} collections, {len(config.list_dashboards())} pages"
    yield Check("configuration", True, f"{config.hash}: {counts}")
    same = MonitoringConfig.from_json(config.to_json()) == config
    yield _check(
        "export", same, "comes back the same" if same else "differs", "report this as a mistake of the program"
    )
    deaf = [rule.name for rule in rules if not config.channels_for(rule, rule.severity)]
    heard = f"nobody hears of {', '.join(deaf)}" if deaf else "every rule has a channel"
    yield _check("routing", not deaf, heard, "add the severity to a channel in routing")
    for name, channel in config.settings.channels.items():
        if isinstance(channel, Email):
            missing = len(channel.recipients) - len(channel.addresses)
            advice = f"set channels.{name}.domain, with which recipients that end in @ are completed" if missing else ""
            yield Check(f"channel {name}", True, f"{len(channel.addresses)} complete addresses", advice)


def _check(name: str, ok: bool, found: str, fix: str) -> Check:
    return Check(name, ok, found, "" if ok else fix)


@dataclass(frozen=True, slots=True)
class Verifier:
    """A running system on its ports. ``now`` reads the clock, ``sleep`` waits seconds, ``say`` tells of progress.

    ``start`` says how the system is started, for the fixes; ``parts`` looks at what is not seen in storage.
    """

    config: MonitoringConfig
    store: Store
    publish: Publish
    now: Callable[[], datetime]
    sleep: Callable[[float], None]
    say: Callable[[str], None]
    start: str = "make run"
    parts: Callable[[], Iterable[Check]] = tuple

    def __call__(self, probe: bool = True) -> Verification:
        """Check the configuration, what is stored, and with ``probe`` both ways through."""
        checks = [*verify_configuration(self.config).checks, *self._stored(), *self.parts()]
        if probe and all(one.ok for one in checks if one.name == "storage"):
            checks += [*self._probe(), *self._test_notification()]
        return Verification(tuple(checks))

    def _stored(self) -> Iterator[Check]:
        try:
            state = self.store.get([STATE_PATH]).get(STATE_PATH)
            waiting = len(self.store.list("outbox").documents)
            tuned = self.store.get(["baselines/recommendations"]).values()
        except MonitoringError as error:
            yield Check("storage", False, str(error), _STORAGE_FIX)
            return
        yield Check("storage", True, "answers")
        if state is None:
            yield Check("evaluator", False, "has never run", f"{self.start}; in the cloud, see its Scheduler job")
            return
        yield from self._evaluated(state.fields)
        yield _check("outbox", not waiting, f"{waiting} waiting", "see the topic notifications and evaluate's log")
        made = max((one.fields["made_at"] for one in tuned), default=None)
        recent = made is None or self.now() - made <= TUNE_LATE
        found = "has not run yet" if made is None else f"ran at {iso(made)}"
        yield _check("tune", recent, found, "see the function tune's log and its Scheduler job")

    def _evaluated(self, state: Mapping[str, Any]) -> Iterator[Check]:
        behind = self.now() - from_minute(int(state["minute"]))
        fix = f"{self.start}; in the cloud, see the function evaluate's log and its Scheduler job"
        yield _check("evaluator", behind <= EVALUATOR_LATE, f"{behind.total_seconds():.0f} s behind", fix)
        failures = "; ".join(map(str, state.get("failures", ())))
        yield _check("rules", not failures, failures or "can all be evaluated", "mend the rule that is named")
        deployed = str(state.get("config_hash"))
        fix = f"deploy again, or set ION_CONFIG: the configuration here is {self.config.hash}"
        yield _check("deployed configuration", deployed == self.config.hash, deployed, fix)

    def _probe(self) -> Iterator[Check]:
        """One observation of a metric of its own, whose value is its time: nobody else's is equal."""
        at = self.now()
        value = float(to_us(at) % 1_000_000_000)
        points = [{"metric": PROBE_METRIC, "labels": {}, "timestamp": iso(at), "value": value}]
        self.say("Publishing a probe ...")
        try:
            self.publish("metrics", json.dumps({"version": 1, "points": points}).encode(), {})
        except MonitoringError as error:
            yield Check("publish", False, str(error), "the topic metrics, and the role pubsub.publisher on it")
            return
        yield Check("publish", True, "the topic takes it")
        minute = minute_of_us(to_us(at))
        stored = self._until(lambda: self._is_stored(minute, value), STORED_WITHIN_SECONDS)
        yield _check("ingest", stored is not None, _after(stored), _INGEST_FIX)
        if stored is not None:
            self.say("Waiting for the probe where pages read (up to two and a half minutes) ...")
            shown = self._until(lambda: self._is_shown(minute, value), SHOWN_WITHIN_SECONDS)
            yield _check("page", shown is not None, _after(shown), "see evaluate's log: it rolls minutes up for pages")

    def _is_stored(self, minute: int, value: float) -> bool:
        return value in _values(read_live(self.store, minute, self.now()))

    def _is_shown(self, minute: int, value: float) -> bool:
        """Whether the minute has what pages read of it."""
        reader = Reader(self.store)
        read = reader.minutes(minute, minute, reader.cursor(), self.now())
        return any(value in _values(cells) for cells in read.cells.values())

    def _test_notification(self) -> Iterator[Check]:
        at = self.now()
        channels = tuple(self.config.settings.channels)
        told = probe_notification(self.config, at, channels)
        self.say("Sending a test notification ...")
        try:
            self.publish("notifications", told.to_json(), {"notification": told.id})
        except MonitoringError as error:
            yield Check("notify", False, str(error), "the topic notifications, and the role pubsub.publisher on it")
            return
        self._until(lambda: len(self._deliveries(told.id)) == len(channels), TOLD_WITHIN_SECONDS)
        states = self._deliveries(told.id)
        if not states:
            yield Check("notify", False, "nothing was delivered", "see notify's log and its push subscription")
        for name in channels if states else ():
            state = states.get(name, DeliveryState.CLAIMED)
            word = "not set up here" if state is DeliveryState.SKIPPED else state.value
            good = state in (DeliveryState.SENT, DeliveryState.SKIPPED)
            yield _check(f"test notification on {name}", good, word, f"see what deliveries/{told.id}~{name} says")

    def _deliveries(self, notification_id: str) -> dict[str, DeliveryState]:
        """The terminal deliveries of a notification by channel."""
        found = self.store.list("deliveries", notification_id, f"{notification_id}~~").documents
        states = {one.fields["channel"]: DeliveryState(one.fields["state"]) for one in found}
        done = (DeliveryState.SENT, DeliveryState.REFUSED, DeliveryState.SKIPPED)
        return {name: state for name, state in states.items() if state in done}

    def _until(self, happened: Callable[[], bool], within_seconds: float) -> float | None:
        """How many seconds it took; None when it did not happen in time. What cannot be read has not happened."""
        started = self.now()
        while True:
            try:
                if happened():
                    return (self.now() - started).total_seconds()
            except MonitoringError as error:
                self.say(f"  {error}")
            if (self.now() - started).total_seconds() >= within_seconds:
                return None
            self.sleep(1.0)


def probe_notification(config: MonitoringConfig, at: datetime, channels: tuple[str, ...]) -> Notification:
    """A notification that says that it is a test."""
    return Notification(
        kind=NotificationKind.SUMMARY,
        fingerprint=fingerprint(PROBE_RULE_ID, (("at", iso(at)),)),
        rule_id=PROBE_RULE_ID,
        rule_name="Test notification",
        description="This is a test by `monitoring_setup verify`: nothing is wrong.",
        severity=Severity.LOW,
        labels=(),
        value=None,
        unit="",
        operator=Operator.GREATER,
        threshold=0.0,
        fired_at=from_minute(minute_floor(at)),
        at=at,
        reason="probe",
        channels=channels,
        config_hash=config.hash,
    )


def _values(cells: object) -> list[float]:
    series = getattr(cells, "series", ())
    column = getattr(cells, "max", ())
    return [float(value) for name, value in zip(series, column, strict=True) if name == Series(PROBE_METRIC)]


def _after(seconds: float | None) -> str:
    return "did not arrive" if seconds is None else f"arrived after {seconds:.0f} s"
