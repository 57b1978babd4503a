"""The Terraform configuration: planned, applied, planned again and destroyed, and compared with the manifest."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from shared.grants import PUBSUB_AGENT, Grant, Role, grants
from shared.manifest import Manifest, PushTrigger, ScheduleTrigger, load_manifest
from tests.terraform import Deployment, Workspace, missing, of_kind, resources

ROOT = Path(__file__).parents[2]
PROJECT = "ion-terraform-test"
PREFIX = "ion-"
VARIABLES = (f"-var=project={PROJECT}", "-var-file=environments/dev.tfvars", "-var=secret_versions={ION_WEBHOOK_URL=1}")


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    """The project's own manifest."""
    return load_manifest()


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The configuration, the manifest and freshly built archives in a folder of their own, initialized."""
    reason = missing()
    if reason is not None:
        pytest.skip(f"Terraform cannot run here: {reason}")
    copy = tmp_path_factory.mktemp("deploy")
    shutil.copytree(ROOT / "terraform", copy / "terraform", ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"))
    (copy / "functions").mkdir()
    shutil.copy(ROOT / "functions" / "manifest.json", copy / "functions")
    subprocess.run([sys.executable, "-m", "shared.bundle", "--out", str(copy / "build")], cwd=ROOT, check=True)
    made = Workspace(copy / "terraform")
    done = made.run("init", "-input=false")
    if "Failed to query available provider packages" in done.stderr:
        pytest.skip("Terraform cannot run here: TF_CLI_CONFIG_FILE names no source of the Google providers")
    assert done.returncode == 0, done.stderr
    return made


@pytest.fixture(scope="module")
def deployment(workspace: Workspace) -> Iterator[Deployment]:
    """A development environment, applied, and destroyed in the end."""
    workspace.succeed("plan", "-input=false", "-out=plan", *VARIABLES)
    plan = json.loads(workspace.succeed("show", "-json", "plan"))
    workspace.succeed("apply", "-input=false", "plan")
    second = workspace.run("plan", "-input=false", "-detailed-exitcode", *VARIABLES)
    yield Deployment(plan, json.loads(workspace.succeed("show", "-json")), second.returncode)
    workspace.succeed("destroy", "-input=false", "-auto-approve", *VARIABLES)


def test_the_configuration_is_formatted_and_valid(workspace: Workspace) -> None:
    """``fmt`` would change nothing, and ``validate`` has neither errors nor warnings."""
    assert workspace.succeed("fmt", "-check", "-recursive") == ""
    assert json.loads(workspace.succeed("validate", "-json"))["diagnostics"] == []


def test_applying_settles(deployment: Deployment) -> None:
    """A second plan right after apply has nothing to change."""
    assert deployment.second_plan == 0


def test_nothing_is_public_and_no_role_is_primitive(deployment: Deployment) -> None:
    """No grant goes to everybody, and none is of owner, editor or viewer."""
    changes = [one for one in deployment.plan["resource_changes"] if "_iam_" in one["type"]]
    assert changes
    given = [one["change"]["after"] for one in changes]
    assert not [one for one in given if one.get("member") in ("allUsers", "allAuthenticatedUsers")]
    assert not [one for one in given if one["role"] in ("roles/owner", "roles/editor", "roles/viewer")]


def test_each_function_runs_as_an_account_of_its_own(deployment: Deployment, manifest: Manifest) -> None:
    """As many service accounts as functions run them, each named after its function."""
    functions = deployment.planned("google_cloudfunctions2_function").values()
    accounts = {one["name"]: one["service_config"][0]["service_account_email"] for one in functions}
    expected = {f"{PREFIX}{name}" for name in manifest.functions}
    assert accounts == {name: f"{name}@{PROJECT}.iam.gserviceaccount.com" for name in expected}


def _account(member: str) -> str:
    """A member as the manifest's grants call it."""
    name, _, domain = member.removeprefix("serviceAccount:").partition("@")
    if domain == f"{PROJECT}.iam.gserviceaccount.com":
        return name.removeprefix(PREFIX)
    return PUBSUB_AGENT if domain == "gcp-sa-pubsub.iam.gserviceaccount.com" else member


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
            return f"function {_short(values['name'])}"
        case "google_service_account_iam_member":
            return f"service account {_short(values['service_account_id']).partition('@')[0]}"
    raise AssertionError(f"a grant of a type that this test does not know: {kind}")


