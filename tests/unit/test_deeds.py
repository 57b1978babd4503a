"""What a person can send to an alert's page, and who cannot."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.acks import ack_path, read_acks
from shared.alerts import fingerprint
from shared.dashboard import DashboardPages, PageRequest, PageResponse
from shared.errors import PermanentError, TransientError
from shared.forms import COOKIE, Sent, check_sent, is_token
from shared.notifications import NotificationKind
from shared.timeline import iso
from tests import vendors
from tests.conversations import pagerduty, slack
from tests.fakes import Countdown, CrashingBus
from tests.pages import run, world
from tests.world import World

TOKEN = "t" * 43
HOST = "127.0.0.1:8080"
FIRED = fingerprint("high-response-time-critical", (("region", "europe-west1"),))
PATH = f"/alerts/{FIRED}"


def slow_world() -> World:
    """A deployment in which europe-west1 is slow."""
    running = world()
    run(running, 3)
    run(running, 7, slow="europe-west1")
    return running


@pytest.fixture
def slow() -> World:
    """One in which things are done."""
    return slow_world()


@pytest.fixture(scope="module")
def untouched() -> World:
    """One in which nothing may change, whatever is sent."""
    return slow_world()


def fired_at(running: World) -> datetime:
    """When the alert fired."""
    found = next(one.fired_at for one in running.services.reader.alerts() if one.fingerprint == FIRED)
    assert found is not None
    return found


def form(running: World, **changed: str) -> dict[str, str]:
    """What the page's forms send."""
    asked = {"token": TOKEN, "author": "Maria", "comment": "On it.", "fired_at": iso(fired_at(running)), "hours": "4",
             "asked_at": iso(running.clock())}  # fmt: skip
    return asked | changed


def sent(content: dict[str, str], **changed: Any) -> Sent:
    """A form as this site's own page sends it."""
    return replace(Sent(content, {COOKIE: TOKEN}, HOST, f"http://{HOST}", "same-origin"), **changed)


def post(running: World, deed: str, what: Sent) -> PageResponse:
    """Send it."""
    return running.services.dashboard()(PageRequest(f"{PATH}/{deed}", "POST", sent=what))


def acks(running: World) -> list[str]:
    """Who has the episode."""
    found = read_acks(running.store, [ack_path(FIRED, fired_at(running))], running.clock())
    return [ack.author for ack in found.values()]


def silences(running: World) -> list[dict[str, Any]]:
    """What is silenced."""
    return [dict(document.fields) for document in running.store.list("silences").documents]


