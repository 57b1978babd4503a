"""The function manifest: what it says of this project, what it derives, and what it refuses."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared.bus import RetryPolicy, Subscription
from shared.config import Access
from shared.errors import ConfigError
from shared.grants import Grant, Role, callers_of, grants, grants_of, iam_markdown, openers, roles_markdown
from shared.manifest import MANIFEST_PATH, HttpTrigger, Manifest, PushTrigger, ScheduleTrigger, load_manifest
from shared.manifest_reader import from_plain

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    """The project's own manifest."""
    return load_manifest()


@pytest.fixture
def document() -> dict[str, Any]:
    """The project's own manifest as JSON, to be broken."""
    loaded: dict[str, Any] = json.loads(MANIFEST_PATH.read_text("utf-8"))
    return copy.deepcopy(loaded)


def test_each_function_has_the_trigger_of_its_type(manifest: Manifest) -> None:
    """Push, schedule and HTTP triggers are read as different types with their own fields."""
    assert {name: type(one.trigger) for name, one in manifest.functions.items()} == {
        "ingest": PushTrigger,
        "evaluate": ScheduleTrigger,
        "collect": ScheduleTrigger,
        "notify": PushTrigger,
        "dashboard": HttpTrigger,
        "hooks": HttpTrigger,
        "tune": ScheduleTrigger,
    }
    assert manifest.functions["evaluate"].trigger == ScheduleTrigger("* * * * *", 180)


def test_subscriptions_are_the_pushes_and_then_the_pulls(manifest: Manifest) -> None:
    """A push subscription carries its function, dead letter and retry; a pull subscription has none of them."""
    first, *_, last = manifest.subscriptions()
    assert first == Subscription(
        "metrics-ingest", "metrics", "ingest", "metrics-dead-letter", 100, RetryPolicy(10.0, 600.0), 60
    )
    assert last == Subscription("notifications-dead-letter-pull", "notifications-dead-letter")
    assert len(manifest.subscriptions()) == 4


def test_each_collection_has_its_one_writer(manifest: Manifest) -> None:
    """The writers' table names every collection once; only what people do is written through more than one."""
    writers = manifest.writers()
    assert writers.keys() == manifest.collections.keys()
    assert writers["buckets"] == ("ingest",)
    assert writers["rollups"] == ("evaluate",)
    assert writers["deliveries"] == ("notify",)
    assert {writers[name] for name in ("acks", "silences", "audit")} == {("dashboard", "hooks")}


def test_chunks_expire_in_the_collection_that_holds_them(manifest: Manifest) -> None:
    """The documents of buckets lie in ``writers``; every other collection holds its own."""
    assert manifest.collection_groups["buckets"] == "writers"
    assert manifest.collection_groups["late"] == "late"
    assert "buckets" in manifest.expiring


def test_a_function_that_only_reads_may_not_write(manifest: Manifest, document: dict[str, Any]) -> None:
    """The dashboard may write what people do; one that took nothing from them would view the database alone."""
    tells = Grant("dashboard", Role.PUBLISHER, "topic notifications")
    assert grants_of(manifest.functions["dashboard"]) == (Grant("dashboard", Role.FIRESTORE_USER, "database"), tells)
    functions = document["functions"]
    functions["dashboard"]["writes"] = []
    changed = from_plain(document).functions["dashboard"]
    assert grants_of(changed) == (Grant("dashboard", Role.FIRESTORE_VIEWER, "database"), tells)


def test_a_writer_publishes_only_to_its_topics_and_reads_only_its_secrets(manifest: Manifest) -> None:
    """Topics and secrets are granted one by one, never for the whole project."""
    assert set(grants_of(manifest.functions["notify"])) == {
        Grant("notify", Role.FIRESTORE_USER, "database"),
        Grant("notify", Role.PUBLISHER, "topic notifications-dead-letter"),
        *(Grant("notify", Role.SECRET_ACCESSOR, f"secret {name}") for name in manifest.functions["notify"].secrets),
    }
    secrets = {one for one in grants_of(manifest.functions["evaluate"]) if one.role is Role.SECRET_ACCESSOR}
    assert secrets == {
        Grant("evaluate", Role.SECRET_ACCESSOR, "secret ION_HEARTBEAT_URL"),
        Grant("evaluate", Role.SECRET_ACCESSOR, "secret ION_SENTRY_DSN"),
    }


def test_each_function_is_called_by_its_trigger_alone(manifest: Manifest) -> None:
    """Pub/Sub and Scheduler call through accounts of their own, named people the dashboard, and anybody hooks."""
    callers = {name: [one.account for one in callers_of(one)] for name, one in manifest.functions.items()}
    assert callers == {
        "ingest": ["push"],
        "evaluate": ["schedule"],
        "notify": ["push"],
        "collect": ["schedule"],
        "dashboard": [],
        "hooks": ["allUsers"],
        "tune": ["schedule"],
    }


