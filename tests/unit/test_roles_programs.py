"""What looks for programs on hosts: real programs that tell their version in every way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from benchctl.testing.role_contract import RoleContract, ask

if TYPE_CHECKING:
    from pathlib import Path


def program(prefix: Path, text: str) -> str:
    """A program `load` of a prefix; returns the prefix."""
    path = prefix / "bin" / "load"
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(prefix)


def asked(**changes: Any) -> dict[str, Any]:
    return {"programs": ["load"], "version_argv": ["-v"], "version_pattern": "load ([0-9.]+)", **changes}


def test_another_status_than_expected_is_named_with_what_was_said(tmp_path: Path) -> None:
    prefix = program(tmp_path, "echo load 4.1; exit 1")
    assert ask(prefix, asked())["failure"] == "exit status 1, where 0 is expected: load 4.1"
    failure = ask(prefix, asked(version_status=[0, 2]))["failure"]
    assert failure == "exit status 1, where 0 or 2 is expected: load 4.1"
    found = ask(prefix, asked(version_status=[1]))
    assert (found["failure"], found["banner"], found["stdout"]) == ("", "load 4.1", "load 4.1")


def test_a_silent_program_is_known_by_its_status(tmp_path: Path) -> None:
    prefix = program(tmp_path, "exit 7")
    assert ask(prefix, asked())["failure"] == "exit status 7, where 0 is expected"


def test_the_banner_has_both_streams_and_stdout_is_kept_apart(tmp_path: Path) -> None:
    found = ask(program(tmp_path, "echo a warning; echo load 4.1 >&2"), asked())
    assert (found["banner"], found["stdout"]) == ("a warning\nload 4.1", "a warning")


class OneRole:
    """The tests of the contract on a role with nothing but what it wants."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.role = folder / "my_load"
        (self.role / "vars").mkdir(parents=True)
        lines = [f"  {name}: {value}" for name, value in asked(**changes).items()]
        (self.role / "vars" / "main.yml").write_text("\n".join(["__my_load_wanted:", *lines]) + "\n")

    def test(self, name: str) -> None:
        getattr(RoleContract(), name)(self.role)


@pytest.mark.parametrize("changes", [{"programs": "[sh, wrk]"}, {"version_argv": "[-c, 'wrk -v | head']"}])
def test_the_contract_sees_a_shell_behind_a_program(changes: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="my_load: "):
        OneRole(tmp_path, **changes).test("test_no_program_that_it_wants_is_a_shell_or_takes_code")


def test_the_contract_asks_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = program(tmp_path / "usr", "echo load 4.1; exit 1")
    monkeypatch.setattr("benchctl.testing.role_contract._PREFIXES", (prefix, "/nowhere"))
    name = "test_its_program_tells_its_version_where_it_is_installed"
    with pytest.raises(AssertionError, match=r"exit status 1, where 0 is expected: load 4\.1"):
        OneRole(tmp_path / "a").test(name)
    OneRole(tmp_path / "b", version_status="[1]").test(name)
    with pytest.raises(AssertionError, match=r"version_pattern \(load\) 5 finds nothing in 'load 4\.1'"):
        OneRole(tmp_path / "c", version_status="[1]", version_pattern="(load) 5").test(name)
    with pytest.raises(pytest.skip.Exception, match=r"other: not below .*: not asked for a version"):
        OneRole(tmp_path / "d", programs="[other]").test(name)
