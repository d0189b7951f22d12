"""`benchctl logs` on run directories made by hand, and on one that is being written."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest

from benchctl.journal import Journal
from benchctl.results.logs import Cursor
from benchctl.results.store import RunStore
from tests.builders import plan

PROGRAM = str(Path(sys.executable).with_name("benchctl"))
PATIENCE = 60.0  # seconds


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    store = RunStore.create(tmp_path / "runs" / "one", experiment_text="name: test\n", plan=plan())
    journal = store.journal()
    journal.note("run.started", pid=1, version="0.1.0")
    reason = "The server died.\nlast line: \x1b[31mboom \x9b2J at postgres://u:secret@host"
    with suppress(RuntimeError), journal.act("trial", ordinal=1):
        raise RuntimeError(reason)
    journal.note("run.ended", state="failed", reason="")
    journal.close()
    return store


def logs(store: RunStore, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [PROGRAM, "logs", str(store.path), *words], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def put(store: RunStore, name: str, text: str | bytes) -> None:
    path = store.path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def test_the_journal_is_readable_and_says_why_an_act_failed(store: RunStore) -> None:
    lines = logs(store).stdout.splitlines()
    assert len(lines) == 6
    assert "run.started" in lines[0]
    assert "version=0.1.0" in lines[0]
    assert lines[1].split()[1:] == ["trial", "meant", "ordinal=1"]
    assert lines[2].split()[1:4] == ["trial", "failed", "after"]
    assert lines[3] == "    The server died."


@pytest.mark.parametrize("words", [[], ["--trial", "1"], ["--host", "h"], ["--ansible"]])
def test_no_log_reaches_the_terminal_as_a_command(store: RunStore, words: list[str]) -> None:
    hostile = b"\x1b]0;title\x07 \x9b2J \xc2\x9b2J \xff \x08\r over \xe2\x80\xae rtl password=hunter2\n"
    put(store, "trials/0001/raw/localhost/stdout", hostile)
    put(store, "hosts/h/logs/postgresql-1/server.log", hostile)
    put(store, "ansible/configure/1/stdout", hostile)
    shown = logs(store, *words).stdout
    assert {c for c in shown if not c.isprintable()} == {"\n"}
    assert "secret" not in shown
    assert "hunter2" not in shown
    assert "\\x1b" in shown


def test_json_holds_the_entries_as_they_are(store: RunStore) -> None:
    told = json.loads(logs(store, "--json").stdout)
    assert (told["schema"], told["run"]) == (1, "one")
    assert [entry["seq"] for entry in told["entries"]] == [1, 2, 3, 4]


def test_a_trial_shows_attempts_and_the_last_one_under_their_names(store: RunStore) -> None:
    put(store, "trials/0002/attempts/1/localhost/stderr", "lost\n")
    put(store, "trials/0002/raw/localhost/stdout", "tps = 1\n")
    put(store, "trials/0002/raw/localhost/stderr", "progress\n")
    assert logs(store, "--trial", "2").stdout.splitlines() == [
        "==> trial 2: attempts/1/localhost/stderr <==",
        "lost",
        "==> trial 2: localhost/stderr <==",
        "progress",
        "==> trial 2: localhost/stdout <==",
        "tps = 1",
    ]
    told = json.loads(logs(store, "--trial", "2", "--json").stdout)
    assert [file["text"] for file in told["files"]] == ["lost\n", "progress\n", "tps = 1\n"]


def test_one_task_of_a_host_and_one_host_of_a_trial(store: RunStore) -> None:
    put(store, "hosts/h/logs/database/redis.log", "redis\n")
    put(store, "hosts/h/logs/gateway/1.log", "gateway\n")
    put(store, "hosts/h/logs/postgresql-3fa2/server.log", "postgres\n")
    for task, said in (
        ("redis", "redis"),
        ("database", "redis"),
        ("database.redis", "redis"),
        ("gateway", "gateway"),
        ("postgresql", "postgres"),
        ("postgresql-3fa2", "postgres"),
    ):
        assert logs(store, "--host", "h", "--task", task).stdout.splitlines()[1:] == [said], task
    assert logs(store, "--host", "h", "--task", "nothing").stdout == ""
    put(store, "trials/0002/raw/h/stdout", "tps = 1\n")
    put(store, "trials/0002/raw/other/stdout", "tps = 2\n")
    assert logs(store, "--trial", "2", "--host", "h").stdout.splitlines()[1:] == ["tps = 1"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--trial", "99"), "trial 99: the run one has 4 trials"),
        (("--trial", "0"), "0 is not in the range"),
        (("--trial", "x"), "not a valid integer"),
        (("--host", "nix"), "the run one has no such host"),
        (("--host", "../.."), "the run one has no such host"),
        (("--host", "h", "--ansible"), "give one of them"),
        (("--task", "t"), "--task needs --host"),
        (("--trial", "1", "--host", "nix"), "the run one has no such host"),
        (("--follow", "--json"), "give one of them"),
    ],
)
def test_what_is_not_there_is_said(store: RunStore, words: tuple[str, ...], said: str) -> None:
    assert said in logs(store, *words, code=2).stderr


def test_a_trial_without_output_yet_is_said_and_no_error(store: RunStore) -> None:
    done = logs(store, "--trial", "3")
    assert done.stdout == ""
    assert "No such log" in done.stderr


def test_what_can_be_done_with_a_run_that_did_not_end_is_said(store: RunStore) -> None:
    assert logs(store).stderr == ""
    journal = store.journal()
    journal.note("run.started", pid=1, version="0.1.0")
    assert "--follow" in logs(store).stderr
    journal.close()
    assert "benchctl resume one" in logs(store).stderr


def test_the_journal_is_shown_also_when_other_files_are_broken(store: RunStore) -> None:
    put(store, "plan.json", "{")
    assert "run.ended" in logs(store).stdout


def test_a_broken_journal_is_named_with_its_line(store: RunStore) -> None:
    path = store.path / "journal.jsonl"
    path.write_text("what\n" + path.read_text())
    assert "journal.jsonl:1: not a journal entry" in logs(store, code=1).stderr


class Following:
    """A `logs --follow` in a process of its own, ended at the end of the test."""

    def __init__(self, *words: str) -> None:
        self.process = subprocess.Popen(
            [PROGRAM, "logs", *words, "--follow"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def next_line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def rest(self) -> tuple[str, str]:
        return self.process.communicate(timeout=PATIENCE)


def test_following_ends_with_the_run_and_misses_nothing(store: RunStore) -> None:
    journal = store.journal()
    with Following(str(store.path)) as view:
        assert "run.started" in view.next_line()
        journal.note("late")
        while "late" not in (line := view.next_line()):
            assert line
        journal.note("last")
        journal.close()
        out, _ = view.rest()
    assert out.split()[1] == "last"
    assert view.process.returncode == 0


def test_following_says_where_to_look_while_ansible_is_at_work(store: RunStore) -> None:
    put(store, "ansible/configure/1/stdout", "PLAY\n")
    journal = store.journal()
    with Following(str(store.path)) as view, journal.act("step.configure"):
        assert view.process.stderr is not None
        assert "benchctl logs one --ansible --follow" in view.process.stderr.readline()
    journal.close()


def test_a_run_without_ansible_says_so(store: RunStore) -> None:
    assert "Ansible was not started in this run." in logs(store, "--ansible").stderr


def test_following_takes_no_lock_and_ctrl_c_ends_only_the_view(store: RunStore) -> None:
    journal = store.journal()
    with Following(str(store.path)) as view:
        for _ in range(6):
            view.next_line()
        view.process.send_signal(signal.SIGINT)
        _, said = view.rest()
    assert view.process.returncode == 130
    assert "the run is not touched" in said
    assert "Traceback" not in said
    journal.note("still mine")
    journal.close()
    assert Journal(store.path / "journal.jsonl").entries()[-1].act == "still mine"


def test_following_moves_from_the_host_to_the_run_directory(store: RunStore, tmp_path: Path) -> None:
    work = tmp_path / "work"
    live = work / "postgresql-1" / "server.log"
    live.parent.mkdir(parents=True)
    live.write_text("one\n")
    (store.path / "hosts" / "h").mkdir(parents=True)
    journal = store.journal()
    with journal.act("connect", host="h") as act:
        act.learned(work=str(work))
    with Following(str(store.path), "--host", "h") as view:
        assert view.next_line() == "==> h/postgresql-1/server.log <==\n"
        assert view.next_line() == "one\n"
        put(store, "hosts/h/logs/postgresql-1/server.log", "one\ntwo\n")
        live.unlink()
        assert view.next_line() == "two\n"
        journal.close()
        assert view.rest()[0] == ""


def test_a_log_that_starts_anew_is_read_from_its_beginning(tmp_path: Path) -> None:
    path, cursor = tmp_path / "log", Cursor()
    path.write_text("first start\nmore\n")
    assert list(cursor.lines(path, whole=False)) == ["first start", "more"]
    path.write_text("second\n")
    assert list(cursor.lines(path, whole=False)) == ["second"]
    assert list(cursor.lines(tmp_path / "gone", whole=False)) == []


def test_a_line_without_an_end_waits_for_it(tmp_path: Path) -> None:
    path, cursor = tmp_path / "log", Cursor()
    path.write_text("one\ntw")
    assert list(cursor.lines(path, whole=True)) == ["one"]
    path.write_text("one\ntwo\n")
    assert list(cursor.lines(path, whole=True)) == ["two"]


def test_a_log_of_many_lines_is_shown_whole(store: RunStore) -> None:
    put(store, "trials/0001/raw/localhost/stdout", "x" * 60 + "\n" + "a line of a log\n" * 50_000)
    assert logs(store, "--trial", "1").stdout.count("\n") == 50_002
