from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchctl.agent.context import Context
from benchctl.agent.descriptor import Descriptor, fill
from benchctl.agent.refusal import RefusalError
from benchctl.testing.server import write_descriptor

if TYPE_CHECKING:
    from collections.abc import Callable

    Load = Callable[..., Descriptor]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    monkeypatch.setenv("BENCHCTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/x")
    context = Context("run-1", supervised=False)

    def act(**changes: Any) -> Descriptor:
        return Descriptor(write_descriptor(tmp_path, **changes), context)

    return act


def test_placeholders_become_this_runs_paths(load: Load, tmp_path: Path) -> None:
    words = ["s", "{data}/x", "{work}", "{here}", "{runtime}", "{instance}", "{conf}", "{other}"]
    found = load(start={"argv": words})
    work = tmp_path / "cache/runs/run-1/server-1"
    assert found.argv("start", found.part("start")) == [
        "s",
        f"{work}/data/x",
        str(work),
        str(tmp_path),
        str(Context("run-1", supervised=False).runtime),
        "server-1",
        f"{work}/server.conf",
        "{other}",
    ]


@given(st.text(alphabet=st.characters(exclude_characters="{}")))
def test_fill_leaves_other_text_alone(text: str) -> None:
    assert fill({"a": [text, 1, None]}, {"{data}": "/d"}) == {"a": [text, 1, None]}


def test_settings_come_after_the_base_and_are_quoted(load: Load) -> None:
    found = load()
    found.work.mkdir(parents=True)
    found.write_settings({"place": "here", "text": r"it's \n", "on": True, "number": 4, "a.b": "x"})
    assert found.conf.read_text() == (
        "place = 'here'\ntext = 'it''s \\\\n'\non = 'on'\nnumber = '4'\na.b = 'x'\n"
    )


@pytest.mark.parametrize("settings", [{"a b": "1"}, {"a": "x\ny"}, {"": "1"}, {"a='b'\nc": "1"}])
def test_settings_that_would_break_the_file_are_refused(load: Load, settings: dict[str, str]) -> None:
    found = load()
    found.work.mkdir(parents=True)
    with pytest.raises(RefusalError, match="cannot be given to the server"):
        found.write_settings(settings)
    assert not found.conf.exists()


def test_settings_for_what_takes_none_are_refused(load: Load) -> None:
    found = load(settings=None, start={"argv": ["s"]})
    found.write_settings({})
    with pytest.raises(RefusalError, match=r"takes no settings, not even \['a'\]"):
        found.write_settings({"a": "1"})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schema": 2}, "not of schema 1; configure again"),
        ({"run_as": "root"}, "run_as is 'root'"),
        ({"instance": 1}, "has no 'instance'"),
    ],
)
def test_what_is_wrong_is_named(load: Load, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(RefusalError, match=said):
        load(**changes)


def test_an_instance_cannot_leave_its_folder(load: Load, tmp_path: Path) -> None:
    path = Path(write_descriptor(tmp_path))
    path.write_text(json.dumps({**json.loads(path.read_text()), "instance": "../x"}))
    with pytest.raises(RefusalError, match="cannot be the name of an instance"):
        Descriptor(str(path), Context("run-1", supervised=False))


def test_parts_that_are_missing_or_malformed(load: Load) -> None:
    found = load(stats=None, start={"argv": "postgres -D x"})
    with pytest.raises(RefusalError, match="has no part 'stats'"):
        found.part("stats")
    with pytest.raises(RefusalError, match=r"start\.argv is no list of strings"):
        found.argv("start", found.part("start"))


@pytest.mark.parametrize("content", ["{", "[]", "1"])
def test_files_that_are_no_descriptors(tmp_path: Path, content: str, load: Load) -> None:
    del load  # its environment is what counts
    path = tmp_path / "d.json"
    path.write_text(content)
    with pytest.raises(RefusalError, match=r"d\.json is not"):
        Descriptor(str(path), Context("run-1", supervised=False))


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("maxmemory", "100mb", "maxmemory 100mb"),
        ("appendonly", True, "appendonly yes"),
        ("save", "", 'save ""'),
        ("save", "3600 1 300 100", "save 3600 1 300 100"),
        ("client-output-buffer-limit", "normal 0 0 0", "client-output-buffer-limit normal 0 0 0"),
    ],
)
def test_settings_of_redis_stand_as_in_its_own_file(name: str, value: Any, line: str, load: Load) -> None:
    found = load(settings={"file": "{work}/redis.conf", "syntax": "redis", "base": {"port": "0"}})
    found.work.mkdir(parents=True)
    found.write_settings({name: value})
    assert found.conf.read_text() == f"port 0\n{line}\n"


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("innodb_buffer_pool_size", "64M", 'innodb_buffer_pool_size = "64M"'),
        ("innodb_doublewrite", False, 'innodb_doublewrite = "OFF"'),
        ("sync_binlog", 0, 'sync_binlog = "0"'),
        ("init_connect", "", 'init_connect = ""'),
        ("init_connect", 'SET @a="#1\\n"', r'init_connect = "SET @a=\"#1\\n\""'),
    ],
)
def test_settings_of_mariadb_stand_below_the_name_of_its_group(
    name: str, value: Any, line: str, load: Load
) -> None:
    found = load(settings={"file": "{work}/my.cnf", "syntax": "mysql", "base": {"port": "0"}})
    found.work.mkdir(parents=True)
    found.write_settings({name: value})
    assert found.conf.read_text() == f'[mysqld]\nport = "0"\n{line}\n'


@pytest.mark.parametrize("name", ["sync-binlog", "!include", "[client]", "Port"])
def test_names_that_mariadb_does_not_show_are_refused(name: str, load: Load) -> None:
    found = load(settings={"file": "{work}/my.cnf", "syntax": "mysql"})
    found.work.mkdir(parents=True)
    with pytest.raises(RefusalError, match="cannot be given to the server"):
        found.write_settings({name: "1"})


@pytest.mark.parametrize(("name", "value"), [("save", "1\nuser x"), ("a b", "1"), ("", "1"), ("x\ny", "1")])
def test_a_setting_that_would_be_more_than_a_line_is_refused(name: str, value: str, load: Load) -> None:
    found = load(settings={"file": "{work}/redis.conf", "syntax": "redis"})
    found.work.mkdir(parents=True)
    with pytest.raises(RefusalError, match="cannot be given to the server"):
        found.write_settings({name: value})


@pytest.mark.parametrize(
    ("syntax", "settings", "words"),
    [
        ("getopt", {"threads": "2", "disable-cas": "True"}, ["--port=1", "--threads=2", "--disable-cas"]),
        ("getopt", {"port": 7, "lock-memory": False}, ["--port=7"]),
        ("go", {"logger": "zap", "strict": True}, ["--port=1", "--logger=zap", "--strict=true"]),
        ("go", {"strict": "False"}, ["--port=1", "--strict=false"]),
    ],
)
def test_settings_that_are_options_stand_in_the_servers_argv(
    syntax: str, settings: dict[str, Any], words: list[str], load: Load
) -> None:
    found = load(
        settings={"syntax": syntax, "base": {"port": 1}}, start={"argv": ["server", "{options}", "-x"]}
    )
    found.write_settings(settings)
    assert found.argv("start", found.part("start")) == ["server", *words, "-x"]
    with pytest.raises(RefusalError, match="cannot be given to the server"):
        found.write_settings({"a b": "1"})
