"""The Terraform configuration: planned, applied, planned again and destroyed, and compared with the manifest.

What is deployed is the project's manifest and one public function more, so that what a new function gets by itself,
and a public one, is seen too.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from shared.config import Access, load_config
from shared.errors import TransientError
from shared.grants import IAP_AGENT, PUBSUB_AGENT, Grant, Role, grants
from shared.manifest import MANIFEST_PATH, HttpTrigger, Manifest, PushTrigger, ScheduleTrigger, load_manifest
from tests.fakes import RecordingEnvironment
from tests.terraform import Deployment, Variant, Workspace, deployed, missing, of_kind, resources

ROOT = Path(__file__).parents[2]
PROJECT = "ion-terraform-test"
PREFIX = "ion-"
PUBLIC = "echo"
PUBLIC_SECRET = "ION_ECHO_SECRET"
SECRETS = frozenset(name for one in load_manifest().functions.values() for name in one.secrets) | {PUBLIC_SECRET}
HUSH = "not-for-any-state"
ANA, TEAM = "user:ana@example.com", "group:team@example.com"
ALWAYS = frozenset({"ingest", "evaluate", "notify", "dashboard"})
"""The functions that cannot be left out."""
OPTIONAL = frozenset(load_manifest().functions) - ALWAYS
IN_PROJECT = f"-var=project={PROJECT}"
VARIANTS = {
    "default": Variant((IN_PROJECT,), "prod", is_protected=True),
    "minimal": Variant(
        (
            IN_PROJECT,
            "-var-file=environments/dev.tfvars",
            f"-var=disabled_functions={json.dumps(sorted(OPTIONAL))}",
            "-var=dashboard_access=public",
        ),
        "dev",
        without=OPTIONAL,
        access=Access.PUBLIC,
    ),
    "prod": Variant(
        (
            IN_PROJECT,
            "-var-file=environments/prod.tfvars",
            "-var=protect_data=false",
            "-var=secret_versions={ION_WEBHOOK_URL=3}",
            f'-var=viewers=["{TEAM}"]',
            "-var=dashboard_access=proxy",
        ),
        "prod",
        secrets=frozenset({"ION_WEBHOOK_URL"}),
        people=(TEAM,),
    ),
    "everything": Variant(
        (
            IN_PROJECT,
            "-var-file=environments/prod.tfvars",
            "-var=protect_data=false",
            f"-var=secret_revisions={json.dumps(dict.fromkeys(sorted(SECRETS), 1))}",
            f"-var=secret_values={json.dumps(dict.fromkeys(sorted(SECRETS), HUSH))}",
            f'-var=viewers=["{TEAM}"]',
            f'-var=operators=["{ANA}"]',
            '-var=alert_emails=["oncall@example.com"]',
            '-var=budget={billing_account="012345-6789AB-CDEF01", monthly_usd=50}',
            "-var=sizing={dashboard={min_instances=1, memory_mib=1024}, ingest={cpu=2, concurrency=16}}",
            '-var=labels={team="ops"}',
        ),
        "prod",
        secrets=SECRETS,
        access=Access.IAP,
        people=(TEAM, ANA),
    ),
}


def _with_public_function() -> dict[str, Any]:
    """The project's manifest, and a public function, which is a copy of the dashboard."""
    document: dict[str, Any] = json.loads(MANIFEST_PATH.read_text("utf-8"))
    changes = {"public": True, "secrets": [PUBLIC_SECRET], "writes": [], "deletes": []}
    document["functions"][PUBLIC] = {**document["functions"]["dashboard"], **changes}
    return document


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The configuration, the manifest and freshly built archives in a folder of their own, initialized."""
    reason = missing()
    if reason is not None:
        pytest.skip(f"Terraform cannot run here: {reason}")
    copy = tmp_path_factory.mktemp("deploy")
    left_out = shutil.ignore_patterns(".terraform*", "*.tfstate*", "backend.tf")
    shutil.copytree(ROOT / "terraform", copy / "terraform", ignore=left_out)
    (copy / "functions").mkdir()
    (copy / "functions" / "manifest.json").write_text(json.dumps(_with_public_function()), "utf-8")
    subprocess.run([sys.executable, "-m", "shared.bundle", "--out", str(copy / "build")], cwd=ROOT, check=True)
    shutil.copy(copy / "build" / "dashboard.zip", copy / "build" / f"{PUBLIC}.zip")
    made = Workspace(copy / "terraform")
    done = made.run("init", "-input=false")
    if "Failed to query available provider packages" in done.stderr:
        pytest.skip("Terraform cannot run here: TF_CLI_CONFIG_FILE names no source of the Google providers")
    assert done.returncode == 0, done.stderr
    return made


@pytest.fixture(scope="module")
def manifest(workspace: Workspace) -> Manifest:
    """The manifest that is deployed."""
    return load_manifest(workspace.folder.parent / "functions" / "manifest.json")


@pytest.fixture(scope="module", params=VARIANTS)
def deployment(request: pytest.FixtureRequest, workspace: Workspace, manifest: Manifest) -> Iterator[Deployment]:
    """One variant after the other, applied, and destroyed in the end."""
    with deployed(workspace, VARIANTS[request.param], manifest) as found:
        yield found


def test_the_configuration_is_formatted_and_valid(workspace: Workspace) -> None:
    """``fmt`` would change nothing, and ``validate`` has neither errors nor warnings."""
    assert workspace.succeed("fmt", "-check", "-recursive") == ""
    assert json.loads(workspace.succeed("validate", "-json"))["diagnostics"] == []


def test_applying_settles(deployment: Deployment) -> None:
    """A second plan right after apply has nothing to change."""
    assert deployment.second_plan == 0


def test_only_a_public_function_and_a_public_dashboard_are_public(deployment: Deployment) -> None:
    """Everybody may call the public functions that are deployed and a dashboard that was asked to be public."""
    everybody = ("allUsers", "allAuthenticatedUsers")
    public = {
        _resource(one["type"], one["values"]) for one in deployment.grants() if one["values"]["member"] in everybody
    }
    expected = {f"function {one.name}" for one in deployment.manifest.functions.values() if one.public}
    if deployment.variant.access is Access.PUBLIC:
        expected |= {"function dashboard"}
    assert public == expected
    assert (PUBLIC in deployment.manifest.functions) == (PUBLIC_SECRET in deployment.variant.secrets)


def test_no_role_is_primitive_and_none_takes_others_away(deployment: Deployment) -> None:
    """No grant is of owner, editor or viewer, and each adds one member instead of replacing a policy."""
    given = deployment.grants()
    assert given
    assert not [one for one in given if one["values"]["role"] in ("roles/owner", "roles/editor", "roles/viewer")]
    assert not [one["type"] for one in given if not one["type"].endswith("_iam_member")]


def test_each_function_runs_as_an_account_of_its_own(deployment: Deployment) -> None:
    """As many service accounts as functions run them, each named after its function."""
    functions = deployment.planned("google_cloudfunctions2_function").values()
    accounts = {one["name"]: one["service_config"][0]["service_account_email"] for one in functions}
    expected = {f"{PREFIX}{name}" for name in deployment.manifest.functions}
    assert accounts == {name: f"{name}@{PROJECT}.iam.gserviceaccount.com" for name in expected}


_AGENTS = {"gcp-sa-pubsub.iam.gserviceaccount.com": PUBSUB_AGENT, "gcp-sa-iap.iam.gserviceaccount.com": IAP_AGENT}


def _account(member: str) -> str:
    """A member as the manifest's grants call it."""
    name, _, domain = member.removeprefix("serviceAccount:").partition("@")
    if domain == f"{PROJECT}.iam.gserviceaccount.com":
        return name.removeprefix(PREFIX)
    return _AGENTS.get(domain, member)


