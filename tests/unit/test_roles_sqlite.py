"""What asks SQLite about settings: the real engine, which passes over what it does not know."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from benchctl.spec.share import shared

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = shared("roles") / "sqlite" / "files" / "ask_sqlite.py"


def ask(*words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-ISB", str(SCRIPT), *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


def given(folder: Path, name: str, value: str) -> str:
    (folder / "settings").write_text(json.dumps({name: value}) + "\n")
    return str(folder / "settings")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("cash_size", "1", "no setting 'cash_size' among SQLite's PRAGMAs"),
        ("integrity_check", "1", "no setting 'integrity_check'"),
        ("cache_size", "much", "cache_size = much is read back as 0"),
        ("synchronous", "NORMAL", "synchronous = NORMAL is read back as 1: give it as SQLite shows it"),
        ("temp_store", "2; DROP TABLE x", "neither a number nor a word"),
        ("table_info", "1", "table_info = 1 is read back as None"),
    ],
)
def test_what_sqlite_would_pass_over_is_an_error(tmp_path: Path, name: str, value: str, said: str) -> None:
    done = ask("check", given(tmp_path, name, value))
    assert done.returncode == 1
    assert said in done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [("cache_size", "-65536"), ("journal_mode", "WAL"), ("foreign_keys", "on"), ("synchronous", "1")],
)
def test_what_it_takes_is_read_back_from_the_data(tmp_path: Path, name: str, value: str) -> None:
    with sqlite3.connect(tmp_path / "data") as made:
        made.execute("CREATE TABLE one (a)")
    made.close()
    path = given(tmp_path, name, value)
    assert ask("check", path).returncode == 0
    found = json.loads(ask("settings", path, str(tmp_path / "data")).stdout)
    assert found[name] in {value.lower(), "1"}
    assert int(found["page_count"]) > 1


def test_version_and_build_are_the_engines_own() -> None:
    assert ask("version").stdout.strip() == sqlite3.sqlite_version
    assert ask("build").stdout.startswith(f"{sqlite3.sqlite_version} 20")
    assert "mmap_size" in ask("names").stdout.split()
