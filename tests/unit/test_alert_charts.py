"""The chart that goes with a notification: what it shows, where it goes, and that nobody waits for it."""

from __future__ import annotations

import itertools
import struct
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import default as modern
from threading import Event

import pytest

from shared.alert_charts import MAX_BYTES, AlertCharts, alert_chart
from shared.bus import Message
from shared.channels import Channel
from shared.deliveries import DeliveryState
from shared.digest import digest_report
from shared.errors import PermanentError
from shared.logs import Captured
from shared.notifications import Notification, NotificationKind
from shared.panels import LineChart
from shared.render.numbers import NARROW
from shared.render.overview_picture import PICTURE_HEIGHT, overview_svg
from shared.render.standalone import PNG_HEIGHT, PNG_WIDTH, WIDTH
from shared.rules import Severity
from shared.timeline import from_minute, minute_floor
from shared.tune import digest_notification
from tests import vendors
from tests.conversations import RIGS, email, slack
from tests.pages import overview, run, world
from tests.world import World, labels

RULE = "high-response-time-critical"
REGION = labels(region="europe-west1")


@pytest.fixture(scope="module")
def slow() -> World:
    """Seventy quiet minutes, and ten in which europe-west1 is slow."""
    running = world()
    run(running, 70)
    run(running, 10, slow="europe-west1")
    return running


def firing(running: World) -> Notification:
    """What was told of the slow region."""
    told = (RULE, REGION, NotificationKind.FIRING)
    return next(one for one in running.notified.values() if (one.rule_id, one.labels, one.kind) == told)


def charted(running: World, notification: Notification) -> LineChart:
    """The chart of a notification, now."""
    config = running.services.config
    rule = config.get_rule(notification.rule_id)
    return alert_chart(config, running.services.reader, rule, notification, running.clock())[0]


def digest_of(running: World) -> Notification:
    """What tune tells of the day until now."""
    config, now = running.services.config, running.clock()
    return digest_notification(config, digest_report(config, running.store, None, now).render("text"), now, ("email",))


def charts(running: World) -> AlertCharts:
    """What draws, as notify has it."""
    return AlertCharts(running.services.config, running.services.reader, running.clock)


_EPISODES = itertools.count(1)


def deliver(running: World, channel: Channel, name: str) -> None:
    """Notify of the slow region as of an alert that nobody has heard of, with one channel in the deployment's place."""
    services = replace(running.services, channels={name: channel})
    told = replace(firing(running), channels=(name,), fingerprint=f"{next(_EPISODES):016x}")
    (outcome,) = services.notify()(Message(told.to_json(), {}, "id", running.clock()))
    assert outcome.state is DeliveryState.SENT


class TestShown:
    """What is drawn."""

    def test_range_limits_and_span(self, slow: World) -> None:
        """It reaches from an hour before the firing until now, with the rule's limits, and the alert since it fired."""
        told = firing(slow)
        chart = charted(slow, told)
        assert chart.start == told.fired_at - timedelta(hours=1)
        assert chart.end == from_minute(minute_floor(slow.clock()))
        assert {limit.value for limit in chart.limits} == {200.0, 100.0}
        assert [(span.start, span.end, span.severity) for span in chart.spans] == [
            (told.fired_at, None, Severity.CRITICAL)
        ]
        assert [line.name for line in chart.lines if line.subject] == ["europe-west1"]
        assert len(chart.lines) == 3

    def test_a_milder_rule_has_its_own_span(self, slow: World) -> None:
        """The span is that of the rule that is told of, not of the worst one beside it."""
        told = replace(firing(slow), rule_id="high-response-time-warning")
        assert {span.severity for span in charted(slow, told).spans} == {
            slow.services.config.get_rule(told.rule_id).severity
        }

    def test_of_an_end_it_ends_there(self, slow: World) -> None:
        """The chart of a resolution ends with it, whenever it is drawn."""
        told = firing(slow)
        ended = replace(told, kind=NotificationKind.RESOLVED, at=told.fired_at + timedelta(minutes=3))
        assert charted(slow, ended).end == ended.at

    def test_a_long_episode_is_three_days(self, slow: World) -> None:
        """Of an alert that fires for a week the last three days are drawn."""
        told = replace(firing(slow), fired_at=slow.clock() - timedelta(days=7))
        chart = charted(slow, told)
        assert chart.end - chart.start <= timedelta(hours=73)

    def test_nothing_of_what_is_no_rule(self, slow: World) -> None:
        """A notice, a summary and a rule that is gone have no chart, and nor has an hour without data."""
        told = firing(slow)
        draw = charts(slow)
        assert draw(replace(told, kind=NotificationKind.NOTICE)) is None
        assert draw(replace(told, kind=NotificationKind.SUMMARY)) is None
        assert draw(replace(told, rule_id="gone")) is None
        assert draw(replace(told, rule_id="critical-memory-utilization", labels=())) is None


