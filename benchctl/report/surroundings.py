"""The sections on what it was measured with: environment, failures, how to do it again."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

import msgspec

from benchctl.plan import make_up_block
from benchctl.report import words
from benchctl.report.document import Code, Section, Table, columns
from benchctl.report.text import NOTHING, clean, number, redact, setting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from benchctl.model.experiment import Experiment
    from benchctl.model.measurement import ServerFacts, Trial
    from benchctl.model.plan import Plan
    from benchctl.model.tuning import KnobOutcome
    from benchctl.report.words import Names
    from benchctl.results.view import RunView

    Facts = Mapping[str, object]
    Show = Callable[[Facts], str]


def environment(view: RunView, names: Names) -> Section:
    """Hosts, server and load generator as they were found, not as they were asked for."""
    first = _first_of_each(view)
    tables = [*_knobs(view), _versions(view), *_settings(first, names), *_host_tables(view)]
    return Section(
        "environment",
        "Environment",
        (f"Grade {words.grade(view)}.", *_tuned(view)),
        tables=tuple(table for table in tables if table.rows),
        code=tuple(_commands(first, names)),
    )


def _tuned(view: RunView) -> Iterator[str]:
    """Say what the hosts were tuned by, and what tells that nothing is missing."""
    for text in words.tunings(view):
        yield f"Tuned for this run by {text}."
    tuned = view.summary.tuning
    if tuned and not any(one.missing for one in tuned):
        yield "Every knob that was wanted is in force."


def _knobs(view: RunView) -> Iterator[Table]:
    """Every knob that is not as it was wanted, those with one reason together; then all of each host."""
    several = len(view.fingerprints) > 1
    alike: dict[tuple[str, ...], list[str]] = {}
    for one in view.summary.tuning:
        for knob in one.missing:
            named = (clean(one.host),) if several else ()
            reason = (*named, knob.outcome, clean(knob.why) or NOTHING)
            alike.setdefault(reason, []).append(clean(f"{knob.knob}={knob.value}"))
    rows = tuple((*reason, ", ".join(knobs)) for reason, knobs in alike.items())
    titles = columns(*(["host"] if several else []), "outcome", "why", "knobs, as they were wanted")
    yield Table("Knobs that are not in force", titles, rows)
    for host, tuning in view.tunings.items():
        all_knobs = tuple(
            (clean(knob.knob), clean(knob.value), knob.outcome, clean(_before(knob))) for knob in tuning.knobs
        )
        titles = columns("knob", "set to", "outcome", "before")
        yield Table(f"All knobs of {clean(host)}", titles, all_knobs, detail=True)


def _before(knob: KnobOutcome) -> str:
    """The values before, with how many places had each where they differed."""
    if len(knob.was) == 1:
        return next(iter(knob.was))
    return ", ".join(f"{value} ({count})" for value, count in knob.was.items()) or NOTHING


def _first_of_each(view: RunView) -> dict[str, Trial]:
    """The first finished trial of each treatment, in the plan's order of treatments."""
    found = {trial.treatment: trial for trial in reversed(view.trials)}
    return {treatment.id: found[treatment.id] for treatment in view.plan.treatments if treatment.id in found}


def _versions(view: RunView) -> Table:
    servers = [trial.server for trial in view.trials if trial.server]
    rows = [("benchctl", clean(view.benchctl_version))]
    for instance in dict.fromkeys(server.instance for server in servers):
        versions = dict.fromkeys(server.version for server in servers if server.instance == instance)
        rows.append((clean(instance), clean(", ".join(versions))))
    told = [f"{t.result.loader} {t.result.version or t.loader_version}".strip() for t in view.trials]
    loaders = dict.fromkeys(told)
    rows += [("load generator", clean(loader)) for loader in loaders]
    return Table("Versions, as the programs told them", columns("program", "version"), tuple(rows))


def _settings(first: dict[str, Trial], names: Names) -> Iterator[Table]:
    """Settings read back from the running server: what was asked for or differs, then all others."""
    servers = {tid: trial.server for tid, trial in first.items() if trial.server}
    if not servers:
        return
    titles = [names.levels(first[tid].levels) for tid in servers]
    known = sorted({name for server in servers.values() for name in (*server.settings, *server.wanted)})
    chosen = [name for name in known if _matters(name, list(servers.values()))]
    for title, these, detail in (
        ("Server settings, read back: asked for or different", chosen, False),
        ("Other server settings", [name for name in known if name not in chosen], True),
    ):
        rows = tuple(
            (clean(name), *(_read_back(name, server) for server in servers.values())) for name in these
        )
        yield Table(title, columns("setting", *titles), rows, detail)


