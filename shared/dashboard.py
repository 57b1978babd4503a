"""The dashboard: an address becomes a page in one of its formats, and a form becomes a deed."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo
from http import HTTPStatus

from .access import Gate
from .alert_pages import ALERTS
from .api import API, Api
from .boards import rules_of_dashboard
from .chart_pages import build_chart, render_chart
from .configuration.models import Dashboard
from .deeds import HOURS, carry_out, is_deed
from .errors import PermanentError, TransientError
from .forms import COOKIE, TOKEN_BYTES, Sent, check_sent, cookie_header, is_token
from .inbox_page import inbox_entries
from .monitoring_config import MonitoringConfig
from .notifications import Notification
from .own_pages import TITLES, reach, running
from .pages import build_page, collection_of
from .panels import KEPT_ROWS, Board, Deeds, Endings, Page, Shown, Status, Tab
from .reader import Reader
from .render.csv_page import render_csv
from .render.html import asset, etag, render_error_html, render_html, render_inbox_html
from .render.json_page import dumped, render_json
from .render.markdown import render_markdown
from .render.plain import clean
from .render.text import render_text
from .rules import Severity
from .timeline import minute_floor
from .urls import (
    OWN_PAGES,
    RANGES,
    SILENCES,
    SYSTEM,
    Format,
    View,
    failure_format,
    parse_chart,
    parse_view,
)

INBOX_SECONDS = 7 * 86_400
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_METHODS = "GET, HEAD"
_STATUS_CODES = {"not_found": 404, "method_not_allowed": 405, "refused": 403, "taken": 409, "not_firing": 409,
                 "unknown_silence": 404}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A GET or HEAD as the dashboard sees it; ``query`` is decoded, one value a name."""

    path: str
    method: str = "GET"
    query: Mapping[str, str] = field(default_factory=dict)
    accept: str | None = None
    if_none_match: str | None = None
    sent: Sent = field(default_factory=Sent)
    """What a POST brings; of any request the cookies."""
    assertion: str = ""
    """What Identity-Aware Proxy says of who it is from; to be verified."""


