"""Which engine is used, and what is said when there is none that will do."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchctl.errors import EngineError
from benchctl.provision.command import EngineCommand
from benchctl.provision.engine import BUILT, Engine, find_engine
from benchctl.provision.workspace import Project, configure

ROOT = Path(__file__).parents[2]


def make_engine(folder: Path, says: str = f"v{BUILT}", code: int = 0) -> Path:
    """A program that only knows its version."""
    program = folder / "bin" / "pulumi"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho '{says}'\nexit {code}\n", encoding="ascii")
    program.chmod(0o755)
    return program


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No engine at all, until a test makes one."""
    monkeypatch.delenv("BENCHCTL_PULUMI_ROOT", raising=False)
    monkeypatch.setenv("BENCHCTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))


def test_without_one_the_error_says_how_to_get_it() -> None:
    with pytest.raises(EngineError) as caught:
        find_engine()
    assert "make engine" in caught.value.remedy
    assert "BENCHCTL_PULUMI_ROOT" in caught.value.remedy
    assert caught.value.exit_code == 3


def test_root_comes_before_path_and_path_before_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    built = make_engine(tmp_path / "cache" / "engine" / BUILT)
    found = find_engine()
    assert (found.program, found.own) == (built, True)
    installed = make_engine(tmp_path / "installed", "v3.250.1")
    monkeypatch.setenv("PATH", f"{installed.parent}:/usr/bin:/bin")
    assert find_engine() == (installed, "3.250.1")
    assert not find_engine().own
    rooted = make_engine(tmp_path / "rooted", "v3.260.0")
    monkeypatch.setenv("BENCHCTL_PULUMI_ROOT", str(tmp_path / "rooted"))
    assert find_engine().program == rooted


def test_a_root_without_an_engine_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHCTL_PULUMI_ROOT", str(tmp_path))
    with pytest.raises(EngineError, match=r"bin/pulumi is not there"):
        find_engine()


@pytest.mark.parametrize("version", ["v2.25.2", "v3.100.0", "v4.0.0"])
def test_a_wrong_version_is_refused(version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_engine(tmp_path / "old", version)
    monkeypatch.setenv("BENCHCTL_PULUMI_ROOT", str(tmp_path / "old"))
    with pytest.raises(EngineError, match=f"has the version {version[1:]}; benchctl needs"):
        find_engine()


@pytest.mark.parametrize(("says", "code"), [("hello", 0), (f"v{BUILT}", 1)])
def test_a_program_that_is_no_engine_is_refused(
    says: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_engine(tmp_path / "odd", says, code)
    monkeypatch.setenv("BENCHCTL_PULUMI_ROOT", str(tmp_path / "odd"))
    with pytest.raises(EngineError, match="does not say its version"):
        find_engine()


def test_the_version_is_the_one_that_go_builds() -> None:
    assert f"github.com/pulumi/pulumi/pkg/v3 v{BUILT}" in (ROOT / "engine" / "go.mod").read_text("utf-8")


def test_a_secret_configuration_is_on_no_command_line(tmp_path: Path) -> None:
    program = tmp_path / "pulumi"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/argv\ncat > {tmp_path}/stdin\n', encoding="ascii")
    program.chmod(0o755)
    command = EngineCommand(Engine(program, BUILT), lambda: False)
    project = Project("bench-aws", lambda: None, tmp_path, command, {"PATH": "/usr/bin:/bin"})
    stack: Any = SimpleNamespace(name="run-1")
    configure(project, stack, "experiment", '{"seed": "s3cret"}', secret=True)
    said = (tmp_path / "argv").read_text(encoding="ascii")
    assert said == "--non-interactive config set bench-aws:experiment --secret --stack run-1\n"
    assert (tmp_path / "stdin").read_text(encoding="ascii") == '{"seed": "s3cret"}'


def test_make_engine_builds_once_where_it_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    go = tools / "go"  # writes what it was asked to, instead of an engine
    go.write_text(
        '#!/bin/sh\nwhile [ "$1" != -o ]; do case $1 in *Version=*) v=${1##*=};; esac; shift; done\n'
        'printf \'#!/bin/sh\\necho %s\\n\' "$v" > "$2"\n',
        encoding="ascii",
    )
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    build = ["sh", str(ROOT / "engine" / "build.sh")]
    subprocess.run(build, check=True, capture_output=True, timeout=60)
    engine = find_engine()
    assert (engine.own, engine.version) == (True, BUILT)
    assert (engine.program.parent / "pulumi-resource-pulumi-python").stat().st_mode & 0o111
    go.unlink()
    again = subprocess.run(build, check=True, capture_output=True, text=True, timeout=60)
    assert "is there" in again.stdout
    assert len(list(engine.program.parent.iterdir())) == 2
