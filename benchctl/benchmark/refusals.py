"""What the server has against the experiment's settings, asked before anything is built or measured.

Must not know one database from another: a descriptor says how its program is asked, or that it cannot be.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from benchctl.errors import SpecError
from benchctl.spec.problems import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchctl.benchmark.bench import Bench
    from benchctl.model.plan import Plan

CHECK_LIMIT = 120.0  # seconds
REMEDY = "correct the file and run it again; `resume` keeps the plan as it is"


def require_settings(bench: Bench) -> None:
    """Raise SpecError with every setting that a server does not take, and where it comes from."""
    if bench.plan.experiment.dbms is None:
        return
    host = bench.server.name
    problems: dict[str, None] = {}
    for instance in bench.plan.instances:
        descriptor = bench.descriptors[host][instance.id]
        if "check" in descriptor.content:
            for settings in _sets(bench.plan, instance.id):
                problems |= dict.fromkeys(_ask(bench, descriptor.path, settings))
    if problems:
        raise SpecError("\n".join(problems), remedy=REMEDY)


def require_one_host(bench: Bench) -> None:
    """Raise SpecError where a load generator is to run an embedded engine away from its data."""
    if bench.plan.experiment.dbms is None:
        return
    for instance in bench.plan.instances:
        server = bench.server.name
        others = [host.name for host in bench.loaders if host.name != server]
        if others and bench.descriptors[server][instance.id].content.get("embedded"):
            raise SpecError(
                f"hosts.groups.loader: {instance.role} has no server, the load generator runs it;"
                f" found {', '.join(others)} for the load and {server} for the data",
                remedy="one host for both: with an inventory, loader: {inventory_group: dbms}",
            )


def _ask(bench: Bench, descriptor: str, settings: dict[str, str]) -> Iterator[str]:
    """What the program has against settings; as it may stop early, it is asked again without those."""
    host = bench.server.name
    while settings:
        bench.cancel.check()
        reply = bench.fleet[host].call("check", timeout=CHECK_LIMIT, descriptor=descriptor, settings=settings)
        lines = reply["said"].strip().splitlines()
        named = {name: line for name in settings for line in reversed(lines) if _names(line, name)}
        for name, line in named.items():
            hint = did_you_mean(name, reply["names"]) if name not in reply["names"] else ""
            place = f"{_origin(bench.plan, name)}dbms.settings.{name}"
            yield f"{place}: the server on {host} does not take it{hint}: {line}"
        if lines and not named:
            yield "\n    ".join([f"dbms.settings: the server on {host} does not take them:", *lines])
        settings = {name: value for name, value in settings.items() if named and name not in named}


def _names(line: str, setting: str) -> bool:
    """Whether a line is about a setting: it stands in quotation marks, or as an option with its dashes.

    "fsync" says PostgreSQL, 'sync-binlog' MariaDB of sync_binlog, -quota etcd.
    """
    spelt = re.escape(setting.replace("-", "_"))
    return bool(re.search(rf"""(["'`]|(?<![\w])__?){spelt}(?![\w.])""", line.replace("-", "_")))


def _sets(plan: Plan, instance: str) -> Iterator[dict[str, str]]:
    """Few sets of settings in which each value that a treatment gives to a setting stands once."""
    values: dict[str, dict[str, None]] = {}
    for treatment in plan.treatments:
        if treatment.instance == instance and treatment.dbms is not None:
            for name, value in treatment.dbms.settings.items():
                values.setdefault(name, {})[str(value)] = None
    for number in range(max(map(len, values.values()), default=0)):
        yield {name: list(known)[number] for name, known in values.items() if number < len(known)}


def _origin(plan: Plan, name: str) -> str:
    """`quickstart.yml:6:5: ` of a setting that the file has, below dbms or in a factor."""
    path = f"dbms.settings.{name}"
    factors = [
        f"factors.{factor.name}"
        for factor in plan.experiment.factors
        if any(path in level.sets for level in factor.levels)
    ]
    found = (plan.origins[key] for key in (*factors, path) if key in plan.origins)
    return next((f"{origin}: " for origin in found), "")
