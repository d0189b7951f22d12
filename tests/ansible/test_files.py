"""The module bench_files as Ansible runs it, on this machine."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchctl.spec.share import shared

pytestmark = pytest.mark.ansible

FILES = {"ask.py": "print('é')\n", "descriptor.json": '{"a": 1}\n'}
LIMIT = 120  # seconds


def write(folder: Path, files: dict[str, str], *options: str) -> dict[str, Any]:
    """What the module told, with whether it failed."""
    ansible = Path(sys.executable).parent / "ansible"
    python = f"ansible_python_interpreter={sys.executable}"
    words = ["localhost", "-c", "local", "-e", python, "-m", "bench_files", *options]
    told = json.dumps({"folder": str(folder), "files": files})
    environment = {
        **os.environ,
        "ANSIBLE_LIBRARY": str(shared("roles") / "bench_common" / "library"),
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
        "ANSIBLE_NOCOLOR": "1",
    }
    done = subprocess.run(
        [str(ansible), *words, "-a", told],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT,
    )
    head, _, body = done.stdout.partition(" => ")
    assert body, done.stdout + done.stderr
    return {**json.loads(body), "failed": "FAILED" in head, "shown": head}


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}


def test_what_differs_is_written_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "above" / "mine"
    planned = write(folder, FILES, "--check", "--diff")
    assert (planned["changed"], planned["written"]) == (True, sorted(FILES))
    assert "+print('é')" in planned["shown"]
    assert list(tmp_path.iterdir()) == []

    assert write(folder, FILES)["written"] == sorted(FILES)
    assert {path.name: path.read_text("utf-8") for path in folder.iterdir()} == FILES
    assert modes(folder) == {"mine": 0o755, "ask.py": 0o644, "descriptor.json": 0o644}
    times = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    again = write(folder, FILES)
    assert (again["changed"], again["written"]) == (False, [])
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == times

    (folder / "ask.py").chmod(0o600)
    (folder / "descriptor.json").write_text("{}\n", "utf-8")
    (folder / "theirs").write_text("stays\n", "utf-8")
    mended = write(folder, FILES)
    assert (mended["changed"], mended["written"]) == (True, ["descriptor.json"])
    assert {**modes(folder), "theirs": 0} == {
        "mine": 0o755,
        "ask.py": 0o644,
        "descriptor.json": 0o644,
        "theirs": 0,
    }
    assert (folder / "theirs").read_text("utf-8") == "stays\n"


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    refused = write(tmp_path / "file", FILES)
    assert refused["failed"]
    assert f"{tmp_path / 'file'}: is no folder" in refused["msg"]
