"""The comparability key: what must be equal for two runs to be compared, and what differs besides.

The key holds what the experiment does not vary: hardware, kernel, operating system, grade, what tuning set on
each host and what it could not set, the DBMS's role, the load generator and its load. The design is left out,
and so is what a factor of either run varies. Versions, settings and factors are the difference that people
compare for: those are listed, and refuse nothing.
Hosts count by their groups and not by their names; those of one group stand in for each other.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from benchctl.results.places import ONLY, places

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchctl.results.view import RunView

HOST_FACTS = (
    "cpu.model",
    "cpu.microcode",
    "cpu.architecture",
    "cpu.sockets",
    "cpu.cores",
    "cpu.count",
    "cpu.usable",
    "dmi.product",
    "kernel.release",
    "kernel.build",
    "kernel.cmdline",
    "os.id",
    "os.version",
    "os.libc",
    "virtual.hypervisor",
    "virtual.container",
    "disk.filesystem",
    "disk.model",
)
LISTED_FACTS = ("host.name", "memory.thp", "cpufreq.governor", "cpu.no_turbo", "cpu.boost", "cpu.smt")
LISTED_PREFIXES = ("sysctl.",)
ABSENT = "absent"
TUNED = "tuned"
_KNOB = "knob "


class Difference(NamedTuple):
    """One thing that is not the same on both sides; `absent` where a side does not have it."""

    what: str
    baseline: str
    contender: str


def key_facts(view: RunView) -> dict[str, str]:
    """All that the key of a run is made of, by name; what a factor varies is left out."""
    experiment = view.plan.experiment
    facts = {"grade": view.summary.grade}
    facts["dbms.role"] = ABSENT if experiment.dbms is None else experiment.dbms.role
    facts |= {f"workload.{name}": text for name, text in _workload(view)}
    facts["loader.version"] = _joined(trial.loader_version for trial in view.trials)
    facts["loader.loop"] = _joined("open" if trial.result.open_loop else "closed" for trial in view.trials)
    for place, host in _places(view).items():
        names = (*HOST_FACTS, "memory.total")
        facts |= {f"{place}.{n}": text for n, text in zip(names, _hardware(view, host), strict=True)}
        facts |= {f"{place}.{name}": text for name, text in _tuning(view, host)}
    return {name: text for name, text in facts.items() if name not in _varied(view)}


def key(view: RunView) -> str:
    """The SHA-256 of the facts: runs with equal keys can be compared without a second thought."""
    return hashlib.sha256(msgspec.json.encode(sorted(key_facts(view).items()))).hexdigest()


def mismatches(baseline: RunView, contender: RunView) -> tuple[Difference, ...]:
    """What forbids to compare two runs; what either of them varies is compared treatment by treatment."""
    varied = _varied(baseline) | _varied(contender)
    found = list(_different(key_facts(baseline), key_facts(contender)))
    tuned = {one.what.removesuffix(f".{TUNED}") for one in found if one.what.endswith(f".{TUNED}")}
    return tuple(
        _with_hosts(difference, baseline, contender)
        for difference in found
        if difference.what not in varied and not _is_told_already(difference, tuned)
    )


def differences(
    baseline: RunView, contender: RunView, fixed: tuple[Mapping[str, str], Mapping[str, str]]
) -> tuple[Difference, ...]:
    """What differs and may: versions, settings that were read back, levels, options, the host's knobs.

    `fixed` are the levels that were chosen on each side; what open factors set is no difference.
    """
    return tuple(_different(_listed(baseline, fixed[0]), _listed(contender, fixed[1])))


def _listed(view: RunView, fixed: Mapping[str, str]) -> dict[str, str]:
    experiment, varied = view.plan.experiment, _varied(view)
    listed = {"benchctl": view.benchctl_version, "design.order": experiment.design.order}
    listed |= {f"level of {name}": label for name, label in fixed.items()}
    if experiment.dbms is not None:
        listed |= {f"dbms.{name}": _text(value) for name, value in experiment.dbms.options.items()}
    listed |= {f"workload.{name}": text for name, text in _workload(view)}
    for metric in experiment.metrics:
        listed[f"metric {metric.name}"] = f"{metric.better} is better, delta {metric.delta:g}"
    for place, host in _places(view).items():
        prefix, known = "" if place == ONLY else f"{place}.", view.fingerprints[host]
        listed |= {f"{prefix}{name}": _text(known[name]) for name in known if _is_listed(name)}
    listed |= _server(view, fixed)
    return {name: text for name, text in listed.items() if name not in varied}


def _server(view: RunView, fixed: Mapping[str, str]) -> dict[str, str]:
    """What the server of the first treatment with these levels said of itself."""
    told = [t for t in view.trials if t.server is not None and fixed.items() <= t.levels.items()]
    server = min(told, key=lambda t: t.treatment).server if told else None
    if server is None:
        return {}
    opened = {
        path.removeprefix("dbms.settings.")
        for factor in view.plan.experiment.factors
        for level in factor.levels
        for path in level.sets
        if factor.name not in fixed
    }
    settings = {
        f"setting {name}": value
        for name, value in server.settings.items()
        if name not in opened and not value.startswith("/")  # paths hold the run's own folders
    }
    return {"server version": server.version, **settings}


def _places(view: RunView) -> dict[str, str]:
    """Place -> host; hosts of one group in the order of their facts, so that their names do not matter."""
    return places(dict(view.groups), view.fingerprints, lambda host: _hardware(view, host))


def _hardware(view: RunView, host: str) -> tuple[str, ...]:
    known = view.fingerprints[host]
    return (*(_text(known.get(name)) for name in HOST_FACTS), _rough(known.get("memory.total")))


def _tuning(view: RunView, host: str) -> Iterator[tuple[str, str]]:
    """Whether the host was tuned; then each knob with its value, and what came in its place."""
    tuning = view.tunings.get(host)
    yield TUNED, "no" if tuning is None else "yes"
    for knob in () if tuning is None else tuning.knobs:
        yield f"{_KNOB}{knob.knob}", knob.value if knob.in_force else f"{knob.value} ({knob.outcome})"


def _is_told_already(found: Difference, tuned: set[str]) -> bool:
    """Whether it is a knob of a host that was tuned on one side only: that says it all."""
    place, is_knob, _ = found.what.partition(f".{_KNOB}")
    return bool(is_knob) and place in tuned


def _with_hosts(found: Difference, baseline: RunView, contender: RunView) -> Difference:
    """Name the hosts behind a difference of places, where a run has several."""

    def named(text: str, view: RunView) -> str:
        by_place = _places(view)
        place = next((p for p in by_place if p != ONLY and found.what.startswith(f"{p}.")), None)
        return text if place is None else f"{text} ({by_place[place]})"

    return Difference(found.what, named(found.baseline, baseline), named(found.contender, contender))


def _is_listed(name: str) -> bool:
    return name in LISTED_FACTS or name.startswith(LISTED_PREFIXES)


def _workload(view: RunView) -> Iterator[tuple[str, str]]:
    """The load as the file spells it: role, window, and each option of the role; files by their content."""
    workload, files = view.plan.experiment.workload, view.plan.files
    if workload is None:
        for stage in view.plan.experiment.stages:
            yield f"stage {stage.name}", msgspec.json.encode(stage).decode()
        return
    yield "role", workload.role
    yield "warmup", f"{workload.warmup:g} s"
    yield "duration", f"{workload.duration:g} s"
    for name, value in workload.options.items():
        content = files.get(value) if isinstance(value, str) else None
        yield name, _text(value) if content is None else f"sha256:{content}"


def _varied(view: RunView) -> set[str]:
    """The paths that the levels of the run's factors set."""
    return {path for factor in view.plan.experiment.factors for level in factor.levels for path in level.sets}


def _different(baseline: Mapping[str, str], contender: Mapping[str, str]) -> Iterator[Difference]:
    for name in dict.fromkeys([*baseline, *contender]):
        sides = baseline.get(name, ABSENT), contender.get(name, ABSENT)
        if sides[0] != sides[1]:
            yield Difference(name, *sides)


def _joined(values: Iterator[str]) -> str:
    return ", ".join(sorted(set(values)))


def _text(value: object) -> str:
    if value is None:
        return ABSENT
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _rough(size: object) -> str:
    """Memory to a tenth of a GiB: kernels and firmware keep a little more or less for themselves."""
    return f"{size / 2**30:.1f} GiB" if isinstance(size, int) else ABSENT
