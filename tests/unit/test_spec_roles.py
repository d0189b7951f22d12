"""A role's meta/bench.yml: read with the same front end, wrong ones refused with the same kind of message."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchctl.errors import SpecError
from benchctl.spec import load, read_role, share
from benchctl.spec.share import find_role, role_folders, roles_in, shared

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """\
name: mydb
kind: dbms
doc: A database of one's own.
settings: start
options:
  timeout: {type: duration, scope: start, default: 90s, doc: how long}
  cache: {type: size, scope: install, default: 64MB, doc: how much}
  mode: {type: choice, scope: start, choices: [fast, safe], default: fast, doc: which}
  flags: {type: list, scope: install, default: [-a, -b], doc: more}
stages: [{name: server, kind: service}]
"""


def write(folder: Path, text: str, name: str = "mydb") -> Path:
    meta = folder / name / "meta" / "bench.yml"
    meta.parent.mkdir(parents=True)
    meta.write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", roles_in([shared("roles")]))
def test_shipped_role(name: str) -> None:
    meta = read_role(name, [shared("roles")])
    assert meta.doc
    assert all(option.doc for option in meta.options.values())


def test_defaults_have_the_type_of_their_option(tmp_path: Path) -> None:
    meta = read_role("mydb", [write(tmp_path, GOOD)])
    defaults = {name: option.default for name, option in meta.options.items()}
    assert defaults == {"timeout": 90.0, "cache": 64 * 2**20, "mode": "fast", "flags": ("-a", "-b")}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "kind: dbms",
            "kind: database",
            "2:7: kind: found the text 'database'; allowed: dbms, loader or tuning",
        ),
        ("scope: start, default: 90s", "scope: start", None),
        (
            "default: 90s",
            "default: 90",
            "6:52: options.timeout.default: found the number 90; allowed: a duration",
        ),
        (
            "default: fast",
            "default: slow",
            "8:70: options.mode.default: found the text 'slow'; allowed: fast or safe",
        ),
        (
            "type: size",
            "type: bytes",
            "7:17: options.cache.type: found the text 'bytes'; allowed: boolean, choice, ",
        ),
        (
            "choices: [fast, safe], default: fast, ",
            "",
            "8:9: options.mode.choices: choices belong to the type",
        ),
        ("name: mydb", "name: yourdb", "1:7: name: found 'yourdb'; allowed: 'mydb', as the folder is named"),
        (
            "  mode:",
            "  role:",
            "8:9: options.role: found a name that is taken, or a dot in it; use another name",
        ),
        (
            "  mode:",
            "  a.b:",
            "8:8: options.a.b: found a name that is taken, or a dot in it; use another name",
        ),
        ("doc: A", "docs: A", "3:1: docs: found an unknown key; allowed: name, kind, doc, "),
        ("settings: start", "settings: begin", "4:11: settings: found the text 'begin'; allowed: "),
    ],
)
def test_wrong_role(tmp_path: Path, old: str, new: str, message: str | None) -> None:
    folder = write(tmp_path, GOOD.replace(old, new))
    if message is None:
        assert read_role("mydb", [folder]).options["timeout"].default is None
        return
    with pytest.raises(SpecError) as caught:
        read_role("mydb", [folder])
    assert f"{folder / 'mydb' / 'meta' / 'bench.yml'}:{message}" in caught.value.detail


def test_the_role_s_file_is_blamed_and_not_the_experiment(tmp_path: Path) -> None:
    write(tmp_path / "roles", GOOD.replace("kind: dbms", "kind: x"))
    experiment = tmp_path / "x.yml"
    experiment.write_text("name: x\ndbms: {role: mydb}\nworkload: {role: pgbench}\n", encoding="utf-8")
    with pytest.raises(SpecError, match=r"bench\.yml:2:7: kind: found the text 'x'"):
        load(experiment)


@pytest.mark.parametrize("name", ["nodb", "mydb/../mydb", "", ".", "/etc"])
def test_no_such_role(tmp_path: Path, name: str) -> None:
    with pytest.raises(SpecError, match="found no such role"):
        read_role(name, [write(tmp_path, GOOD)])


def test_an_installed_wheel_carries_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(share, "_PACKAGE", tmp_path / "benchctl")
    assert shared("roles") == tmp_path / "roles"  # a checkout
    (tmp_path / "benchctl" / "_share").mkdir(parents=True)
    assert shared("roles") == tmp_path / "benchctl" / "_share" / "roles"


def test_folders_are_searched_in_order(tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    folders = role_folders(tmp_path, [lab])
    assert folders == (tmp_path, tmp_path / "roles", lab, shared("roles"))
    assert find_role("pgbench", folders) == shared("roles") / "pgbench"
    write(lab, GOOD, "pgbench")
    assert find_role("pgbench", folders) == lab / "pgbench"
    write(tmp_path, GOOD, "pgbench")
    assert find_role("pgbench", folders) == tmp_path / "pgbench"