class TestDone:
    """What is done."""

    def test_acknowledge(self, slow: World) -> None:
        """The first to take it has it; the answer leads back, the page says who has it, and the form is gone."""
        answer = post(slow, "acknowledge", sent(form(slow)))
        assert (answer.status, answer.headers["Location"], answer.body) == (303, PATH, b"")
        assert acks(slow) == ["Maria"]
        document = slow.services.dashboard()(PageRequest(PATH, accept="text/html")).body.decode()
        assert "Maria has it, 12:10" in document
        assert f'action="{PATH}/acknowledge"' not in document
        assert f'action="{PATH}/silence"' in document

    def test_the_second_is_told_who_was_first(self, slow: World) -> None:
        """Somebody else who takes it is refused with the name of who has it; the same person is not."""
        post(slow, "acknowledge", sent(form(slow)))
        assert post(slow, "acknowledge", sent(form(slow))).status == 303
        other = post(slow, "acknowledge", sent(form(slow, author="Jon")))
        assert other.status == 409
        assert "Somebody acknowledged this first: Maria" in other.body.decode()
        assert acks(slow) == ["Maria"]

    def test_silence(self, slow: World) -> None:
        """A silence is of the alert's rule and labels, from now for the hours, with its reason; twice it is one."""
        what = sent(form(slow, comment="Load test"))
        assert post(slow, "silence", what).status == post(slow, "silence", what).status == 303
        (found,) = silences(slow)
        assert (found["author"], found["comment"]) == ("Maria", "Load test")
        assert found["ends_at"] - found["starts_at"] == timedelta(hours=4)

    def test_what_is_over_cannot_be_taken(self, slow: World) -> None:
        """An episode that does not fire is refused, and nothing is written."""
        answer = post(slow, "acknowledge", sent(form(slow, fired_at="2025-10-18T09:00:00Z")))
        assert answer.status == 409
        assert acks(slow) == []

    @pytest.mark.parametrize("deed", ["acknowledge", "silence"])
    def test_those_who_were_told_hear_of_it(self, deed: str) -> None:
        """What somebody does here is said in Slack's conversation, and taking it acknowledges PagerDuty's incident."""
        team, pager = slack(), pagerduty()
        running = world()
        channels = {**running.services.channels, "slack": team.channel, "pagerduty": pager.channel}
        running.services = replace(running.services, channels=channels)
        run(running, 3)
        run(running, 7, slow="europe-west1")
        assert isinstance(pager.vendor, vendors.PagerDuty)
        assert isinstance(team.vendor, vendors.Slack)
        (incident,) = pager.vendor.open()
        assert incident.status == "triggered"
        assert post(running, deed, sent(form(running))).status == 303
        running.deliver()
        (incident,) = pager.vendor.open()
        assert incident.status == ("acknowledged" if deed == "acknowledge" else "triggered")
        word = "Acknowledged by Maria" if deed == "acknowledge" else "Silenced by Maria"
        (message,) = [one for one in team.vendor.conversations() if word in str(one.blocks)]
        assert any(word in reply for reply in team.vendor.thread(message.ts))

    def test_twice_is_told_once(self, slow: World) -> None:
        """Sending a form again publishes the notification that was published: no channel says it twice."""
        for _ in range(2):
            post(slow, "acknowledge", sent(form(slow)))
            post(slow, "silence", sent(form(slow)))
        slow.deliver()
        kinds = [one.kind for one in slow.notified.values() if one.author == "Maria"]
        assert sorted(kinds) == [NotificationKind.ACKNOWLEDGED, NotificationKind.SILENCED]

    def test_a_bus_that_refuses_is_asked_again(self, slow: World) -> None:
        """What could not be told is a 503, and sending the form again tells it."""
        services = slow.services
        slow.services = replace(
            services, bus=CrashingBus(services.bus, Countdown(0, failure=lambda: TransientError("down", "")))
        )
        assert post(slow, "acknowledge", sent(form(slow))).status == 503
        slow.services = services
        assert post(slow, "acknowledge", sent(form(slow))).status == 303
        slow.deliver()
        assert [one.author for one in slow.notified.values() if one.kind is NotificationKind.ACKNOWLEDGED] == ["Maria"]

    def test_what_nobody_was_told_of_is_silenced_quietly(self, slow: World) -> None:
        """A silence of an alert that is pending tells nobody."""
        content = form(slow)
        running = world()
        run(running, 3)
        run(running, 2, slow="europe-west1")
        (state,) = [one for one in running.services.reader.alerts() if one.fingerprint == FIRED]
        assert not state.is_firing
        assert post(running, "silence", sent(content)).status == 303
        running.deliver()
        assert len(silences(running)) == 1
        assert running.notified == {}

    def test_origin_alone_is_enough(self, slow: World) -> None:
        """A browser that sends only Origin is believed, when it is this site's."""
        assert post(slow, "acknowledge", sent(form(slow), fetch_site=None)).status == 303


