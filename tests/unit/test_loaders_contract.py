"""Every shipped load generator's module on its recorded outputs, by the suite that plug-ins use too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchctl import loaders
from benchctl.errors import ParseError
from benchctl.loaders.loader import shipped
from benchctl.spec import read_role
from benchctl.spec.share import shared
from benchctl.testing.loader_contract import LoaderContract, asked, broken, recorded

CASES = Path(__file__).parents[1] / "cases" / "loaders"
SQL = {"host": "127.0.0.1", "port": 1, "user": "bench", "database": "bench"}
TARGETS: dict[str, dict[str, Any]] = {  # by a word of the case's name, else by the role's first system
    "mysql": SQL | {"protocol": "mysql"},
    "mariadb": SQL | {"protocol": "mysql"},
    "postgresql": SQL | {"protocol": "postgresql"},
    "pgsql": SQL | {"protocol": "postgresql"},
    "redis": SQL | {"protocol": "redis"},
    "duckdb": {"engine": "duckdb", "database": "/run/x/db"},
}
DESCRIBED: dict[str, dict[str, Any]] = {  # what roles leave there in ways of their own, or besides
    "benchbase": {"home": "/programs", "launcher": ["/programs/java", "launch"]},
    "memaslap": {"binaries": {"memaslap": "/programs/memaslap"}},
    "mysqlslap": {"mysql_options": "/x/my.cnf"},
    "pgbench": {"binaries": {"pgbench": "/programs/pgbench"}},
    "sysbench": {"mysql_options": "/x/my.cnf"},
    "tpch": {"binaries": {name: f"/programs/{name}" for name in ("python", "psql", "tpch", "packages")}},
}
OUTPUTS = {"fio": "fio.json", "stress_ng": "stress-ng.yaml"}
ALL = [case for role in sorted(shipped()) for case in recorded(CASES, role)]


class TestEveryShippedLoader(LoaderContract):
    @pytest.fixture(params=ALL, ids=lambda path: f"{path.parent.name}-{path.name}")
    def case(self, request: pytest.FixtureRequest) -> Path:
        return Path(request.param)

    def output(self, case: Path) -> str:
        return OUTPUTS.get(case.parent.name, "stdout")

    def descriptor(self, case: Path) -> dict[str, Any]:
        more = DESCRIBED.get(case.parent.name, {})
        if "binaries" in more:
            return {"env": {}, "version": "18.0", **more}
        return {**super().descriptor(case), **more}

    def target(self, case: Path) -> dict[str, Any] | None:
        system = next(iter(read_role(case.parent.name, (shared("roles"),)).drives), "")
        named = [TARGETS[word] for word in case.name.split("-") if word in TARGETS]
        return next(iter(named), None) or TARGETS.get(system) or super().target(case)

    def free_form(self, case: Path) -> bool:
        return case.parent.name == "command"


@pytest.mark.parametrize("role", sorted(shipped()))
def test_every_load_generator_has_recorded_outputs(role: str) -> None:
    assert recorded(CASES, role)


@pytest.mark.parametrize("case", broken(CASES), ids=lambda path: f"{path.parent.name}-{path.name}")
def test_a_run_that_really_failed_is_an_error(case: Path) -> None:
    """A memcached that died is one of them, although memaslap itself sees nothing and ends with 0."""
    workload, window = asked(case)
    with pytest.raises(ParseError) as caught:
        loaders.get(workload.role).parse(case, window, workload)
    assert (case / "error.txt").read_text().strip() in str(caught.value)
