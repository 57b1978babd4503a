"""The page about backtests: its commands print what stands there, its code runs, and its tables are complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shared.backtest import __main__ as command
from shared.backtest.causes import MEANINGS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "backtesting.md").read_text("utf-8")
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
SHOWN = [one for one in re.findall(r"```console\n\$ make backtest (.*)\n((?:.|\n)*?)```", PAGE) if one[1]]
VARIABLES = {"RULE", "SET", "HOURS", "COLLECTION", "WINDOWS", "COMPARE", "CSV", "EARLIER"}


def arguments(text: str) -> list[str]:
    """What make gives to the command for its variables."""
    pairs = [one.partition("=")[::2] for one in text.split()]
    return [part for name, value in pairs for part in (f"--{name.lower()}", value)]


@pytest.mark.parametrize(("given", "printed"), SHOWN, ids=[given.split()[1] for given, _ in SHOWN])
def test_a_command_prints_what_the_page_shows(
    given: str, printed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each command with an output works on the samples beside the tests, and prints that output."""
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("ION_CONFIG", raising=False)
    assert command.main(arguments(given)) == 0
    assert capsys.readouterr().out.rstrip("\n") == printed.rstrip("\n")


def test_the_page_shows_some_outputs() -> None:
    """There are commands to compare, and each variable of the page is one that make passes on."""
    assert len(SHOWN) >= 2
    (recipe,) = re.findall(r"^backtest: .*\n(?:\t.*\n)+", MAKEFILE, re.MULTILINE)
    assert {name for name in VARIABLES if re.search(rf"\b{name}\b", recipe)} == VARIABLES
    used = set(re.findall(r"\b([A-Z]{3,})=", PAGE)) | {"HOURS"}
    assert used <= VARIABLES


def test_every_cause_is_explained() -> None:
    """The table of causes is what the command says."""
    assert [(cause.value, means) for cause, means in MEANINGS.items()] == re.findall(
        r"^\| ([a-z -]+) \| (.+) \|$", PAGE, re.MULTILINE
    )


def test_the_code_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """The example finds one episode and who would have been told."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(code, "docs/backtesting.md", "exec"), {})
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("high-cpu-utilization 2025-10-18 12:1")
    assert "'slack'" in line


def test_every_link_leads_somewhere() -> None:
    """The pages and headings that the page links to are there."""
    for link in re.findall(r"\]\(([^)]+)\)", PAGE):
        name, _, heading = link.partition("#")
        text = (ROOT / "docs" / name).read_text("utf-8")
        assert not heading or heading in {
            one.lower().replace(" ", "-") for one in re.findall(r"^##+ (.+)$", text, re.M)
        }
