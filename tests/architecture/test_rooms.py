"""Data flows one way: each room imports only from those on its left."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import benchctl

PACKAGE = Path(benchctl.__file__).parent
ROOMS = (
    "errors",
    "model",
    "statistics",
    "journal",
    "loaders",
    "gates",
    "agent",
    "spec",
    "plan",
    "provision",
    "software",
    "configure",
    "benchmark",
    "collect",
    "results",
    "analysis",
    "report",
    "pipeline",
    "cli",
)
MODULES = sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Every module that a file imports, at any depth of its code."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            found |= {f"{module}.{alias.name}" for alias in node.names} if module == "benchctl" else {module}
    return found


def room(module: str) -> str:
    return module.removeprefix("benchctl.").split(".")[0]


def test_the_list_of_rooms_is_complete() -> None:
    there = {path.stem if path.is_file() else path.name for path in PACKAGE.iterdir()}
    there -= {"__init__", "__pycache__", "_share", "py", "testing"}
    assert there == set(ROOMS)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_a_room_imports_only_from_its_left(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if own in {"__init__", "testing"}:
        return
    allowed = {*ROOMS[: ROOMS.index(own) + 1], "__version__"}
    rooms = {room(module) for module in imports(path) if module.startswith("benchctl")}
    assert rooms <= allowed, f"{own} imports {sorted(rooms - allowed)}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "agent").glob("*.py")), ids=lambda p: p.name)
def test_the_agent_needs_nothing_but_the_standard_library(path: Path) -> None:
    foreign = {
        module
        for module in imports(path)
        if module.split(".")[0] not in sys.stdlib_module_names and not module.startswith("benchctl.agent")
    }
    assert not foreign


def test_nobody_imports_the_test_fakes() -> None:
    users = [path for path in MODULES if "testing" not in path.parts and "benchctl.testing" in imports(path)]
    assert not users


def test_nothing_runs_through_a_shell() -> None:
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "shell":
                assert isinstance(node.value, ast.Constant), path
                assert node.value.value is False, path
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
                assert node.attr not in {"system", "popen"}, path
