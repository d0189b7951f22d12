"""The zipapp's direct verbs, as plain Ansible and people use them: no supervisor, one JSON object."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchctl.agent import build, layout, process
from benchctl.testing.server import write_descriptor

if TYPE_CHECKING:
    from collections.abc import Iterator

RUN = f"direct-{os.getpid()}"  # other workers have runs of their own


class Verbs:
    def __init__(self, folder: Path) -> None:
        self._program = build.zipapp(folder / "cache")
        self.code = 0

    def __call__(self, *words: str) -> dict[str, Any]:
        command = [sys.executable, "-ISB", str(self._program), *words, "--run", RUN]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        self.code = done.returncode
        assert done.stderr == ""
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer


@pytest.fixture
def verbs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Verbs]:
    short = Path(tempfile.mkdtemp(prefix="b", dir="/tmp"))
    monkeypatch.setenv("BENCHCTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    try:
        yield Verbs(tmp_path)
        assert process.marked(RUN) == []
        assert not layout.runtime_folder(RUN).exists()
    finally:
        process.kill_all(process.marked(RUN))
        shutil.rmtree(short)


def test_a_server_outlives_the_verb_that_started_it(verbs: Verbs, tmp_path: Path) -> None:
    path = write_descriptor(tmp_path)
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"work_mem": "4MB", "children": 2}))
    assert verbs("ready", path) == {"ready": False}
    pid = verbs("start", path, "--settings", str(settings))["pid"]
    assert process.is_alive(pid)
    assert verbs("ready", path) == {"ready": True}
    assert verbs("inspect", path)["settings"]["work_mem"] == "4MB"
    assert verbs("start", path)["kind"] == "service"
    assert verbs.code == 1
    stopped = verbs("stop", path)
    assert (stopped["how"], stopped["running_before"]) == ("SIGTERM", True)
    assert verbs.code == 0
    assert verbs("stop", path)["running_before"] is False


def test_images_and_verify(verbs: Verbs, tmp_path: Path) -> None:
    path = write_descriptor(tmp_path)
    assert verbs("verify", path) == {"problems": []}
    assert verbs("image", path, "--image", "i1")["built"] is True
    assert verbs("image", path, "--image", "i1")["built"] is False
    assert verbs("reset", path, "--image", "i1")["method"] in {"copy", "reflink"}


def test_failures_are_one_object_and_exit_one(verbs: Verbs, tmp_path: Path) -> None:
    path = write_descriptor(tmp_path)
    bad = tmp_path / "settings.json"
    bad.write_text('{"die_at_start": "on"}')
    answer = verbs("start", path, "--settings", str(bad))
    assert (verbs.code, answer["kind"]) == (1, "service")
    assert "FATAL: told to die" in answer["log"]
    assert "cannot be read" in verbs("stop", str(tmp_path / "missing.json"))["error"]
    assert "cannot be the name of an image" in verbs("reset", path, "--image", "../x")["error"]


def test_a_wrong_command_line_exits_two(tmp_path: Path) -> None:
    command = [sys.executable, "-ISB", str(build.zipapp(tmp_path)), "dance"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "dance" in done.stderr
