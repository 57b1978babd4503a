"""What the function manifest says, as values: functions, their triggers, and what lies between them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeAlias

from .bus import Subscription


class TriggerType(StrEnum):
    """What calls a function."""

    PUSH = "push"
    SCHEDULE = "schedule"
    HTTP = "http"


@dataclass(frozen=True, slots=True)
class PushTrigger:
    """Every message of a topic is delivered as a CloudEvent; ``subscription.push`` is the function's name."""

    subscription: Subscription
    type: TriggerType = TriggerType.PUSH


@dataclass(frozen=True, slots=True)
class ScheduleTrigger:
    """Called by the clock. ``schedule`` is five cron fields in UTC; a call may last ``attempt_deadline_seconds``."""

    schedule: str
    attempt_deadline_seconds: int
    type: TriggerType = TriggerType.SCHEDULE


@dataclass(frozen=True, slots=True)
class HttpTrigger:
    """Called by a person's browser."""

    type: TriggerType = TriggerType.HTTP


Trigger: TypeAlias = PushTrigger | ScheduleTrigger | HttpTrigger


@dataclass(frozen=True, slots=True)
class Sizing:
    """What an instance has and how many there are. ``cpu`` is in vCPUs; ``concurrency`` is requests at a time."""

    cpu: float
    memory_mib: int
    concurrency: int
    timeout_seconds: int
    min_instances: int
    max_instances: int


@dataclass(frozen=True, slots=True)
class Function:
    """One function: its name is its folder, its entry point and, with the prefix, its service account.

    ``environment`` and ``secrets`` are names of environment variables, ``reads``, ``writes`` and ``deletes`` are
    collections, ``publishes`` topics, ``requirements`` the packages that it imports, ``project_roles`` what it may
    do in the whole project. ``public`` functions may be called by anybody on the internet.
    """

    name: str
    description: str
    trigger: Trigger
    environment: tuple[str, ...]
    secrets: tuple[str, ...]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    deletes: tuple[str, ...]
    publishes: tuple[str, ...]
    requirements: tuple[str, ...]
    sizing: Sizing
    public: bool
    project_roles: tuple[str, ...] = ()

    @property
    def is_opened_by_people(self) -> bool:
        """Whether people open it in a browser, as the dashboard."""
        return self.trigger.type is TriggerType.HTTP and not self.public


@dataclass(frozen=True, slots=True)
class Manifest:
    """All functions, and the topics, pull subscriptions and collections between them.

    ``collections`` maps a collection's name to what it holds, ``collection_groups`` to the last collection of its
    documents' paths, ``expiring`` are those whose documents carry ``expires_at``.
    """

    topics: tuple[str, ...]
    pull_subscriptions: tuple[Subscription, ...]
    collections: Mapping[str, str]
    collection_groups: Mapping[str, str]
    expiring: tuple[str, ...]
    functions: Mapping[str, Function]

    def subscriptions(self) -> tuple[Subscription, ...]:
        """The push subscriptions in order of functions, then the pull subscriptions."""
        return (*self._pushes(), *self.pull_subscriptions)

    def writers(self) -> dict[str, str]:
        """The one function that writes each collection."""
        return {name: function.name for function in self.functions.values() for name in function.writes}

    def environment(self) -> frozenset[str]:
        """The names of all environment variables that any function is given, secrets included."""
        functions = self.functions.values()
        return frozenset(name for one in functions for name in (*one.environment, *one.secrets))

    def dashboard(self) -> Function:
        """The one function that people open in a browser."""
        (function,) = (one for one in self.functions.values() if one.is_opened_by_people)
        return function

    def deployed(self, secrets: Collection[str] = (), without: Collection[str] = ()) -> Manifest:
        """What a deployment holds in which ``secrets`` are set and the functions ``without`` are left out.

        A public function is there only with a secret that it alone reads: its callers' vendor signs with that.
        """
        private = {secret for one in self.functions.values() if not one.public for secret in one.secrets}
        kept = {
            name: one
            for name, one in self.functions.items()
            if name not in without and (not one.public or (set(one.secrets) - private) & set(secrets))
        }
        return replace(self, functions=kept)

    def _pushes(self) -> Iterator[Subscription]:
        for function in self.functions.values():
            if isinstance(function.trigger, PushTrigger):
                yield function.trigger.subscription
