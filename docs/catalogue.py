"""What each DBMS gave under each load generator that drives it, on hosts of the lab, as its test recorded it.

Owns the table's words. Must not run anything.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchctl.spec import read_role
from benchctl.spec.share import roles_in, shared

if TYPE_CHECKING:
    from collections.abc import Iterator

ROLES = shared("roles")
ALONE = "none"  # what drives no DBMS
TRIED = {"hey": ("etcd", "kairosdb")}  # of what drives everything that speaks HTTP
WHY = {  # pairs that cannot run on test hosts
    ("postgresql", "benchbase"): "it needs Java 23 and BenchBase, which test hosts cannot have",
}
RECORDED = Path(__file__).parents[1] / "tests" / "cases" / "catalogue" / "pairs.json"
MADE_BY = ("tests/acceptance/test_catalogue.py", "tests/acceptance/test_mysql.py")
TITLES = (
    "DBMS",
    "load generator",
    "load",
    "throughput",
    "p99",
    "validity",
    "install, s",
    "prepare, s",
    "reset, s",
)


def recorded() -> dict[str, dict[str, Any]]:
    """Return what is known of each pair that ran, by `DBMS load-generator`."""
    found: dict[str, dict[str, Any]] = json.loads(RECORDED.read_text("utf-8"))
    return found


def rows() -> Iterator[tuple[str, ...]]:
    """Give a row of the table for each pair that ran."""
    for pair in recorded().values():
        options = ", ".join(f"{name} {value}" for name, value in pair["options"].items())
        seconds = (_figure(pair[name]) for name in ("install", "prepare", "reset"))
        yield (
            f"{pair['dbms']} {pair['dbms_version']}".strip(),
            f"{pair['loader']} {pair['loader_version']}".strip(),
            options,
            _metric(pair["primary"]),
            _metric(pair["p99"]),
            pair["validity"],
            *seconds,
        )


def left_out() -> Iterator[tuple[str, str, str]]:
    """Give DBMS, load generator and reason of each pair without figures."""
    known = recorded()
    for dbms, loader in sorted(pairs()):
        if f"{dbms} {loader}" not in known:
            yield dbms, loader, WHY.get((dbms, loader), "its figures were not recorded yet; the test runs it")


def pairs() -> Iterator[tuple[str, str]]:
    """Give each load generator with each DBMS that it drives, or with `none`."""
    for name in roles_in((ROLES,)):
        meta = read_role(name, (ROLES,))
        if meta.kind == "loader":
            for dbms in meta.drives or TRIED.get(name, (ALONE,)):
                yield dbms, name


def _metric(found: dict[str, Any] | None) -> str:
    if found is None or found["value"] is None:
        return ""
    return f"{_figure(found['value'])} {found['unit']}"


def _figure(value: float | None) -> str:
    """Three digits that count."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
