"""Terraform for tests: a copy of the configuration that is run for real, and what its plans and states hold.

It runs on whatever provider sources the CLI configuration in TF_CLI_CONFIG_FILE names, and never on real
credentials: the token that it is given is none.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.config import Access
from shared.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Workspace:
    """A copy of the configuration with the functions' archives beside it."""

    folder: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run terraform; whatever it ends with."""
        command = ["terraform", arguments[0], "-no-color", *arguments[1:]]
        environment = {**os.environ, "GOOGLE_OAUTH_ACCESS_TOKEN": "no-token", "TF_IN_AUTOMATION": "1"}
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False, timeout=300
        )

    def succeed(self, *arguments: str) -> str:
        """Run terraform and give its output, which a failure shows."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to deploy: its arguments, and what they mean in the manifest's words.

    ``secrets`` are the variables of the secrets that are set, ``without`` the functions that are left out, ``people``
    the IAM members who may open the dashboard. A protected one has to be told otherwise before it can be destroyed.
    """

    arguments: tuple[str, ...]
    environment: str
    secrets: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()
    access: Access = Access.PROXY
    people: tuple[str, ...] = ()
    is_protected: bool = False


@dataclass(frozen=True, slots=True)
class Deployment:
    """What a variant's plan and state hold, and how a second plan ended (0: no changes).

    ``destroying`` is how destroying it as it is ended where it is protected, with what was left then.
    """

    variant: Variant
    manifest: Manifest
    plan: Mapping[str, Any]
    state: Mapping[str, Any]
    second_plan: int
    destroying: tuple[int, Mapping[str, Any]] | None = None

    def planned(self, kind: str) -> dict[str, Mapping[str, Any]]:
        """The planned resources of a type by address."""
        return of_kind(self.plan["planned_values"]["root_module"], kind)

    def applied(self, kind: str) -> dict[str, Mapping[str, Any]]:
        """The applied resources of a type by address."""
        return of_kind(self.state["values"]["root_module"], kind)

    def output(self, name: str) -> Any:
        """An output's value; None when there is none."""
        return self.state["values"]["outputs"].get(name, {}).get("value")

    def grants(self) -> list[Mapping[str, Any]]:
        """Every grant that was applied, as a resource."""
        return [one for one in resources(self.state["values"]["root_module"]) if "_iam_" in one["type"]]


@contextmanager
def deployed(workspace: Workspace, variant: Variant, manifest: Manifest) -> Iterator[Deployment]:
    """A variant, planned, applied and planned again; destroyed at the end of the block, with nothing left."""
    given = ("-input=false", *variant.arguments)
    values = tuple(one for one in variant.arguments if one.startswith("-var=secret_values="))
    workspace.succeed("plan", "-out=plan", *given)
    plan = json.loads(workspace.succeed("show", "-json", "plan"))
    workspace.succeed("apply", "-input=false", *values, "plan")
    second = workspace.run("plan", "-detailed-exitcode", *given)
    state = json.loads(workspace.succeed("show", "-json"))
    found = manifest.deployed(variant.secrets, variant.without)
    destroying = None
    if variant.is_protected:
        refused = workspace.run("destroy", "-auto-approve", "-refresh=false", *given).returncode
        destroying = refused, json.loads(workspace.succeed("show", "-json"))["values"]["root_module"]
        given = (*given, "-var=protect_data=false")
    try:
        yield Deployment(variant, found, plan, state, second.returncode, destroying)
    finally:
        if variant.is_protected:
            workspace.succeed("apply", "-auto-approve", "-target=google_firestore_database.this", *given)
        workspace.succeed("destroy", "-auto-approve", "-refresh=false", *given)
        assert json.loads(workspace.succeed("show", "-json")).get("values") is None


def resources(module: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """All resources of a module and of the modules that it calls, without what is only read."""
    yield from (one for one in module.get("resources", ()) if one["mode"] == "managed")
    for child in module.get("child_modules", ()):
        yield from resources(child)


def of_kind(module: Mapping[str, Any], kind: str) -> dict[str, Mapping[str, Any]]:
    """The values of all resources of a type, by address."""
    return {one["address"]: one["values"] for one in resources(module) if one["type"] == kind}


def missing() -> str | None:
    """Why terraform cannot run here, or None."""
    if shutil.which("terraform") is None:
        return "terraform is not installed"
    if not Path(os.environ.get("TF_CLI_CONFIG_FILE", "")).is_file():
        return "TF_CLI_CONFIG_FILE names no file, so no source of providers is known"
    return None
