"""The heartbeat: an outside watchdog hears that the evaluator lives, and raises the alarm when it hears nothing.

It hears of an evaluation after which all that was due is judged and on the bus; one that raised, that ran out of time
or that another evaluator overtook says nothing. The watchdog costs at most ``DEADLINE_SECONDS``, whatever it does, and
cannot fail an evaluation: what is wrong with it is one line in the log. Its URL is a secret, and in no log.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from http.client import HTTPException
from threading import Thread
from typing import TypeAlias
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from .config import Secret
from .evaluator import Report
from .logs import log

TIMEOUT_SECONDS = 3.0
"""For each wait on the network."""
DEADLINE_SECONDS = 5.0
"""For all of it: the lookup of a name and an answer that trickles have no other."""

Get: TypeAlias = Callable[[str], int]
"""GET a URL: the answer's status. Raises OSError, HTTPException or ValueError."""


class Beat(StrEnum):
    """What became of a heartbeat."""

    OFF = "off"
    """No watchdog is set up."""
    NOT_DUE = "not_due"
    """The evaluation did not complete."""
    HEARD = "heard"
    UNHEARD = "unheard"


class _NoRedirect(HTTPRedirectHandler):
    """A redirect is an answer like any other: it could lead anywhere."""

    def redirect_request(self, *_: object) -> None:
        return None


def get(url: str) -> int:
    """``Get`` on the standard library, without redirects."""
    request = Request(url, headers={"User-Agent": "ion-monitoring"})  # noqa: S310 - `heartbeat_url` admits http(s) alone
    try:
        with build_opener(_NoRedirect).open(request, timeout=TIMEOUT_SECONDS) as answer:
            return int(answer.status)
    except HTTPError as error:
        with error:
            return error.code


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The watchdog at ``url``; None: there is none."""

    url: Secret | None = None
    get: Get = get
    deadline_seconds: float = DEADLINE_SECONDS

    def after(self, report: Report) -> Beat:
        """Tell the watchdog of an evaluation. Never raises."""
        if self.url is None:
            return Beat.OFF
        if report.ended != "caught_up":
            return Beat.NOT_DUE
        outcome = self._ask(self.url)
        if outcome.isdecimal() and 200 <= int(outcome) < 300:
            return Beat.HEARD
        log("heartbeat_unheard", "WARNING", reason=outcome)
        return Beat.UNHEARD

    def _ask(self, url: Secret) -> str:
        """The answer's status, or the name of what came instead of one: an error's own words may quote the URL."""
        said = ["deadline_exceeded"]
        thread = Thread(target=lambda: said.append(_outcome(self.get, url)), daemon=True)
        thread.start()
        thread.join(self.deadline_seconds)
        return said[-1]


def _outcome(ask: Get, url: Secret) -> str:
    try:
        return str(ask(url.reveal()))
    except (OSError, HTTPException, ValueError) as error:
        return type(error).__name__