def _resource(kind: str, values: Mapping[str, Any]) -> str:
    """What a grant is on, as the manifest's grants call it."""
    match kind:
        case "google_project_iam_member":
            wanted = f'resource.name == "projects/{PROJECT}/databases/ion-monitoring"'
            return "database" if [one["expression"] for one in values["condition"]] == [wanted] else "project"
        case "google_pubsub_topic_iam_member":
            return f"topic {_short(values['topic'])}"
        case "google_pubsub_subscription_iam_member":
            return f"subscription {_short(values['subscription'])}"
        case "google_secret_manager_secret_iam_member":
            return f"secret ION_{_short(values['secret_id']).upper().replace('-', '_')}"
        case "google_cloud_run_v2_service_iam_member":
            return _service(_short(values["name"]))
        case "google_iap_web_cloud_run_service_iam_member":
            return _service(_short(values["cloud_run_service_name"]))
        case "google_artifact_registry_repository_iam_member":
            return f"repository {_short(values['repository'])}"
        case "google_service_account_iam_member":
            return f"service account {_short(values['service_account_id']).partition('@')[0]}"
    raise AssertionError(f"a grant of a type that this test does not know: {kind}")


def _service(name: str) -> str:
    return f"service {name}" if name.endswith("-iap") else f"function {name}"


