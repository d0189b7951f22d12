"""What the server has against settings is said once, with the place of each, before anything is built."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from benchctl.benchmark.refusals import require_settings
from benchctl.errors import SpecError
from benchctl.model.experiment import Dbms
from benchctl.testing.agent import FakeAgent
from tests import builders
from tests.unit.test_benchmark_executor import DESCRIPTOR

if TYPE_CHECKING:
    from pathlib import Path

    from benchctl.model.plan import Plan
    from benchctl.model.record import Scalar

LINE = 'LOG:  unrecognized configuration parameter "fsink" in file "/x/check.conf" line 1'


class Bench:
    """As much of a bench as the check looks at."""

    def __init__(self, folder: Path, plan: Plan, *, check: bool = True) -> None:
        from benchctl.benchmark.bench import Descriptor
        from benchctl.benchmark.cancel import Cancel
        from benchctl.model.host import Host

        self.plan = plan
        self.agent = FakeAgent(folder)
        path = self.agent.add_descriptor("postgresql-1")
        content: dict[str, Any] = {**DESCRIPTOR, **({"check": {"argv": ["postgres"]}} if check else {})}
        self.fleet = {"localhost": self.agent}
        self.server = Host(name="localhost", transport="pipe")
        self.descriptors = {"localhost": {"postgresql-1": Descriptor(path, content)}}
        self.cancel = Cancel()

    def require(self) -> None:
        require_settings(self)  # type: ignore[arg-type]


def renamed(name: str, *values: str, origins: dict[str, str]) -> Plan:
    """The plan of the builders with another setting under test."""
    plan = builders.plan()
    treatments = tuple(
        replace(t, dbms=Dbms(role="postgresql", settings={name: value}))
        for t, value in zip(plan.treatments, values, strict=True)
    )
    (factor,) = plan.experiment.factors
    levels = tuple(
        replace(level, sets={f"dbms.settings.{name}": value})
        for level, value in zip(factor.levels, values, strict=True)
    )
    experiment = replace(plan.experiment, factors=(replace(factor, levels=levels),))
    return replace(plan, treatments=treatments, experiment=experiment, origins=origins)


def test_settings_that_the_server_takes_pass_and_are_asked_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path, builders.plan())
    bench.require()
    asked = [args["settings"] for op, args in bench.agent.calls if op == "check"]
    assert asked == [{"fsync": "on"}, {"fsync": "off"}]


def test_many_treatments_are_asked_in_few_questions(tmp_path: Path) -> None:
    plan = builders.plan()
    treatments = tuple(
        replace(plan.treatments[0], dbms=Dbms(role="postgresql", settings={"a": a, "b": b}))
        for a in "123"
        for b in "12"
    )
    bench = Bench(tmp_path, replace(plan, treatments=treatments))
    bench.require()
    asked = [args["settings"] for op, args in bench.agent.calls if op == "check"]
    assert asked == [{"a": "1", "b": "1"}, {"a": "2", "b": "2"}, {"a": "3"}]


def test_a_misspelt_setting_is_told_with_its_place_and_what_was_meant(tmp_path: Path) -> None:
    origins = {"factors.dbms.settings.fsync": "my.yml:7:3"}
    bench = Bench(tmp_path, renamed("fsink", "on", "off", origins=origins))
    answer = {"said": f"{LINE}\nFATAL:  configuration file contains errors", "names": ["fsync", "work_mem"]}
    bench.agent.script("check", answer, answer)
    with pytest.raises(SpecError) as caught:
        bench.require()
    assert caught.value.detail == (
        "my.yml:7:3: dbms.settings.fsink: the server on localhost does not take it"
        f" (did you mean 'fsync'?): {LINE}"
    )
    assert "`resume` keeps the plan" in (caught.value.remedy or "")


def test_what_a_program_says_only_later_is_asked_for(tmp_path: Path) -> None:
    plan = builders.plan()
    settings: dict[str, Scalar] = {"fsink": "on", "work_mem": "8 apples", "wal_level": "replica"}
    treatment = replace(plan.treatments[0], dbms=Dbms(role="postgresql", settings=settings))
    bench = Bench(tmp_path, replace(plan, treatments=(treatment,)))
    value = {"said": 'LOG:  invalid value for parameter "work_mem": "8 apples"', "names": ["work_mem"]}
    bench.agent.script("check", {"said": LINE, "names": []}, value)
    with pytest.raises(SpecError) as caught:
        bench.require()
    assert [line.partition(": the")[0] for line in caught.value.detail.splitlines()] == [
        "dbms.settings.fsink",
        "dbms.settings.work_mem",
    ]
    assert [set(args["settings"]) for _, args in bench.agent.calls] == [
        {"fsink", "work_mem", "wal_level"},
        {"work_mem", "wal_level"},
        {"wal_level"},
    ]


@pytest.mark.parametrize(
    "said",
    [
        "memcached: unrecognized option '--fsync=3'",
        "memcached: option '--fsync' doesn't allow an argument",
        "flag provided but not defined: -fsync",
    ],
)
def test_a_program_may_mean_a_setting_as_its_option(said: str, tmp_path: Path) -> None:
    bench = Bench(tmp_path, builders.plan())
    bench.agent.script("check", {"said": said, "names": []}, {"said": said, "names": []})
    with pytest.raises(SpecError, match=r"settings\.fsync: the server on localhost does not take it"):
        bench.require()


def test_a_wrong_value_of_a_known_setting_has_no_hint(tmp_path: Path) -> None:
    bench = Bench(tmp_path, builders.plan())
    bench.agent.script("check", {"said": 'invalid value for "fsync": "onn"', "names": ["fsync"]})
    with pytest.raises(SpecError) as caught:
        bench.require()
    assert "did you mean" not in caught.value.detail


def test_what_names_no_setting_is_shown_whole(tmp_path: Path) -> None:
    bench = Bench(tmp_path, builders.plan())
    bench.agent.script("check", {"said": "cannot be run\nas root", "names": []})
    with pytest.raises(SpecError, match="cannot be run\n    as root"):
        bench.require()


def test_a_server_that_cannot_be_asked_is_not(tmp_path: Path) -> None:
    bench = Bench(tmp_path, builders.plan(), check=False)
    bench.require()
    assert [op for op, _ in bench.agent.calls] == []


def test_a_server_may_spell_a_name_with_hyphens_and_other_quotes(tmp_path: Path) -> None:
    bench = Bench(tmp_path, renamed("sync_binlog", "maybe", "1", origins={}))
    said = "mariadbd: Error while setting value 'maybe' to 'sync-binlog'"
    bench.agent.script("check", {"said": said, "names": ["sync_binlog"]}, {"said": "", "names": []})
    with pytest.raises(SpecError) as caught:
        bench.require()
    assert caught.value.detail == (
        f"dbms.settings.sync_binlog: the server on localhost does not take it: {said}"
    )
