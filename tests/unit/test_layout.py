"""The layout: what may import what, who reads the clock, how thin the entry points are."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EDGES = {
    "shared.adapters": "stores and buses: the vendors' clients",
    "shared.local": "the local run: a web server, the adapters",
    "shared.wiring": "the one place that builds adapters",
    "shared.backtest.__main__": "a command line; an entry point of its own",
    "shared.client": "builds a service's publisher from its environment",
    "shared.metrics_collector": "what a service calls; without a publisher it builds the process's own",
    "shared.performance": "the same, as a decorator",
    "shared.integrations": "into web frameworks, Sentry, OpenTelemetry",
    "shared.bundle": "makes deployable folders; an entry point of its own",
    "shared.redrive": "a command line; an entry point of its own",
    "shared.history_command": "a command line; an entry point of its own",
}
"""Modules and packages that are no core, and why."""
CLOCK_READERS = (
    "shared.wiring",
    "shared.publishing",
    "shared.client",
    "shared.performance",
    "shared.dashboard_renderer",
    "shared.integrations",
    "shared.local",
    "functions",
)
CLOCKS = {"now", "utcnow", "today", "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"}
OUTSIDE = {
    "shared": ("numpy",),
    "shared.render": ("jinja2", "markupsafe"),
    "shared.render.standalone": ("font_roboto", "resvg_py"),
    "shared.formats.otlp": ("google.protobuf", "opentelemetry.proto"),
    "shared.formats.otlp_json": ("google.protobuf", "opentelemetry.proto"),
}
"""What the core's modules and packages may import besides the standard library: no client, nothing that connects."""
MAX_ENTRY_LINES = 80


def name_of(path: Path) -> str:
    """A file's module name."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(path): path for path in sorted((ROOT / "shared").rglob("*.py"))}
ENTRIES = {name_of(path): path for path in sorted((ROOT / "functions").glob("*/main.py"))}


def within(module: str, *packages: str) -> bool:
    """Whether a module is one of some packages or inside one."""
    return any(module == package or module.startswith(f"{package}.") for package in packages)


CORE = [module for module in FILES if not within(module, *EDGES)]


def is_type_checking(node: ast.AST) -> bool:
    """Whether a node is ``if TYPE_CHECKING:``, whose body never runs."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def statements(tree: ast.AST, *, top_level: bool) -> Iterator[ast.AST]:
    """All nodes that can run; with ``top_level`` those alone that run at import."""
    for child in ast.iter_child_nodes(tree):
        if is_type_checking(child):
            continue
        yield child
        if not (top_level and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)):
            yield from statements(child, top_level=top_level)


@cache
def tree_of(path: Path) -> ast.Module:
    """A file, parsed."""
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(module: str, *, top_level: bool = False) -> set[str]:
    """What a module of ours imports, as absolute names; modules of ours as such, not as names in their package."""
    path = FILES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found: set[str] = set()
    for node in statements(tree_of(path), top_level=top_level):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            base = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
            origin = ".".join(part for part in (base, node.module or "") if part)
            submodules = {f"{origin}.{alias.name}" for alias in node.names} & set(FILES)
            found |= submodules or {origin}
            found |= {origin} if len(submodules) < len(node.names) else set()
    return found


def clock_reads(path: Path) -> list[int]:
    """The lines on which a file names a function that reads a clock."""
    from_time = {
        alias.asname or alias.name
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ImportFrom) and node.module == "time"
        for alias in node.names
        if alias.name in CLOCKS
    }
    return [
        node.lineno
        for node in ast.walk(tree_of(path))
        if (isinstance(node, ast.Attribute) and node.attr in CLOCKS and _is_clock(node.value))
        or (isinstance(node, ast.Name) and node.id in from_time)
    ]


def _is_clock(value: ast.expr) -> bool:
    """Whether it is the module ``time``, or the class ``datetime`` or ``date``, however it is reached."""
    name = value.id if isinstance(value, ast.Name) else value.attr if isinstance(value, ast.Attribute) else ""
    return name in {"time", "datetime", "date"}


@pytest.mark.parametrize("module", CORE)
def test_the_core_imports_nothing_outside(module: str) -> None:
    """A core module imports the standard library, the core and what is listed: no client and no adapter, ever."""
    allowed = [name for package, names in OUTSIDE.items() if within(module, package) for name in names]
    for imported in imports(module):
        if within(imported, "shared"):
            assert not within(imported, *EDGES), f"{module} imports {imported}"
        else:
            known = imported.partition(".")[0] in sys.stdlib_module_names or within(imported, *allowed)
            assert known, f"{module} imports {imported}"


def test_every_exception_is_needed() -> None:
    """The lists of exceptions name nothing that is gone, and the core is the greater part."""
    assert all(any(within(module, edge) for module in FILES) for edge in EDGES)
    assert len(CORE) > len(FILES) / 2
    for package, names in OUTSIDE.items():
        imported = {name for module in CORE if within(module, package) for name in imports(module)}
        assert all(any(within(one, name) for one in imported) for name in names), package


@pytest.mark.parametrize("module", [module for module in FILES if not within(module, *CLOCK_READERS)])
def test_only_entry_points_read_the_clock(module: str) -> None:
    """No other module names a function that reads a clock: what is decided takes ``now``."""
    assert clock_reads(FILES[module]) == []


def test_a_clock_is_seen_however_it_is_read(tmp_path: Path) -> None:
    """The check above finds every way to read a clock, and takes no field or argument for one."""
    reads = [
        "import time\ntime.time()",
        "from time import monotonic as m\nm()",
        "from datetime import datetime\ndatetime.now()",
        "import datetime\ndatetime.datetime.utcnow()",
        "from datetime import date\nd = date.today",
    ]
    for number, text in enumerate([*reads, "def f(self, now):\n    self.now()\n    return now, self.time"]):
        path = tmp_path / f"{number}.py"
        path.write_text(text, encoding="utf-8")
        assert len(clock_reads(path)) == (number < len(reads))


@pytest.mark.parametrize("entry", ENTRIES)
def test_entry_points_are_thin(entry: str) -> None:
    """A function's main.py has at most 80 lines."""
    assert len(ENTRIES[entry].read_text(encoding="utf-8").splitlines()) <= MAX_ENTRY_LINES


def test_there_are_entry_points() -> None:
    """The four functions of a deployment are among those that are checked."""
    assert {
        "functions.ingest.main",
        "functions.evaluate.main",
        "functions.notify.main",
        "functions.dashboard.main",
    } <= {*ENTRIES}


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """The nodes of a cycle, in order; empty when there is none."""
    done: set[str] = set()

    def visit(node: str, trail: list[str]) -> list[str]:
        if node in trail:
            return [*trail[trail.index(node) :], node]
        if node in done:
            return []
        for following in sorted(graph.get(node, ())):
            if found := visit(following, [*trail, node]):
                return found
        done.add(node)
        return []

    return next((found for node in sorted(graph) if (found := visit(node, []))), [])


def test_there_are_no_import_cycles() -> None:
    """No module needs itself to be imported, whatever imports run later inside functions."""
    graph = {module: imports(module, top_level=True) & set(FILES) - {module} for module in FILES}
    assert sum(map(len, graph.values())) > len(FILES), "the imports are seen"
    assert cycle(graph) == []


def test_a_cycle_is_seen() -> None:
    """The check above finds a cycle behind any number of modules that are in none."""
    assert cycle({"a": {"b"}, "b": {"c", "d"}, "c": set(), "d": {"b"}}) == ["b", "d", "b"]
    assert cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