def _short(name: str) -> str:
    return name.rpartition("/")[2].removeprefix(PREFIX)


def test_terraform_grants_what_the_manifest_says_and_nothing_else(deployment: Deployment) -> None:
    """The grants in the applied state are exactly those that are derived from the manifest."""
    found = [
        Grant(_account(one["values"]["member"]), Role(one["values"]["role"]), _resource(one["type"], one["values"]))
        for one in deployment.grants()
    ]
    expected = grants(deployment.manifest, deployment.variant.access, deployment.variant.people)
    assert sorted(found) == sorted(expected)


def test_every_push_subscription_keeps_its_contract(deployment: Deployment) -> None:
    """Each has a token for the function's own address, retry, a dead letter, 7 days of retention and no expiry."""
    found = {one["name"].removeprefix(PREFIX): one for one in deployment.applied("google_pubsub_subscription").values()}
    uris = deployment.output("function_uris")
    functions = deployment.manifest.functions.values()
    pushes = [one.trigger.subscription for one in functions if isinstance(one.trigger, PushTrigger)]
    assert {name for name, one in found.items() if one["push_config"]} == {one.name for one in pushes}
    for wanted in pushes:
        one, (push,) = found[wanted.name], found[wanted.name]["push_config"]
        assert _short(one["topic"]) == wanted.topic
        assert one["ack_deadline_seconds"] == wanted.ack_deadline_seconds
        assert one["message_retention_duration"] == "604800s"
        assert one["expiration_policy"] == [{"ttl": ""}]
        assert one["retry_policy"] == [
            {
                "minimum_backoff": f"{wanted.retry.minimum_seconds:g}s",
                "maximum_backoff": f"{wanted.retry.maximum_seconds:g}s",
            }
        ]
        (dead_letter,) = one["dead_letter_policy"]
        assert _short(dead_letter["dead_letter_topic"]) == wanted.dead_letter_topic
        assert dead_letter["max_delivery_attempts"] == wanted.max_attempts
        assert push["push_endpoint"] == uris[wanted.push]
        (token,) = push["oidc_token"]
        assert token["audience"] == uris[wanted.push]
        assert token["service_account_email"] == f"ion-push@{PROJECT}.iam.gserviceaccount.com"


def test_every_dead_letter_topic_is_kept_by_a_pull_subscription(deployment: Deployment) -> None:
    """What is dead-lettered waits 7 days for somebody, in a subscription that never expires."""
    subscriptions = deployment.applied("google_pubsub_subscription").values()
    pulls = {_short(one["topic"]): one for one in subscriptions if not one["push_config"]}
    assert pulls.keys() == {
        one.dead_letter_topic for one in deployment.manifest.subscriptions() if one.dead_letter_topic
    }
    assert all(one["expiration_policy"] == [{"ttl": ""}] for one in pulls.values())
    assert all(one["message_retention_duration"] == "604800s" for one in pulls.values())


def test_pubsub_itself_may_forward_every_dead_letter(deployment: Deployment) -> None:
    """Its agent publishes to each dead-letter topic and acknowledges on each subscription that has one."""
    agents = [one for one in deployment.grants() if _account(one["values"]["member"]) == PUBSUB_AGENT]
    may = {(_resource(one["type"], one["values"]), one["values"]["role"]) for one in agents}
    for one in deployment.manifest.subscriptions():
        if one.dead_letter_topic:
            assert (f"topic {one.dead_letter_topic}", "roles/pubsub.publisher") in may
            assert (f"subscription {one.name}", "roles/pubsub.subscriber") in may


def test_topics_are_the_manifests(deployment: Deployment) -> None:
    """Every topic of the manifest, with the prefix, and no other."""
    names = {one["name"] for one in deployment.planned("google_pubsub_topic").values()}
    assert names == {f"{PREFIX}{topic}" for topic in deployment.manifest.topics}
    assert deployment.output("topics").keys() == set(deployment.manifest.topics)


