"""`benchctl runs rm | export | diff` on run directories made by hand."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from benchctl.cli.confirm import byte_size
from benchctl.errors import RunStateError
from benchctl.results.difference import compare_runs
from benchctl.results.export import export_run
from benchctl.results.integrity import damaged
from benchctl.results.removal import ASIDE, remove_run
from benchctl.results.store import RunStore
from benchctl.results.workspace import list_runs
from tests.builders import plan, trial
from tests.unit.test_cli_main import run_main

if TYPE_CHECKING:
    from benchctl.model.measurement import Trial
    from benchctl.model.plan import Plan


def make(root: Path, name: str, the_plan: Plan | None = None, the_trial: Trial | None = None) -> RunStore:
    """A run with one finished trial, one host and a journal that ends as it should."""
    store = RunStore.create(root / "runs" / name, experiment_text="name: test\n", plan=the_plan or plan())
    journal = store.journal()
    journal.note("run.started", pid=1, version="0.1.0")
    with journal.act("connect", host="h") as act:
        act.learned(work=f"/cache/{name}", runtime=f"/run/{name}")
    with journal.act("end", host="h"):
        pass
    journal.close()
    raw = store.raw_folder(1) / "localhost"
    raw.mkdir()
    (raw / "stdout").write_text("tps = 1\n")
    store.finish(the_trial or trial(1))
    store.save_fingerprint("h", {"cpu.model": "A", "boot.id": name, "os.id": "debian"})
    store.save_manifest()
    return store


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return make(tmp_path, "one")


def test_a_broken_run_does_not_hide_the_others(
    store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (make(tmp_path, "two").path / "plan.json").write_text("{")
    assert run_main(monkeypatch, "runs", "list", "--json", "--workspace", str(tmp_path)) == 0
    shown = capsys.readouterr()
    assert {row["run"]: row["state"] for row in json.loads(shown.out)["runs"]} == {
        "one": "interrupted",
        "two": "unreadable",
    }
    assert "plan.json" in shown.err
    assert run_main(monkeypatch, "runs", "rm", "two", "--yes", "--workspace", str(tmp_path)) == 0
    assert [run.id for run in list_runs(tmp_path)] == [store.id]


class TestRemoval:
    def test_a_run_goes_whole(self, store: RunStore, tmp_path: Path) -> None:
        other = make(tmp_path, "two")
        remove_run(store)
        assert [run.id for run in list_runs(tmp_path)] == [other.id]
        assert [path.name for path in (tmp_path / "runs").iterdir()] == ["two"]

    def test_a_run_that_somebody_works_on_stays(self, store: RunStore) -> None:
        journal = store.journal()
        with pytest.raises(RunStateError, match="one is running"):
            remove_run(store)
        journal.close()
        assert store.plan() == plan()

    def test_a_crash_in_the_middle_leaves_no_half_run(
        self, store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def crash(path: Path) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr("benchctl.results.removal.shutil.rmtree", crash)
            with pytest.raises(KeyboardInterrupt):
                remove_run(store)
        assert list_runs(tmp_path) == ()
        assert (tmp_path / "runs" / ASIDE).is_dir()
        remove_run(make(tmp_path, "two"))
        assert list((tmp_path / "runs").iterdir()) == []

    def test_without_a_terminal_it_needs_yes(
        self,
        store: RunStore,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        words = ("runs", "rm", "one", "--workspace", str(tmp_path))
        assert run_main(monkeypatch, *words) == 2
        assert "add --yes" in capsys.readouterr().err
        assert store.path.exists()
        assert run_main(monkeypatch, *words, "--yes", "--json") == 0
        assert json.loads(capsys.readouterr().out) == {"schema": 1, "removed": ["one"]}
        assert not store.path.exists()

    def test_nothing_goes_when_one_of_several_may_not(
        self,
        store: RunStore,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        other = make(tmp_path, "two")
        journal = other.journal()
        with journal.act("connect", host="h"):
            pass
        journal.close()
        words = ("runs", "rm", "one", "two", "--yes", "--workspace", str(tmp_path))
        assert run_main(monkeypatch, *words) == 1
        assert "benchctl destroy two" in capsys.readouterr().err
        assert store.path.exists()
        assert run_main(monkeypatch, *words, "--force") == 0
        assert list_runs(tmp_path) == ()

    def test_a_run_with_a_broken_journal_needs_force(
        self,
        store: RunStore,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        (store.path / "journal.jsonl").write_text("what\n")
        words = ("runs", "rm", "one", "--yes", "--workspace", str(tmp_path))
        assert run_main(monkeypatch, *words) == 1
        assert "--force removes it" in capsys.readouterr().err
        assert run_main(monkeypatch, *words, "--force") == 0
        assert not store.path.exists()

    def test_an_empty_name_is_not_the_only_run(
        self, store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert run_main(monkeypatch, "runs", "rm", "", "--yes", "--workspace", str(tmp_path)) == 2
        assert store.path.exists()

    def test_a_run_named_twice_goes_once(
        self, store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        words = ("runs", "rm", "one", "latest", str(store.path), "--yes", "--workspace", str(tmp_path))
        assert run_main(monkeypatch, *words) == 0
        assert not store.path.exists()


class TestExport:
    def test_the_same_run_gives_the_same_bytes(self, store: RunStore, tmp_path: Path) -> None:
        first = export_run(store, tmp_path / "a.tar.gz")
        for path in store.path.rglob("*"):
            os.utime(path, (1, 1))
            path.chmod(0o700)
        assert export_run(store, tmp_path / "b.tar.gz").sha256 == first.sha256
        assert (tmp_path / "a.tar.gz").read_bytes()[4:8] == bytes(4)  # gzip's own time
        assert first.sha256 == hashlib.sha256((tmp_path / "a.tar.gz").read_bytes()).hexdigest()

    def test_it_unpacks_to_a_run_whose_manifest_holds(self, store: RunStore, tmp_path: Path) -> None:
        export_run(store, tmp_path / "a.tar.gz")
        with tarfile.open(tmp_path / "a.tar.gz") as archive:
            archive.extractall(tmp_path / "there", filter="data")
        there = tmp_path / "there" / "one"
        assert RunStore(there).trials() == store.trials()
        subprocess.run(["sha256sum", "--check", "--quiet", "MANIFEST.sha256"], cwd=there, check=True)

    def test_a_run_without_a_manifest_gets_one_in_the_archive(self, store: RunStore, tmp_path: Path) -> None:
        (store.path / "MANIFEST.sha256").unlink()
        export_run(store, tmp_path / "a.tar.gz")
        with tarfile.open(tmp_path / "a.tar.gz") as archive:
            archive.extractall(tmp_path / "there", filter="data")
        there = tmp_path / "there" / "one"
        subprocess.run(["sha256sum", "--check", "--quiet", "MANIFEST.sha256"], cwd=there, check=True)
        assert not (store.path / "MANIFEST.sha256").exists()

    def test_only_what_benchctl_wrote_travels(self, tmp_path: Path) -> None:
        script = tmp_path / "own.sql"
        script.write_text("SELECT 1;\n")
        digest = hashlib.sha256(script.read_bytes()).hexdigest()
        store = make(tmp_path, "one", msgspec.structs.replace(plan(), files={str(script): digest}))
        store.keep_file(script, Path("scripts/own.sql"))
        for name in (".env", "id_ed25519", "ansible/configure/1/env/envvars", "trials/0001/notes.txt"):
            path = store.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("password=hunter2\n")
        (store.path / "trials/0001/raw/link").symlink_to("/etc/passwd")
        done = export_run(store, tmp_path / "a.tar.gz")
        with tarfile.open(tmp_path / "a.tar.gz") as archive:
            names = set(archive.getnames())
        assert "one/scripts/own.sql" in names
        assert "one/trials/0001/raw/localhost/stdout" in names
        assert set(done.left_out) == {
            ".env",
            "id_ed25519",
            "ansible/configure/1/env/envvars",
            "trials/0001/notes.txt",
            "trials/0001/raw/link",
        }
        assert not names & {f"one/{name}" for name in done.left_out}

    def test_a_file_that_was_changed_is_named(
        self,
        store: RunStore,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        (store.path / "trials/0001/raw/localhost/stdout").write_text("tps = 1000000\n")
        (store.path / "experiment.yml").unlink()
        wrong = ("experiment.yml", "trials/0001/raw/localhost/stdout")
        assert damaged(store.path) == wrong
        target = tmp_path / "a.tar.gz"
        words = ("runs", "export", "one", "--workspace", str(tmp_path), "--output", str(target))
        assert run_main(monkeypatch, *words) == 0
        shown = capsys.readouterr()
        assert shown.out == f"{target}\n"
        for name in wrong:
            assert f"warning: {name} is not what MANIFEST.sha256 says" in shown.err

    def test_an_archive_that_is_there_stays(
        self,
        store: RunStore,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        target = tmp_path / "a.tar.gz"
        target.write_text("mine")
        words = ("runs", "export", "one", "--workspace", str(tmp_path), "--output", str(target))
        assert run_main(monkeypatch, *words) == 2
        assert target.read_text() == "mine"
        assert run_main(monkeypatch, *words, "--force", "--json") == 0
        told = json.loads(capsys.readouterr().out)
        assert told["path"] == str(target)
        assert told["bytes"] == target.stat().st_size

    def test_a_dash_is_no_file(
        self, store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        words = ("runs", "export", "one", "--workspace", str(tmp_path), "--output", "-")
        assert run_main(monkeypatch, *words) == 2

    def test_an_archive_that_cannot_be_written_is_said(self, store: RunStore, tmp_path: Path) -> None:
        with pytest.raises(RunStateError, match="the archive cannot be written"):
            export_run(store, tmp_path / "no" / "such" / "folder.tar.gz")

    def test_a_run_that_goes_on_is_not_exported(self, store: RunStore, tmp_path: Path) -> None:
        journal = store.journal()
        with pytest.raises(RunStateError, match="one is running"):
            export_run(store, tmp_path / "a.tar.gz")
        journal.close()
        assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def found(a: RunStore, b: RunStore) -> dict[str, dict[str, tuple[Any, Any]]]:
    groups = compare_runs(a, b, key=("cpu.",), knobs=("sysctl.",))
    return {g.name: {d.path: (d.a, d.b) for d in g.differences} for g in groups if g.differences}


class TestDiff:
    def test_two_runs_of_the_same_differ_in_nothing_that_matters(
        self, store: RunStore, tmp_path: Path
    ) -> None:
        assert found(store, make(tmp_path, "two")) == {
            "host, differs at any two times": {"boot.id": ("one", "two")}
        }

    def test_everything_that_differs_is_in_its_group(self, store: RunStore, tmp_path: Path) -> None:
        before = trial(1)
        assert before.server is not None
        settings = {"work_mem": "8MB", "socket": "/run/two/s", "only": "here"}
        server = msgspec.structs.replace(before.server, version="18.7", settings=settings)
        other = make(tmp_path, "two", plan(blocks=3), msgspec.structs.replace(before, server=server))
        other.save_fingerprint("h", {"cpu.model": "B", "boot.id": "one", "sysctl.x": "1", "os.id": "debian"})
        assert found(store, other) == {
            "experiment": {"design.blocks": (2, 3), "design.min_blocks": (2, 3)},
            "versions": {"postgresql": ("18.6", "18.7")},
            "server settings, read back": {
                "only": (None, "here"),
                "socket": (None, "{runtime}/s"),
                "work_mem": (None, "8MB"),
            },
            "host, comparability key": {"cpu.model": ("A", "B")},
            "host, knobs": {"sysctl.x": (None, "1")},
        }

    def test_of_lists_of_parts_only_those_that_differ_are_shown(
        self,
        store: RunStore,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        card, extra = {"name": "eth0"}, {"name": "veth1"}
        store.save_fingerprint("h", {"network.cards": [card]})
        make(tmp_path, "two").save_fingerprint("h", {"network.cards": [card, extra]})
        assert run_main(monkeypatch, "runs", "diff", "one", "two", "--workspace", str(tmp_path)) == 0
        said = capsys.readouterr().out
        assert '[{"name": "veth1"}]' in said
        assert "(nothing that the other has not)" in said
        assert "eth0" not in said

    def test_hosts_of_other_names_are_compared_in_their_order(self, store: RunStore, tmp_path: Path) -> None:
        other = make(tmp_path, "two")
        (other.path / "hosts" / "h").rename(other.path / "hosts" / "i")
        assert "host, comparability key" not in found(store, other)

    def test_text_and_json_hide_what_is_secret(
        self,
        store: RunStore,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        other = make(tmp_path, "two")
        other.save_fingerprint("h", {"cpu.model": "B\x1b[2J", "api_token": "hunter2", "os.id": "debian"})
        words = ("runs", "diff", "one", "two", "--workspace", str(tmp_path))
        assert run_main(monkeypatch, *words) == 0
        text = capsys.readouterr().out
        assert "cpu.model" in text
        assert "\x1b" not in text
        assert run_main(monkeypatch, *words, "--json") == 0
        told = capsys.readouterr().out
        assert "hunter2" not in text + told
        assert json.loads(told)["groups"][0]["name"] == "experiment"

    def test_a_run_is_equal_to_itself(
        self,
        store: RunStore,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        assert run_main(monkeypatch, "runs", "diff", "one", "one", "--workspace", str(tmp_path)) == 0
        assert "Nothing differs." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 * 2**30, "3.0 GiB"), (2**51, "2048.0 TiB")],
)
def test_sizes_are_for_people(size: int, text: str) -> None:
    assert byte_size(size) == text
