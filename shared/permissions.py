"""Permissions: whether each part of a deployment may do what it has to, by the policies of what it works on.

What has to be granted is derived from the manifest, as Terraform's grants are (``grants``); what is granted is read.
A function has one check: it is deployed, runs, as its own account, and that account holds every role. So has Pub/Sub
itself, which pushes and forwards dead letters. What may not be read is told and is no failure: nothing is known of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from .errors import MonitoringError
from .grants import EVERYBODY, PUBSUB_AGENT, Grant, callers_of, grants, grants_of
from .manifest import Function, Manifest
from .verification import Check

_REVIEWER = "roles/iam.securityReviewer and roles/cloudfunctions.viewer let an account look at them"
_APPLY = "`make plan`, and apply it"


@dataclass(frozen=True, slots=True)
class Binding:
    """Members that hold a role on something; ``condition`` is its expression, empty without one."""

    role: str
    members: frozenset[str]
    condition: str = ""


@dataclass(frozen=True, slots=True)
class Deployed:
    """A function as it is there: the account that it runs as, its state (``ACTIVE`` is good), and its region."""

    account: str
    state: str
    region: str


class Policies(Protocol):
    """What a project says of itself. Each raises ``MonitoringError``: of what may not be read, or is not there."""

    def number(self) -> str:
        """The project's number, by which Google's own accounts are named."""
        ...

    def functions(self) -> Mapping[str, Deployed]:
        """The functions of all regions by name."""
        ...

    def project(self) -> Sequence[Binding]:
        """Who holds what on the whole project."""
        ...

    def of(self, kind: str, name: str, region: str) -> Sequence[Binding]:
        """Who holds what on one ``topic``, ``subscription``, ``secret``, ``function`` or ``service account``."""
        ...


@dataclass(frozen=True, slots=True)
class Permissions:
    """A deployment's permissions; ``prefix`` stands before the names of its parts."""

    project: str
    prefix: str
    database: str
    manifest: Manifest
    policies: Policies

    def __call__(self) -> Iterator[Check]:
        """A check for each function, and one for Pub/Sub."""
        try:
            deployed, number = self.policies.functions(), self.policies.number()
        except MonitoringError as error:
            yield Check("permissions", True, f"not looked at: {error}", _REVIEWER)
            return
        for function in self.manifest.functions.values():
            yield self._function(function, deployed)
        around = sorted({one for one in grants(self.manifest) if one.account == PUBSUB_AGENT})
        yield self._held("permissions of Pub/Sub", around, number, "")

    def _function(self, function: Function, deployed: Mapping[str, Deployed]) -> Check:
        name = f"permissions of {function.name}"
        found = deployed.get(self.prefix + function.name)
        if found is None:
            missing = "is not deployed" + (": without its vendor's secret it is not" if function.public else "")
            return Check(name, function.public, missing, "" if function.public else _APPLY)
        if found.state != "ACTIVE":
            return Check(name, False, f"is {found.state}", f"see its build's log, then {_APPLY}")
        own = self._email(function.name)
        if found.account != own:
            return Check(name, False, f"runs as {found.account}, not as {own}", _APPLY)
        return self._held(name, [*grants_of(function), *callers_of(function)], "", found.region)

    def _held(self, name: str, needed: Iterable[Grant], number: str, region: str) -> Check:
        """Whether all of some grants are there."""
        lacking, unknown, count = [], [], 0
        for grant in needed:
            count += 1
            try:
                if not self._is_held(grant, number, region):
                    lacking.append(grant)
            except MonitoringError as error:
                unknown.append(f"{grant.resource}: {error}")
        if lacking:
            said = "; ".join(f"{one.account} lacks {one.role} on {one.resource}" for one in lacking)
            commands = "; ".join(f"`{self._command(one, number, region)}`" for one in lacking)
            return Check(name, False, said, f"{_APPLY}, or {commands}")
        if unknown:
            return Check(name, True, f"{count - len(unknown)} of {count} seen; {'; '.join(unknown)}", _REVIEWER)
        return Check(name, True, f"holds all {count} roles")

    def _is_held(self, grant: Grant, number: str, region: str) -> bool:
        kind, name = self._place(grant)
        on_project = kind in ("project", "database")
        found = self.policies.project() if on_project else self.policies.of(kind, name, region)
        member = self._member(grant.account, number)
        return any(one.role == grant.role and member in one.members and self._applies(one) for one in found)

    def _applies(self, binding: Binding) -> bool:
        """A condition is of another database, or of this one."""
        return not binding.condition or f'/databases/{self.database}"' in binding.condition

    def _place(self, grant: Grant) -> tuple[str, str]:
        """What a grant is on: its kind, and its name in the project."""
        for kind in ("service account", "topic", "subscription", "secret", "function"):
            if grant.resource.startswith(f"{kind} "):
                name = grant.resource.removeprefix(f"{kind} ")
                if kind == "secret":
                    name = name.removeprefix("ION_").lower().replace("_", "-")
                return kind, self._email(name) if kind == "service account" else self.prefix + name
        return grant.resource, ""

    def _member(self, account: str, number: str) -> str:
        if account == EVERYBODY:
            return EVERYBODY
        if account == PUBSUB_AGENT:
            return f"serviceAccount:service-{number}@gcp-sa-pubsub.iam.gserviceaccount.com"
        return f"serviceAccount:{self._email(account)}"

    def _email(self, account: str) -> str:
        """A service account's address; of a project ``example.com:name`` it ends otherwise."""
        domain, _, name = self.project.rpartition(":")
        return f"{self.prefix}{account}@{f'{name}.{domain}' if domain else name}.iam.gserviceaccount.com"

    def _command(self, grant: Grant, number: str, region: str) -> str:
        """What grants it by hand."""
        kind, name = self._place(grant)
        what = {
            "topic": f"pubsub topics add-iam-policy-binding {name}",
            "subscription": f"pubsub subscriptions add-iam-policy-binding {name}",
            "secret": f"secrets add-iam-policy-binding {name}",
            "function": f"run services add-iam-policy-binding {name} --region={region}",
            "service account": f"iam service-accounts add-iam-policy-binding {name}",
        }.get(kind, f"projects add-iam-policy-binding {self.project}")
        limited = f" --condition='{self._condition()}'" if kind == "database" else ""
        member = self._member(grant.account, number)
        return f"gcloud {what} --project={self.project} --member={member} --role={grant.role}{limited}"

    def _condition(self) -> str:
        resource = f"projects/{self.project}/databases/{self.database}"
        return f'title={self.database} only,expression=resource.name == "{resource}"'