def test_the_schedule_calls_with_a_token(deployment: Deployment) -> None:
    """Each scheduled function has a job in UTC that calls it in the name of the schedule's account, and again."""
    jobs = {one["name"].removeprefix(PREFIX): one for one in deployment.applied("google_cloud_scheduler_job").values()}
    functions = deployment.manifest.functions
    scheduled = {name: one.trigger for name, one in functions.items() if isinstance(one.trigger, ScheduleTrigger)}
    assert jobs.keys() == scheduled.keys()
    for name, trigger in scheduled.items():
        assert (jobs[name]["schedule"], jobs[name]["time_zone"]) == (trigger.schedule, "Etc/UTC")
        assert jobs[name]["attempt_deadline"] == f"{trigger.attempt_deadline_seconds}s"
        assert trigger.attempt_deadline_seconds <= functions[name].sizing.timeout_seconds
        assert jobs[name]["retry_config"][0]["retry_count"] >= 1
        (token,) = jobs[name]["http_target"][0]["oidc_token"]
        assert token["service_account_email"] == f"ion-schedule@{PROJECT}.iam.gserviceaccount.com"
        assert token["audience"] == deployment.output("function_uris")[name]


def _function(deployment: Deployment, name: str) -> Mapping[str, Any]:
    return deployment.applied("google_cloudfunctions2_function")[
        f'module.function["{name}"].google_cloudfunctions2_function.this'
    ]


def test_functions_get_the_manifests_environment_and_secrets(deployment: Deployment) -> None:
    """Variables come from the manifest, one for one; so do secrets, those that are set, at a fixed version."""
    for name, wanted in deployment.manifest.functions.items():
        (service,) = _function(deployment, name)["service_config"]
        assert set(service["environment_variables"]) == {*wanted.environment, "THREADS"}
        versions = {secret["key"]: secret["version"] for secret in service["secret_environment_variables"]}
        assert versions.keys() == set(wanted.secrets) & deployment.variant.secrets
        assert all(version.isdecimal() for version in versions.values())


def test_every_secret_has_a_place_before_its_function_is_there(deployment: Deployment) -> None:
    """Also the secrets without which a public function is not deployed: somebody has to put them somewhere first."""
    places = {one["secret_id"] for one in deployment.applied("google_secret_manager_secret").values()}
    found = {f"ION_{one.removeprefix(PREFIX).upper().replace('-', '_')}" for one in places}
    assert found >= SECRETS - {secret for name in deployment.variant.without for secret in _secrets_of(name)}


def _secrets_of(name: str) -> tuple[str, ...]:
    return load_manifest().functions[name].secrets


def test_builds_begin_when_they_may(deployment: Deployment) -> None:
    """Functions are made after a wait of two minutes that begins when the account that builds has its roles."""
    configuration = deployment.plan["configuration"]["root_module"]
    waits = next(one for one in configuration["resources"] if one["address"] == "time_sleep.build_may")
    assert configuration["module_calls"]["function"]["depends_on"] == [waits["address"]]
    granted = {
        one["address"] for one in configuration["resources"] if "_iam_" in one["type"] and one["name"] == "build"
    }
    assert set(waits["depends_on"]) == granted
    (wait,) = deployment.planned("time_sleep").values()
    assert wait["create_duration"] == "120s"


def test_what_functions_are_given_is_what_is_read(deployment: Deployment) -> None:
    """Together, all functions with all secrets are given the variables that the configuration reads and no other."""
    environ = RecordingEnvironment({"ION_PROJECT": PROJECT})
    load_config(environ)
    given: set[str] = set()
    for name, wanted in deployment.manifest.functions.items():
        (service,) = _function(deployment, name)["service_config"]
        given |= {*service["environment_variables"], *wanted.secrets}
    left_out = {"FIRESTORE_EMULATOR_HOST", "MONITORING_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST"}
    for name in load_manifest().functions.keys() - deployment.manifest.functions.keys():
        left_out |= {*load_manifest().functions[name].environment, *load_manifest().functions[name].secrets}
    assert given - {"THREADS", PUBLIC_SECRET} <= environ.asked
    assert environ.asked - given <= left_out


