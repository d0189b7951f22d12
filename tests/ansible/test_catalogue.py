"""All roles of DBMS and load generators on one host: they come, verify, go; the host is as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from benchctl.spec import read_role
from benchctl.spec.share import roles_in, shared
from tests import prefixes
from tests.ansible.site import Site, succeed
from tests.needs import maven

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.ansible, pytest.mark.slow]

ROLES = shared("roles")
VARIABLES: dict[str, Any] = {  # where a role's default does not do
    "postgresql_source": "package",
    "postgresql_version": "15",
}


CANNOT = {"benchbase", "external"}  # Java 23 and BenchBase, which test hosts cannot have; a server of others


def of_kind(kind: str) -> list[str]:
    return [
        role for role in roles_in((ROLES,)) if role not in CANNOT and read_role(role, (ROLES,)).kind == kind
    ]


def test_every_role_comes_and_goes(site: Callable[..., Site], bench_cache: Path) -> None:
    maven()
    prefixes.share(bench_cache)
    roles = {"bench_dbms_roles": of_kind("dbms"), "bench_loader_roles": of_kind("loader")}
    here = site("root", names=("host",), **roles, **VARIABLES)
    before = here.snapshots()
    assert succeed(here.play("site")).changed > 0
    assert succeed(here.play("site")).changed == 0
    succeed(here.play("verify"))
    succeed(here.play("uninstall"))
    assert here.snapshots() == before