class TestRefused:
    """What is not done."""

    @pytest.mark.parametrize(
        "changed",
        [
            {"fetch_site": "cross-site"},
            {"fetch_site": "same-site"},
            {"fetch_site": "none"},
            {"fetch_site": None, "origin": None},
            {"fetch_site": None, "origin": "http://evil.example"},
            {"fetch_site": None, "origin": "null"},
            {"fetch_site": None, "origin": f"http://{HOST}.evil.example"},
            {"fetch_site": None, "host": ""},
            {"cookies": {}},
            {"cookies": {COOKIE: "another" * 8}},
            {"cookies": {COOKIE: ""}},
        ],
    )
    @pytest.mark.parametrize("deed", ["acknowledge", "silence"])
    def test_not_from_here(self, untouched: World, deed: str, changed: dict[str, Any]) -> None:
        """Without the same origin, or without the token in cookie and form alike, nothing changes."""
        answer = post(untouched, deed, sent(form(untouched), **changed))
        assert answer.status == 403
        assert acks(untouched) == []
        assert silences(untouched) == []

    @pytest.mark.parametrize("token", ["", "another" * 8, "\ud800", "é" * 43])
    def test_another_token(self, untouched: World, token: str) -> None:
        """A form with another token than the cookie's is refused, also where the cookie has the same bad one."""
        assert post(untouched, "acknowledge", sent(form(untouched, token=token))).status == 403
        if token != "another" * 8:
            assert (
                post(untouched, "acknowledge", sent(form(untouched, token=token), cookies={COOKIE: token})).status
                == 403
            )

    @pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
    @pytest.mark.parametrize("deed", ["acknowledge", "silence"])
    def test_no_other_method(self, untouched: World, deed: str, method: str) -> None:
        """No other method does anything."""
        pages = untouched.services.dashboard()
        assert pages(PageRequest(f"{PATH}/{deed}", method, sent=sent(form(untouched)))).status in (404, 405)
        assert acks(untouched) == []

    @pytest.mark.parametrize("deed", ["acknowledge", "silence"])
    def test_where_nothing_may_be_changed(self, untouched: World, deed: str) -> None:
        """A dashboard that takes no deeds has no form, gives no token, and refuses whatever is sent."""
        services = untouched.services
        pages = DashboardPages(services.config, services.reader, services.now)
        assert pages(PageRequest(f"{PATH}/{deed}", "POST", sent=sent(form(untouched)))).status == 405
        answer = pages(PageRequest(PATH, accept="text/html"))
        assert b"<form" not in answer.body
        assert "Set-Cookie" not in answer.headers
        assert acks(untouched) == []
        assert silences(untouched) == []

    @pytest.mark.parametrize(
        ("deed", "changed"),
        [
            ("acknowledge", {"author": ""}),
            ("acknowledge", {"author": "   "}),
            ("acknowledge", {"author": "x" * 300}),
            ("acknowledge", {"comment": "x" * 2000}),
            ("acknowledge", {"fired_at": "yesterday"}),
            ("silence", {"comment": ""}),
            ("silence", {"author": ""}),
            ("silence", {"hours": "0"}),
            ("silence", {"hours": "1000"}),
            ("silence", {"hours": "NaN"}),
        ],
    )
    def test_mistakes(self, untouched: World, deed: str, changed: dict[str, str]) -> None:
        """A deed without a name, a silence without a reason, and a time that is none are a 400, and change nothing."""
        assert post(untouched, deed, sent(form(untouched, **changed))).status == 400
        assert acks(untouched) == []
        assert silences(untouched) == []

    def test_no_such_alert(self, untouched: World) -> None:
        """An alert that is not there can be neither taken nor silenced."""
        for deed, status in (("acknowledge", 409), ("silence", 404)):
            path = f"/alerts/{'0' * 16}/{deed}"
            assert (
                untouched.services.dashboard()(PageRequest(path, "POST", sent=sent(form(untouched)))).status == status
            )


class TestToken:
    """The token that a reader is given."""

    def test_it_is_in_the_cookie_and_the_form(self, untouched: World) -> None:
        """A reader without a token is given one, the same in both places, for this site's own requests alone."""
        answer = untouched.services.dashboard()(PageRequest(PATH, accept="text/html"))
        given = re.search(r'name="token" value="([^"]+)"', answer.body.decode())
        assert given is not None
        assert is_token(given[1])
        assert answer.headers["Set-Cookie"] == f"{COOKIE}={given[1]}; Path=/; SameSite=Strict; HttpOnly"

    def test_it_stays(self, untouched: World) -> None:
        """A reader who has one keeps it."""
        answer = untouched.services.dashboard()(
            PageRequest(PATH, accept="text/html", sent=Sent(cookies={COOKIE: TOKEN}))
        )
        assert f'name="token" value="{TOKEN}"' in answer.body.decode()
        assert "Set-Cookie" not in answer.headers

    @pytest.mark.parametrize("cookie", ['"><script>', "short", "x" * 200, "é" * 40])
    def test_what_is_no_token_is_replaced(self, untouched: World, cookie: str) -> None:
        """A cookie that was not given here is not taken over."""
        answer = untouched.services.dashboard()(
            PageRequest(PATH, accept="text/html", sent=Sent(cookies={COOKIE: cookie}))
        )
        assert f'name="token" value="{cookie}"' not in answer.body.decode()
        assert "Set-Cookie" in answer.headers

    @pytest.mark.parametrize("path", ["/", "/alerts", "/dashboards/cache", f"{PATH}.json", f"{PATH}.txt"])
    def test_only_where_it_is_needed(self, untouched: World, path: str) -> None:
        """Pages without forms give no token."""
        assert "Set-Cookie" not in untouched.services.dashboard()(PageRequest(path, accept="text/html")).headers


def test_a_program_without_headers_is_refused() -> None:
    """Who sends neither Sec-Fetch-Site nor Origin is refused, token or not."""
    with pytest.raises(PermanentError) as error:
        check_sent(Sent({"token": TOKEN}, {COOKIE: TOKEN}, HOST))
    assert error.value.reason == "refused"