def test_functions_have_the_manifests_sizes_but_where_others_are_asked_for(deployment: Deployment) -> None:
    """CPU, memory, concurrency and instances are the manifest's, or the variable's; threads are as many as requests."""
    everything = deployment.variant is VARIANTS["everything"]
    for name, wanted in deployment.manifest.functions.items():
        one = _function(deployment, name)
        (service,), (build,) = one["service_config"], one["build_config"]
        cpu, memory, concurrency = wanted.sizing.cpu, wanted.sizing.memory_mib, wanted.sizing.concurrency
        if everything:
            cpu, concurrency = (2, 16) if name == "ingest" else (cpu, concurrency)
            memory = 1024 if name == "dashboard" else memory
        assert service["available_cpu"] == f"{cpu:g}"
        assert service["available_memory"] == f"{memory}Mi"
        assert service["max_instance_request_concurrency"] == concurrency
        assert service["environment_variables"]["THREADS"] == str(concurrency)
        assert service["min_instance_count"] == wanted.sizing.min_instances
        assert build["entry_point"] == name
        signature = "cloudevent" if isinstance(wanted.trigger, PushTrigger) else "http"
        assert build["environment_variables"] == {"GOOGLE_FUNCTION_SIGNATURE_TYPE": signature}


def test_only_what_people_and_vendors_open_is_reachable(deployment: Deployment) -> None:
    """The network lets nobody outside Google Cloud reach a function that Pub/Sub, the schedule or IAP stands before."""
    for name, wanted in deployment.manifest.functions.items():
        (service,) = _function(deployment, name)["service_config"]
        behind_iap = name == "dashboard" and deployment.variant.access is Access.IAP
        reachable = isinstance(wanted.trigger, HttpTrigger) and not behind_iap
        assert service["ingress_settings"] == ("ALLOW_ALL" if reachable else "ALLOW_INTERNAL_ONLY")


def test_functions_run_on_the_python_that_is_tested(deployment: Deployment) -> None:
    """The runtime is the oldest Python that the project supports, for which types and code are checked, too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    runtimes = {_function(deployment, name)["build_config"][0]["runtime"] for name in deployment.manifest.functions}
    version = project["project"]["requires-python"].removeprefix(">=")
    assert runtimes == {f"python{version.replace('.', '')}"}
    assert project["tool"]["mypy"]["python_version"] == version
    assert project["tool"]["ruff"]["target-version"] == f"py{version.replace('.', '')}"


def test_an_archives_object_is_named_by_its_content(deployment: Deployment, workspace: Workspace) -> None:
    """A changed archive has another name, so its function is built again; an equal one is left alone."""
    names = {one["name"] for one in deployment.planned("google_storage_bucket_object").values()}
    build = workspace.folder.parent / "build"
    functions = deployment.manifest.functions
    digests = {name: hashlib.sha256((build / f"{name}.zip").read_bytes()).hexdigest() for name in functions}
    assert names == {f"{name}-{digest[:16]}.zip" for name, digest in digests.items()}


def test_documents_expire_and_no_field_is_indexed(deployment: Deployment) -> None:
    """Each collection group drops all its indexes, and those that expire do so by ``expires_at``."""
    manifest = deployment.manifest
    fields = deployment.planned("google_firestore_field").values()
    assert all(one["index_config"] == [{"indexes": []}] for one in fields)
    bare = {one["collection"] for one in fields if one["field"] == "*"}
    assert bare == set(manifest.collection_groups.values())
    expiring = {one["collection"] for one in fields if one["ttl_config"]}
    assert expiring == {manifest.collection_groups[name] for name in manifest.expiring}
    assert {one["field"] for one in fields if one["ttl_config"]} == {"expires_at"}
    assert "writers" in bare & expiring


def test_everything_that_can_be_labelled_is(deployment: Deployment) -> None:
    """Functions, topics, subscriptions, secrets, alerts and the bucket carry application and environment."""
    planned = resources(deployment.plan["planned_values"]["root_module"])
    values = [one["values"] for one in planned]
    labelled = [one["effective_labels"] for one in values if "effective_labels" in one]
    labelled += [one["user_labels"] for one in values if "user_labels" in one]
    assert len(labelled) >= 14
    assert all(one["application"] == "ion-monitoring" for one in labelled)
    assert all(one["environment"] == deployment.variant.environment for one in labelled)
    assert all(("team" in one) == (deployment.variant is VARIANTS["everything"]) for one in labelled)


def test_production_protects_its_data(deployment: Deployment) -> None:
    """The database refuses deletion unless it is told otherwise; production's can be read as it was, too."""
    (database,) = deployment.planned("google_firestore_database").values()
    is_protected = deployment.variant.is_protected
    assert database["delete_protection_state"] == f"DELETE_PROTECTION_{'ENABLED' if is_protected else 'DISABLED'}"
    assert database["deletion_policy"] == ("PREVENT" if is_protected else "DELETE")
    if is_protected:
        assert deployment.destroying is not None
        ended, left = deployment.destroying
        assert ended == 1
        assert of_kind(left, "google_firestore_database")
    recovers = "-var-file=environments/prod.tfvars" in deployment.variant.arguments
    assert database["point_in_time_recovery_enablement"].endswith("_ENABLED" if recovers else "_DISABLED")
    backups = [one["retention"] for one in deployment.planned("google_firestore_backup_schedule").values()]
    assert backups == (["604800s"] if recovers else [])


