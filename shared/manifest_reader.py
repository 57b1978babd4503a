"""From the manifest's JSON to ``Manifest``: forms first, then what must fit together; all problems at once.

The ranges are the services' own: Pub/Sub https://cloud.google.com/pubsub/quotas, Cloud Run functions
https://cloud.google.com/functions/quotas, Cloud Scheduler https://cloud.google.com/scheduler/quotas.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from .bus import RetryPolicy, Subscription
from .configuration.reader import Fields, JsonObject, Node
from .errors import ConfigError
from .manifest_models import Function, HttpTrigger, Manifest, PushTrigger, ScheduleTrigger, Sizing, Trigger, TriggerType

VERSION = 1
_FUNCTION = re.compile(r"[a-z][a-z0-9]{0,17}")
"""With a prefix of at most 12 characters it is a service account's id, of at most 30."""
_NAME = re.compile(r"[a-z][a-z0-9-]{2,99}")
_COLLECTION = re.compile(r"[a-z][a-z_]{0,99}")
_VARIABLE = re.compile(r"ION_[A-Z0-9_]{1,60}")
_PACKAGE = re.compile(r"[a-z][a-z0-9-]*")
_CRON = re.compile(r"[0-9*/,-]+( [0-9*/,-]+){4}")
_TRIGGER_FIELDS: Mapping[TriggerType, tuple[str, ...]] = {
    TriggerType.PUSH: (
        "topic",
        "subscription",
        "dead_letter_topic",
        "max_attempts",
        "ack_deadline_seconds",
        "retry_minimum_seconds",
        "retry_maximum_seconds",
    ),
    TriggerType.SCHEDULE: ("schedule", "attempt_deadline_seconds"),
    TriggerType.HTTP: (),
}
_SIZES = {
    "memory_mib": (128, 32768),
    "concurrency": (1, 1000),
    "timeout_seconds": (1, 3600),
    "min_instances": (0, 1000),
    "max_instances": (1, 1000),
}
_LISTS = ("environment", "secrets", "reads", "writes", "deletes", "publishes", "requirements")
_FUNCTION_FIELDS = ("description", "trigger", *_LISTS, "cpu", *_SIZES, "public")
_PROJECT_ROLE = re.compile(r"roles/[a-z]+\.[A-Za-z.]+")
"""A predefined role of one service; owner, editor and viewer of everything are none."""
_FIELDS = ("version", "topics", "pull_subscriptions", "collections", "collection_groups", "expiring", "functions")


def read_file(path: Path) -> Manifest:
    """The manifest in a file. Raises ``ConfigError``."""
    try:
        document = json.loads(path.read_text("utf-8"), object_pairs_hook=JsonObject)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path.name}: cannot be read as JSON: {error}") from error
    return from_plain(document)


def from_plain(document: object) -> Manifest:
    """The manifest in a document of dicts and lists. Raises ``ConfigError`` with every problem, one line each."""
    problems: list[str] = []
    manifest = _manifest(Node(document, "", problems))
    if not problems:
        problems.extend(_misfits(manifest))
    if problems:
        raise ConfigError("\n".join(problems))
    return manifest


def _manifest(node: Node) -> Manifest:
    f = node.fields(_FIELDS)
    f.get("version", lambda one: one.integer(VERSION, VERSION), VERSION)
    no_topics: tuple[str, ...] = ()
    topics = f.get("topics", lambda one: one.distinct(_matching(_NAME, "a topic's short name")), no_topics)
    no_collections: dict[str, str] = {}
    collections = f.get("collections", _collections, no_collections)
    return Manifest(
        topics=topics,
        pull_subscriptions=f.get("pull_subscriptions", lambda one: _pulls(one, topics), ()),
        collections=collections,
        collection_groups=f.get("collection_groups", lambda one: _groups(one, collections), {}),
        expiring=f.get("expiring", _references("collection", collections), ()),
        functions=f.get("functions", lambda one: _functions(one, topics, collections), {}),
    )


def _matching(pattern: re.Pattern[str], what: str) -> Callable[[Node], str]:
    return lambda node: node.matching(pattern, what)


def _whole(low: int, high: int) -> Callable[[Node], int]:
    return lambda node: node.integer(low, high)


def _references(word: str, known: Sequence[str] | Mapping[str, str]) -> Callable[[Node], tuple[str, ...]]:
    return lambda node: node.distinct(lambda item: item.reference(word, known))


def _collections(node: Node) -> dict[str, str]:
    entries = node.entries(key=_matching(_COLLECTION, "a collection's name of a-z and _"))
    return {name: one.text() for name, one in entries.items()}


def _groups(node: Node, collections: Mapping[str, str]) -> dict[str, str]:
    """The collection group of every collection: its own name where none is given."""
    entries = node.entries(key=lambda one: one.reference("collection", collections))
    given = {name: one.matching(_COLLECTION, "a collection's name") for name, one in entries.items()}
    return {name: given.get(name, name) for name in collections}


def _pulls(node: Node, topics: Sequence[str]) -> tuple[Subscription, ...]:
    entries = node.entries(key=_matching(_NAME, "a subscription's short name"))
    return tuple(Subscription(name, one.reference("topic", topics)) for name, one in entries.items())


def _functions(node: Node, topics: Sequence[str], collections: Mapping[str, str]) -> dict[str, Function]:
    entries = node.entries(key=_matching(_FUNCTION, "a function's name: at most 18 of a-z and 0-9"))
    return {name: _function(name, one, topics, collections) for name, one in entries.items()}


