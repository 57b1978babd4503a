"""The archives: what is in them, and that equal sources give equal bytes."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import re
import sys
from pathlib import Path

import pytest

from shared.bundle import Closure, archive, closure, contents, main, requirements_text
from shared.errors import ConfigError
from shared.manifest import load_manifest

ROOT = Path(__file__).parents[2]
FUNCTIONS = load_manifest().functions


@functools.cache
def _reached(name: str) -> Closure:
    """What a function of this project imports."""
    return closure(ROOT / "functions" / name / "main.py", ROOT, FUNCTIONS.keys() - {name})


@functools.cache
def _contents(name: str) -> dict[str, bytes]:
    """A function's archive, file by file."""
    return contents(FUNCTIONS[name], FUNCTIONS.keys() - {name})


def _providers() -> dict[str, str]:
    """The installed package that provides each importable module, by dotted name."""
    found = {}
    for distribution in importlib.metadata.distributions():
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
        for file in distribution.files or ():
            if file.suffix == ".py":
                parts = file.parent.parts if file.name == "__init__.py" else (*file.parent.parts, file.stem)
                found[".".join(parts)] = name
    return found


def _third_party(modules: frozenset[str], providers: dict[str, str]) -> dict[str, str]:
    """The package behind every import that is neither the standard library's nor ours, with one import of it."""
    found = {}
    for module in sorted(modules):
        if module.partition(".")[0] not in sys.stdlib_module_names and module in providers:
            found[providers[module]] = module
    return found


@pytest.fixture(scope="module")
def providers() -> dict[str, str]:
    """Importable modules to packages."""
    return _providers()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_requires_what_it_imports_and_nothing_else(name: str, providers: dict[str, str]) -> None:
    """The manifest's requirements are the packages behind the imports that main.py reaches, plus what serves it."""
    imported = _third_party(_reached(name).foreign, providers)
    assert imported.keys() == set(FUNCTIONS[name].requirements), imported


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_import_leads_somewhere(name: str, providers: dict[str, str]) -> None:
    """No function imports a module that is neither ours, the standard library's nor an installed package's."""
    roots = {module.partition(".")[0] for module in providers} | sys.stdlib_module_names
    assert {module.partition(".")[0] for module in _reached(name).foreign} <= roots


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_archive_holds_its_function_and_no_more(name: str) -> None:
    """main.py and requirements.txt are at the root beside shared/, without tests, local runs and tools."""
    files = _contents(name)
    assert {"main.py", "requirements.txt", "shared/__init__.py"} <= files.keys()
    assert {path.partition("/")[0] for path in files} <= {"main.py", "requirements.txt", "shared", "functions"}
    assert not [path for path in files if re.match(r"shared/(local/|bundle|grants)|.*((?<!back)test|\.pyc)", path)]


def test_only_what_writes_for_people_carries_templates() -> None:
    """Data files travel with the package they lie in, so what does not render brings no templates."""
    carriers = [name for name in FUNCTIONS if any(path.endswith(".jinja") for path in _contents(name))]
    assert {"dashboard", "notify"} <= {*carriers}
    assert "ingest" not in carriers


def test_equal_sources_give_equal_bytes_and_the_hash_beside_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Building twice gives the same archive, whose SHA-256 is printed and written beside it."""
    for folder in ("first", "second"):
        assert main(["ingest", "--out", str(tmp_path / folder)]) == 0
    first = (tmp_path / "first" / "ingest.zip").read_bytes()
    assert first == (tmp_path / "second" / "ingest.zip").read_bytes()
    line = f"{hashlib.sha256(first).hexdigest()}  ingest.zip\n"
    assert (tmp_path / "first" / "ingest.zip.sha256").read_text("ascii") == line
    assert capsys.readouterr().out == line * 2


def test_an_archive_depends_on_contents_alone() -> None:
    """The order in which files are given does not show, and one byte more does."""
    files = {"main.py": b"pass", "shared/__init__.py": b""}
    assert archive(files) == archive(dict(reversed(files.items())))
    assert archive(files) != archive({**files, "main.py": b"pass\n"})


def test_imports_are_followed_wherever_they_stand(tmp_path: Path) -> None:
    """Absolute, relative and lazy imports are found through packages; local runs and unreached modules are not."""
    sources = {
        "main.py": "from shared.a import thing\n",
        "shared/__init__.py": "",
        "shared/a.py": "def f():\n    from .deep import inner\n    from .local import run\n    import numpy.linalg\n",
        "shared/deep/__init__.py": "from ..b import other\n",
        "shared/deep/inner.py": "from . import sibling\n",
        "shared/deep/sibling.py": "",
        "shared/b.py": "import json\n",
        "shared/unreached.py": "import flask\n",
        "shared/local/__init__.py": "import sqlite3\n",
        "shared/local/run.py": "",
    }
    for name, text in sources.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    reached = closure(tmp_path / "main.py", tmp_path)
    assert set(reached.modules) == {
        "shared", "shared.a", "shared.b", "shared.deep", "shared.deep.inner", "shared.deep.sibling",
    }  # fmt: skip
    assert reached.foreign == {"numpy.linalg", "json"}


def test_what_other_functions_and_type_checks_need_is_left_out(tmp_path: Path) -> None:
    """In the wiring, an import in another function's method is not reached; the function's own and all others are."""
    wiring = (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import ast\nelse:\n    import bisect\n"
        "class Services:\n    def ingest(self):\n        import cmd\n    def notify(self):\n        import dis\n"
        "def build():\n    import email\n"
    )
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "__init__.py").touch()
    (tmp_path / "shared" / "wiring.py").write_text(wiring, "utf-8")
    (tmp_path / "main.py").write_text("from shared import wiring\n", "utf-8")
    foreign = closure(tmp_path / "main.py", tmp_path, {"notify"}).foreign
    assert foreign == {"typing", "typing.TYPE_CHECKING", "bisect", "cmd", "email"}


def test_a_missing_module_is_named(tmp_path: Path) -> None:
    """An import of ours that leads nowhere stops the build and not the first request."""
    (tmp_path / "main.py").write_text("from shared.nowhere import anything\n", "utf-8")
    with pytest.raises(ConfigError, match=r"main\.py: imports shared\.nowhere, which is not there"):
        closure(tmp_path / "main.py", tmp_path)


def test_a_requirement_without_an_exact_pin_is_refused() -> None:
    """What is deployed was tested: every package has one version."""
    assert requirements_text(["b", "a"], "a==1.0  # why\nb==2.1\nc==3\n") == "a==1.0\nb==2.1\n"
    with pytest.raises(ConfigError, match="exact pin"):
        requirements_text(["a"], "a>=1.0\n")


def test_an_unknown_function_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The command line names what it does not know, writes nothing, and ends with 1."""
    assert main(["nobody", "--out", str(tmp_path)]) == 1
    assert "no function nobody" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