def test_no_secret_is_in_a_plan_or_a_state(deployment: Deployment, workspace: Workspace) -> None:
    """What secrets hold goes to Secret Manager past everything that Terraform writes down."""
    written = json.dumps([deployment.plan, deployment.state])
    assert HUSH not in written
    assert HUSH not in (workspace.folder / "terraform.tfstate").read_text("utf-8")
    versions = deployment.applied("google_secret_manager_secret_version")
    assert len(versions) == (len(SECRETS) if deployment.variant is VARIANTS["everything"] else 0)


def test_iap_stands_before_the_dashboards_image(deployment: Deployment) -> None:
    """With IAP a service runs what the function's build made, with its account and environment; else none does."""
    services = list(deployment.applied("google_cloud_run_v2_service").values())
    if deployment.variant.access is not Access.IAP:
        assert services == []
        return
    (service,) = services
    assert service["iap_enabled"] is True
    (template,) = service["template"]
    (container,) = template["containers"]
    function = _function(deployment, "dashboard")
    (config,) = function["service_config"]
    assert template["service_account"] == config["service_account_email"]
    assert template["scaling"][0]["min_instance_count"] == 1
    assert container["resources"][0]["limits"] == {"cpu": "1", "memory": "1024Mi"}
    variables = {one["name"]: one["value"] for one in container["env"] if not one["value_source"]}
    assert variables == {
        **config["environment_variables"],
        "FUNCTION_SIGNATURE_TYPE": "http",
        "FUNCTION_TARGET": "dashboard",
    }
    assert function["build_config"][0]["on_deploy_update_policy"]


def test_outputs_say_how_to_go_on(deployment: Deployment) -> None:
    """The address of the dashboard or the command that opens it, and a command that publishes a point."""
    url, command = deployment.output("dashboard_url"), deployment.output("dashboard_command")
    match deployment.variant.access:
        case Access.PROXY:
            assert url == "http://127.0.0.1:8080"
            assert command.startswith(f"gcloud run services proxy ion-dashboard --project {PROJECT} ")
        case Access.IAP:
            assert re.fullmatch(r"https://ion-dashboard-iap-\d+\.us-central1\.run\.app", url)
        case Access.PUBLIC:
            assert re.fullmatch(r"https://ion-dashboard-\d+\.us-central1\.run\.app", url)
    assert (command is None) == (deployment.variant.access is not Access.PROXY)
    assert deployment.output("publish_command").startswith("gcloud pubsub topics publish ion-metrics ")


def test_the_monitoring_is_watched(deployment: Deployment) -> None:
    """Alerts on dead letters, messages not taken, errors, and the silence of what is called by the minute."""
    watched = "-var-file=environments/dev.tfvars" not in deployment.variant.arguments
    policies = list(deployment.applied("google_monitoring_alert_policy").values())
    filters = Counter(_filter(one["conditions"][0]) for one in policies)
    triggers = {name: one.trigger for name, one in deployment.manifest.functions.items()}
    by_minute = [
        name for name, one in triggers.items() if isinstance(one, ScheduleTrigger) and one.schedule == "* * * * *"
    ]
    if not watched:
        assert policies == []
        return
    assert len(policies) == 3 + len(by_minute)
    assert "evaluate" in by_minute
    for name in by_minute:
        assert sum(f'service_name = "{PREFIX}{name}"' in text and "2xx" in text for text in filters) == 1
    dead = next(text for text in filters if "num_undelivered_messages" in text)
    unacknowledged = next(text for text in filters if "oldest_unacked_message_age" in text)
    for one in deployment.manifest.subscriptions():
        assert f'"{PREFIX}{one.name}"' in (unacknowledged if one.push else dead)
    errors = next(text for text in filters if "severity >= ERROR" in text)
    assert all(f'"{PREFIX}{name}"' in errors for name in triggers)
    assert 'run.googleapis.com%2Frequests"' in errors.partition("logName != ")[2]
    assert errors.endswith(f'NOT textPayload : "{TransientError.__module__.removeprefix("shared.")}.TransientError"')
    mailed = deployment.variant is VARIANTS["everything"]
    assert all(len(one["notification_channels"] or ()) == (1 if mailed else 0) for one in policies)
    assert len(deployment.applied("google_billing_budget")) == (1 if mailed else 0)