def _function(name: str, node: Node, topics: Sequence[str], collections: Mapping[str, str]) -> Function:
    f = node.fields(_FUNCTION_FIELDS, ("project_roles",))
    variables = _matching(_VARIABLE, "the name of an environment variable like ION_PROJECT")
    packages = _matching(_PACKAGE, "a package's name in lower case")
    roles = _matching(_PROJECT_ROLE, "a predefined role of one service like roles/monitoring.viewer")
    known = _references("collection", collections)
    untriggered: Trigger = HttpTrigger()
    return Function(
        name=name,
        description=f.get("description", Node.text, ""),
        trigger=f.get("trigger", lambda one: _trigger(name, one, topics), untriggered),
        environment=f.get("environment", lambda one: one.distinct(variables), ()),
        secrets=f.get("secrets", lambda one: one.distinct(variables), ()),
        reads=f.get("reads", known, ()),
        writes=f.get("writes", known, ()),
        deletes=f.get("deletes", known, ()),
        publishes=f.get("publishes", _references("topic", topics), ()),
        requirements=f.get("requirements", lambda one: one.distinct(packages), ()),
        sizing=_sizing(f),
        public=f.get("public", Node.flag, False),
        project_roles=f.get("project_roles", lambda one: one.distinct(roles), ()),
    )


def _sizing(f: Fields) -> Sizing:
    sizes = {name: f.get(name, _whole(*limits), limits[0]) for name, limits in _SIZES.items()}
    return Sizing(cpu=f.get("cpu", lambda one: one.number(0.08, 8), 1.0), **sizes)


def _trigger(function: str, node: Node, topics: Sequence[str]) -> Trigger:
    kind = node.entries().get("type", node.child("type", None)).choice(TriggerType)
    f = node.fields(["type", *_TRIGGER_FIELDS[kind]])
    if kind is TriggerType.PUSH:
        return PushTrigger(_push(function, f, topics))
    return _schedule(f) if kind is TriggerType.SCHEDULE else HttpTrigger()


def _push(function: str, f: Fields, topics: Sequence[str]) -> Subscription:
    return Subscription(
        name=f.get("subscription", _matching(_NAME, "a subscription's short name"), ""),
        topic=f.get("topic", lambda one: one.reference("topic", topics), ""),
        push=function,
        dead_letter_topic=f.get("dead_letter_topic", lambda one: one.reference("topic", topics), ""),
        max_attempts=f.get("max_attempts", lambda one: one.integer(5, 100), 5),
        retry=RetryPolicy(
            f.get("retry_minimum_seconds", lambda one: one.number(0, 600), 0.0),
            f.get("retry_maximum_seconds", lambda one: one.number(0, 600), 0.0),
        ),
        ack_deadline_seconds=f.get("ack_deadline_seconds", lambda one: one.integer(10, 600), 10),
    )


def _schedule(f: Fields) -> ScheduleTrigger:
    return ScheduleTrigger(
        f.get("schedule", _matching(_CRON, "five cron fields like * * * * *"), ""),
        f.get("attempt_deadline_seconds", lambda one: one.integer(15, 1800), 15),
    )


def _misfits(manifest: Manifest) -> Iterator[str]:
    """What each part alone cannot tell."""
    yield from _writing(manifest)
    yield from _subscribing(manifest)
    opened = [one.name for one in manifest.functions.values() if one.is_opened_by_people]
    if len(opened) != 1:
        yield f"functions: people open {' and '.join(opened) or 'none'}; expected one http function that is not public"
    for group, count in Counter(manifest.collection_groups.values()).items():
        if count > 1:
            yield f"collection_groups: {group} is the group of {count} collections; expected one"
    for function in manifest.functions.values():
        yield from (f"functions.{function.name}.{problem}" for problem in _unfit(function))


def _writing(manifest: Manifest) -> Iterator[str]:
    for collection in manifest.collections:
        writers = [one.name for one in manifest.functions.values() if collection in one.writes]
        if len(writers) != 1:
            by = " and ".join(writers) or "no function"
            yield f"collections.{collection}: written by {by}; expected exactly one function"


def _subscribing(manifest: Manifest) -> Iterator[str]:
    for name, count in Counter(one.name for one in manifest.subscriptions()).items():
        if count > 1:
            yield f"subscriptions: {count} are called {name}; expected one"
    pulled = {one.topic for one in manifest.pull_subscriptions}
    for one in manifest.subscriptions():
        if one.dead_letter_topic is not None and one.dead_letter_topic not in pulled:
            path = f"functions.{one.push}.trigger.dead_letter_topic"
            yield f"{path}: no pull subscription reads {one.dead_letter_topic}, so its messages would be lost"
        if one.dead_letter_topic == one.topic:
            yield f"functions.{one.push}.trigger.dead_letter_topic: expected another topic than {one.topic}"
        if one.retry.minimum_seconds > one.retry.maximum_seconds:
            yield f"functions.{one.push}.trigger.retry_minimum_seconds: expected at most retry_maximum_seconds"


def _unfit(function: Function) -> Iterator[str]:
    both = sorted(set(function.environment) & set(function.secrets))
    if both:
        yield f"secrets: {', '.join(both)} is also in environment; expected one of the two"
    if function.sizing.concurrency > 1 and function.sizing.cpu < 1:
        yield "cpu: expected at least 1 for a concurrency above 1"
    if function.sizing.min_instances > function.sizing.max_instances:
        yield "min_instances: expected at most max_instances"
