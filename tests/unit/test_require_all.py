"""No skip goes unseen where everything must run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_SKIPS = """
import pytest
def test_skips(): pytest.skip("gone")
@pytest.mark.skip
def test_marked(): pass
@pytest.mark.xfail
def test_expected(): assert False
def test_passes(): pass
"""


@pytest.mark.parametrize(
    ("require_all", "expected"),
    [("", "1 passed, 3 skipped, 1 xfailed"), ("1", "2 failed, 1 passed, 2 errors")],
    ids=["by default", "required"],
)
def test_require_all_turns_skips_into_failures(tmp_path: Path, require_all: str, expected: str) -> None:
    """With REQUIRE_ALL=1 a skipped test, an expected failure and a skipped module fail; without it they do not."""
    (tmp_path / "conftest.py").write_text("from tests.conftest import *\n")
    (tmp_path / "test_some.py").write_text(_SKIPS)
    (tmp_path / "test_module.py").write_text("import pytest\npytest.skip('gone', allow_module_level=True)\n")
    command = [sys.executable, "-m", "pytest", "-q", "--continue-on-collection-errors", "-p", "no:cacheprovider", "."]
    environment = {
        **os.environ,
        "REQUIRE_ALL": require_all,
        "PYTHONPATH": str(_ROOT),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert f"{expected} in " in run.stdout
    assert ("test_skips" in run.stdout) == (require_all == "1")
