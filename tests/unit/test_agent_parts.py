from __future__ import annotations

import json
import os
import threading
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchctl.agent import (
    cloning,
    files,
    fingerprint,
    image,
    process,
    reset,
    service,
    software,
    sources,
    watch,
)
from benchctl.agent.context import Context
from benchctl.agent.refusal import RefusalError
from benchctl.agent.sampler import Sampler
from benchctl.testing.server import write_descriptor


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setenv("BENCHCTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/x")
    return Context("run-1", supervised=False)


@given(
    start=st.floats(0, 1e6),
    warmup=st.sampled_from([0.0, 0.05, 1.0, 7.3]),
    duration=st.floats(0.01, 600),
    hertz=st.sampled_from([0.5, 1.0, 3.0, 10.0]),
)
def test_samples_stand_at_the_edges_of_the_window(
    start: float, warmup: float, duration: float, hertz: float
) -> None:
    found = list(watch.moments(start, warmup, duration, hertz))
    edges = [number for number, moment in enumerate(found) if moment.edge]
    first, last = edges
    assert (found[first].at, found[last].at) == (start + warmup, start + warmup + duration)
    assert last == len(found) - 1
    assert [moment.warmup for moment in found] == [number < first for number in range(len(found))]
    times = [moment.at for moment in found]
    assert times[0] == start
    assert times == sorted(times)
    for part in (times[: first + 1], times[first:]):
        gaps = [later - earlier for earlier, later in pairwise(part)]
        assert max(gaps, default=0) <= 1.5 / hertz + 1e-6 * (1 + start)
        assert len(gaps) <= 1 or min(gaps) >= 0.5 / hertz - 1e-6 * (1 + start)


@pytest.mark.parametrize(("text", "found"), [("0", {0}), ("0-2,5", {0, 1, 2, 5}), ("3,1-1", {1, 3})])
def test_cpu_lists(text: str, found: set[int]) -> None:
    assert process.parse_cpus(text) == found


def test_the_process_that_got_a_number_is_told_from_its_former_owner() -> None:
    birth = process.birth_of(os.getpid())
    assert process.is_alive(os.getpid(), birth)
    assert not process.is_alive(os.getpid(), birth + 1)
    with pytest.raises(ProcessLookupError):
        process.Foreign(os.getpid(), birth + 1)


def test_a_fingerprint_is_wide_and_quick_to_store(context: Context) -> None:
    facts = fingerprint.fingerprint(context)["facts"]
    assert len(facts) >= 150
    assert len(json.dumps(facts)) < 32_000
    assert {"kernel.release", "cpu.model", "cpu.flags_hash", "memory.total", "disk.filesystem"} <= set(facts)
    assert facts["kernel.release"] == os.uname().release
    assert facts["disk.filesystem"]
    assert facts["memory.total"] > 0


def test_what_a_host_does_not_have_is_null(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "_text", lambda _: None)
    facts = fingerprint.fingerprint(context)["facts"]
    assert facts["kernel.release"] is None
    assert facts["cpu.flags_hash"] is None
    assert facts["memory.total"] is None


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("root=/dev/vda quiet", "root=/dev/vda quiet"),
        ("rd.luks.password=hunter2 quiet", "rd.luks.password=[redacted] quiet"),
        ("API_TOKEN=abc,def x", "API_TOKEN=[redacted] x"),
        ("compass=north", "compass=[redacted]"),
    ],
)
def test_values_that_look_like_secrets_are_hidden(given: str, shown: str) -> None:
    assert software.redacted(given) == shown


