from __future__ import annotations

import errno
import os
from itertools import count
from typing import TYPE_CHECKING

import pytest

from benchctl.errors import RunStateError
from benchctl.journal import Journal, is_open, read

if TYPE_CHECKING:
    from pathlib import Path


def open_journal(folder: Path) -> Journal:
    ticks = count(1)
    return Journal(folder / "journal.jsonl", clock=lambda: float(next(ticks)))


def test_an_act_is_on_disk_before_its_body_runs_and_after(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    with journal.act("trial", ordinal=7) as act:
        assert [(e.act, e.phase) for e in read(journal.path)] == [("trial", "meant")]
        act.learned(seconds=1.5)
    meant, done = read(journal.path)
    assert meant.data == {"ordinal": 7}
    assert (done.phase, done.of, done.data) == ("done", meant.seq, {"seconds": 1.5})


def test_a_failed_act_keeps_the_reason_and_the_exception_goes_on(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    with pytest.raises(KeyboardInterrupt), journal.act("start"):
        raise KeyboardInterrupt
    assert read(journal.path)[-1].phase == "failed"
    assert read(journal.path)[-1].data["reason"] == "KeyboardInterrupt()"


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_line_cut_by_a_crash_is_dropped_and_the_numbers_go_on(tmp_path: Path, cut: int) -> None:
    journal = open_journal(tmp_path)
    journal.note("first")
    journal.note("second")
    journal.close()
    data = journal.path.read_bytes()
    journal.path.write_bytes(data[:-cut])
    again = open_journal(tmp_path)
    assert [e.act for e in again.entries()] == ["first"]
    again.note("third")
    assert [(e.seq, e.act) for e in again.entries()] == [(1, "first"), (2, "third")]


def test_a_broken_line_in_the_middle_is_named(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    journal.note("first")
    journal.note("second")
    lines = journal.path.read_bytes().splitlines(keepends=True)
    journal.path.write_bytes(b"{broken}\n" + lines[1])
    with pytest.raises(RunStateError, match=r"journal\.jsonl:1: not a journal entry"):
        read(journal.path)


def test_what_a_full_disk_cut_short_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = open_journal(tmp_path)
    journal.note("first")

    def half(fd: int, line: bytes) -> None:
        os.write(fd, line[: len(line) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("benchctl.journal.journal._write_whole", half)
        with pytest.raises(RunStateError, match=r"the entry for second could not be written: .*No space"):
            journal.note("second")
    journal.note("third")
    assert [(e.seq, e.act) for e in journal.entries()] == [(1, "first"), (2, "third")]


def test_two_processes_do_not_write_one_journal(tmp_path: Path) -> None:
    first = open_journal(tmp_path)
    with pytest.raises(RunStateError, match="another benchctl works on this run"):
        open_journal(tmp_path)
    assert is_open(first.path)
    first.close()
    assert not is_open(first.path)
    open_journal(tmp_path).close()


def test_a_read_only_run_directory_is_said(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").mkdir()
    with pytest.raises(RunStateError, match=r"journal\.jsonl: Is a directory"):
        open_journal(tmp_path)
