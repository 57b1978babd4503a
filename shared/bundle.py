"""A function's archive: what Cloud Functions builds from, and nothing that the function does not import.

``python -m shared.bundle [NAME ...] [--out build]`` writes ``NAME.zip`` and its hash, ``NAME.zip.sha256``, for the
named functions, by default all. At the root lie ``main.py``, ``requirements.txt`` (the manifest's list with the
project's pins) and the modules of ``shared/`` that ``main.py`` reaches through import statements, in functions too,
with the data files beside them. Equal sources give equal bytes: entries are sorted, carry no time
stamps, and are stored uncompressed, because compressed bytes differ between versions of zlib.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import io
import re
import sys
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import ConfigError, MonitoringError
from .manifest import Function, load_manifest
from .monitoring_config import MonitoringConfig

ROOT = Path(__file__).parent.parent
PACKAGE = "shared"
LOCAL_ONLY = f"{PACKAGE}.local"
"""Never part of an archive: the local run wires itself and no function needs it."""
WIRING = f"{PACKAGE}/wiring.py"
"""Where each function has a method of its name that builds it, and imports what only that function needs."""
MANIFEST_ENTRY = "functions/manifest.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip entry can carry."""
_READABLE = 0o100644 << 16
_UNIX = 3
_PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[A-Za-z0-9.+!]+)")


@dataclass(frozen=True, slots=True)
class Closure:
    """What a file reaches: modules of ``shared`` by dotted name, and the full names of all other imports.

    An import of a name from a module appears as the module and as ``module.name``: which of the two is a module
    cannot be told from the source.
    """

    modules: Mapping[str, Path]
    foreign: frozenset[str]


def closure(main: Path, root: Path = ROOT, others: Collection[str] = ()) -> Closure:
    """Everything that ``main`` imports through modules of ``shared``, in functions too, but not for type checks.

    ``others`` are the project's other functions: what ``shared/wiring.py`` imports only in its methods of these
    names is not reached. Only import statements are followed. Raises ``ConfigError`` for a missing module of ours.
    """
    found: dict[str, Path] = {}
    foreign: set[str] = set()
    waiting = [main]
    while waiting:
        path = waiting.pop()
        for name in _imports(path, root, others if path == root / WIRING else ()):
            if name.partition(".")[0] != PACKAGE:
                foreign.add(name)
                continue
            reached = {module: file for module in _ancestry(name) if (file := _source(module, root))}
            waiting.extend(file for module, file in reached.items() if module not in found)
            found.update(reached)
    return Closure(found, frozenset(foreign))


def _ancestry(name: str) -> Iterator[str]:
    """``a``, ``a.b`` and ``a.b.c`` of ``a.b.c``: importing the last runs them all."""
    parts = name.split(".")
    yield from (".".join(parts[: end + 1]) for end in range(len(parts)))


def _source(module: str, root: Path) -> Path | None:
    """The file of a module; None for what is only for local runs and for a name in a module, such as a class."""
    if f"{module}.".startswith(f"{LOCAL_ONLY}."):
        return None
    base = root.joinpath(*module.split("."))
    return next((path for path in (base / "__init__.py", base.with_suffix(".py")) if path.is_file()), None)


def _imports(path: Path, root: Path, unused: Collection[str]) -> Iterator[str]:
    """The absolute dotted names in a file's import statements. Raises ``ConfigError`` for a missing module."""
    for node in _running(ast.parse(path.read_text("utf-8"), path.name), unused):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, path.parent.relative_to(root).parts)
            if base.partition(".")[0] == PACKAGE and not f"{base}.".startswith(f"{LOCAL_ONLY}."):
                _check_exists(base, path, root)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _running(node: ast.AST, unused: Collection[str]) -> Iterator[ast.AST]:
    """All nodes of code that can run: without blocks for type checks and functions of the ``unused`` names."""
    if isinstance(node, ast.FunctionDef) and node.name in unused:
        return
    yield node
    is_type_check = isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    below = node.orelse if isinstance(node, ast.If) and is_type_check else ast.iter_child_nodes(node)
    for child in below:
        yield from _running(child, unused)