def test_no_fact_shows_a_secret(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/lib:db_password=hunter2")
    assert "hunter2" not in json.dumps(fingerprint.fingerprint(context))


def test_a_sampler_without_pressure_files_says_null(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchctl.agent.sources.FILES", {"stat": "/proc/stat", "pressure_cpu": "/nowhere"})
    path = tmp_path / "host.samples"
    sampler = Sampler(path, None)
    sampler.take(os.getpid(), edge=True)
    sampler.take(2**22 + 1, edge=True, ended=1.5)
    sampler.close()
    head, first, last = (json.loads(line) for line in path.read_text().splitlines())
    assert head["files"] == ["stat", "pressure_cpu", "throttle", "cgroup_cpu"]
    assert first["files"]["pressure_cpu"] is None
    assert first["service"] == {"cpu": None}
    assert first["task"]["cpu"] > 0
    assert last["task"] == {"cpu": 1.5}


def test_long_windows_are_written_on_the_way(tmp_path: Path) -> None:
    path = tmp_path / "host.samples"
    sampler = Sampler(path, None)
    for _ in range(100):
        sampler.take(1, edge=False)
    assert len(path.read_text().splitlines()) >= 64
    sampler.close()
    assert len(path.read_text().splitlines()) == 101


def test_a_clone_is_equal_and_apart(tmp_path: Path) -> None:
    source = tmp_path / "a"
    (source / "sub").mkdir(parents=True, mode=0o700)
    (source / "sub/file").write_bytes(os.urandom(300_000))
    (source / "sub/file").chmod(0o600)
    (source / "empty").touch()
    (source / "link").symlink_to("sub/file")
    assert cloning.clone(source, tmp_path / "b", 300_000, share=True).method in {"copy", "reflink"}
    copy = tmp_path / "b"
    assert (copy / "sub/file").read_bytes() == (source / "sub/file").read_bytes()
    assert (copy / "sub/file").stat().st_mode & 0o777 == 0o600
    assert (copy / "sub").stat().st_mode == (source / "sub").stat().st_mode
    assert (copy / "link").readlink() == Path("sub/file")
    (copy / "empty").write_text("x")
    assert (source / "empty").read_text() == ""


def test_the_least_recently_used_images_go(tmp_path: Path) -> None:
    for age in range(image.IMAGES_KEPT + 3):
        (tmp_path / f"i{age}").mkdir()
        os.utime(tmp_path / f"i{age}", (1000 - age, 1000 - age))
    keep = tmp_path / f"i{image.IMAGES_KEPT + 2}"  # the oldest of all, but it was just built
    image.forget_oldest(tmp_path, keep)
    left = {path.name for path in tmp_path.iterdir()}
    assert len(left) == image.IMAGES_KEPT
    assert keep.name in left
    assert "i0" in left
    assert f"i{image.IMAGES_KEPT + 1}" not in left


def test_files_lists_regular_files_only(context: Context, tmp_path: Path) -> None:
    folder = tmp_path / "f"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub/a").write_text("12")
    (folder / "link").symlink_to("/etc/passwd")
    os.mkfifo(folder / "fifo")
    assert files.files(context, str(folder)) == {"files": [{"path": "sub/a", "size": 2}]}


@pytest.mark.parametrize("path", ["/", "/etc/passwd", "relative", "{work}/../x", "{work}/../../../x"])
def test_remove_refuses_what_is_not_the_runs(context: Context, path: str) -> None:
    with pytest.raises(RefusalError, match="not this run's to remove"):
        files.remove(context, path.replace("{work}", str(context.work)))


def test_remove_takes_links_not_what_they_point_to(context: Context, tmp_path: Path) -> None:
    context.work.mkdir(parents=True)
    (tmp_path / "kept").mkdir()
    (context.work / "link").symlink_to(tmp_path / "kept")
    files.remove(context, str(context.work / "link"))
    assert (tmp_path / "kept").is_dir()
    files.remove(context, str(context.work))
    assert not context.work.exists()


@pytest.mark.parametrize("asked", ["/nowhere", "/proc/self", "/dev/null"])
def test_the_raw_channel_refuses_what_it_cannot_send(asked: str) -> None:
    answers = _serve(json.dumps({"path": asked}).encode() + b"\n")
    assert [set(answer) for answer in answers] == [{"error"}]


@pytest.mark.parametrize("line", [b"{\n", b"[]\n", b'{"x": 1}\n', b" " * 70000 + b"\n"])
def test_the_raw_channel_closes_on_nonsense(line: bytes) -> None:
    answers = _serve(line + b'{"path": "/dev/null"}\n')
    assert len(answers) == 1
    assert "error" in answers[0]


def _serve(requests: bytes) -> list[dict[str, str]]:
    (reading, asking), (answers, writing) = os.pipe(), os.pipe()
    server = threading.Thread(target=files.serve, args=(Context("run", supervised=False), reading, writing))
    server.start()
    try:
        files.write_all(asking, requests)
    finally:
        os.close(asking)
    server.join(20)
    os.close(writing)
    os.close(reading)
    with os.fdopen(answers, "rb") as file:
        return [json.loads(line) for line in file]


def test_tail_is_bounded(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"line {number}\n" for number in range(50_000)))
    assert service.tail(log).splitlines() == [f"line {number}" for number in range(49_980, 50_000)]
    assert service.tail(tmp_path / "missing") == ""


def test_verify_names_what_changed(context: Context, tmp_path: Path) -> None:
    checks = [
        {"argv": ["echo", "2.0"], "stdout": "1.0"},
        {"argv": ["/nowhere/postgres", "--version"], "stdout": "1.0"},
        {"path": str(tmp_path / "missing"), "sha256": "0"},
        {"argv": ["false"], "stdout": ""},
        {"argv": ["false"], "stdout": "", "status": [1]},
        {"path": "/dev/null", "sha256": "0"},
        {"path": "/dev/null", "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    ]
    problems = service.verify(context, write_descriptor(tmp_path, verify=checks))["problems"]
    assert len(problems) == 5
    assert problems[0] == "echo 2.0 printed '2.0', not '1.0'"
    assert "/nowhere/postgres does not start" in problems[1]
    assert problems[2].endswith("missing: No such file or directory")
    assert problems[3] == "false ended with exit status 1, where 0 is expected"


def test_a_zombie_is_neither_alive_nor_killed() -> None:
    pid = os.posix_spawn("/bin/true", ["true"], {})
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    try:
        assert not process.is_alive(pid)
        assert process.kill_all([pid]) == set()
        assert process.await_gone({pid}) == set()
    finally:
        os.waitpid(pid, 0)


def test_a_quota_is_counted_by_the_nearest_cgroup_that_has_the_cpu_controller(tmp_path: Path) -> None:
    below = tmp_path / "bench.slice" / "run.service" / "supervisor"
    below.mkdir(parents=True)
    for folder in (below, *below.parents[:3]):
        (folder / "cpu.stat").write_text("usage_usec 5\n")
    assert sources.cpu_counts(tmp_path, "/bench.slice/run.service/supervisor") is None
    counted = tmp_path / "bench.slice" / "cpu.stat"
    counted.write_text("usage_usec 5\nnr_periods 0\nnr_throttled 0\n")
    assert sources.cpu_counts(tmp_path, "/bench.slice/run.service/supervisor") == counted
    assert sources.cpu_counts(tmp_path, "/gone") is None


def test_an_embedded_engine_is_filled_without_a_server(context: Context, tmp_path: Path) -> None:
    """Its image is what the load generator made of the folder; start writes the settings and that is all."""
    path = write_descriptor(
        tmp_path, embedded=True, start=None, ready=None, stats=None, version={"argv": ["cat", "{conf}"]},
        settings={"file": "{work}/engine.settings", "syntax": "json", "base": {"threads": 1}},
    )  # fmt: skip
    prepare = {"argv": ["cp", "{work}/engine.settings", "{data}/bench.db"]}
    assert image.image(context, path, "an-image", prepare=prepare)["built"]
    reset.reset(context, path, "an-image")
    data = context.work / "server-1" / "data" / "bench.db"
    assert data.read_text() == '{"threads": "1"}\n'
    assert service.start(context, path, {"threads": 2})["pid"] is None
    assert service.inspect(context, path)["version"] == '{"threads": "2"}'
    assert service.stats(context, path) == {"counters": {}}
    assert service.ready(context, path) == {"ready": True}
    assert not service.stop(context, path)["running_before"]


def test_somebody_elses_server_is_asked_filled_each_time_and_reset_by_their_command_alone(
    context: Context, tmp_path: Path
) -> None:
    ready = {"argv": ["test", "-e", str(tmp_path / "up")]}
    path = write_descriptor(
        tmp_path, external=True, start=None, ready=ready, stats=None, version={"argv": ["echo", "9.9"]},
        settings=None,
    )  # fmt: skip
    with pytest.raises(RefusalError, match="ready ended with 1"):
        service.start(context, path)
    assert service.ready(context, path) == {"ready": False}
    (tmp_path / "up").touch()
    assert service.start(context, path)["pid"] is None
    assert service.ready(context, path) == {"ready": True}
    assert service.inspect(context, path)["version"] == "9.9"
    prepare = {"argv": ["cp", "--backup=numbered", str(tmp_path / "up"), str(tmp_path / "filled")]}
    for _ in range(2):
        assert image.image(context, path, "an-image", prepare=prepare)["built"]
    assert len(list(tmp_path.glob("filled*"))) == 2
    with pytest.raises(RefusalError, match="is a server that is not benchctl's: its data is not reset"):
        reset.reset(context, path, "an-image")
    path = write_descriptor(
        tmp_path, external=True, start=None, ready=ready, reset={"argv": ["touch", str(tmp_path / "empty")]}
    )
    assert reset.reset(context, path, "an-image")["method"] == "command"
    assert (tmp_path / "empty").exists()
    with pytest.raises(RefusalError, match="takes no settings"):
        service.start(context, write_descriptor(tmp_path, external=True, settings=None), {"threads": 2})


def test_somebody_elses_server_is_reset_before_anything_was_asked_of_it(
    context: Context, tmp_path: Path
) -> None:
    """As by the playbooks, which begin with it."""
    clear = {"argv": ["touch", str(tmp_path / "empty")]}
    path = write_descriptor(tmp_path, external=True, start=None, reset=clear)
    assert reset.reset(context, path, "an-image")["method"] == "command"
    assert (tmp_path / "empty").exists()


def test_an_image_is_set_up_before_it_is_filled(context: Context, tmp_path: Path) -> None:
    path = write_descriptor(
        tmp_path,
        embedded=True,
        start=None,
        ready=None,
        settings=None,
        setup={"argv": ["touch", "{data}/keyspace"]},
    )
    prepare = {"argv": ["cp", "{data}/keyspace", "{data}/filled"]}
    assert image.image(context, path, "an-image", prepare=prepare)["built"]
    assert (context.cache / "images" / "an-image" / "data" / "filled").exists()