@pytest.fixture
def with_public(document: dict[str, Any]) -> Manifest:
    """The project's own manifest and one more public function, with a secret of its own and one that others read."""
    secrets = ["ION_ECHO_SECRET", "ION_WEBHOOK_URL"]
    public = {"public": True, "secrets": secrets, "reads": [], "writes": [], "deletes": []}
    document["functions"]["echo"] = {**document["functions"]["dashboard"], **public}
    return from_plain(document)


def test_a_public_function_is_called_by_everybody(with_public: Manifest) -> None:
    """``public`` is what opens a function to the internet, and it shows in the grants."""
    everybody = Grant("allUsers", Role.INVOKER, "function echo")
    assert callers_of(with_public.functions["echo"]) == (everybody,)
    assert everybody in grants(with_public)


def test_a_public_function_is_deployed_with_a_secret_of_its_own_only(with_public: Manifest) -> None:
    """A secret that another function reads opens nothing; everything that is not public is always there."""
    private = load_manifest().deployed().functions.keys()
    assert with_public.deployed().functions.keys() == private
    assert with_public.deployed({"ION_WEBHOOK_URL"}).functions.keys() == private
    assert with_public.deployed({"ION_ECHO_SECRET"}).functions.keys() == private | {"echo"}
    assert with_public.deployed({"ION_ECHO_SECRET"}, {"echo", "notify"}).functions.keys() == private - {"notify"}


@pytest.mark.parametrize("access", Access)
def test_no_grant_is_given_twice_and_none_to_everybody(manifest: Manifest, access: Access) -> None:
    """The list of grants is a set, and without a vendor's secret only a public dashboard is public."""
    given = grants(manifest.deployed(), access, ["user:ana@example.com"])
    assert len(set(given)) == len(given)
    everybody = [one for one in given if one.account.startswith("all")]
    public = [Grant("allUsers", Role.INVOKER, "function dashboard")]
    assert everybody == (public if access is Access.PUBLIC else [])


def test_named_people_open_the_dashboard_as_its_access_says(manifest: Manifest) -> None:
    """IAP lets them in and calls for them; else they find and call the function; a public one asks nobody's name."""
    ana = "user:ana@example.com"
    by_access = {access: openers(manifest.dashboard(), access, [ana]) for access in Access}
    assert by_access == {
        Access.IAP: (
            Grant("IAP service agent", Role.INVOKER, "service dashboard-iap"),
            Grant(ana, Role.IAP_USER, "service dashboard-iap"),
        ),
        Access.PROXY: (
            Grant(ana, Role.INVOKER, "function dashboard"),
            Grant(ana, Role.SERVICE_VIEWER, "function dashboard"),
        ),
        Access.PUBLIC: (Grant("allUsers", Role.INVOKER, "function dashboard"),),
    }


def test_a_role_on_the_project_is_granted_as_it_stands(document: dict[str, Any]) -> None:
    """``project_roles`` is what a function may do beyond the database, its topics and its secrets."""
    document["functions"]["notify"]["project_roles"] = ["roles/monitoring.viewer"]
    assert Grant("notify", Role.MONITORING_VIEWER, "project") in grants(from_plain(document))


def test_the_page_about_access_is_what_the_manifest_gives(manifest: Manifest) -> None:
    """docs/iam.md and the README's table are derived, and up to date."""
    assert (ROOT / "docs" / "iam.md").read_text("utf-8") == iam_markdown(manifest)
    assert f"\n\n{roles_markdown(manifest)}\n" in (ROOT / "README.md").read_text("utf-8")


def _ingest(document: dict[str, Any]) -> dict[str, Any]:
    function: dict[str, Any] = document["functions"]["ingest"]
    return function


def _second_writer(document: dict[str, Any]) -> None:
    document["functions"]["dashboard"]["writes"].append("rollups")


def _no_writer(document: dict[str, Any]) -> None:
    document["collections"]["orphans"] = "Nobody's."


def _unread_dead_letters(document: dict[str, Any]) -> None:
    del document["pull_subscriptions"]["metrics-dead-letter-pull"]


def _unknown_topic(document: dict[str, Any]) -> None:
    _ingest(document)["trigger"]["topic"] = "metrixs"


def _unknown_field(document: dict[str, Any]) -> None:
    _ingest(document)["memory"] = 512


def _missing_field(document: dict[str, Any]) -> None:
    del _ingest(document)["timeout_seconds"]


def _unknown_collection(document: dict[str, Any]) -> None:
    _ingest(document)["reads"] = ["bucket"]