def _filter(condition: Mapping[str, Any]) -> str:
    kinds = ("condition_threshold", "condition_absent", "condition_matched_log")
    (found,) = (one["filter"] for kind in kinds for one in condition[kind] or ())
    return str(found)


def test_terraforms_own_tests_pass(workspace: Workspace) -> None:
    """Its test files run on mocked providers, and none of them is empty."""
    said = workspace.succeed("test")
    runs = sum(text.count('run "') for text in map(Path.read_text, (ROOT / "terraform" / "tests").iterdir()))
    assert runs >= 8
    assert f"Success! {runs} passed, 0 failed." in said


@pytest.mark.parametrize("verb", ["plan", "apply", "destroy"])
def test_make_deploys_an_environment(verb: str) -> None:
    """``make plan``, ``apply`` and ``destroy`` take the environment's values, and a state of its own in a bucket."""
    given = ["PROJECT=my-project", "ENV=dev", "STATE=my-state", "ARGS=-var region=europe-west1"]
    done = subprocess.run(["make", "-n", verb, *given], cwd=ROOT, capture_output=True, text=True, check=True)
    wanted = "-var-file=environments/dev.tfvars -var project=my-project -var region=europe-west1"
    assert f"terraform -chdir=terraform {verb} {wanted}" in done.stdout
    assert "workspace select -or-create dev" in done.stdout
    assert re.search(r'backend "gcs".*\n.*"my-state" > terraform/backend.tf', done.stdout)
    assert "-m shared.bundle" in done.stdout


WRONG = (
    {
        "alert_emails": '["oncall"]',
        "backup_days": "99",
        "budget": '{billing_account="mine", monthly_usd=10}',
        "dashboard_access": "open",
        "dashboard_url": "http://ion.example",
        "database": "x",
        "disabled_functions": '["ingest"]',
        "environment": "test",
        "labels": '{Team="x"}',
        "prefix": "ion",
        "project": "Ion",
        "region": "europe",
        "secret_versions": "{ION_WEBHOOK_URL=0}",
        "sizing": "{digest={}}",
        "viewers": '["allUsers"]',
    },
    {
        "budget": '{billing_account="012345-6789AB-CDEF01", monthly_usd=0.5}',
        "disabled_functions": '["digest"]',
        "operators": '["group:team@example.com"]',
        "secret_revisions": "{ION_WEBHOOK_URL=1}",
        "secret_versions": "{ION_WEBHOOK_URL=1}",
        "sizing": "{ingest={cpu=3}, evaluate={memory_mib=100}, notify={concurrency=0}, dashboard={min_instances=4}}",
    },
    {
        "dashboard_access": "proxy",
        "operators": '["user:ana@example.com"]',
        "secret_revisions": "{ION_NO_SUCH=1}",
        "sizing": "{ingest={cpu=0.5}}",
    },
)
"""Values that are refused, in runs of their own where one variable is wrong in several ways, or by another's value."""


def test_values_of_another_form_are_refused(workspace: Workspace) -> None:
    """Terraform stops at a plan with the message of every rule that a variable has."""
    said = ""
    for values in WRONG:
        given = {"project": PROJECT, **values}
        done = workspace.run("plan", "-input=false", *(f"-var={name}={value}" for name, value in given.items()))
        assert done.returncode == 1
        said += " ".join(done.stderr.replace("│", " ").split())
    rules = re.findall(r'error_message = "(.*)"', (ROOT / "terraform" / "variables.tf").read_text("utf-8"))
    assert len(rules) >= 20
    assert [one for one in rules if one not in said] == []
    assert {one.partition(":")[0] for one in rules} == {name for values in WRONG for name in values}
