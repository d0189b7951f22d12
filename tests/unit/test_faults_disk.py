"""A run directory that takes no more bytes: said by name, the hosts given back all the same, and resumed."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest

from benchctl.errors import RunStateError, ServiceError
from benchctl.model.event import Message
from benchctl.pipeline.state import read_state
from benchctl.results import files
from tests.unit.test_pipeline import World, entries_of_a_whole_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture(autouse=True)
def _no_syncing(monkeypatch: pytest.MonkeyPatch) -> None:
    for sync in ("fsync", "fdatasync"):  # no power is cut here, and there are hundreds of runs
        monkeypatch.setattr(f"os.{sync}", lambda _: None)


def full_from(entry: int) -> Callable[[int, bytes], None]:
    """Let the journal take entries until the given one."""
    taken = 0

    def write(fd: int, line: bytes) -> None:
        nonlocal taken
        taken += 1
        if taken >= entry:
            os.write(fd, line[: len(line) // 2])  # as a full disk does
            raise FULL
        os.write(fd, line)

    return write


def test_a_journal_that_is_full_at_any_entry_ends_the_run_and_gives_the_host_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for entry in range(1, entries_of_a_whole_run(tmp_path / "whole") + 1):
        world = World(tmp_path / f"full-{entry}")
        with monkeypatch.context() as patch:
            patch.setattr("benchctl.journal.journal._write_whole", full_from(entry))
            with pytest.raises(RunStateError, match=r"journal\.jsonl: the entry for .* No space left"):
                world.execute()
        for agent in world.agents:
            ops = [op for op, _ in agent.calls if op != "hello"]
            assert ops[-1] == "end", entry
            assert agent.closed, entry
            assert ops.count("start") <= ops.count("stop"), entry
        finished = {t.ordinal: t for t in world.store.trials()}
        world.execute()
        assert {t.ordinal: t for t in world.store.trials() if t.ordinal in finished} == finished, entry
        state = read_state(world.store)
        assert (state.state, state.trials_done) == ("finished", 4), entry


@pytest.mark.parametrize(
    "name", ["inventory.json", "state.json", "descriptors.json", "fingerprint.json", "trial.json"]
)
def test_a_file_that_finds_no_room_ends_the_run_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    world = World(tmp_path)
    real = files.write_atomically

    def write(path: Path, data: bytes, *, after: Iterable[Path] = ()) -> None:
        if path.name == name:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        real(path, data, after=after)

    with monkeypatch.context() as patch:
        patch.setattr("benchctl.results.store.write_atomically", write)
        with pytest.raises(RunStateError, match=rf"No space left on device: '.*{name}'") as caught:
            world.execute()
    assert "free space" in caught.value.remedy
    assert not world.agents or world.agents[-1].calls[-1][0] == "end"
    world.execute()
    assert read_state(world.store).trials_done == 4


@pytest.mark.parametrize("name", ["summary.json", "series.parquet"])
def test_what_is_derived_and_finds_no_room_is_said_after_the_way_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    world = World(tmp_path)

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", name)

    what = "store.RunStore.save_summary" if name == "summary.json" else "tables._write"
    monkeypatch.setattr(f"benchctl.results.{what}", refuse)
    with pytest.raises(RunStateError, match=f"No space left on device: '{name}'"):
        world.execute()
    assert world.agents[-1].calls[-1][0] == "end"
    assert read_state(world.store).trials_done == 4


def test_the_first_failure_stays_the_error_when_its_end_cannot_be_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)

    def fail(_: dict[str, Any]) -> dict[str, Any]:
        monkeypatch.setattr("benchctl.journal.journal._write_whole", full_from(1))
        raise ServiceError("the first one")

    world.prepare = lambda agent: agent.script("image", fail)
    with pytest.raises(ServiceError, match="the first one"):
        world.execute()
    assert [e for e in world.events if isinstance(e, Message) and "not on record" in e.text]
    assert world.agents[-1].calls[-1][0] == "end"


def test_half_a_file_does_not_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise FULL

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(OSError, match="No space left"):
        files.write_atomically(tmp_path / "summary.json", b"{}")
    assert list(tmp_path.iterdir()) == []