@dataclass(frozen=True, slots=True)
class PageResponse:
    """What is answered. A 304 has no body."""

    status: int
    body: bytes
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DashboardPages:
    """The function ``dashboard`` on its ports. ``has_inbox``: the local inbox is one of the channels."""

    config: MonitoringConfig
    reader: Reader
    now: Callable[[], datetime]
    has_inbox: bool = False
    gate: Gate = field(default_factory=Gate)
    """Who may change something; by itself, nobody."""
    new_token: Callable[[int], str] = secrets.token_urlsafe
    tell: Callable[[Notification], object] = lambda _: None
    """Has a notification told; again is harmless, as its id is the same. Raises TransientError."""

    def __call__(self, request: PageRequest) -> PageResponse:
        """Answer one request; every failure is a page with one sentence, a transient one a 503."""
        try:
            return _finished(request, self._answer(request))
        except PermanentError as error:
            return self._failure(request, _STATUS_CODES.get(error.reason, 400), error.reason, error.detail)
        except TransientError:
            sentence = "Storage did not answer. Trying again in a moment may help."
            return self._failure(request, 503, "unavailable", sentence)

    def _answer(self, request: PageRequest) -> PageResponse:
        if request.method == "POST" and self.gate.is_open and is_deed(request.path):
            return self._deed(request)
        if request.method not in ("GET", "HEAD"):
            raise PermanentError("method_not_allowed", "This page is only read: GET or HEAD.")
        if request.path == "/healthz":
            return PageResponse(200, b"ok\n", "text/plain; charset=utf-8")
        if request.path.startswith("/assets/"):
            return _asset(request.path)
        if request.path == "/inbox" and self.has_inbox:
            return self._inbox(self.now())
        if request.path.startswith("/charts/"):
            return self._chart(parse_chart(request.path, request.query, request.accept, self.now()))
        if request.path.startswith(API):
            content = Api(self.config, self.reader, self.now).answer(request.path, request.query)
            return PageResponse(200, content.encode(), Format.JSON.content_type)
        return self._page(parse_view(request.path, request.query, request.accept, self.now()), request)

    def _deed(self, request: PageRequest) -> PageResponse:
        """Do what was sent, and lead back to the page, so that loading it again sends nothing."""
        check_sent(request.sent)
        author = self.gate.author(request.assertion, self.now())
        form = {**request.sent.form, **({"author": author} if author else {})}
        done = carry_out(self.reader.store, self.config, self.reader.alerts(), request.path, form, self.now())
        for told in done.told:
            self.tell(told)
        headers = {"Location": done.href, "Cache-Control": "no-store"}
        return PageResponse(303, b"", Format.TEXT.content_type, headers)

    def _page(self, view: View, request: PageRequest) -> PageResponse:
        page = build_page(self.config, self.reader, view, self.now(), _zone(view))
        headers = {"Vary": "Accept"}
        if self.gate.is_open and view.format is Format.HTML and isinstance(page, Board) and _has_forms(page):
            page, headers = self._with_deeds(page, request, headers)
        page = replace(
            page,
            tabs=self._tabs(view, page),
            ranges=_own_tabs(view) if view.name in OWN_PAGES else () if "/" in view.name else _ranges(view),
            everywhere=view.href(as_format=Format.HTML, region=""),
        )
        headers |= {"ETag": etag(page, view)} if view.format is Format.HTML else {}
        return PageResponse(200, render(page, view).encode(), view.format.content_type, headers)

    def _with_deeds(self, page: Board, request: PageRequest, headers: dict[str, str]) -> tuple[Board, dict[str, str]]:
        """The page with what its reader can do, and the token they are given.

        Who may change nothing, or is not known at present, reads the same page without.
        """
        try:
            author = self.gate.author(request.assertion, self.now())
        except (PermanentError, TransientError):
            return page, headers
        token = request.sent.cookies.get(COOKIE, "")
        if not is_token(token):
            token = self.new_token(TOKEN_BYTES)
            headers = {**headers, "Set-Cookie": cookie_header(token)}
        if page.name == SILENCES:
            silences = running(self.reader.silences(self.now()), self.now())
            endings = Endings(tuple((one.id, reach(one)) for one in silences), token, author)
            return (replace(page, endings=endings), headers) if silences else (page, {"Vary": "Accept"})
        asked_at = self.now().replace(second=0, microsecond=0)
        deeds = Deeds(f"/{page.name}", token, asked_at, page.open_episode, HOURS, author)
        return replace(page, deeds=deeds), headers

    def _chart(self, view: View) -> PageResponse:
        collection = collection_of(self.config, view)
        if collection is None:
            raise PermanentError("not_found", "there is no such chart")
        chart, caption = build_chart(self.config, self.reader, collection, view, self.now())
        headers = {"Vary": "Accept"}
        return PageResponse(200, render_chart(chart, caption, view), view.format.content_type, headers)

    def _tabs(self, view: View | None, page: Page | None) -> tuple[Tab, ...]:
        """A tab for each dashboard with the worst status on it; ``page`` is the current one, None: the inbox is."""
        fires = page.firing if page else [(a.rule_id, a.severity) for a in self.reader.alerts() if a.is_firing]
        tabs = []
        for dashboard in self.config.list_dashboards():
            current = page is not None and page.name == dashboard.name
            href = (
                view.href(name=dashboard.name, as_format=Format.HTML, collection="")
                if view
                else f"/dashboards/{dashboard.name}"
            )
            status = page.headline.status if page and current else _tab_status(self.config, dashboard, fires)
            tabs.append(Tab(dashboard.name, dashboard.title, href, status, current))
        about_alerts = page is not None and page.name.startswith(ALERTS)
        tabs.append(Tab(ALERTS, "Alerts", f"/{ALERTS}", Status.OK, about_alerts))
        about_itself = page is not None and page.name in OWN_PAGES
        tabs.append(Tab(SYSTEM, "System", f"/{SYSTEM}", Status.OK, about_itself))
        if self.has_inbox:
            tabs.append(Tab("inbox", "Inbox", "/inbox", Status.OK, current=page is None))
        return tuple(tabs)

    def _inbox(self, now: datetime) -> PageResponse:
        received = self.reader.inbox(minute_floor(now) - INBOX_SECONDS, now)
        entries = inbox_entries(received[:KEPT_ROWS])
        settings = self.config.settings
        html = render_inbox_html(
            entries, service=settings.service, environment=settings.environment, now=now, zone=UTC,
            tabs=self._tabs(None, None),
            total=len(received),
        )  # fmt: skip
        return PageResponse(200, html.encode(), Format.HTML.content_type)

    def _failure(self, request: PageRequest, status: int, reason: str, detail: str) -> PageResponse:
        """One sentence in the format that was asked for, as far as it has room for one: HTML, text or JSON."""
        settings, sentence = self.config.settings, detail or reason
        form = failure_format(request.path, request.accept)
        match form:
            case Format.JSON:
                body = dumped({"error": {"reason": reason, "detail": sentence}})
            case Format.TEXT:
                body = f"{status} {HTTPStatus(status).phrase}: {clean(sentence)}\n"
            case _:
                body = render_error_html(
                    status, sentence, service=settings.service, environment=settings.environment, now=self.now()
                )
        headers = {"Cache-Control": "no-store", **SECURITY_HEADERS} | ({"Allow": _METHODS} if status == 405 else {})
        return PageResponse(status, body.encode(), form.content_type, headers)


