"""Hooks: signed requests of Slack and PagerDuty, and everything else that anybody on the internet may send."""

from __future__ import annotations

import hmac
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import functions_framework
import pytest
from werkzeug.test import Client

from shared.adapters.local_bus import LocalBus
from shared.adapters.sqlite_store import SqliteStore
from shared.alerts import Told
from shared.audit import read_entries
from shared.channels.slack_blocks import ACKNOWLEDGE, OPEN, SILENCE
from shared.config import Secret
from shared.decided import decided
from shared.errors import TransientError
from shared.hooks import FRESH, MAX_BODY_BYTES, PAGERDUTY_FRESH, HookRequest, HookResponse, Hooks
from shared.logs import Captured
from shared.manifest import load_manifest
from shared.monitoring_config import MonitoringConfig
from shared.notifications import Notification, NotificationKind, notification_from_json
from shared.silences import Matcher, read_silences
from shared.store import Store
from shared.tick import TickResult
from shared.together import together
from shared.wiring import Services, use
from tests.fakes import START, Clock, Countdown, Crash, CrashingBus, CrashingStore
from tests.hook_requests import (
    PAGERDUTY_SECRET,
    SLACK_SECRET,
    acknowledged_event,
    button,
    pagerduty_request,
    slack_request,
)
from tests.ticks import GROUPED, RULE, config_of, minutes_of, run

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

SLACK, PAGERDUTY = SLACK_SECRET, PAGERDUTY_SECRET
HOSTILE_NAME = "<script>\u202e Mallory"


class Bench:
    """A deployment in which three regions fire in one conversation, with hooks before it."""

    def __init__(self, countdown: Countdown | None = None, regions: tuple[str, ...] = ("eu", "us", "asia")) -> None:
        self.clock = Clock()
        self.inner = SqliteStore(":memory:", self.clock)
        self.config: MonitoringConfig = config_of(replace(RULE, query=GROUPED))
        cells = [minutes_of("B", region) for region in regions]
        results = [run(self.config, one, 1)[0] for one in cells]
        self.fired = together(_joined(results))
        self.inner.commit(decided((), self.fired))
        manifest = load_manifest()
        self.bus = LocalBus(manifest.topics, manifest.subscriptions(), now=self.clock)
        self.said: list[tuple[str, str]] = []
        self.countdown = countdown or Countdown()
        store: Store = CrashingStore(self.inner, self.countdown)
        bus = CrashingBus(self.bus, self.countdown)
        self.hooks = Hooks(
            store, bus, self.config, "notifications", self.clock, Secret(f"old-one {SLACK}"), Secret(PAGERDUTY),
            lambda url, text: self.said.append((url, text)),
        )  # fmt: skip

    @property
    def conversation(self) -> str:
        """The id of what was told."""
        (told,) = self.fired.notifications
        return told.id

    def published(self) -> list[Notification]:
        """What was put on the topic ``notifications``, each once."""
        found: dict[str, Notification] = {}
        while (delivery := self.bus.step(random.Random(0))) is not None:
            told = notification_from_json(delivery.received.message.data)
            found[told.id] = told
            self.bus.ack(delivery.subscription.name, [delivery.received.ack_id])
        return list(found.values())

    def deeds(self) -> list[tuple[str, str]]:
        """What is on record: who did what."""
        entries = read_entries(self.inner, START - timedelta(days=1), START + timedelta(days=3), START)
        return [(one.author, one.deed.value) for one in entries]


def _joined(results: list[TickResult]) -> TickResult:
    first = results[0]
    return replace(
        first,
        states=tuple(state for one in results for state in one.states),
        notifications=tuple(told for one in results for told in one.notifications),
    )


def pressed(bench: Bench, action: str = ACKNOWLEDGE, user: str = "maria.kessler", **changes: object) -> bytes:
    """The body that Slack posts for a button."""
    return button(action, bench.conversation, user, **changes)


def signed(body: bytes, at: float | None = None, secret: str = SLACK) -> HookRequest:
    """A request as Slack sends it at a time, by default START."""
    return slack_request(body, START if at is None else at, secret)


def event(bench: Bench, **changes: object) -> bytes:
    """The body that PagerDuty posts for an acknowledgement."""
    return acknowledged_event(bench.conversation, START, **changes)