def _short(name: str) -> str:
    return name.rpartition("/")[2].removeprefix(PREFIX)


def test_terraform_grants_what_the_manifest_says_and_nothing_else(deployment: Deployment, manifest: Manifest) -> None:
    """The grants in the applied state are exactly those that are derived from the manifest."""
    given = [one for one in resources(deployment.state["values"]["root_module"]) if "_iam_" in one["type"]]
    found = [
        Grant(_account(one["values"]["member"]), Role(one["values"]["role"]), _resource(one["type"], one["values"]))
        for one in given
    ]
    assert sorted(found) == sorted(grants(manifest))


def test_every_push_subscription_keeps_its_contract(deployment: Deployment, manifest: Manifest) -> None:
    """Each has a token for the function's own address, retry, a dead letter, 7 days of retention and no expiry."""
    found = {one["name"].removeprefix(PREFIX): one for one in deployment.applied("google_pubsub_subscription").values()}
    uris = deployment.state["values"]["outputs"]["function_uris"]["value"]
    pushes = [one.trigger.subscription for one in manifest.functions.values() if isinstance(one.trigger, PushTrigger)]
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


def test_every_dead_letter_topic_is_kept_by_a_pull_subscription(deployment: Deployment, manifest: Manifest) -> None:
    """What is dead-lettered waits 7 days for somebody, in a subscription that never expires."""
    subscriptions = deployment.applied("google_pubsub_subscription").values()
    pulls = {_short(one["topic"]): one for one in subscriptions if not one["push_config"]}
    assert pulls.keys() == {one.dead_letter_topic for one in manifest.subscriptions() if one.dead_letter_topic}
    assert all(one["expiration_policy"] == [{"ttl": ""}] for one in pulls.values())
    assert all(one["message_retention_duration"] == "604800s" for one in pulls.values())


def test_topics_are_the_manifests(deployment: Deployment, manifest: Manifest) -> None:
    """Every topic of the manifest, with the prefix, and no other."""
    names = {one["name"] for one in deployment.planned("google_pubsub_topic").values()}
    assert names == {f"{PREFIX}{topic}" for topic in manifest.topics}


def test_the_schedule_calls_with_a_token(deployment: Deployment, manifest: Manifest) -> None:
    """Each scheduled function has a job in UTC that calls it in the name of the schedule's account."""
    jobs = {one["name"].removeprefix(PREFIX): one for one in deployment.applied("google_cloud_scheduler_job").values()}
    scheduled = {
        name: one.trigger for name, one in manifest.functions.items() if isinstance(one.trigger, ScheduleTrigger)
    }
    assert jobs.keys() == scheduled.keys()
    for name, trigger in scheduled.items():
        assert (jobs[name]["schedule"], jobs[name]["time_zone"]) == (trigger.schedule, "Etc/UTC")
        assert jobs[name]["attempt_deadline"] == f"{trigger.attempt_deadline_seconds}s"
        (token,) = jobs[name]["http_target"][0]["oidc_token"]
        assert token["service_account_email"] == f"ion-schedule@{PROJECT}.iam.gserviceaccount.com"
        assert token["audience"] == deployment.state["values"]["outputs"]["function_uris"]["value"][name]


