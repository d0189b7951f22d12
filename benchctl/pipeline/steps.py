"""The five steps as data. Each takes the session, does its part and returns a line about it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from benchctl import gates
from benchctl.benchmark.bench import Bench, read_descriptors
from benchctl.benchmark.calibration import calibrate
from benchctl.benchmark.executor import run_trials
from benchctl.benchmark.images import build_images
from benchctl.benchmark.refusals import require_one_host, require_settings
from benchctl.benchmark.stages import staged
from benchctl.collect import fetch_fingerprints, fetch_logs
from benchctl.configure import converge
from benchctl.errors import ConvergeError
from benchctl.model.event import Message
from benchctl.model.units import format_duration
from benchctl.pipeline.hosts import attended, ensure_time, hosts_made, make_hosts, take_away
from benchctl.pipeline.recovery import check_identity, ever_reached
from benchctl.pipeline.tuning import tune_hosts
from benchctl.pipeline.undo import AT_ONCE, undo
from benchctl.plan import make_up_block
from benchctl.provision import to_ansible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchctl.benchmark.protocol import Agent
    from benchctl.model.plan import PlannedTrial
    from benchctl.pipeline.session import Session


class Step(NamedTuple):
    name: str
    act: Callable[[Session], str]


def provision(session: Session) -> str:
    inventory = make_hosts(session)
    session.store.save_inventory(to_ansible(inventory))
    return ", ".join(host.name for host in inventory.hosts)


def configure(session: Session) -> str:
    ensure_time(session)
    try:
        converged = converge(
            session.plan,
            session.inventory(),
            session.fleet(),
            session.runner,
            run_dir=session.store.path,
            force=session.force,
            become_password=session.become_password,
            on_event=lambda text: session.listener(Message(level="detail", text=text)),
        )
    except ConvergeError:
        session.cancel.check()  # a play that was cut short by a signal has not failed
        raise
    session.store.save_descriptors(converged.descriptors)
    tune_hosts(session)
    return "converged by Ansible" if converged.ansible else "nothing to change; Ansible was not started"


def benchmark(session: Session) -> str:
    ensure_time(session)
    tune_hosts(session)
    bench = _bench(session)
    require_one_host(bench)
    require_settings(bench)
    bench = replace(bench, images=build_images(bench), capacities=calibrate(bench))
    for host, capacities in bench.capacities.items():
        session.store.save_capacities(host, capacities)
    begin = session.timer()
    with staged(bench, lambda host: session.store.host_folder(host) / "logs") as courses:
        run_trials(attended(session, _trials(session)), bench, courses)
    done = sum(session.store.is_done(trial.ordinal) for trial in session.plan.trials)
    more = len(session.store.trials()) - done
    made_up = f" and {more} made up" if more else ""
    took = format_duration(session.timer() - begin)
    return f"{done} of {len(session.plan.trials)} trials{made_up} in {took}"


def _trials(session: Session) -> Iterator[PlannedTrial]:
    """Every planned trial, then one make-up block when a comparison lost a pair."""
    plan, store = session.plan, session.store
    yield from plan.trials
    counts = {trial.ordinal for trial in store.trials() if trial.validity != "invalid"}
    lost = [trial.ordinal for trial in plan.trials if trial.ordinal not in counts]
    if lost and len(plan.treatments) > 1:
        which = ", ".join(map(str, lost))
        do = f"trials {which} do" if lost[1:] else f"trial {which} does"
        why = f"{do} not count: one make-up block follows"
        session.listener(Message(level="info", text=why))
        yield from make_up_block([treatment.id for treatment in plan.treatments], plan.experiment.design)


def collect(session: Session) -> str:
    instances = [instance.id for instance in session.plan.instances]

    def fetch(agent: Agent) -> int:
        return fetch_logs(
            agent, agent.hello["work"], instances, session.store.host_folder(agent.host) / "logs"
        )

    with ThreadPoolExecutor(AT_ONCE, "collect") as pool:
        fetched = sum(pool.map(fetch, session.fleet().values()))
    session.store.save_manifest()
    return f"{fetched} log file" + ("" if fetched == 1 else "s")


def destroy(session: Session) -> str:
    """Undo everything of this run on its hosts; safe to repeat, also when nothing was ever provisioned."""
    if hosts_made(session.journal.entries()):
        return take_away(session)
    names = ever_reached(session.journal.entries())
    if not names:
        return "nothing was made"
    undo(session, [host for host in session.inventory().hosts if host.name in names], remove=True)
    return f"{', '.join(sorted(names))}: the run's files removed, nothing left running"


def _bench(session: Session) -> Bench:
    fleet, known, tunings = session.fleet(), session.store.fingerprints(), session.store.tunings()
    found = fetch_fingerprints(fleet)
    for host, facts in found.items():
        check_identity(host, known.get(host), facts)
        session.store.save_fingerprint(host, facts)
    return Bench(
        plan=session.plan,
        inventory=session.inventory(),
        fleet=fleet,
        descriptors=read_descriptors(fleet, session.store.descriptors()),
        images={},
        sink=session.store,
        journal=session.journal,
        listener=session.listener,
        cancel=session.cancel,
        context=gates.context(session.inventory(), found, session.plan, tunings),
        clock=session.clock,
        timer=session.timer,
        tuned={host: tuning.places for host, tuning in tunings.items()},
    )


STEPS = (
    Step("provision", provision),
    Step("configure", configure),
    Step("benchmark", benchmark),
    Step("collect", collect),
    Step("destroy", destroy),
)
STEP_NAMES = tuple(step.name for step in STEPS)
