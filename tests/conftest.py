"""What every test may use: the emulators, one of each for the whole session, and no silent skip.

With ``REQUIRE_ALL=1`` in the environment a skipped or expected-to-fail test, or a skipped module, is a failure.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator

import pytest
from hypothesis import settings

from tests import emulators

# A machine that is busy with something else fails no test, and two runs of one commit look at the same cases; those
# of ``--hypothesis-profile=searching``, as in `make soak`, are new ones each time.
settings.register_profile("settled", deadline=None, derandomize=True, database=None)
settings.register_profile("searching", deadline=None)
settings.load_profile("settled")


def _require_all() -> bool:
    return os.environ.get("REQUIRE_ALL") == "1"


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure that names it."""
    report.outcome = "failed"
    report.longrepr = f"REQUIRE_ALL=1 allows no skip: {report.nodeid}: {report.longrepr}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Refuse skipped tests under ``REQUIRE_ALL=1``."""
    report = yield
    if report.skipped and _require_all():
        _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Refuse skipped modules under ``REQUIRE_ALL=1``."""
    report = yield
    if report.skipped and _require_all():
        _refuse_skip(report)
    return report


def _skip_without_emulators(name: str) -> None:
    reason = emulators.missing()
    if reason is not None:
        pytest.skip(f"the {name} emulator cannot run here: {reason}")


@pytest.fixture(scope="session")
def firestore_host() -> Iterator[emulators.Emulator]:
    """A Firestore emulator that all tests of the session share; use collections of your own in it."""
    _skip_without_emulators("Firestore")
    with emulators.firestore_emulator() as emulator:
        yield emulator


@pytest.fixture(scope="session")
def pubsub_host() -> Iterator[emulators.Emulator]:
    """A Pub/Sub emulator that all tests of the session share; use topics of your own in it."""
    _skip_without_emulators("Pub/Sub")
    with emulators.pubsub_emulator() as emulator:
        yield emulator
