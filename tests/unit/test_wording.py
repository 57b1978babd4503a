"""The words of an alert: a rule's own, with its places filled once, whatever the labels hold."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.alerts import ENDINGS, AlertKind, AlertState
from shared.rules import Severity
from shared.templates import NUMBERS, fill, unknown_places
from shared.wording import MAX_CHARACTERS, describe, ended_well, how_it_ended
from tests.ticks import GROUPED, LEVELLED, RULE, config_of
from tests.world import labels

ALERT = AlertState("level", labels(region="eu"), Severity.HIGH, value=1234.5678)
NAMED = replace(LEVELLED, query=GROUPED)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        pytest.param("", "The level is high.", id="without a message its description"),
        pytest.param("{value}", "1235", id="value: four digits"),
        pytest.param("{threshold} of {severity}", "200 of high", id="the threshold of its severity"),
        pytest.param("{rule} in {region}", "Level in eu", id="rule and label"),
        pytest.param("{value} {unit}", "1235 ", id="no unit"),
        pytest.param("{nothing} {}", "{nothing} {}", id="what nothing fills stays"),
        pytest.param("{region", "{region", id="half a place is none"),
        pytest.param("{{region}}", "{eu}", id="braces are no escapes"),
        pytest.param("{region} {region}", "eu eu", id="twice"),
    ],
)
def test_messages(message: str, words: str) -> None:
    """Places are filled by plain substitution."""
    rule = replace(NAMED, message=message)
    assert describe(config_of(rule), rule, ALERT) == words


@pytest.mark.parametrize("hostile", ["{value}", "{region}", "{0.__class__}", "%s", "$x", "\\1", "a\nb"])
def test_labels_are_no_messages(hostile: str) -> None:
    """What a writer puts into a label is filled in as it stands, and its braces mean nothing."""
    rule = replace(NAMED, message="in {region}: {value}")
    assert describe(config_of(rule), rule, replace(ALERT, labels=labels(region=hostile))) == f"in {hostile}: 1235"


def test_a_label_of_the_name_of_a_number_does_not_stand_for_it() -> None:
    """``{value}`` is the value, also where a label has that name."""
    rule = replace(NAMED, message="{value} {severity}")
    alert = replace(ALERT, labels=labels(value="nothing", severity="none"))
    assert describe(config_of(rule), rule, alert) == "1235 high"


def test_without_a_value() -> None:
    """An alert that was never judged on a value says so."""
    rule = replace(NAMED, message="at {value}")
    assert describe(config_of(rule), rule, replace(ALERT, value=None)) == "at no value"


@pytest.mark.parametrize(
    ("kind", "where", "words"),
    [
        (AlertKind.NO_DATA, labels(), "No data any more. The level is high."),
        (AlertKind.NO_DATA, labels(region="eu", zone="a"), "No data of region=eu, zone=a any more. The level is high."),
        (AlertKind.FAILURE, labels(), "This rule cannot be evaluated, so nobody hears of what it watches."),
    ],
    ids=["no data", "no data of a group", "failure"],
)
def test_alerts_about_a_rule_have_words_of_their_own(kind: AlertKind, where: tuple[tuple[str, str], ...],
                                                     words: str) -> None:  # fmt: skip
    """A message is about a value, so what is not about one does not use it."""
    rule = replace(NAMED, message="at {value}")
    assert describe(config_of(rule), rule, replace(ALERT, kind=kind, labels=where)) == words


def test_words_are_bounded() -> None:
    """A message that names a long label many times is cut."""
    rule = replace(NAMED, message="{region}" * 100)
    long = replace(ALERT, labels=labels(region="x" * 500))
    assert len(describe(config_of(rule), rule, long)) == MAX_CHARACTERS
    wide = replace(long, kind=AlertKind.NO_DATA, labels=labels(**{f"l{number}": "x" * 500 for number in range(16)}))
    assert len(describe(config_of(rule), rule, wide)) == MAX_CHARACTERS


@pytest.mark.parametrize(
    ("message", "group_by", "unknown"),
    [
        ("", (), []),
        ("plain", (), []),
        (" ".join(f"{{{name}}}" for name in NUMBERS), (), []),
        ("{region}", ("region",), []),
        ("{region} {zone} {region}", ("zone",), ["region", "region"]),
        ("{}", (), [""]),
        ("{ value }", (), [" value "]),
        ("{{value}}", (), []),
        ("}{", (), []),
    ],
)
def test_unknown_places(message: str, group_by: tuple[str, ...], unknown: list[str]) -> None:
    """The places that neither a number nor a group label fills are named in their order."""
    assert unknown_places(message, group_by) == unknown


def test_filling_is_done_once() -> None:
    """What was filled in is not looked at again."""
    assert fill("{a}{b}", {"a": "{b}", "b": "{a}"}) == "{b}{a}"


def test_the_unit_is_the_rules() -> None:
    """A unit of the threshold is filled in."""
    rule = replace(RULE, message="{value} {unit}", threshold=replace(RULE.threshold, unit="ms"))
    assert describe(config_of(rule), rule, ALERT) == "1235 ms"


@pytest.mark.parametrize(
    ("reason", "about", "words", "is_well"),
    [
        ("resolved", "threshold", "Resolved", True),
        ("resolved", "no_data", "Data is back", True),
        ("data_back", "no_data", "Data is back", True),
        ("rule_works", "failure", "The rule works again", True),
        ("no_data", "threshold", "Ended without data", False),
        ("gone", "no_data", "Given up, still without data,", False),
        ("rule_removed", "threshold", "Ended with its rule", False),
        ("regrouped", "threshold", "Ended, as the rule groups otherwise now,", False),
        ("of another version", "threshold", "Ended", False),
    ],
)
def test_how_an_episode_ended(reason: str, about: str, words: str, is_well: bool) -> None:
    """Only what is well again is said to be; whatever else ended it has words of its own."""
    assert (how_it_ended(reason, about), ended_well(reason)) == (words, is_well)


def test_every_ending_has_words() -> None:
    """No reason that ends an episode is told as that of another version."""
    assert all(how_it_ended(reason, "threshold") != "Ended" for reason in ENDINGS)
