"""What every agent does, the fake and the real one: the executor may rely on all of it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from benchctl.agent import layout, process
from benchctl.agent.knobs import KNOBS
from benchctl.benchmark.connection import connect
from benchctl.benchmark.filechannel import contents
from benchctl.errors import AgentError, ConnectionLostError, LateError, ServiceError
from benchctl.model.host import Host
from benchctl.testing.agent import FakeAgent
from benchctl.testing.server import descriptor as server_descriptor
from benchctl.testing.server import write_descriptor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchctl.benchmark.connection import Agent

RUN = f"contract-{os.getpid()}"  # other workers have runs of their own
LIMIT = 30.0


class Bed(Protocol):
    agent: Agent

    def set_knob(self, name: str, value: str) -> None:
        """Change a knob as somebody else on the host would."""

    def knob(self, name: str) -> str: ...

    def descriptor(self, instance: str) -> str: ...

    def load(self, name: str, *, code: int = 0, stdout: str = "", duration: float = 0) -> dict[str, Any]:
        """Arguments of a `launch` that ends with `code`, prints `stdout` and takes over `duration`."""


class FakeBed:
    def __init__(self, folder: Path) -> None:
        self.fake = FakeAgent(folder, run=RUN)
        self.agent: Agent = self.fake

    def set_knob(self, name: str, value: str) -> None:
        self.fake.knobs[name] = value

    def knob(self, name: str) -> str:
        return self.fake.knobs[name]

    def descriptor(self, instance: str) -> str:
        return self.fake.add_descriptor(instance)

    def load(self, name: str, *, code: int = 0, stdout: str = "", duration: float = 0) -> dict[str, Any]:
        self.fake.outputs["stdout"] = stdout.encode()
        if code:
            self.fake.script("await", {"exit": code})
        return _launch(self.agent, name, ["true"])


class RealBed:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.set_knob("swappiness", "60")
        self.set_knob("aslr", "2")
        self.agent: Agent = connect(Host(name="here", transport="pipe"), RUN, owner="tests", ttl=60)

    def set_knob(self, name: str, value: str) -> None:
        self._knob(name).parent.mkdir(parents=True, exist_ok=True)
        self._knob(name).write_text(f"{value}\n")

    def knob(self, name: str) -> str:
        return self._knob(name).read_text().strip()

    def _knob(self, name: str) -> Path:
        """A file of the tree that stands for the host."""
        return Path(f"{self._folder}/machine{KNOBS[name].places[0].path}")

    def descriptor(self, instance: str) -> str:
        return write_descriptor(self._folder, instance)

    def load(self, name: str, *, code: int = 0, stdout: str = "", duration: float = 0) -> dict[str, Any]:
        return _launch(self.agent, name, _program(code, stdout, duration))


def _program(code: int, stdout: str, duration: float) -> list[str]:
    wait = f"import time; time.sleep({duration + 0.1 if duration else 0})"
    program = f"import sys; sys.stdout.write({stdout!r}); sys.stdout.flush(); {wait}; sys.exit({code})"
    return [sys.executable, "-ISB", "-c", program]


def _launch(agent: Agent, name: str, argv: list[str]) -> dict[str, Any]:
    cwd = f"{agent.hello['work']}/trials/{name}"
    return {"task": name, "argv": argv, "env": {}, "cwd": cwd, "limit": LIMIT, "hold": True, "service": None}


def _begin(bed: Bed, load: dict[str, Any], **watched: Any) -> float:
    """Launch, watch and start a load; return the instant it was told."""
    bed.agent.call("launch", timeout=LIMIT, **load)
    at: float = bed.agent.call("clock", timeout=LIMIT)["m"] + 0.4
    if watched:
        named = {"watch": load["task"], "task": load["task"], "cwd": load["cwd"], "start": at}
        bed.agent.call("watch", timeout=LIMIT, **named, hz=20, **watched)
    assert bed.agent.call("go", timeout=LIMIT, task=load["task"], at=at)["late"] is False
    return at


@pytest.fixture(params=["fake", "real"])
def bed(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bed]:
    if request.param == "fake":
        yield FakeBed(tmp_path)
        return
    short = Path(tempfile.mkdtemp(prefix="b", dir="/tmp"))
    monkeypatch.setenv("BENCHCTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BENCHCTL_LEASE_DIR", str(tmp_path / "lease"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    monkeypatch.setenv("BENCHCTL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("BENCHCTL_ROOT", str(tmp_path / "machine"))
    real = RealBed(tmp_path)
    try:
        yield real
    finally:
        with contextlib.suppress(ConnectionLostError):  # a test may have ended it
            real.agent.call("end", timeout=LIMIT)
        real.agent.close()
        assert process.marked(RUN) == []
        assert not layout.runtime_folder(RUN).exists()
        assert not (tmp_path / "lease" / "lease.json").exists()
        shutil.rmtree(short)


def test_hello_says_where_things_lie(bed: Bed) -> None:
    hello = bed.agent.call("hello", timeout=LIMIT)
    assert hello["protocol"] == 2
    assert hello["work"] == f"{hello['cache']}/runs/{RUN}"
    wanted = {"pid", "boot_id", "python", "uid", "runtime", "realtime", "monotonic", "hash"}
    assert wanted <= set(hello)
    assert bed.agent.hello["work"] == hello["work"]


def test_a_service_starts_answers_and_stops(bed: Bed) -> None:
    path = bed.descriptor("server-1")
    started = bed.agent.call("start", timeout=LIMIT, descriptor=path, settings={"work_mem": "4MB"})
    assert started["pid"] > 0
    seen = bed.agent.call("inspect", timeout=LIMIT, descriptor=path, names=["work_mem", "absent"])
    assert seen["version"]
    assert seen["settings"]["work_mem"] == "4MB"
    assert seen["missing"] == ["absent"]
    assert bed.agent.call("stats", timeout=LIMIT, descriptor=path)["counters"]
    assert bed.agent.call("checkpoint", timeout=LIMIT, descriptor=path) == {}
    stopped = bed.agent.call("stop", timeout=LIMIT, descriptor=path)
    assert stopped["running_before"] is True
    assert stopped["exit"] == 0


def test_stop_is_idempotent(bed: Bed) -> None:
    stopped = bed.agent.call("stop", timeout=LIMIT, descriptor=bed.descriptor("server-1"))
    assert stopped["running_before"] is False
    assert stopped["how"] == "none"


def test_a_running_service_is_not_started_again(bed: Bed) -> None:
    path = bed.descriptor("server-1")
    bed.agent.call("start", timeout=LIMIT, descriptor=path, settings={})
    with pytest.raises(ServiceError, match="running already"):
        bed.agent.call("start", timeout=LIMIT, descriptor=path, settings={})


@pytest.mark.parametrize("op", ["inspect", "stats", "checkpoint"])
def test_what_needs_a_running_service_says_so(bed: Bed, op: str) -> None:
    with pytest.raises(ServiceError, match="server-1 is not running"):
        bed.agent.call(op, timeout=LIMIT, descriptor=bed.descriptor("server-1"))


def test_a_missing_descriptor_is_named(bed: Bed) -> None:
    with pytest.raises(AgentError, match=r"/nowhere/d\.json"):
        bed.agent.call("start", timeout=LIMIT, descriptor="/nowhere/d.json", settings={})


def test_an_unknown_operation_is_named(bed: Bed) -> None:
    with pytest.raises(AgentError, match="no operation 'dance'"):
        bed.agent.call("dance", timeout=LIMIT)


def test_an_image_is_built_once_and_cloned(bed: Bed) -> None:
    path = bed.descriptor("server-1")
    first = bed.agent.call("image", timeout=LIMIT, descriptor=path, image="abc", prepare=None)
    again = bed.agent.call("image", timeout=LIMIT, descriptor=path, image="abc", prepare=None)
    assert (first["built"], again["built"]) == (True, False)
    assert again["bytes"] == first["bytes"]
    reset = bed.agent.call("reset", timeout=LIMIT, descriptor=path, image="abc")
    assert reset["method"] in {"copy", "reflink"}


def test_reset_refuses_a_missing_image_and_a_running_service(bed: Bed) -> None:
    path = bed.descriptor("server-1")
    with pytest.raises(AgentError, match="no image abc"):
        bed.agent.call("reset", timeout=LIMIT, descriptor=path, image="abc")
    bed.agent.call("image", timeout=LIMIT, descriptor=path, image="abc", prepare=None)
    bed.agent.call("start", timeout=LIMIT, descriptor=path, settings={})
    with pytest.raises(ServiceError, match="server-1 is running"):
        bed.agent.call("reset", timeout=LIMIT, descriptor=path, image="abc")


def test_cancelling_what_is_not_there_is_well(bed: Bed) -> None:
    assert bed.agent.call("cancel", timeout=LIMIT, task="t9") == {}


def test_a_load_is_launched_started_watched_and_awaited(bed: Bed, tmp_path: Path) -> None:
    load = bed.load("t1", stdout="tps = 42\n", duration=0.4)
    at = _begin(bed, load, warmup=0.1, duration=0.2)
    result = bed.agent.call("await", timeout=LIMIT, task="t1")
    assert (result["exit"], result["timed_out"], result["cancelled"], result["late"]) == (0, *[False] * 3)
    assert (result["service_died"], result["service_exit"]) == (False, None)
    assert (result["output_exceeded"], result["files_left_off"]) == (False, 0)
    assert result["began"] >= at
    assert result["end"] >= result["start"] + 0.3
    assert {"cpu_user", "cpu_system", "max_rss"} <= set(result)
    assert {"stdout", "stderr"} <= {entry["path"] for entry in result["files"]}
    watched = bed.agent.call("unwatch", timeout=LIMIT, watch="t1")
    assert bed.agent.call("unwatch", timeout=LIMIT, watch="t1") == watched
    (entry,) = watched["files"]
    assert entry["path"] == "host.samples"
    paths = [(f"{load['cwd']}/{name}", tmp_path / name) for name in ("stdout", "host.samples")]
    hashes = bed.agent.fetch_all(paths)
    assert hashes == [hashlib.sha256(path.read_bytes()).hexdigest() for _, path in paths]
    assert (tmp_path / "stdout").read_text() == "tps = 42\n"
    head, *samples = map(json.loads, (tmp_path / "host.samples").read_text().splitlines())
    assert head["schema"] == 2
    assert len(samples) == watched["samples"]
    first, last = (sample for sample in samples if sample.get("edge"))
    assert at + 0.1 <= first["m"] + 1e-6 < at + 0.3 + LIMIT
    assert at + 0.3 <= last["m"] + 1e-6
    assert {"task", "service", "agent", "foreign", "files"} <= set(first)
    assert set(head["files"]) <= set(first["files"])


def test_a_load_that_fails_is_a_result(bed: Bed) -> None:
    _begin(bed, bed.load("t1", code=3))
    assert bed.agent.call("await", timeout=LIMIT, task="t1")["exit"] == 3


def test_a_load_is_launched_once_into_an_empty_folder(bed: Bed) -> None:
    load = bed.load("t1")
    stale = Path(load["cwd"]) / "tx.17"
    stale.parent.mkdir(parents=True)
    stale.write_text("of an earlier attempt")
    first = bed.agent.call("launch", timeout=LIMIT, **load)
    assert first["pid"] > 0
    assert first["held"]
    assert not stale.exists()
    assert bed.agent.call("launch", timeout=LIMIT, **load) == first
    with pytest.raises(AgentError, match="there was a task t1 with another command"):
        bed.agent.call("launch", timeout=LIMIT, **{**load, "argv": ["other"]})
    bed.agent.call("cancel", timeout=LIMIT, task="t1")


def test_a_load_told_to_start_in_the_past_is_late(bed: Bed) -> None:
    bed.agent.call("launch", timeout=LIMIT, **bed.load("t1"))
    past = bed.agent.call("clock", timeout=LIMIT)["m"] - 2
    assert bed.agent.call("go", timeout=LIMIT, task="t1", at=past) == {"late": True}
    assert bed.agent.call("await", timeout=LIMIT, task="t1")["late"] is True


def test_a_strict_start_in_the_past_leaves_the_load_held(bed: Bed) -> None:
    load = bed.load("t1")
    bed.agent.call("launch", timeout=LIMIT, **load)
    past = bed.agent.call("clock", timeout=LIMIT)["m"] - 2
    go = {"op": "go", "task": "t1", "at": past, "strict": True}
    with pytest.raises(LateError, match="t1"):
        bed.agent.call("series", timeout=LIMIT, ops=[go, {"op": "await", "task": "t1"}])
    again = {**load, "task": "t2"}
    with pytest.raises(AgentError, match="in use"):
        bed.agent.call("launch", timeout=LIMIT, **again)
    bed.agent.call("cancel", timeout=LIMIT, task="t1")
    result = bed.agent.call("await", timeout=LIMIT, task="t1")
    assert (result["exit"], result["cancelled"]) == (-9, True)
    bed.agent.call("launch", timeout=LIMIT, **again)
    bed.agent.call("cancel", timeout=LIMIT, task="t2")


def test_a_load_and_its_samples_begin_at_one_word_and_come_back_in_one_reply(
    bed: Bed, tmp_path: Path
) -> None:
    load = bed.load("t1", stdout="tps = 42\n", duration=0.4)
    watch = {"op": "watch", "watch": "t1", "task": "t1", "cwd": load["cwd"]}
    window = {"warmup": 0.1, "duration": 0.2, "hz": 20}
    told = bed.agent.call("series", timeout=LIMIT, ops=[{"op": "launch", **load}, {**watch, **window}])
    assert told["replies"][0]["held"]
    at = bed.agent.call("clock", timeout=LIMIT)["m"] + 0.4
    ops = [{"op": "go", "task": "t1", "at": at, "strict": True}, {"op": "await", "task": "t1"}]
    ops += [{"op": "unwatch", "watch": "t1"}, {"op": "read", "dir": load["cwd"]}]
    began, ended, watched, read = bed.agent.call("series", timeout=LIMIT, ops=ops)["replies"]
    assert (began["late"], ended["exit"]) == (False, 0)
    there = contents({"read": read["read"]})
    assert there["stdout"] == b"tps = 42\n"
    (entry,) = watched["files"]
    assert len(there["host.samples"]) == entry["size"]
    samples = [json.loads(line) for line in there["host.samples"].splitlines()[1:]]
    edges = [sample["m"] for sample in samples if sample.get("edge")]
    assert edges[0] == pytest.approx(at + 0.1, abs=0.1)
    for name, content in there.items():
        bed.agent.fetch(f"{load['cwd']}/{name}", tmp_path / name)
        assert (tmp_path / name).read_bytes() == content


def test_a_series_ends_with_the_first_that_is_refused(bed: Bed) -> None:
    with pytest.raises(AgentError, match="there is no task t9"):
        bed.agent.call("series", timeout=LIMIT, ops=[{"op": "clock"}, {"op": "await", "task": "t9"}])
    replies = bed.agent.call("series", timeout=LIMIT, ops=[{"op": "clock"}, {"op": "clock"}])["replies"]
    assert [set(reply) for reply in replies] == [{"m", "t"}] * 2


@pytest.mark.parametrize("op", ["go", "await"])
def test_tasks_that_are_not_there_are_named(bed: Bed, op: str) -> None:
    with pytest.raises(AgentError, match="there is no task t9"):
        bed.agent.call(op, timeout=LIMIT, task="t9", **({"at": 0.0} if op == "go" else {}))


def test_no_task_empties_what_is_not_the_runs(bed: Bed, tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="no task of this run may empty it"):
        bed.agent.call("launch", timeout=LIMIT, **{**bed.load("t1"), "cwd": str(tmp_path)})


def test_unwatching_what_never_was_is_well(bed: Bed) -> None:
    assert bed.agent.call("unwatch", timeout=LIMIT, watch="w9") == {"samples": 0, "files": []}


def test_what_is_submitted_is_answered(bed: Bed) -> None:
    done = threading.Event()
    good, bad = bed.agent.submit("clock"), bed.agent.submit("await", task="t9")
    assert set(good.result(LIMIT)) == {"m", "t"}
    with pytest.raises(AgentError, match="there is no task t9"):
        bad.result(LIMIT)
    for pending in (good, bad):
        done.clear()
        pending.watch(done)
        assert done.wait(LIMIT)
        assert pending.done


def test_the_hosts_clock_is_known(bed: Bed) -> None:
    clock = bed.agent.clock()
    assert abs(clock.offset) <= clock.uncertainty + 0.001  # it is the same clock
    assert bed.agent.round_trip > 0


def test_files_are_put_below_the_runs_folder_only(bed: Bed, tmp_path: Path) -> None:
    source = tmp_path / "script"
    source.write_text("#!/bin/sh\n")
    target = Path(bed.agent.hello["work"]) / "files" / "script"
    digest = bed.agent.put(source, str(target), executable=True)
    assert digest == hashlib.sha256(source.read_bytes()).hexdigest()
    assert target.read_text() == "#!/bin/sh\n"
    assert target.stat().st_mode & 0o777 == 0o755
    with pytest.raises(AgentError, match="is not below"):
        bed.agent.put(source, str(tmp_path / "stolen"))
    assert not (tmp_path / "stolen").exists()


def test_a_service_given_as_an_object(bed: Bed) -> None:
    given = server_descriptor("server-3")
    bed.agent.call("start", timeout=LIMIT, descriptor=given, settings={"a": "b"})
    assert bed.agent.call("hello", timeout=LIMIT)["busy"] is True
    log = f"{bed.agent.hello['work']}/trials/x/server.log"
    stopped = bed.agent.call("stop", timeout=LIMIT, descriptor=given, log=log)
    assert stopped["running_before"] is True
    assert Path(log).exists()
    assert bed.agent.call("hello", timeout=LIMIT)["busy"] is False


def test_stamps_tell_what_differs(bed: Bed) -> None:
    stamps = Path(bed.agent.hello["cache"]) / "stamps"
    stamps.mkdir(parents=True)
    (stamps / "postgresql").write_text("aa\n")
    want = {"postgresql": "aa", "pgbench": "bb"}
    assert bed.agent.call("stamps", timeout=LIMIT, want=want) == {"differ": ["pgbench"]}
    want = {"postgresql": "ab"}
    assert bed.agent.call("stamps", timeout=LIMIT, want=want) == {"differ": ["postgresql"]}


def test_verify_lists_problems(bed: Bed) -> None:
    assert bed.agent.call("verify", timeout=LIMIT, descriptor=bed.descriptor("server-1")) == {"problems": []}


def test_settings_are_not_judged_without_a_command_for_it(bed: Bed) -> None:
    path = bed.descriptor("postgresql-7")
    reply = bed.agent.call("check", timeout=LIMIT, descriptor=path, settings={"fsync": "on"})
    assert reply == {"said": "", "names": []}


def test_only_the_runs_own_files_are_removed(bed: Bed, tmp_path: Path) -> None:
    inside = Path(bed.agent.hello["work"]) / "trials" / "x"
    inside.mkdir(parents=True)
    (inside / "file").write_text("1")
    bed.agent.call("remove", timeout=LIMIT, path=str(inside))
    assert not inside.exists()
    bed.agent.call("remove", timeout=LIMIT, path=str(inside))
    link = Path(bed.agent.hello["work"]) / "link"
    link.symlink_to(tmp_path)
    for path in (tmp_path, link / "stolen"):
        with pytest.raises(AgentError, match="not this run's to remove"):
            bed.agent.call("remove", timeout=LIMIT, path=str(path))


def test_a_missing_file_cannot_be_fetched(bed: Bed, tmp_path: Path) -> None:
    missing = f"{bed.agent.hello['work']}/missing"
    with pytest.raises(AgentError, match="cannot be fetched: No such file"):
        bed.agent.fetch(missing, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_fingerprint_has_facts(bed: Bed) -> None:
    assert "kernel.release" in bed.agent.call("fingerprint", timeout=LIMIT)["facts"]


def test_lease_is_renewed_by_its_holder(bed: Bed) -> None:
    assert bed.agent.call("lease", timeout=LIMIT, owner="tests", ttl=60) == {}


def test_end_stops_services_in_reverse(bed: Bed) -> None:
    for instance in ("server-1", "server-2"):
        path = bed.descriptor(instance)
        bed.agent.call("start", timeout=LIMIT, descriptor=path, settings={})
    assert bed.agent.call("end", timeout=LIMIT) == {"stopped": ["server-2", "server-1"]}


def test_what_is_remembered_is_recalled(bed: Bed) -> None:
    assert bed.agent.call("recall", timeout=LIMIT, name="x") == {"value": None}
    assert bed.agent.call("remember", timeout=LIMIT, name="x", value={"y": 1.5}) == {}
    assert bed.agent.call("recall", timeout=LIMIT, name="x") == {"value": {"y": 1.5}}


def test_a_snapshot_shows_what_the_knobs_are(bed: Bed) -> None:
    told = bed.agent.call("snapshot", timeout=LIMIT, knobs=["swappiness", "governor"])
    assert told["container"] is False
    assert told["knobs"] == [
        {"knob": "swappiness", "places": 1, "values": {"60": 1}},
        {"knob": "governor", "places": 0, "values": {}},
    ]
    assert len(bed.agent.call("snapshot", timeout=LIMIT)["knobs"]) == len(KNOBS)


def test_a_preview_tells_what_would_change(bed: Bed) -> None:
    told = bed.agent.call("preview", timeout=LIMIT, values={"swappiness": "1", "aslr": "2", "boost": "off"})
    rows = {row["knob"]: row for row in told["knobs"]}
    assert rows["swappiness"] == {
        "knob": "swappiness",
        "value": "1",
        "was": {"60": 1},
        "places": 1,
        "differs": 1,
        "wants": {"1": 1},
        "why": "",
    }
    assert (rows["aslr"]["differs"], rows["aslr"]["wants"]) == (0, {})
    assert (rows["boost"]["places"], rows["boost"]["why"]) == (0, "this host has none")
    assert bed.knob("swappiness") == "60"


def test_knobs_are_set_watched_and_given_back(bed: Bed) -> None:
    told = bed.agent.call("tune", timeout=LIMIT, values={"swappiness": "1", "aslr": "2", "boost": "off"})
    rows = {row["knob"]: row for row in told["knobs"]}
    assert {name: row["outcome"] for name, row in rows.items()} == {
        "swappiness": "applied",
        "aslr": "already",
        "boost": "unsupported",
    }
    assert rows["swappiness"] == {
        "knob": "swappiness",
        "value": "1",
        "outcome": "applied",
        "why": "",
        "counts": {"applied": 1},
        "was": {"60": 1},
    }
    assert told["undo"].endswith("restore")
    assert bed.knob("swappiness") == "1"
    drift = bed.agent.call("drift", timeout=LIMIT)
    assert drift == {"run": RUN, "profile": "", "places": 2, "drifts": 0, "drifted": [], "problems": []}
    bed.set_knob("aslr", "0")
    drift = bed.agent.call("drift", timeout=LIMIT)
    path = "/proc/sys/kernel/randomize_va_space"
    assert drift["drifted"] == [{"knob": "aslr", "path": path, "wanted": "2", "found": "0"}]
    bed.set_knob("aslr", "2")
    undone = bed.agent.call("restore", timeout=LIMIT)
    change = {"knob": "swappiness", "found": {"1": 1}, "was": {"60": 1}}
    nothing: dict[str, list[str]] = {"left": [], "failed": [], "gone": [], "problems": []}
    assert undone == {"restored": 1, "knobs": [change], **nothing, "reboot": False}
    assert bed.knob("swappiness") == "60"
    assert bed.agent.call("drift", timeout=LIMIT)["places"] == 0
    assert bed.agent.call("restore", timeout=LIMIT)["restored"] == 0


def test_what_has_drifted_is_told_and_set_again(bed: Bed) -> None:
    bed.agent.call("tune", timeout=LIMIT, values={"swappiness": "1", "aslr": "2"})
    assert "around" not in bed.agent.call("drift", timeout=LIMIT, mend=True)
    bed.set_knob("swappiness", "33")
    told = bed.agent.call("drift", timeout=LIMIT, mend=True)
    assert (told["drifts"], told["unmended"], told["drifted"][0]["found"]) == (1, 0, "33")
    assert sorted(told["around"]) == ["logins", "processes", "units"]
    assert bed.knob("swappiness") == "1"
    assert bed.agent.call("drift", timeout=LIMIT)["drifts"] == 0
    assert bed.agent.call("restore", timeout=LIMIT)["restored"] == 1
    assert bed.knob("swappiness") == "60"


def test_what_somebody_else_set_is_given_back_only_by_force(bed: Bed) -> None:
    bed.agent.call("tune", timeout=LIMIT, values={"swappiness": "1"})
    bed.set_knob("swappiness", "33")
    (left,) = bed.agent.call("restore", timeout=LIMIT)["left"]
    assert left == {"knob": "swappiness", "path": "/proc/sys/vm/swappiness", "was": "60", "found": "33"}
    assert bed.agent.call("restore", timeout=LIMIT, force=True)["restored"] == 1
    assert bed.knob("swappiness") == "60"


def test_the_end_of_a_run_gives_its_knobs_back(bed: Bed) -> None:
    bed.agent.call("tune", timeout=LIMIT, values={"swappiness": "1"})
    assert bed.agent.call("end", timeout=LIMIT)["tuning"]["restored"] == 1
    assert bed.knob("swappiness") == "60"


def test_kept_knobs_stay_beyond_the_run(bed: Bed) -> None:
    bed.agent.call("tune", timeout=LIMIT, values={"swappiness": "1"}, kept=True, roles=["dbms"])
    bed.agent.call("end", timeout=LIMIT)
    assert bed.knob("swappiness") == "1"


def test_values_that_cannot_be_are_refused(bed: Bed) -> None:
    for op in ("tune", "preview"):
        with pytest.raises(AgentError, match=r"swapiness: there is no such knob .* aslr: '0': allowed: 2"):
            bed.agent.call(op, timeout=LIMIT, values={"swapiness": "1", "aslr": "0"})
    assert bed.knob("swappiness") == "60"
