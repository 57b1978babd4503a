"""The overview in a terminal."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given

from shared.panels import Overview, Status
from shared.render import render_text
from shared.render.plain import clean, columns, cut, left, right, wrap
from tests import samples
from tests.hostile import WHOLE_PAGES, hostile_strings, poisoned

SGR = re.compile(r"\x1b\[[0-9;]*m")
PAGES = samples.pages()


def line_with(text: str, words: str) -> str:
    """The first line that contains some words."""
    return next(line for line in text.splitlines() if words in line)


@pytest.fixture
def text() -> str:
    """The story's page without colour."""
    return render_text(samples.overview())


class TestSpecification:
    """The parts that the specification's example fixes."""

    def test_title(self, text: str) -> None:
        """The first two lines are the service in capitals and the time of the page in UTC."""
        first, second = text.splitlines()[:2]
        assert first == "ION MENTORING PRODUCTION DASHBOARD"
        assert second.startswith("Updated: 2025-10-18 14:31:12 UTC")

    def test_sections(self, text: str) -> None:
        """The four sections stand in the specification's order."""
        heads = [line for line in text.splitlines() if re.match(r"[A-Z]{2}", line)]
        found = [head.split("  ")[0] for head in heads]
        assert found[1:5] == ["SERVICE HEALTH", "PERFORMANCE", "CACHE PERFORMANCE", "CAPACITY"]

    @pytest.mark.parametrize(
        ("name", "example"),
        [
            ("Global Availability", "  ✓ Global Availability              99.97%           [HEALTHY]"),
            ("Global Error Rate", "  ✓ Global Error Rate                 0.31%           [HEALTHY]"),
            ("Average Response Time", "  ✓ Average Response Time            46.4ms           [HEALTHY]"),
            ("Global Throughput", "  ✓ Global Throughput             9,270 r/s           [HEALTHY]"),
        ],
        ids=["availability", "error rate", "average", "throughput"],
    )
    def test_columns(self, name: str, example: str) -> None:
        """Without a change against last week a row begins exactly as in the specification's example."""
        page = samples.overview()
        bare = replace(page, signals=tuple(replace(signal, change=None) for signal in page.signals))
        assert line_with(render_text(bare), name).startswith(example)

    def test_change_keeps_the_columns(self, text: str) -> None:
        """The change fills the gap between value and status and moves neither."""
        line = line_with(text, "P95 Response Time europe-west1")
        assert line[:66] == "  ◆ P95 Response Time europe-west1  456.5ms    +420.3 [CRITICAL]  "

    def test_last_line(self, text: str) -> None:
        """The page ends in a ruler of 100 columns."""
        assert text.endswith("\n" + "=" * 100 + "\n")


class TestStory:
    """What the page tells."""

    def test_answer_first(self, text: str) -> None:
        """The answer in words stands before any number."""
        sentence = "◆ P95 response time in europe-west1 is 456 ms, 2.3 times its limit, since 14:05 (26 min)"
        assert text.splitlines()[3] == sentence

    def test_alert_rows(self, text: str) -> None:
        """An alert row has rule, place, value against limit, age and who has it, in fixed columns."""
        expected = "  ◆ High Response Time - Critical europe-west1     456 ms > 200      26 min  ack M. Kessler 14:11"
        assert line_with(text, "Response Time - Critical") == expected

    def test_long_region_is_shortened(self, text: str) -> None:
        """A region that does not fit beside its signal's name is abbreviated, not cut."""
        assert "P95 Response Time asia-se1 " in text

    def test_no_alerts(self) -> None:
        """A quiet page says that there is none."""
        assert "ACTIVE ALERTS  none" in render_text(samples.all_ok())

    def test_empty_page_says_how_to_publish(self) -> None:
        """Before any data the page shows a message to publish."""
        text = render_text(samples.empty())
        assert '"metric": "response_time"' in text
        assert "no data yet" in text

    def test_gap_in_a_spark_stays_a_gap(self) -> None:
        """An hour without data is a blank column of the spark."""
        page = samples.overview()
        first = page.signals[0]
        holed = replace(first, spark=(*first.spark[:600], *[None] * 60, *first.spark[660:]))
        line = line_with(render_text(replace(page, signals=(holed,))), "Global Availability")
        assert line[66:90].index(" ") == 10

    @pytest.mark.parametrize("status", list(Status))
    def test_every_status_fits_its_column(self, status: Status) -> None:
        """Whatever the status, the spark begins in column 67."""
        page = samples.overview()
        signal = replace(page.signals[0], status=status)
        line = line_with(render_text(replace(page, signals=(signal,))), "Global Availability")
        assert line[54] == "["
        assert line[65] == " "
        assert line[66] in "▁▂▃▄▅▆▇█"