def _tab_status(config: MonitoringConfig, dashboard: Dashboard, fires: Iterable[tuple[str, Severity]]) -> Status:
    """The worst that fires of what a dashboard is about."""
    ids = {rule.id for rule in rules_of_dashboard(config, dashboard)}
    worst = min((severity for rule_id, severity in fires if rule_id in ids), key=lambda one: one.rank, default=None)
    return Status.of(worst) if worst else Status.OK


def render(page: Shown, view: View) -> str:
    """A page in the format of its view."""
    match view.format:
        case Format.TEXT:
            return render_text(page, colour=view.colour, ascii_only=view.ascii_only)
        case Format.JSON:
            return render_json(page)
        case Format.MARKDOWN:
            return render_markdown(page)
        case Format.CSV:
            return render_csv(page)
        case _:
            return render_html(page, view, fragment=view.fragment)


def _zone(view: View) -> tzinfo:
    """Only HTML knows other zones than UTC."""
    return view.zone if view.format is Format.HTML else UTC


def _ranges(view: View) -> tuple[Tab, ...]:
    return tuple(
        Tab(name, f"{seconds // 3600} h", view.href(as_format=Format.HTML, range_name=name), Status.OK,
            current=name == view.range_name)
        for name, seconds in RANGES.items()
    )  # fmt: skip


def _own_tabs(view: View) -> tuple[Tab, ...]:
    """The pages about the monitoring itself, from each other."""
    zone = f"?tz={view.tz}" if view.tz != "UTC" else ""
    return tuple(
        Tab(name, title, f"/{name}{zone}", Status.OK, current=name == view.name) for name, title in TITLES.items()
    )


def _has_forms(page: Board) -> bool:
    """Whether a page is one from which something can be changed: an alert's, or that of the silences."""
    return "/" in page.name or page.name == SILENCES


def _asset(path: str) -> PageResponse:
    body, content_type, content_hash = asset(path.removeprefix("/assets/"))
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "ETag": f'"{content_hash}"'}
    return PageResponse(200, body, content_type, headers)


def _finished(request: PageRequest, response: PageResponse) -> PageResponse:
    """The response with its headers; 304 when the client has the same bytes already."""
    digest = f'"{hashlib.sha256(response.body).hexdigest()[:16]}"'
    headers = {"Cache-Control": "no-cache", "ETag": digest, **response.headers, **SECURITY_HEADERS}
    if request.if_none_match == headers["ETag"]:
        return PageResponse(304, b"", response.content_type, headers)
    return replace(response, headers=headers)
