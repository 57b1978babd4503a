"""The page about tuning: its Python runs as it is written, and its commands are there."""

from __future__ import annotations

import re
from pathlib import Path

from shared.alert_tuning import BaselineMetric

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tuning.md").read_text("utf-8")


def test_the_python_of_the_page_runs() -> None:
    """Both blocks run in order, and the value beside the threshold is what it is."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    scope: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/tuning.md", "exec"), scope)
    baseline = scope["baseline"]
    assert len(blocks) == 2
    assert isinstance(baseline, BaselineMetric)
    assert baseline.get_recommended_thresholds()["critical_upper"] == 65.0


def test_the_commands_of_the_page_are_there() -> None:
    """Every make target and every subcommand that the page names exists."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in set(re.findall(r"make ([a-z-]+)", PAGE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