def test_acknowledging_from_slack() -> None:
    """A button takes all alerts of its conversation under the person's name, and has it told where they were told."""
    bench = Bench()
    assert bench.hooks(signed(pressed(bench))) == HookResponse(200, "acknowledged")
    author = "maria.kessler (U0123)"
    assert [one.fields["author"] for one in bench.inner.list("acks").documents] == [author] * 3
    assert bench.deeds() == [(author, "acknowledged")] * 3
    (told,) = bench.published()
    assert (told.kind, told.author, told.alerts) == (NotificationKind.ACKNOWLEDGED, author, 3)
    assert (told.conversation, told.channels) == (bench.conversation, RULE.notification_channels)
    assert bench.said == []


def test_silencing_from_slack() -> None:
    """The other button silences each alert for an hour, once, however often Slack is pressed for it."""
    bench = Bench()
    assert bench.hooks(signed(pressed(bench, SILENCE))) == HookResponse(200, "silenced")
    found = read_silences(bench.inner, START)
    assert {one.ends_at - one.starts_at for one in found} == {timedelta(hours=1)}
    assert {one.matchers for one in found} == {
        (Matcher("rule", RULE.id), Matcher("region", region)) for region in ("eu", "us", "asia")
    }
    (told,) = bench.published()
    assert (told.kind, told.until) == (NotificationKind.SILENCED, START + timedelta(hours=1))


@pytest.mark.parametrize("action", [ACKNOWLEDGE, SILENCE])
def test_what_is_done_is_told_wherever_one_of_them_was_told(action: str) -> None:
    """Alerts that got worse by themselves have incidents of their own, which hear of it once each, as the others do."""
    bench = Bench()
    asia, eu, us = sorted(bench.fired.states, key=lambda one: one.labels)
    raised = {one.fingerprint: Told(f"{one.fingerprint}-raised", ("inbox", "pagerduty")) for one in (eu, us)}
    later = [replace(one, told=(*one.told, raised[one.fingerprint])) for one in (eu, us)]
    bench.inner.commit(decided(bench.fired.states, replace(bench.fired, states=(asia, *later), notifications=())))
    assert bench.hooks(signed(pressed(bench, action))).status == 200
    told = {(one, two.conversation_on(one)): two.alerts for two in bench.published() for one in two.channels}
    own = [("pagerduty", one.notification_id) for one in raised.values()]
    assert told == {("inbox", bench.conversation): 3, own[0]: 1, own[1]: 1}


def test_silencing_many() -> None:
    """Beyond ten alerts the rule is silenced as a whole."""
    bench = Bench(regions=tuple(f"r{number}" for number in range(11)))
    bench.hooks(signed(pressed(bench, SILENCE)))
    assert [one.matchers for one in read_silences(bench.inner, START)] == [(Matcher("rule", RULE.id),)]


def test_the_second_person_is_told_who_was_first() -> None:
    """Who comes second learns it alone; the first keeps it, and the same is told again under the same id."""
    bench = Bench()
    bench.hooks(signed(pressed(bench)))
    (first,) = bench.published()
    bench.clock.sleep(60)
    later = signed(pressed(bench, user="bob"), START.timestamp() + 60)
    assert bench.hooks(later).status == 200
    assert bench.said == [
        ("https://hooks.slack.com/actions/T/B/xyz", "Somebody acknowledged this first: maria.kessler (U0123).")
    ]
    assert [one.to_json() for one in bench.published()] == [first.to_json()]
    assert {author for author, _ in bench.deeds()} == {"maria.kessler (U0123)"}


def test_what_is_over_cannot_be_taken() -> None:
    """A button under a message whose alerts have ended is answered, and the person told so."""
    bench = Bench()
    other = pressed(bench, actions=[{"action_id": ACKNOWLEDGE, "value": "20251018T1100-0123456789abcdef-firing"}])
    assert bench.hooks(signed(other)) == HookResponse(200, "not_firing")
    assert [text for _, text in bench.said] == ["This alert is over."]
    assert (bench.published(), bench.deeds()) == ([], [])


def test_acknowledging_pagerduty_request() -> None:
    """An acknowledgement by a person in PagerDuty is theirs here, too, with any of several signatures right."""
    bench = Bench()
    assert bench.hooks(pagerduty_request(event(bench), more=b"v1=00, ")) == HookResponse(200, "acknowledged")
    assert {author for author, _ in bench.deeds()} == {"Maria Kessler (PGR0VU2)"}
    assert len(bench.published()) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"event_type": "incident.triggered"},
        {"event_type": "pagey.ping"},
        {"agent": None},
        {"agent": {"type": "inbound_integration_reference", "summary": "Events API"}},
        {"data": {"incident_key": "somebody-elses"}},
        {"data": {"incident_key": None}},
        {"data": {"incident_key": "ion-../../alerts"}},
    ],
    ids=str,
)
def test_other_events_change_nothing(changes: dict[str, object]) -> None:
    """Events that are no person's acknowledgement of an incident of ours are answered with 200 and forgotten."""
    bench = Bench()
    assert bench.hooks(pagerduty_request(event(bench, **changes))) == HookResponse(200, "nothing_to_do")
    assert (bench.published(), bench.deeds(), bench.inner.list("requests").documents) == ([], [], ())


