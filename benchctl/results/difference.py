"""What differs between two runs, in groups by what it means for a comparison of their numbers.

Must not judge: whether two runs may be compared is for the analysis; this lists what a reader has to know.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from benchctl.journal import read
from benchctl.results.places import places

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from benchctl.results.store import RunStore

SEVERAL = " | "  # between the values that one run had in its trials
PASSING = frozenset(
    {
        "boot.id",
        "boot.uptime",
        "load.average",
        "disk.free",
        "memory.available",
        "clock.offset_utc",
        "cgroup.path",
    }
)  # facts that differ between any two looks at the same host


class Difference(NamedTuple):
    """One thing by its dotted path; None where a run does not have it."""

    path: str
    a: Any
    b: Any


class Group(NamedTuple):
    """Differences of one kind; `matters`: numbers may differ because of these."""

    name: str
    differences: tuple[Difference, ...]
    matters: bool


def compare_runs(
    a: RunStore, b: RunStore, *, key: tuple[str, ...], knobs: tuple[str, ...]
) -> tuple[Group, ...]:
    """List every difference.

    `key` and `knobs`: how the names of those host facts begin that forbid a comparison, or may explain one.
    Raises RunStateError when a file of a run cannot be read.
    """
    kinds: dict[str, list[Difference]] = {"key": [], "knob": [], "recorded": [], "passing": []}
    for found in _host_differences(a, b):
        fact = found.path.rpartition(": ")[2]
        kind = "passing" if fact in PASSING else "recorded"
        kind = "key" if fact.startswith(key) else "knob" if fact.startswith(knobs) else kind
        kinds[kind].append(found)
    return (
        Group("experiment", tuple(_between(_experiment(a), _experiment(b))), matters=True),
        Group("versions", tuple(_between(_versions(a), _versions(b))), matters=True),
        Group("server settings, read back", tuple(_between(_settings(a), _settings(b))), matters=True),
        Group("host, comparability key", tuple(kinds["key"]), matters=True),
        Group("host, knobs", tuple(kinds["knob"]), matters=True),
        Group("host, recorded", tuple(kinds["recorded"]), matters=False),
        Group("host, differs at any two times", tuple(kinds["passing"]), matters=False),
    )


def _between(a: dict[str, Any], b: dict[str, Any]) -> Iterator[Difference]:
    for path in sorted({*a, *b}):
        if a.get(path) != b.get(path):
            yield Difference(path, a.get(path), b.get(path))


def _experiment(store: RunStore) -> dict[str, Any]:
    """Every resolved value of the experiment by the path that a file would give it."""
    experiment = store.plan().experiment
    plain = msgspec.to_builtins(experiment)
    plain["metrics"] = {metric.pop("name"): metric for metric in plain["metrics"]}
    plain["factors"] = {}
    found = dict(_leaves(plain, ""))
    for factor in experiment.factors:
        direct = all(set(level.sets) == {factor.name} for level in factor.levels)
        levels = [level.label if direct else {level.label: level.sets} for level in factor.levels]
        found[f"factors.{factor.name}"] = levels
    tuning = {
        f"tuning.{group}.{knob}": value
        for group, plan in store.plan().tuning.items()
        for knob, value in plan.values.items()
    }
    files = {f"file {PurePath(path).name}": f"sha256 {digest}" for path, digest in store.plan().files.items()}
    return found | files | tuning


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        for key, child in value.items():
            inline = key == "options" and path in {"dbms", "workload"}
            yield from _leaves(child, path if inline else f"{path}.{key}" if path else key)
    else:
        yield path, value


def _versions(store: RunStore) -> dict[str, str]:
    roles = {instance.id: instance.role for instance in store.plan().instances}
    found = [("benchctl", str(e.data.get("version"))) for e in _entries(store) if e.act == "run.started"]
    for trial in store.trials():
        found.append((trial.result.loader, trial.loader_version))
        if trial.server is not None:
            found.append((roles.get(trial.server.instance, trial.server.instance), trial.server.version))
    return _gathered(found)


def _settings(store: RunStore) -> dict[str, str]:
    """Each setting with all values that the servers had; the run's own folders by their names."""
    own = [
        (str(e.data[name]), f"{{{name}}}")
        for e in _entries(store)
        if e.act == "connect" and e.phase == "done"
        for name in ("work", "runtime")
        if e.data.get(name)
    ]
    own += [(instance.id, "{instance}") for instance in store.plan().instances]
    found = [
        (name, _without(value, own))
        for trial in store.trials()
        if trial.server is not None
        for name, value in trial.server.settings.items()
    ]
    return _gathered(found)


def _gathered(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    values: dict[str, set[str]] = {}
    for name, value in pairs:
        values.setdefault(name, set()).add(value)
    return {name: SEVERAL.join(sorted(found)) for name, found in values.items()}


def _without(value: str, own: list[tuple[str, str]]) -> str:
    for path, name in own:
        value = value.replace(path, name)
    return value


def _host_differences(a: RunStore, b: RunStore) -> Iterator[Difference]:
    """Compare hosts of the same name; where the names differ, those that stand in the same place."""
    left, right = a.fingerprints(), b.fingerprints()
    if left.keys() == right.keys():
        pairs = [(name, name, name) for name in left]
    else:
        here, there = (places(_groups(store), found) for store, found in ((a, left), (b, right)))
        pairs = [
            (
                f"{place}: {here.get(place, 'none')}, {there.get(place, 'none')}",
                here.get(place, ""),
                there.get(place, ""),
            )
            for place in dict.fromkeys([*here, *there])
        ]
    for title, one, two in pairs:
        for found in _between(left.get(one, {}), right.get(two, {})):
            yield found if len(pairs) == 1 else found._replace(path=f"{title}: {found.path}")


def _groups(store: RunStore) -> dict[str, tuple[str, ...]]:
    if not (store.path / "inventory.json").exists():
        return {}
    return {name: tuple(host.name for host in hosts) for name, hosts in store.inventory().groups.items()}


def _entries(store: RunStore) -> tuple[Any, ...]:
    return read(store.path / "journal.jsonl")