def _matters(name: str, servers: list[ServerFacts]) -> bool:
    values = {server.settings.get(name) for server in servers}
    return len(values) > 1 or any(name in server.wanted for server in servers)


def _read_back(name: str, server: ServerFacts) -> str:
    found = setting(name, server.settings.get(name, NOTHING))
    if name not in server.differing:
        return found
    return f"{found} (asked for {setting(name, server.differing[name][0])})"


def _host_tables(view: RunView) -> Iterator[Table]:
    """What matters most of each host, side by side; then all facts of each."""
    flat = {clean(host): dict(_flat(facts)) for host, facts in view.fingerprints.items()}
    rows = tuple(
        (title, *(show(facts) for facts in flat.values()))
        for title, show in _SHORT
        if any(show(facts) != NOTHING for facts in flat.values())
    )
    yield Table("Hosts", columns("host", *flat), rows)
    for host, facts in flat.items():
        all_facts = tuple((clean(name), setting(name, _plain(fact))) for name, fact in facts.items())
        yield Table(f"All facts of {host}", columns("fact", "value"), all_facts, detail=True)


def _flat(facts: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, fact in facts.items():
        if isinstance(fact, dict):
            yield from _flat(fact, f"{prefix}{name}.")
        else:
            yield (f"{prefix}{name}", fact)


def _fact(*names: str) -> Show:
    """The named facts that the host has, joined."""

    def show(facts: Facts) -> str:
        found = [setting(name, _plain(facts.get(name))) for name in names]
        return ", ".join(text for text in found if text not in {NOTHING, ""}) or NOTHING

    return show


def _bytes(name: str) -> Show:
    def show(facts: Facts) -> str:
        size = facts.get(name)
        return f"{number(size / 1024**3)} GiB" if isinstance(size, int | float) else NOTHING

    return show


def _virtual(facts: Facts) -> str:
    if facts.get("virtual.container"):
        return f"container ({_fact('virtual.container')(facts)})"
    known = {True: "yes", False: "no"}
    return known.get(bool(facts["virtual.hypervisor"]), NOTHING) if "virtual.hypervisor" in facts else NOTHING


_SHORT: tuple[tuple[str, Show], ...] = (
    ("CPU", _fact("cpu.model")),
    ("CPUs usable", _fact("cpu.usable")),
    ("frequency governor", _fact("cpufreq.governor")),
    ("memory", _bytes("memory.total")),
    ("transparent huge pages", _fact("memory.thp")),
    ("data on", _fact("disk.device", "disk.model", "disk.filesystem", "disk.options")),
    ("virtual", _virtual),
    ("operating system", _fact("os.name", "os.libc")),
    ("kernel", _fact("kernel.release")),
    ("clock source", _fact("clock.source")),
)


def _plain(fact: object) -> str:
    if fact is None:
        return NOTHING
    if isinstance(fact, bool):
        return "yes" if fact else "no"
    if isinstance(fact, list | tuple):
        return ", ".join(_plain(part) for part in fact) or NOTHING
    if isinstance(fact, dict):
        return ", ".join(f"{name}={_plain(part)}" for name, part in fact.items()) or NOTHING
    return str(fact)


def _commands(first: dict[str, Trial], names: Names) -> Iterator[Code]:
    lines = [f"# {names.levels(trial.levels)}\n{_command(trial.load.argv)}" for trial in first.values()]
    if lines:
        yield Code("Load generator, first trial of each treatment", "\n".join(lines), detail=True)


def _command(argv: tuple[str, ...]) -> str:
    return redact(clean(shlex.join(argv)))


def failures(view: RunView, names: Names) -> Section:
    """Trials that did not finish, and why."""
    plan = view.plan
    extra = make_up_block([treatment.id for treatment in plan.treatments], plan.experiment.design)
    treatments = {trial.ordinal: trial.treatment for trial in (*plan.trials, *extra)}
    levels = {treatment.id: treatment.levels for treatment in plan.treatments}
    rows = tuple(
        (
            str(failure.ordinal),
            names.levels(levels.get(treatments.get(failure.ordinal, ""), {})),
            redact(clean(failure.reason.strip(), lines=True)),
        )
        for failure in view.failures
    )
    if rows:
        table = Table("", columns("trial", "treatment", "reason", numbers="trial"), rows)
        return Section("failures", "Failures", tables=(table,))
    whole = len(view.trials) >= view.summary.trials.planned
    lead = "Every planned trial finished." if whole else "No trial failed, but not every planned one has run."
    return Section("failures", "Failures", (lead,))


def reproduce(view: RunView, names: Names) -> Section:
    """What someone needs to run the same thing again and check that it is the same."""
    design = view.plan.experiment.design
    folder = f"runs/{view.path.name}"  # not where it lies today: the report stays the same when it is moved
    overrides = _overrides(view)
    rows = [
        ("benchctl", clean(view.benchctl_version)),
        ("seed", str(design.seed)),
        ("order", design.order),
        ("design hash", clean(view.plan.design_hash) or NOTHING),
        *((f"instance {clean(i.id)}", options(i.options)) for i in view.plan.instances),
        *((f"load generator {clean(r)}", options(told)) for r, told in view.plan.loaders.items() if told),
        *((f"data image {clean(i.id)}", options(i.prepare)) for i in view.plan.images),
        *(("data given back by", clean(words)) for words in _resets(view)),
        ("checksums of all raw files", clean(f"{folder}/MANIFEST.sha256")),
        *(("changed by --set", clean(path)) for path in overrides),
    ]
    command = ["benchctl", "run", f"{folder}/experiment.yml", *(["--pilot"] if view.plan.pilot else [])]
    command += [f"--set={path}={value}" for path, value in overrides.items() if value]
    return Section(
        "reproduce",
        "How to reproduce",
        tables=(Table("", columns("what", "value", code="value"), tuple(rows)),),
        code=(
            Code("Command", _command(tuple(command))),
            Code("Order of treatments, by block", order_grid(view.plan, names), detail=True),
            Code("Experiment file", redact(clean(view.experiment_text, lines=True)), detail=True),
        ),
    )


def _resets(view: RunView) -> list[str]:
    """Each way in which a trial of the run got its data, with why it was not the wanted one."""
    return sorted({trial.server.reset for trial in view.trials if trial.server and trial.server.reset})


def _overrides(view: RunView) -> dict[str, str]:
    """What `--set` changed: path -> value as it is written there, empty where it is no single value."""
    known = _single_values(view.plan.experiment)
    changed = sorted(path for path, origin in view.plan.origins.items() if origin == "--set")
    return {path: _as_yaml(path, known[path]) if path in known else "" for path in changed}


def _single_values(experiment: Experiment) -> dict[str, object]:
    """Dotted path -> value, of what an experiment says outside its lists."""
    workload, dbms = experiment.workload, experiment.dbms
    found: dict[str, object] = {
        f"design.{k}": v for k, v in msgspec.structs.asdict(experiment.design).items()
    }
    found |= {
        f"limits.{name}": f"{limit:g}s" for name, limit in msgspec.structs.asdict(experiment.limits).items()
    }
    if workload is not None:
        found |= {f"workload.{name}": option for name, option in workload.options.items()}
        found |= {"workload.warmup": f"{workload.warmup:g}s", "workload.duration": f"{workload.duration:g}s"}
    if dbms is not None:
        found |= {f"dbms.{name}": option for name, option in dbms.options.items()}
        found |= {f"dbms.settings.{name}": value for name, value in dbms.settings.items()}
    return {path: value for path, value in found.items() if isinstance(value, str | int | float)}


def _as_yaml(path: str, value: object) -> str:
    """A scalar as YAML reads it back: strings that look like numbers keep their quotes."""
    if isinstance(value, bool):
        return str(value).lower()
    numeric = isinstance(value, str) and re.fullmatch(r"[\d.+-]+", value)
    return f'"{value}"' if numeric else setting(path, value)


def order_grid(plan: Plan, names: Names) -> str:
    """The planned order, one line for each block, with a key to the treatments."""
    blocks: dict[int, list[str]] = {}
    for trial in plan.trials:
        blocks.setdefault(trial.block, []).append(trial.treatment)
    lines = [f"{clean(t.id)}: {names.levels(t.levels)}" for t in plan.treatments]
    lines += [f"{block:>4}  {clean(' '.join(ids))}" for block, ids in blocks.items()]
    return "\n".join(lines)


def options(given: Mapping[str, object]) -> str:
    """A role's options on one line, those that say nothing left out."""
    shown = ((name, setting(name, _plain(option))) for name, option in given.items())
    return ", ".join(f"{clean(name)}={option}" for name, option in shown if option != NOTHING) or NOTHING
