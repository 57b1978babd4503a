"""Who may do what in the cloud, derived from the manifest: the least that each function needs, and nothing by hand.

Every function has a service account of its own. Functions are called through two more, one for Pub/Sub's pushes and
one for the schedule, which may do nothing else; the dashboard by the people of its ``Access``.
``python -m shared.grants`` prints ``docs/iam.md``.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from .config import Access
from .manifest import Function, Manifest, PushTrigger, TriggerType, load_manifest

CALLERS = {TriggerType.PUSH: "push", TriggerType.SCHEDULE: "schedule"}
"""The account in whose name Pub/Sub and Cloud Scheduler call, by what triggers a function."""
BUILD = "build"
PUBSUB_AGENT = "Pub/Sub service agent"
IAP_AGENT = "IAP service agent"
EVERYBODY = "allUsers"


class Role(StrEnum):
    """The predefined roles that are granted; no other, and never owner, editor or viewer."""

    FIRESTORE_USER = "roles/datastore.user"
    FIRESTORE_VIEWER = "roles/datastore.viewer"
    PUBLISHER = "roles/pubsub.publisher"
    SUBSCRIBER = "roles/pubsub.subscriber"
    SECRET_ACCESSOR = "roles/secretmanager.secretAccessor"  # noqa: S105 # a role's name
    INVOKER = "roles/run.invoker"
    SERVICE_VIEWER = "roles/run.viewer"
    TOKEN_CREATOR = "roles/iam.serviceAccountTokenCreator"  # noqa: S105 # a role's name
    LOG_WRITER = "roles/logging.logWriter"
    ARTIFACT_WRITER = "roles/artifactregistry.writer"
    OBJECT_VIEWER = "roles/storage.objectViewer"
    MONITORING_VIEWER = "roles/monitoring.viewer"
    IAP_USER = "roles/iap.httpsResourceAccessor"


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """``account`` (short: a function's name, or one of the names above) holds ``role`` on ``resource``."""

    account: str
    role: Role
    resource: str


def grants(manifest: Manifest, access: Access = Access.PROXY, people: Collection[str] = ()) -> tuple[Grant, ...]:
    """Every grant of a deployment of these functions; ``people`` are IAM members. In no particular order."""
    functions = manifest.functions.values()
    own = (grant for one in functions for grant in (*grants_of(one), *callers_of(one)))
    return (*own, *openers(manifest.dashboard(), access, people), *_platform(manifest))


def grants_of(function: Function) -> tuple[Grant, ...]:
    """What a function's own account may do."""
    return tuple(Grant(function.name, role, resource) for role, resource in _needs(function))


def callers_of(function: Function) -> tuple[Grant, ...]:
    """Who may call a function, other than people who open the dashboard."""
    callers = [CALLERS[function.trigger.type]] if function.trigger.type in CALLERS else []
    everybody = [EVERYBODY] if function.public else []
    return tuple(Grant(one, Role.INVOKER, f"function {function.name}") for one in callers + everybody)


def openers(dashboard: Function, access: Access, people: Collection[str]) -> tuple[Grant, ...]:
    """What lets people open the dashboard."""
    function, behind_iap = f"function {dashboard.name}", f"service {dashboard.name}-iap"
    match access:
        case Access.IAP:
            let_in = (Grant(one, Role.IAP_USER, behind_iap) for one in people)
            return (Grant(IAP_AGENT, Role.INVOKER, behind_iap), *let_in)
        case Access.PROXY:
            roles = (Role.INVOKER, Role.SERVICE_VIEWER)  # gcloud looks the service up before it calls it
            return tuple(Grant(one, role, function) for one in people for role in roles)
        case Access.PUBLIC:
            return (Grant(EVERYBODY, Role.INVOKER, function),)


def _needs(function: Function) -> Iterator[tuple[Role, str]]:
    if function.writes or function.deletes:
        yield Role.FIRESTORE_USER, "database"
    elif function.reads:
        yield Role.FIRESTORE_VIEWER, "database"
    yield from ((Role(role), "project") for role in function.project_roles)
    yield from ((Role.PUBLISHER, f"topic {topic}") for topic in function.publishes)
    yield from ((Role.SECRET_ACCESSOR, f"secret {secret}") for secret in function.secrets)


def _platform(manifest: Manifest) -> Iterator[Grant]:
    """What Pub/Sub needs to forward dead letters and to push with a token, and what a build needs.

    https://cloud.google.com/pubsub/docs/handling-failures#grant_forwarding_permissions
    https://cloud.google.com/functions/docs/securing/build-custom-sa
    """
    pushes = [one.trigger.subscription for one in manifest.functions.values() if isinstance(one.trigger, PushTrigger)]
    for topic in {one.dead_letter_topic for one in pushes}:
        yield Grant(PUBSUB_AGENT, Role.PUBLISHER, f"topic {topic}")
    for one in pushes:
        yield Grant(PUBSUB_AGENT, Role.SUBSCRIBER, f"subscription {one.name}")
    yield Grant(PUBSUB_AGENT, Role.TOKEN_CREATOR, f"service account {CALLERS[TriggerType.PUSH]}")
    yield Grant(BUILD, Role.LOG_WRITER, "project")
    yield Grant(BUILD, Role.ARTIFACT_WRITER, "repository functions")
    yield Grant(BUILD, Role.OBJECT_VIEWER, "project")


def iam_markdown(manifest: Manifest) -> str:
    """``docs/iam.md``: one table for each function, and one for the accounts around them."""
    dashboard = manifest.dashboard()
    parts = [_INTRODUCTION, *(_section(one, is_dashboard=one is dashboard) for one in manifest.functions.values())]
    around = [grant for grant in sorted(_platform(manifest)) if grant.account in (BUILD, PUBSUB_AGENT)]
    rows = [f"| {grant.account} | `{grant.role}` | {grant.resource} |" for grant in around]
    parts.append("\n".join(["## Around the functions\n", "| Account | Role | On |", "|---|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def _section(function: Function, *, is_dashboard: bool) -> str:
    rows = [f"| runs with | `{grant.role}` | {grant.resource} |" for grant in grants_of(function)]
    called = [f"| called by {grant.account} | `{grant.role}` | {grant.resource} |" for grant in callers_of(function)]
    if is_dashboard:
        called = [
            f"| access `{access}`: {one.account} | `{one.role}` | {one.resource} |"
            for access in Access
            for one in openers(function, access, ["viewers" if access is Access.PROXY else "viewers and operators"])
        ]
    lines = [
        f"## {function.name}\n",
        f"{function.description} Reads {_listed(function.reads)}; writes {_listed(function.writes)};"
        f" deletes {_listed(function.deletes)}.\n",
        "| Who | Role | On |",
        "|---|---|---|",
        *rows,
        *called,
    ]
    return "\n".join(lines)


def roles_markdown(manifest: Manifest) -> str:
    """The README's table: each function's account and callers in one row."""
    rows = [f"| {one.name} | {_called_by(one)} | {_may(one)} |" for one in manifest.functions.values()]
    return "\n".join(["| Function | Called by | Its account may |", "|---|---|---|", *rows]) + "\n"


def _called_by(function: Function) -> str:
    callers = [one.account for one in callers_of(function)]
    return "named people" if function.is_opened_by_people else ", ".join(callers)


def _may(function: Function) -> str:
    by_role: dict[str, list[str]] = {}
    for one in grants_of(function):
        by_role.setdefault(one.role.removeprefix("roles/"), []).append(one.resource)
    return ", ".join(f"`{role}` on {_by_kind(resources)}" for role, resources in by_role.items())


def _by_kind(resources: Sequence[str]) -> str:
    """``secret A, B``: each kind of resource is named once."""
    kinds: dict[str, list[str]] = {}
    for kind, _, name in (resource.partition(" ") for resource in resources):
        kinds.setdefault(kind, []).append(name)
    return ", ".join(f"{kind} {', '.join(names)}".rstrip() for kind, names in kinds.items())


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "nothing"


_INTRODUCTION = """# Who may do what

This page is derived from `functions/manifest.json` (`python -m shared.grants > docs/iam.md`), and a test compares it
with what Terraform grants. Each function runs as a service account of its own, named after it. Roles on the database
hold for this one database only. Firestore has no roles by collection; that each collection has one writing function
is checked when the manifest is loaded. A function that everybody may call is deployed only with a secret of its own.
With the access `iap` the dashboard's image runs a second time, as the service dashboard-iap, and the function itself
is called by nobody."""


if __name__ == "__main__":
    sys.stdout.write(iam_markdown(load_manifest()))
