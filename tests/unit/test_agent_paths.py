from __future__ import annotations

import marshal
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from benchctl.agent import build, compiled, layout, main
from benchctl.agent.refusal import RefusalError

SOURCES = sorted(Path(build.__file__).parent.glob("*.py"))


def test_folders_follow_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHCTL_CACHE", str(tmp_path))
    monkeypatch.setenv("BENCHCTL_LEASE_DIR", str(tmp_path / "l"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1")
    assert layout.cache_folder() == tmp_path
    assert layout.lease_folder() == tmp_path / "l"
    assert layout.runtime_folder("a").parent == Path("/run/user/1/benchctl")
    assert layout.runtime_folder("a") != layout.runtime_folder("b")


def test_defaults_without_an_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BENCHCTL_CACHE", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "BENCHCTL_LEASE_DIR", "TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("tempfile.tempdir", "/tmp")  # noqa: S108 - the default under test
    assert layout.cache_folder() == Path.home() / ".cache/benchctl"
    assert layout.runtime_folder("a").parent == Path(f"/tmp/benchctl-{os.getuid()}")  # noqa: S108 - same
    assert layout.lease_folder() == Path("/tmp/benchctl-lease")  # noqa: S108 - same


def test_a_runtime_folder_leaves_room_for_a_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/" + "x" * 60)
    assert len(str(layout.runtime_folder("a"))) <= 107 - 24
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/" + "x" * 70)
    with pytest.raises(ValueError, match="too long for sockets; set XDG_RUNTIME_DIR"):
        layout.runtime_folder("a")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0b", "x" * 201])
def test_names_that_are_no_names(name: str) -> None:
    with pytest.raises(RefusalError, match="cannot be the name of a run"):
        layout.check_name(name, "a run")


def test_below_follows_links_of_parents_only(tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "in").mkdir(parents=True)
    (top / "out").symlink_to(tmp_path)
    assert layout.below(top, top)
    assert layout.below(top / "in" / "x", top)
    assert layout.below(top / "out", top)  # the link itself may go
    assert not layout.below(top / "out" / "x", top)
    assert not layout.below(tmp_path, top)
    assert not layout.below(tmp_path / "topple", top)


def test_a_private_folder_is_ours_alone(tmp_path: Path) -> None:
    folder = layout.private_folder(tmp_path / "a" / "b")
    assert folder.stat().st_mode & 0o777 == 0o700


def test_the_zipapp_is_the_same_bytes_and_written_once(tmp_path: Path) -> None:
    first = build.zipapp(tmp_path / "a")
    other = build.zipapp(tmp_path / "b")
    assert first.name == other.name
    assert first.read_bytes() == other.read_bytes()
    before = first.stat()
    assert build.zipapp(tmp_path / "a").stat() == before
    assert [path.name for path in first.parent.iterdir()] == [first.name]


def test_the_zipapp_holds_the_agent_and_nothing_else(tmp_path: Path) -> None:
    with zipfile.ZipFile(build.zipapp(tmp_path)) as archive:
        names = archive.namelist()
    shipped = [f"benchctl/agent/{path.name}" for path in SOURCES if path.name != "build.py"]
    assert names == ["__main__.py", "benchctl/__init__.py", *shipped]


def test_the_zipapp_runs(tmp_path: Path) -> None:
    command = [sys.executable, "-ISB", str(build.zipapp(tmp_path)), "--help"]
    assert "supervise" in subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("broken", [b"", b"\0\0\0\0", b"half"])
def test_the_zipapp_keeps_its_modules_compiled_and_needs_no_copy(tmp_path: Path, broken: bytes) -> None:
    program = build.zipapp(tmp_path)
    command = [sys.executable, "-ISB", str(program), "--help"]
    subprocess.run(command, capture_output=True, check=True)
    (copy,) = (path for path in program.parent.iterdir() if path != program)
    whole = copy.read_bytes()
    assert copy.stat().st_mode & 0o077 == 0
    before = copy.stat()
    subprocess.run(command, capture_output=True, check=True)
    assert copy.stat().st_mtime_ns == before.st_mtime_ns
    copy.write_bytes(broken)
    subprocess.run(command, capture_output=True, check=True)
    assert copy.read_bytes() == whole
    assert len(list(program.parent.iterdir())) == 2


def test_modules_come_from_the_compiled_copy(tmp_path: Path) -> None:
    program = build.zipapp(tmp_path)
    place = Path(f"{program}.{sys.implementation.cache_tag}")
    compiled.install(str(program))
    finder = sys.meta_path.pop(0)
    magic, codes = marshal.loads(place.read_bytes())  # noqa: S302 - what was just written
    assert codes["benchctl.agent"][0]
    codes["benchctl.agent.main"] = False, marshal.dumps(compile("def main():\n return 7", "x", "exec"))
    place.write_bytes(marshal.dumps((magic, codes)))
    assert subprocess.run([sys.executable, "-ISB", str(program)], check=False).returncode == 7
    assert finder.find_spec("json", None) is None


@pytest.mark.parametrize(
    "words", [["attach"], ["attach", "--run"], ["attach", "--run", "a", "--x", "1"], ["supervise", "b"]]
)
def test_wrong_words_of_a_program_are_shown(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as found:
        main.main(words)
    assert found.value.code == 2
    assert f"usage: {words[0]} --run RUN" in capsys.readouterr().err