def test_a_link_is_no_deed() -> None:
    """Slack also reports the button that only opens a page."""
    bench = Bench()
    assert bench.hooks(signed(pressed(bench, OPEN))).status == 200
    assert bench.deeds() == []


def _without(request: HookRequest, name: str) -> HookRequest:
    return replace(request, headers={one: value for one, value in request.headers.items() if one != name})


def _with(request: HookRequest, **headers: bytes) -> HookRequest:
    return replace(request, headers={**request.headers, **{n.replace("_", "-"): v for n, v in headers.items()}})


GOOD = signed(pressed(Bench()))
STALE = START.timestamp() - FRESH.total_seconds() - 1
HOSTILE: Mapping[str, tuple[int, HookRequest]] = {
    "no signature": (401, _without(GOOD, "x-slack-signature")),
    "no timestamp": (401, _without(GOOD, "x-slack-request-timestamp")),
    "another body": (401, replace(GOOD, body=GOOD.body + b" ")),
    "another secret": (401, signed(GOOD.body, secret="wrong")),
    "an empty signature": (401, _with(GOOD, x_slack_signature=b"")),
    "a signature beyond ASCII": (401, _with(GOOD, x_slack_signature="v0=é😀".encode())),
    "a signature of raw bytes": (401, _with(GOOD, x_slack_signature=bytes(range(128, 256)))),
    "a huge signature": (401, _with(GOOD, x_slack_signature=b"v0=" + b"0" * 1_000_000)),
    "another version": (401, _with(GOOD, x_slack_signature=b"v1" + GOOD.headers["x-slack-signature"][2:])),
    "a word for a time": (401, _with(GOOD, x_slack_request_timestamp=b"now")),
    "digits of another script": (401, _with(GOOD, x_slack_request_timestamp="١٢٣".encode())),
    "a superscript": (401, _with(GOOD, x_slack_request_timestamp="²".encode("latin-1"))),
    "a time without end": (401, _with(GOOD, x_slack_request_timestamp=b"9" * 100_000)),
    "a negative time": (401, signed(GOOD.body, -1)),
    "stale": (401, signed(GOOD.body, STALE)),
    "from the future": (401, signed(GOOD.body, START.timestamp() + FRESH.total_seconds() + 1)),
    "not UTF-8, signed": (400, signed(b"payload=\xff\xfe")),
    "not UTF-8, unsigned": (401, replace(GOOD, body=b"\xff\xfe")),
    "no form": (400, signed(b"{}")),
    "no payload": (400, signed(b"other=1")),
    "two payloads": (400, signed(b"payload={}&payload={}")),
    "no JSON": (400, signed(b"payload=%7B")),
    "a list": (400, signed(b"payload=[]")),
    "deep JSON": (400, signed(b"payload=" + b"[" * 100_000)),
    "no actions": (400, signed(pressed(Bench(), actions=[]))),
    "a user that is none": (400, signed(pressed(Bench(), user="x").replace(b"%22id%22", b"%22ix%22"))),
    "a value that is a path": (400, signed(pressed(Bench(), actions=[{"action_id": ACKNOWLEDGE, "value": "../x"}]))),
    "a value that is a number": (400, signed(pressed(Bench(), actions=[{"action_id": SILENCE, "value": 7}]))),
    "too large": (413, signed(b"payload=" + b"x" * MAX_BODY_BYTES)),
    "another method": (405, replace(GOOD, method="GET")),
    "another path": (404, replace(GOOD, path="/")),
    "a path with more": (404, replace(GOOD, path="/slack/../pagerduty")),
    "pagerduty without a signature": (401, HookRequest("POST", "/pagerduty", {}, event(Bench()))),
    "pagerduty with another secret": (401, pagerduty_request(event(Bench()), "wrong")),
    "pagerduty with a thousand signatures": (
        401,
        HookRequest("POST", "/pagerduty", {"x-pagerduty-signature": b"v1=00," * 100_000}, event(Bench())),
    ),
    "pagerduty with bytes": (401, HookRequest("POST", "/pagerduty", {"x-pagerduty-signature": b"v1=\xff"}, b"\xff")),
    "pagerduty, no JSON": (400, pagerduty_request(b"\xff")),
    "pagerduty, a list": (400, pagerduty_request(b"[]")),
    "pagerduty, no event": (400, pagerduty_request(b'{"event": null}')),
    "pagerduty, deep": (400, pagerduty_request(b"[" * 100_000)),
    "pagerduty, no data": (400, pagerduty_request(event(Bench(), data=None))),
    "pagerduty, no time": (400, pagerduty_request(event(Bench(), occurred_at="yesterday"))),
    "pagerduty, a time without a zone": (400, pagerduty_request(event(Bench(), occurred_at="2025-10-18T12:00:00"))),
    "pagerduty, stale": (401, pagerduty_request(event(Bench(), occurred_at="2025-10-17T11:59:59Z"))),
}