class TestDigest:
    """The mail of the day has the overview of its day."""

    def test_a_mail_shows_it_above_the_report(self, slow: World) -> None:
        """The picture is wider than high, shown by its id, and says in words what it is; the report is said once."""
        rig = email()
        told = digest_of(slow)
        services = replace(slow.services, channels={"email": rig.channel})
        services.notify()(Message(told.to_json(), {}, "id", slow.clock()))
        assert isinstance(rig.vendor, vendors.Mailbox)
        mail = message_from_bytes(rig.vendor.mails[0], policy=modern)
        parts = {part.get_content_type(): part for part in mail.walk()}
        png, html = parts["image/png"].get_content(), parts["text/html"].get_content()
        assert struct.unpack(">II", png[16:24]) == (PNG_WIDTH, PICTURE_HEIGHT * PNG_WIDTH // WIDTH)
        assert html.index("cid:") < html.index("INCIDENTS")
        assert 'alt="The overview at the end of these 24 hours."' in html
        for text in (html, parts["text/plain"].get_content()):
            assert text.count("INCIDENTS") == 1
            assert "P95 response time in europe-west1 is" in text
            assert "~digest" not in text

    def test_it_is_the_page_at_the_end_of_its_day(self, slow: World) -> None:
        """The picture has the page's answer, its signals with their states, and the chart of 24 hours."""
        page = overview(slow, 24)
        drawn = overview_svg(page, UTC, "UTC")
        assert page.headline.sentence in drawn
        for signal in page.signals:
            assert (signal.name in drawn) is not signal.detail
        assert "Critical, limit 200 ms" in drawn.replace(NARROW, " ")
        assert "last 24 h" in drawn

    def test_a_day_without_data_has_none(self) -> None:
        """Nothing is drawn of nothing, and the report is sent all the same."""
        empty = world()
        assert charts(empty)(digest_of(empty)) is None


class TestBounded:
    """Nobody waits for it."""

    def test_a_store_that_hangs_is_given_up(self, slow: World) -> None:
        """A drawing that does not end within its deadline raises, while what it hangs on still hangs."""
        released = Event()

        def hang() -> datetime:
            released.wait()
            return slow.clock()

        hanging = replace(charts(slow), now=hang, deadline_seconds=0.05)
        try:
            with pytest.raises(TimeoutError):
                hanging(firing(slow))
        finally:
            released.set()

    def test_what_is_too_large_is_none(self, slow: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """A picture above the limit is refused by name."""
        monkeypatch.setattr("shared.alert_charts.picture", lambda _: bytes(MAX_BYTES + 1))
        with pytest.raises(PermanentError) as caught:
            charts(slow)(firing(slow))
        assert caught.value.reason == "chart_too_large"

    def test_a_message_goes_out_without(self, slow: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """A drawing that breaks costs the picture and is logged; the mail is sent."""

        def broken(_: str) -> bytes:
            raise ZeroDivisionError

        monkeypatch.setattr("shared.alert_charts.picture", broken)
        rig = email()
        with Captured() as logs:
            deliver(slow, rig.channel, "email")
        assert isinstance(rig.vendor, vendors.Mailbox)
        (mail,) = rig.vendor.mails
        assert b"image/png" not in mail
        assert "chart_failed" in [event["message"] for event in logs.events]


class TestSent:
    """Where it goes."""

    def test_a_mail_holds_it(self, slow: World) -> None:
        """The mail has the picture inside, in its size, and its HTML shows it by its id."""
        rig = email()
        deliver(slow, rig.channel, "email")
        assert isinstance(rig.vendor, vendors.Mailbox)
        mail = message_from_bytes(rig.vendor.mails[0], policy=modern)
        (image,) = [part for part in mail.walk() if part.get_content_type() == "image/png"]
        (html,) = [part for part in mail.walk() if part.get_content_type() == "text/html"]
        png = image.get_content()
        assert struct.unpack(">II", png[16:24]) == (PNG_WIDTH, PNG_HEIGHT)
        assert image.get_content_disposition() == "inline"
        assert f"cid:{image['Content-ID'].strip('<>')}" in html.get_content()

    def test_slack_gets_it_as_a_file(self, slow: World) -> None:
        """The bot uploads the picture, and its message shows the file."""
        rig = slack()
        deliver(slow, rig.channel, "slack")
        assert isinstance(rig.vendor, vendors.Slack)
        ((file_id, png),) = rig.vendor.files.items()
        assert png.startswith(b"\x89PNG\r\n\x1a\n")
        assert 10_000 < len(png) < MAX_BYTES
        (message,) = rig.vendor.conversations()
        assert [block["slack_file"]["id"] for block in message.blocks if block["type"] == "image"] == [file_id]

    @pytest.mark.parametrize("name", [name for name in RIGS if name not in ("slack", "email")])
    def test_no_other_channel_has_it_drawn(self, slow: World, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A channel that shows no picture asks for none: a page does not wait for a drawing."""
        drawn: list[str] = []
        monkeypatch.setattr("shared.alert_charts.picture", drawn.append)
        rig = RIGS[name]()
        deliver(slow, rig.channel, rig.name)
        assert drawn == []


def test_a_start_does_not_pay_for_it() -> None:
    """What notify imports until the first picture is asked for draws nothing: no resvg, no fonts, no pages."""
    code = (
        "import sys, shared.notify, shared.evidence, shared.wiring, shared.channels.setup, shared.channels.slack;"
        "print(sorted({'resvg_py', 'font_roboto', 'shared.alert_charts', 'shared.sources'} & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
