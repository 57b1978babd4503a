"""Terraform for tests: a copy of the configuration that is run for real, and what its plans and states hold.

It runs on whatever provider sources the CLI configuration in TF_CLI_CONFIG_FILE names, and never on real
credentials: the token that it is given is none.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


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
class Deployment:
    """What a development environment's plan and state hold, and how a second plan ended (0: no changes)."""

    plan: Mapping[str, Any]
    state: Mapping[str, Any]
    second_plan: int

    def planned(self, kind: str) -> dict[str, Mapping[str, Any]]:
        """The planned resources of a type by address."""
        return of_kind(self.plan["planned_values"]["root_module"], kind)

    def applied(self, kind: str) -> dict[str, Mapping[str, Any]]:
        """The applied resources of a type by address."""
        return of_kind(self.state["values"]["root_module"], kind)


def resources(module: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """All resources of a module and of the modules that it calls."""
    yield from module.get("resources", ())
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