@pytest.mark.parametrize(("status", "request_"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_request_is_answered_with_4xx(status: int, request_: HookRequest) -> None:
    """Whatever is not right is refused by its status, does nothing, and leaves nothing behind."""
    bench = Bench()
    assert bench.hooks(request_).status == status
    assert (bench.published(), bench.deeds(), bench.inner.list("requests").documents) == ([], [], ())


@pytest.mark.parametrize("seed", range(20))
def test_bytes_of_any_kind_are_answered_with_4xx(seed: int) -> None:
    """Signed or not, random bodies and headers on either route never make an error of ours."""
    rng = random.Random(seed)
    bench = Bench()
    for _ in range(50):
        body = rng.choice([rng.randbytes(rng.randrange(200)), _mangled(GOOD.body, rng), _mangled(event(bench), rng)])
        headers = {
            name: rng.choice([value, rng.randbytes(20), _mangled(value, rng)]) for name, value in GOOD.headers.items()
        }
        stranger = HookRequest(rng.choice(["POST", "PUT"]), rng.choice(["/slack", "/pagerduty", "/x"]), headers, body)
        for request in (stranger, signed(body), pagerduty_request(body)):
            assert bench.hooks(request).status in {200, 400, 401, 404, 405, 409, 413}


def _mangled(data: bytes, rng: random.Random) -> bytes:
    """The same with some bytes changed, lost or doubled."""
    mangled = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(mangled))
        mangled[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
    return bytes(mangled)


@pytest.mark.parametrize(
    "make", [lambda b: signed(pressed(b)), lambda b: pagerduty_request(event(b))], ids=["slack", "pd"]
)
def test_a_replayed_request_is_refused(make: Any) -> None:
    """The same request again is answered with 409 for as long as it is fresh, and then as stale."""
    bench = Bench()
    request = make(bench)
    assert bench.hooks(request).status == 200
    bench.published()
    for wait in (0, 1, 200):
        bench.clock.sleep(wait)
        assert bench.hooks(request) == HookResponse(409, "replayed")
    bench.clock.sleep(PAGERDUTY_FRESH.total_seconds())
    assert bench.hooks(request) == HookResponse(401, "stale")
    assert (len(bench.deeds()), bench.published()) == (3, [])


def test_signatures_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every comparison of a signature is ``hmac.compare_digest`` on bytes, each key with each signature given."""
    compared: list[tuple[object, object]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return _compare(one, other)

    _compare = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", compare)
    bench = Bench()
    bench.hooks(signed(pressed(bench), secret="wrong"))
    bench.hooks(signed(pressed(bench)))
    bench.hooks(pagerduty_request(event(bench), more=b"v1=1,"))
    assert len(compared) == 2 + 2 + 2
    assert all(isinstance(one, bytes) and isinstance(other, bytes) for one, other in compared)


def test_without_its_secret_a_route_is_not_there() -> None:
    """Each vendor's route is there with that vendor's secret only."""
    bench = Bench()
    only_slack = replace(bench.hooks, pagerduty_secret=None)
    assert only_slack(pagerduty_request(event(bench))).status == 404
    only_pagerduty = replace(bench.hooks, slack_secret=None)
    assert only_pagerduty(signed(pressed(bench))).status == 404


def test_a_name_is_cut_and_cleaned() -> None:
    """A person's name is any text: it is stored on one line, without what acts, at most 200 bytes long."""
    bench = Bench()
    bench.hooks(signed(pressed(bench, user=HOSTILE_NAME + "é\r\n" * 300)))
    (author, _), *_ = bench.deeds()
    assert author.startswith("<script>� Mallory")
    assert len(author.encode()) <= 200
    assert not set(author) & set("\u202e\r\n")


def test_an_address_that_is_not_slacks_is_not_called() -> None:
    """The answer to a person goes to Slack's own host alone, though the request is signed."""
    for url in ("http://169.254.169.254/", "https://hooks.slack.com.evil.example/", "https://evil.example/"):
        bench = Bench()
        over = [{"action_id": ACKNOWLEDGE, "value": "20251018T1100-0123456789abcdef-firing"}]
        bench.hooks(signed(pressed(bench, actions=over, response_url=url)))
        assert bench.said == [("", "This alert is over.")]


@pytest.mark.parametrize("after", [False, True], ids=["before its effect", "after its effect"])
@pytest.mark.parametrize("action", [ACKNOWLEDGE, SILENCE])
def test_a_press_that_was_cut_off_may_come_again(action: str, after: bool) -> None:
    """The process ends at any call: pressed again, or sent again, it is done and told once."""
    counted = Bench()
    counted.hooks(signed(pressed(counted, action)))
    for call in range(counted.countdown.calls):
        bench = Bench(Countdown(call, after=after))
        request = signed(pressed(bench, action))
        with pytest.raises(Crash):
            bench.hooks(request)
        assert bench.hooks(request).status in {200, 409}
        assert len(bench.published()) == 1
        assert len(bench.deeds()) == 3


def test_a_store_that_does_not_answer_is_503() -> None:
    """A good request that cannot be kept is not acknowledged, so that whoever sent it tries again."""
    bench = Bench(Countdown(1, failure=lambda: TransientError("unavailable")))
    assert bench.hooks(signed(pressed(bench))) == HookResponse(503, "unavailable")


def test_a_topic_that_is_not_there_is_503() -> None:
    """What the bus refuses for good is no fault of a good request: what was done is kept, and it may come again."""
    bench = Bench()
    asked = replace(bench.hooks, notifications_topic="no-such-topic")
    with Captured() as logs:
        assert asked(signed(pressed(bench))).status == 503
    assert [(one["severity"], one["message"]) for one in logs.events] == [("ERROR", "hook_failed")]
    assert len(bench.deeds()) == 3
    assert bench.hooks(signed(pressed(bench))).status == 200


@pytest.fixture
def served() -> Client:
    """The function behind the real functions-framework, in this process, with a store of a thousand alerts."""
    bench = Bench(regions=tuple(f"region-{number}" for number in range(200)))
    services = Services(bench.config, bench.hooks.store, bench.hooks.bus, {}, now=bench.clock)
    use(replace(services, slack_signing_secret=Secret(SLACK), pagerduty_webhook_secret=Secret(PAGERDUTY)))
    source = Path(__file__).parents[2] / "functions" / "hooks" / "main.py"
    create: Callable[[str, str, str], WSGIApplication] = functions_framework.create_app  # which has no types
    client = Client(create("hooks", str(source), "http"))
    client.bench = bench  # type: ignore[attr-defined] # for the tests below
    return client


def test_over_http_a_press_is_answered_in_time(served: Client) -> None:
    """A press of two hundred alerts is answered with 200 and no body, in five calls of store and bus."""
    bench: Bench = served.bench  # type: ignore[attr-defined] # set above
    request = signed(pressed(bench))
    response = served.post("/slack", data=request.body, headers=_text(request))
    assert (response.status_code, response.get_data()) == (200, b"")
    assert bench.countdown.calls == 5, "known? who fires? take, publish, known"
    assert len(bench.deeds()) == 200
    assert served.post("/slack", data=request.body, headers=_text(request)).status_code == 409


def test_over_http_hostile_requests_are_4xx(served: Client) -> None:
    """Through the web server all hostile requests that it can carry are refused alike."""
    for name, (status, request) in HOSTILE.items():
        if any(b"\n" in value or b"\xff" in value or len(value) > 10_000 for value in request.headers.values()):
            continue  # no HTTP client sends these
        response = served.open(request.path, method=request.method, data=request.body, headers=_text(request))
        assert response.status_code == status, name


def _text(request: HookRequest) -> dict[str, str]:
    headers = {name: value.decode("latin-1") for name, value in request.headers.items()}
    return headers | {"Content-Type": "application/x-www-form-urlencoded"}