def _base(node: ast.ImportFrom, package: Sequence[str]) -> str:
    """The module that names are imported from; ``package`` is where a relative import starts."""
    parts = list(package[: len(package) - node.level + 1]) if node.level else []
    return ".".join([*parts, node.module] if node.module else parts)


def _check_exists(module: str, importer: Path, root: Path) -> None:
    if _source(module, root) is None:
        raise ConfigError(f"{importer.relative_to(root).as_posix()}: imports {module}, which is not there")


def requirements_text(names: Sequence[str], pinned: str) -> str:
    """A function's ``requirements.txt``: the named packages with their pins in ``pinned``, sorted.

    Raises ``ConfigError`` for a package without an exact pin.
    """
    pins = {match["name"].lower(): match[0] for line in pinned.splitlines() if (match := _PIN.match(line))}
    missing = sorted(set(names) - set(pins))
    if missing:
        raise ConfigError(f"requirements.txt: expected an exact pin (name==version) of {', '.join(missing)}")
    return "".join(f"{pins[name]}\n" for name in sorted(names))


def contents(function: Function, others: Collection[str], root: Path = ROOT) -> dict[str, bytes]:
    """A function's files by their names in the archive; ``others`` as in ``closure``.

    Raises ``ConfigError`` when it has no ``main.py``.
    """
    main = root / "functions" / function.name / "main.py"
    if not main.is_file():
        raise ConfigError(f"functions.{function.name}: expected a file functions/{function.name}/main.py")
    modules = closure(main, root, others).modules
    pinned = (root / "requirements.txt").read_text("utf-8")
    files = {
        "main.py": main.read_bytes(),
        "requirements.txt": requirements_text(function.requirements, pinned).encode(),
    }
    for path in (*modules.values(), *_data_files(modules)):
        files[path.relative_to(root).as_posix()] = path.read_bytes()
    if f"{PACKAGE}.manifest" in modules:
        files[MANIFEST_ENTRY] = (root / MANIFEST_ENTRY).read_bytes()
    return files


def _data_files(modules: Mapping[str, Path]) -> Iterator[Path]:
    """What lies beside the modules of a package and is no module, in folders that are no packages too."""
    for path in modules.values():
        if path.name == "__init__.py":
            yield from _data_below(path.parent)


def _data_below(folder: Path) -> Iterator[Path]:
    for entry in folder.iterdir():
        if entry.is_dir() and entry.name != "__pycache__" and not any(entry.rglob("*.py")):
            yield from _data_below(entry)
        elif entry.is_file() and entry.suffix not in (".py", ".pyc") and not entry.name.startswith("."):
            yield entry


def archive(files: Mapping[str, bytes]) -> bytes:
    """A zip of files that depends on their names and contents alone."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as target:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = _UNIX
            entry.external_attr = _READABLE
            target.writestr(entry, files[name])
    return buffer.getvalue()


def write_bundle(name: str, functions: Mapping[str, Function], out: Path) -> Path:
    """Write a function's archive and beside it its SHA-256, in the form of ``sha256sum``; the archive's path."""
    data = archive(contents(functions[name], functions.keys() - {name}))
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{name}.zip"
    path.write_bytes(data)
    path.with_name(f"{path.name}.sha256").write_text(f"{hashlib.sha256(data).hexdigest()}  {path.name}\n", "ascii")
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0, or 1 after a problem on standard error.

    A configuration that no function could use is such a problem, and then no archive is written.
    """
    parser = argparse.ArgumentParser(prog="python -m shared.bundle", description="Build the functions' archives.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="functions of the manifest; all by default")
    parser.add_argument("--out", type=Path, default=Path("build"), help="folder for the archives (build)")
    options = parser.parse_args(arguments)
    try:
        for path in _write_all(options.names, options.out):
            sys.stdout.write(f"{path.with_name(path.name + '.sha256').read_text('ascii')}")
    except MonitoringError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _write_all(names: Sequence[str], out: Path) -> list[Path]:
    functions = load_manifest().functions
    unknown = [name for name in names if name not in functions]
    if unknown:
        raise ConfigError(f"NAME: no function {', '.join(unknown)}; known: {', '.join(functions)}")
    MonitoringConfig()
    return [write_bundle(name, functions, out) for name in names or functions]


if __name__ == "__main__":
    sys.exit(main())
