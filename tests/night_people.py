"""The people of a night on call: they look at what fires, and answer what they are told, by whatever way there is.

They take alerts, silence them and change their minds; on a page, or by the button under a message and in the vendor's
incident, which come back as signed requests. Whoever gets no answer asks again.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TypeVar

from shared.acks import ack_from_fields, ack_path
from shared.actions import acknowledge, end_silence, silence
from shared.alerts import AlertState
from shared.channels.slack_blocks import ACKNOWLEDGE, SILENCE
from shared.config import Secret
from shared.errors import PermanentError, TransientError
from shared.hooks import HookRequest, HookResponse
from shared.notifications import NotificationKind
from shared.records import alerts_in
from shared.silences import Matcher, matchers_of
from shared.store import Store
from shared.wiring import Services
from tests.alert_promises import Ledger, Pressed, Sighting
from tests.baton import Baton
from tests.fakes import Clock, Crash
from tests.hook_requests import (
    PAGERDUTY_SECRET,
    SLACK_SECRET,
    acknowledged_event,
    button,
    pagerduty_request,
    slack_request,
)

T = TypeVar("T")
_CALLS = (NotificationKind.FIRING, NotificationKind.RAISED, NotificationKind.ESCALATED)
"""What somebody is expected to answer."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody named ``name``, who reaches the deployment through ``services`` until it is ``over``."""

    name: str
    services: Services
    ledger: Ledger
    baton: Baton
    clock: Clock
    rng: random.Random
    over: Callable[[], bool]
    hears: list[str] = field(default_factory=list)
    """What Slack told this person alone."""

    def look(self) -> None:
        """Now and then see what fires, or what was told, and do something about it."""
        while not self.over():
            self.baton.sleep(self.rng.uniform(10, 90))
            calls = [one for one in self.ledger.sightings if one.notification.kind in _CALLS]
            firing = self._insist(lambda: _firing(self.services.store)) or []
            if calls and self.rng.random() < 0.4:
                self._answer(self.rng.choice(calls))
            elif firing:
                self._act(self.services.store, self.rng.choice(firing))

    def _act(self, store: Store, alert: AlertState) -> None:
        """Take an alert, silence it or its region, or end a silence."""
        rng, fired_at, now = self.rng, alert.fired_at or self.clock(), self.clock
        deed = rng.random()
        if deed < 0.5:
            taken = self._insist(lambda: acknowledge(store, alert.fingerprint, fired_at, self.name, "on it", now()))
            first = self.ledger.acks.get(ack_path(alert.fingerprint, fired_at))
            assert taken is None or (first and taken.ack == ack_from_fields(first)), "people are told who has an alert"
        elif deed < 0.8:
            matchers = rng.choice([matchers_of(dict(alert.labels), alert.rule_id), (Matcher("severity", "critical"),)])
            starts_at = now() + timedelta(seconds=rng.choice([-60, 0, 60]))
            ends_at = now() + timedelta(seconds=rng.uniform(70, 300))
            own_id = f"{self.name}-{len(self.ledger.silences)}"
            self._insist(lambda: silence(store, own_id, matchers, starts_at, ends_at, self.name, "a deploy", now()))
        elif self.ledger.silences:
            silence_id = rng.choice(list(self.ledger.silences)).partition("/")[2]
            self._insist(lambda: end_silence(store, silence_id, self.name, "", now()))

    def _answer(self, seen: Sighting) -> None:
        """Answer a message where it was seen: press its button, or acknowledge its incident."""
        conversation, before = seen.notification.conversation_on(seen.channel), len(self.ledger.judged)
        action = SILENCE if seen.channel == "slack" and self.rng.random() < 0.2 else ACKNOWLEDGE
        occurred_at = self.clock()

        def request() -> HookRequest:
            """A button is pressed anew each time; the vendor sends the same event again."""
            if seen.channel == "pagerduty":
                return pagerduty_request(acknowledged_event(conversation, occurred_at, self.name))
            return slack_request(button(action, conversation, self.name), self.clock())

        answer = self._insist(lambda: self._asked(request()))
        assert answer is not None, "what comes from a vendor is answered"
        assert answer.status in (200, 409), f"what a vendor signed is accepted: {answer}"
        self.ledger.pressed.append(
            Pressed(action, conversation, self.clock(), before, len(self.ledger.judged), answer.reason)
        )

    def _asked(self, request: HookRequest) -> HookResponse:
        slack, pagerduty = Secret(SLACK_SECRET), Secret(PAGERDUTY_SECRET)
        services = replace(self.services, slack_signing_secret=slack, pagerduty_webhook_secret=pagerduty)
        answer = replace(services.hooks(), tell=lambda _, text: self.hears.append(text))(request)
        if answer.status == 503:
            raise TransientError(answer.reason)
        return answer

    def _insist(self, ask: Callable[[], T]) -> T | None:
        """Ask until there is an answer, as somebody does whose page did not load; None for a refusal."""
        while True:
            try:
                return ask()
            except PermanentError:
                return None
            except (Crash, TransientError):
                self.baton.sleep(self.rng.uniform(1, 5))


def _firing(store: Store) -> list[AlertState]:
    return [alert for one in store.list("alerts").documents for alert in alerts_in(one) if alert.is_firing]