def test_functions_get_the_manifests_environment_and_sizes(deployment: Deployment, manifest: Manifest) -> None:
    """Variables, secrets at a fixed version, sizes and the signature come from the manifest, one for one."""
    functions = deployment.planned("google_cloudfunctions2_function")
    for name, wanted in manifest.functions.items():
        one = functions[f'module.function["{name}"].google_cloudfunctions2_function.this']
        (service,), (build,) = one["service_config"], one["build_config"]
        assert set(service["environment_variables"]) == {*wanted.environment, "THREADS"}
        secrets = {secret["key"]: secret["version"] for secret in service["secret_environment_variables"]}
        assert secrets == dict.fromkeys(wanted.secrets, "1")
        assert service["available_memory"] == f"{wanted.sizing.memory_mib}Mi"
        assert service["max_instance_request_concurrency"] == wanted.sizing.concurrency
        assert service["environment_variables"]["THREADS"] == str(wanted.sizing.concurrency)
        assert (build["entry_point"], build["runtime"]) == (name, "python311")
        signature = "cloudevent" if isinstance(wanted.trigger, PushTrigger) else "http"
        assert build["environment_variables"] == {"GOOGLE_FUNCTION_SIGNATURE_TYPE": signature}


def test_an_archives_object_is_named_by_its_content(
    deployment: Deployment, workspace: Workspace, manifest: Manifest
) -> None:
    """A changed archive has another name, so its function is built again; an equal one is left alone."""
    names = {one["name"] for one in deployment.planned("google_storage_bucket_object").values()}
    build = workspace.folder.parent / "build"
    digests = {name: hashlib.sha256((build / f"{name}.zip").read_bytes()).hexdigest() for name in manifest.functions}
    assert names == {f"{name}-{digest[:16]}.zip" for name, digest in digests.items()}


def test_documents_expire_and_no_field_is_indexed(deployment: Deployment, manifest: Manifest) -> None:
    """Each collection group drops all its indexes, and those that expire do so by ``expires_at``."""
    fields = deployment.planned("google_firestore_field").values()
    assert all(one["index_config"] == [{"indexes": []}] for one in fields)
    bare = {one["collection"] for one in fields if one["field"] == "*"}
    assert bare == set(manifest.collection_groups.values())
    expiring = {one["collection"] for one in fields if one["ttl_config"]}
    assert expiring == {manifest.collection_groups[name] for name in manifest.expiring}
    assert {one["field"] for one in fields if one["ttl_config"]} == {"expires_at"}
    assert "writers" in bare & expiring


def test_everything_that_can_be_labelled_is(deployment: Deployment) -> None:
    """Functions, topics, subscriptions, secrets and the bucket carry application and environment."""
    planned = resources(deployment.plan["planned_values"]["root_module"])
    labelled = [one["values"]["effective_labels"] for one in planned if "effective_labels" in one["values"]]
    assert len(labelled) >= 14
    assert all(one["application"] == "ion-monitoring" and one["environment"] == "dev" for one in labelled)


def test_production_protects_its_data(workspace: Workspace) -> None:
    """The production environment's database refuses deletion, and an unset secret is not handed to its function."""
    arguments = (f"-var=project={PROJECT}", "-var-file=environments/prod.tfvars", "-state=production.tfstate")
    workspace.succeed("plan", "-input=false", "-out=production", *arguments)
    root = json.loads(workspace.succeed("show", "-json", "production"))["planned_values"]["root_module"]
    (database,) = of_kind(root, "google_firestore_database").values()
    assert database["delete_protection_state"] == "DELETE_PROTECTION_ENABLED"
    functions = of_kind(root, "google_cloudfunctions2_function").values()
    assert not [one for one in functions if one["service_config"][0]["secret_environment_variables"]]


def test_variables_of_another_form_are_refused(workspace: Workspace) -> None:
    """Terraform stops at a plan and names every variable that has another form than the accepted one."""
    wrong = {
        "dashboard_url": "http://ion.example",
        "database": "x",
        "environment": "test",
        "prefix": "ion",
        "project": "Ion",
        "region": "europe",
        "runtime": "python39",
        "secret_versions": "{ION_WEBHOOK_URL=0}",
        "viewers": '["allUsers"]',
    }
    done = workspace.run("plan", "-input=false", *(f"-var={name}={value}" for name, value in wrong.items()))
    assert done.returncode == 1
    assert [name for name in wrong if f"{name}: expected" not in done.stderr] == []