class TestForms:
    """Colour and ASCII."""

    @pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
    def test_colour_only_adds_sequences(self, page: Overview) -> None:
        """Without its colour sequences the coloured page is the plain one, and the plain one has none."""
        plain, coloured = render_text(page), render_text(page, colour=True)
        assert "\x1b" not in plain
        assert [line.rstrip() for line in SGR.sub("", coloured).splitlines()] == plain.splitlines()
        assert SGR.search(coloured)

    @pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
    def test_ascii(self, page: Overview) -> None:
        """The fallback is ASCII throughout, in the same columns."""
        text = render_text(page, ascii_only=True)
        assert text.isascii()
        assert line_with(text, "[").index("[") == line_with(render_text(page), "[").index("[")

    def test_ascii_glyphs(self) -> None:
        """Glyphs become OK, !!, !, ~ and -."""
        text = render_text(samples.overview(), ascii_only=True)
        assert line_with(text, "Global Availability").startswith(" OK Global")
        assert line_with(text, "P95 Response Time europe").startswith(" !! P95")
        assert line_with(text, "High Database").startswith("  ~ High")
        assert line_with(text, "CPU Utilization asia").startswith("  - CPU")


class TestHostile:
    """Names that are not what they seem."""

    @WHOLE_PAGES
    @given(hostile_strings())
    def test_never_wider_nor_active(self, text: str) -> None:
        """Whatever the names, no line exceeds 100 columns and no control character is left."""
        for form in (render_text(poisoned(samples.overview(), text)), render_text(poisoned(samples.empty(), text))):
            for line in form.split("\n"):
                assert columns(line) <= 100
                assert clean(line) == line

    @WHOLE_PAGES
    @given(hostile_strings())
    def test_colour_sequences_are_ours(self, text: str) -> None:
        """With colour the only escape sequences are whole colour settings, each taken back on its line."""
        for line in render_text(poisoned(samples.overview(), text), colour=True).split("\n"):
            assert "\x1b" not in SGR.sub("", line)
            assert line.count("\x1b[0m") * 2 == line.count("\x1b")

    @WHOLE_PAGES
    @given(hostile_strings())
    def test_ascii_whatever_the_names(self, text: str) -> None:
        """The ASCII form is ASCII whatever the names."""
        assert render_text(poisoned(samples.overview(), text), ascii_only=True).isascii()


class TestPlain:
    """Cutting and measuring."""

    @given(hostile_strings())
    def test_cut_and_pad(self, text: str) -> None:
        """What is cut is no wider than asked, what is padded exactly as wide."""
        text = clean(text)
        assert columns(cut(text, 7)) <= 7
        assert columns(left(text, 7)) == columns(right(text, 7)) == 7
        assert all(columns(line) <= 9 for line in wrap(text, 9, 3))
        assert len(wrap(text, 9, 3)) <= 3

    def test_clean_is_idempotent_and_keeps_words(self) -> None:
        """Ordinary text in any script stays as it is."""
        for text in ("europe-west1", "Zürich 北京 אבג", "456 ms > 200"):
            assert clean(text) == text

    def test_wide_characters_count_twice(self) -> None:
        """A character of two columns that does not fit is left out, and shown to be."""
        assert cut("漢字漢字", 6) == "漢字…"
