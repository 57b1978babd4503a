"""The API of what is shown: it answers as its OpenAPI document says, and as the pages do."""

from __future__ import annotations

import json
from typing import Any

import pytest
import schemathesis
from flask import Flask, Response, request
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from shared.dashboard import PageRequest
from shared.monitoring_config import MonitoringConfig
from shared.openapi import openapi
from tests.pages import page, run, world
from tests.world import World

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
DOCUMENT = openapi(MonitoringConfig())


@pytest.fixture(scope="module")
def slow() -> World:
    """Seventeen minutes, in the last seven of which one region is slow."""
    running = world()
    run(running, 10)
    run(running, 7, slow="europe-west1")
    return running


def get(running: World, path: str, **query: str) -> Any:
    """What a route answers, parsed."""
    answer = page(running, path, **query)
    assert answer.content_type == "application/json"
    return json.loads(answer.body)


def served(running: World) -> Flask:
    """The dashboard as a web application."""
    app = Flask("dashboard")

    @app.route("/<path:path>", methods=METHODS, provide_automatic_options=False)
    def all_paths(path: str) -> Response:
        asked = PageRequest(f"/{path}", request.method, request.args.to_dict(), request.headers.get("Accept"))
        answer = running.services.dashboard()(asked)
        return Response(answer.body, answer.status, answer.headers, content_type=answer.content_type)

    return app


SCHEMA = schemathesis.openapi.from_wsgi("/api/openapi.json", served(world()))


@SCHEMA.parametrize()
@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_it_answers_as_it_says(case: schemathesis.Case[Any]) -> None:
    """Whatever is asked, right or wrong, a route answers with a status and a body that its document has."""
    case.call_and_validate(excluded_checks=[positive_data_acceptance])  # range and from are valid, and not together


@pytest.mark.parametrize("name", [dashboard.name for dashboard in MonitoringConfig().list_dashboards()])
def test_a_dashboard_is_the_pages_json(slow: World, name: str) -> None:
    """A dashboard's route answers with the very JSON of its page."""
    assert get(slow, f"/api/dashboards/{name}") == get(slow, f"/dashboards/{name}.json")


def test_a_collection_is_the_charts_json(slow: World) -> None:
    """A collection's route answers with the very JSON of its chart."""
    assert get(slow, "/api/collections/response_time_eu") == get(slow, "/charts/response_time_eu.json")


@pytest.mark.parametrize(
    ("path", "key", "names"),
    [
        ("/api/dashboards", "dashboards", ["overview", "performance", "reliability", "cache", "infrastructure"]),
        ("/api/collections", "collections", [one.name for one in MonitoringConfig().list_collections()]),
    ],
)
def test_lists(slow: World, path: str, key: str, names: list[str]) -> None:
    """The lists have every dashboard and all 35 collections, each with an address that answers."""
    told = get(slow, path)[key]
    assert [one["name"] for one in told] == names
    assert page(slow, told[-1]["href"]).status == 200


def test_the_root_is_the_document(slow: World) -> None:
    """Who opens the root gets the list of all routes, and no dead end."""
    assert get(slow, "/api/") == get(slow, "/api/openapi.json") == DOCUMENT


@pytest.mark.parametrize("name", ["system", "silences", "audit", "configuration"])
def test_every_other_page_is_there_too(slow: World, name: str) -> None:
    """What a page about the monitoring itself shows, its route answers with, too."""
    assert get(slow, f"/api/{name}") == get(slow, f"/{name}.json")


def test_an_alert_and_the_history(slow: World) -> None:
    """What fired is at the history's route, and each alert at the one of its fingerprint."""
    assert get(slow, "/api/history") == get(slow, "/alerts.json")
    fingerprint = get(slow, "/api/alerts")["alerts"][0]["fingerprint"]
    assert get(slow, f"/api/alerts/{fingerprint}") == get(slow, f"/alerts/{fingerprint}.json")


def test_alerts(slow: World) -> None:
    """The alerts are those of the overview."""
    told = get(slow, "/api/alerts")
    assert told["alerts"] == get(slow, "/dashboards/overview.json")["alerts"]
    assert told["total"] == 2


def test_health(slow: World) -> None:
    """The health is the overview's, with the age of the data."""
    told = get(slow, "/api/health")
    assert told["monitoring"] == get(slow, "/dashboards/overview.json")["monitoring"]
    assert told["stale"] is False


@pytest.mark.parametrize(
    ("path", "query", "status", "reason"),
    [
        ("/api/nope", {}, 404, "not_found"),
        ("/api/dashboards/nope", {}, 404, "not_found"),
        ("/api/collections/nope", {}, 404, "not_found"),
        ("/api/dashboards/cache", {"range": "7h"}, 400, "invalid_request"),
        ("/api/dashboards/cache", {"tz": "UTC"}, 400, "invalid_request"),
        ("/api/collections", {"range": "1h"}, 400, "invalid_request"),
        ("/api/alerts/0123456789abcdef", {}, 404, "not_found"),
        ("/api/alerts/0123456789abcdef", {"range": "1h"}, 400, "invalid_request"),
        ("/api/alerts/nope", {}, 404, "not_found"),
        ("/api/silences", {"region": "us-central1"}, 400, "invalid_request"),
        ("/api/collections/persona_lua_count", {"region": "us-central1"}, 400, "invalid_request"),
    ],
)
def test_mistakes_are_json(slow: World, path: str, query: dict[str, str], status: int, reason: str) -> None:
    """A mistake is answered with its status and a reason with a sentence, as JSON."""
    answer = page(slow, path, **query)
    assert answer.status == status
    told = json.loads(answer.body)["error"]
    assert told["reason"] == reason
    assert told["detail"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_is_changed(slow: World, method: str) -> None:
    """No route takes anything but GET and HEAD."""
    for path in DOCUMENT["paths"]:
        answer = slow.services.dashboard()(PageRequest(path.replace("{name}", "overview"), method))
        assert answer.status == 405


@pytest.mark.parametrize(
    ("path", "accept", "begins"),
    [
        ("/dashboards/nope", "text/html", b"<!doctype html>"),
        ("/dashboards/nope", "text/plain", b"404 Not Found: "),
        ("/dashboards/nope.txt", "text/html", b"404 Not Found: "),
        ("/dashboards/nope.csv", "text/html", b"404 Not Found: "),
        ("/dashboards/nope.json", "text/html", b"{"),
        ("/dashboards/nope", "application/json", b"{"),
        ("/charts/nope.png", "image/png", b"400 Bad Request: "),
    ],
)
def test_a_mistake_is_told_in_the_format_that_was_asked_for(path: str, accept: str, begins: bytes) -> None:
    """A page that is not there says so in HTML, text or JSON, as its address or its reader wants."""
    answer = world().services.dashboard()(PageRequest(path, accept=accept))
    assert answer.body.startswith(begins)
