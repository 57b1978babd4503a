"""Permissions of a deployment: each grant that is missing is named with what gives it, and nothing is written."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.adapters.cloud_policies import CloudPolicies
from shared.errors import TransientError
from shared.grants import EVERYBODY, PUBSUB_AGENT, Grant, Role, callers_of, grants_of
from shared.manifest import load_manifest
from shared.permissions import Permissions
from shared.verification import Check
from tests.google_project import DATABASE, PREFIX, PROJECT, GoogleProject, email

MANIFEST = load_manifest()
NEEDED = [one for function in MANIFEST.functions.values() for one in (*grants_of(function), *callers_of(function))]


def _permissions(project: GoogleProject) -> Permissions:
    return Permissions(PROJECT, PREFIX, DATABASE, MANIFEST, CloudPolicies(PROJECT, project))


def _checks(project: GoogleProject) -> dict[str, Check]:
    return {one.name.removeprefix("permissions of "): one for one in _permissions(project)()}


def test_a_deployment_as_terraform_makes_it_holds_all_it_needs() -> None:
    """Each function and Pub/Sub has a check, all are well, and each policy is asked for once."""
    project = GoogleProject()
    found = _checks(project)
    assert list(found) == [*MANIFEST.functions, "Pub/Sub"]
    assert all(one.ok and one.found.startswith("holds all ") and not one.fix for one in found.values())
    assert len(project.asked) == len(set(project.asked))


@pytest.mark.parametrize("grant", NEEDED, ids=lambda one: f"{one.account}-{one.role}-{one.resource}")
def test_every_grant_that_is_missing_is_named_with_what_gives_it(grant: Grant) -> None:
    """The function's check alone fails, names account, role and resource, and gives the command."""
    project = GoogleProject()
    project.held.remove(grant)
    failed = {name: one for name, one in _checks(project).items() if not one.ok}
    place = grant.resource.removeprefix("function ") if grant.resource.startswith("function ") else grant.account
    if grant.account in ("push", "schedule", EVERYBODY):
        assert list(failed) == [place]
    else:
        assert list(failed) == [grant.account]
    (check,) = failed.values()
    assert f"{grant.account} lacks {grant.role} on {grant.resource}" in check.found
    assert "add-iam-policy-binding" in check.fix
    assert f"--role={grant.role}" in check.fix
    assert grant.account == EVERYBODY or f"--member=serviceAccount:{email(grant.account)}" in check.fix


@pytest.mark.parametrize("role", [Role.PUBLISHER, Role.SUBSCRIBER, Role.TOKEN_CREATOR])
def test_what_pubsub_needs_to_push_and_to_dead_letter_is_looked_at(role: Role) -> None:
    """Without it the check on Pub/Sub fails, by the account that Google names after the project's number."""
    project = GoogleProject()
    project.held = [one for one in project.held if (one.account, one.role) != (PUBSUB_AGENT, role)]
    found = _checks(project)
    assert [name for name, one in found.items() if not one.ok] == ["Pub/Sub"]
    assert "service-123456789@gcp-sa-pubsub.iam.gserviceaccount.com" in found["Pub/Sub"].fix


def test_a_role_on_another_database_is_none() -> None:
    """What the condition of a binding leaves out is not held."""
    project = GoogleProject()
    other = replace(_permissions(project), database="other")
    failed = [one for one in other() if not one.ok]
    assert {one.name for one in failed} >= {"permissions of ingest", "permissions of evaluate"}
    assert "--condition='title=other only" in failed[0].fix


def test_what_is_not_there_or_runs_otherwise_is_told() -> None:
    """A function that is missing, failed, or runs as another account fails; one with a secret of its own may miss."""
    project = GoogleProject()
    del project.functions["hooks"], project.functions["tune"]
    project.functions["notify"]["state"] = "FAILED"
    project.functions["collect"]["account"] = "123-compute@developer.gserviceaccount.com"
    found = _checks(project)
    assert (found["hooks"].ok, found["hooks"].fix) == (True, "")
    assert found["tune"].found == "is not deployed"
    assert found["notify"].found == "is FAILED"
    assert found["collect"].found.startswith("runs as 123-compute@developer.gserviceaccount.com, not as ion-collect@")
    assert {name for name, one in found.items() if not one.ok} == {"notify", "collect", "tune"}


def test_what_may_not_be_looked_at_is_no_failure() -> None:
    """Where the caller sees no policy that is told, with the roles that let it look; the rest is judged."""
    project = GoogleProject()
    project.refused = ("secretmanager",)
    notify = _checks(project)["notify"]
    assert notify.ok
    assert "this account may not look at it" in notify.found
    assert "roles/iam.securityReviewer" in notify.fix
    project.refused = ("cloudfunctions",)
    (only,) = _permissions(project)()
    assert (only.name, only.ok) == ("permissions", True)
    assert only.found.startswith("not looked at: ")


@pytest.mark.parametrize("answer", [(500, ""), (200, "<html>"), (429, "{}")])
def test_an_answer_that_is_none_is_transient(answer: tuple[int, str]) -> None:
    """Whatever else comes back may be otherwise at the next try."""
    with pytest.raises(TransientError):
        CloudPolicies(PROJECT, lambda _method, _address, _body: answer).number()


def test_a_project_of_a_domain_has_its_own_addresses() -> None:
    """The accounts of ``example.com:name`` end in ``name.example.com``."""
    project = GoogleProject()
    checks = list(replace(_permissions(project), project=f"example.com:{PROJECT}")())
    assert f"ion-ingest@{PROJECT}.example.com.iam.gserviceaccount.com" in checks[0].found