def _too_few_attempts(document: dict[str, Any]) -> None:
    _ingest(document)["trigger"]["max_attempts"] = 4


def _unknown_trigger(document: dict[str, Any]) -> None:
    _ingest(document)["trigger"] = {"type": "queue"}


def _one_name_twice(document: dict[str, Any]) -> None:
    document["functions"]["notify"]["trigger"]["subscription"] = "metrics-ingest"


def _secret_in_the_open(document: dict[str, Any]) -> None:
    document["functions"]["notify"]["environment"].append("ION_WEBHOOK_URL")


def _half_a_cpu(document: dict[str, Any]) -> None:
    _ingest(document)["cpu"] = 0.5


def _own_dead_letters(document: dict[str, Any]) -> None:
    document["pull_subscriptions"]["metrics-pull"] = "metrics"
    _ingest(document)["trigger"]["dead_letter_topic"] = "metrics"


def _long_name(document: dict[str, Any]) -> None:
    document["functions"]["averyverylongfunctionname"] = document["functions"].pop("dashboard")


def _retry_upside_down(document: dict[str, Any]) -> None:
    _ingest(document)["trigger"]["retry_maximum_seconds"] = 5


def _shared_group(document: dict[str, Any]) -> None:
    document["collection_groups"]["buckets"] = "late"


def _more_always_than_ever(document: dict[str, Any]) -> None:
    _ingest(document)["min_instances"] = 11


def _two_dashboards(document: dict[str, Any]) -> None:
    document["functions"]["other"] = {**document["functions"]["dashboard"], "writes": []}


def _owner(document: dict[str, Any]) -> None:
    _ingest(document)["project_roles"] = ["roles/owner"]


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (_two_dashboards, "functions: people open dashboard and other; expected one http function that is not public"),
        (_owner, "functions.ingest.project_roles[0]: expected a predefined role of one service"),
        (_second_writer, "collections.rollups: written by evaluate and dashboard; expected exactly one function"),
        (_no_writer, "collections.orphans: written by no function; expected exactly one function"),
        (_unread_dead_letters, "functions.ingest.trigger.dead_letter_topic: no pull subscription reads"),
        (_unknown_topic, 'functions.ingest.trigger.topic: unknown topic "metrixs"; did you mean "metrics"?'),
        (_unknown_field, "functions.ingest.memory: unknown key"),
        (_missing_field, "functions.ingest.timeout_seconds: missing"),
        (_unknown_collection, 'functions.ingest.reads[0]: unknown collection "bucket"; did you mean "buckets"?'),
        (_too_few_attempts, "functions.ingest.trigger.max_attempts: expected a whole number from 5 to 100, got 4"),
        (_unknown_trigger, "functions.ingest.trigger.type: expected one of push, schedule, http"),
        (_one_name_twice, "subscriptions: 2 are called metrics-ingest; expected one"),
        (_secret_in_the_open, "functions.notify.secrets: ION_WEBHOOK_URL is also in environment"),
        (_half_a_cpu, "functions.ingest.cpu: expected at least 1 for a concurrency above 1"),
        (_own_dead_letters, "functions.ingest.trigger.dead_letter_topic: expected another topic than metrics"),
        (_long_name, "functions.averyverylongfunctionname: expected a function's name"),
        (_retry_upside_down, "functions.ingest.trigger.retry_minimum_seconds: expected at most"),
        (_shared_group, "collection_groups: late is the group of 2 collections; expected one"),
        (_more_always_than_ever, "functions.ingest.min_instances: expected at most max_instances"),
    ],
)
def test_a_manifest_that_cannot_work_is_refused_by_path(
    document: dict[str, Any], damage: Callable[[dict[str, Any]], None], problem: str
) -> None:
    """Every misfit is reported with its path and what was expected, before anything is deployed."""
    damage(document)
    with pytest.raises(ConfigError) as caught:
        from_plain(document)
    assert any(line.startswith(problem) for line in caught.value.detail.splitlines()), caught.value.detail


def test_all_problems_are_reported_at_once(document: dict[str, Any]) -> None:
    """Two mistakes in two functions give two lines."""
    _too_few_attempts(document)
    document["functions"]["dashboard"]["public"] = "no"
    with pytest.raises(ConfigError) as caught:
        from_plain(document)
    assert len(caught.value.detail.splitlines()) == 2


@pytest.mark.parametrize("text", ["{", None], ids=["not JSON", "no file"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, text: str | None) -> None:
    """The error says which file is meant."""
    path = tmp_path / "broken.json"
    if text is not None:
        path.write_text(text, "utf-8")
    with pytest.raises(ConfigError, match=r"broken\.json: cannot be read as JSON"):
        load_manifest(path)
