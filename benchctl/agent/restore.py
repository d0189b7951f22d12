"""Giving this host back: what the journal says was there, in reverse order, read back.

Owns what is left alone: a value that somebody else set meanwhile, and settings that ended with their boot.
"""

from typing import Callable, Dict, List, NamedTuple, Optional, Sequence

from benchctl.agent import forms, kinds
from benchctl.agent.machine import Machine
from benchctl.agent.places import distinct
from benchctl.agent.refusal import RefusalError
from benchctl.agent.tuning import SHOWN, host_name, in_area, read_plain, read_text, write_all
from benchctl.agent.tuning_journal import Batch, Entry, Journal, standing
from benchctl.agent.wire import Json

Chosen = Callable[[Batch], bool]

_ROUNDS = 4  # what depends on something restored later takes its value in a later round


class Target(NamedTuple):
    """One place and the text that it had before the first entry about it."""

    knob: str
    kind: str
    form: str
    path: str
    text: str
    last: Optional[str]  # what was set last; None for what changed along with something else


class Change(NamedTuple):
    """A place that is given back, and the setting that it showed before."""

    target: Target
    found: Optional[str]


def restore(
    machine: Machine,
    journal: Journal,
    chosen: Chosen = lambda _: True,
    *,
    area: str = "",
    force: bool = False,
    preview: bool = False,
) -> Json:
    """Bring back what the chosen acts of tuning changed; what somebody else changed since only with `force`.

    With an `area` only its knobs; a `preview` writes nothing and tells what would be. Returns how many places
    were `restored`, of which `knobs` and from what to what, which were `left` alone, `failed` or are `gone`,
    the `problems` of the journal, and whether a `reboot` is to end what the kernel was told at its boot.
    Raises RefusalError when the journal cannot be read or is of another host.
    """
    if not journal.path.exists():
        return _told([], [], [], [], [], reboot=False)
    try:
        with journal.locked():
            return _restore(machine, journal, chosen, area, force=force, preview=preview)
    except OSError as error:
        raise RefusalError(f"{journal.path}: {error.strerror}", "unfit") from error


def _restore(
    machine: Machine, journal: Journal, chosen: Chosen, area: str, *, force: bool, preview: bool
) -> Json:
    batches, problems = journal.read()
    here = standing(batches)
    _refuse_strangers(machine, journal, here)
    mine = [batch for batch in here if chosen(batch)]
    machine.look_again()
    targets = _targets(mine, area)
    left = [] if force else [target for target in targets if _is_foreign(machine, target)]
    kept = {target.path for target in left}
    todo = [target for target in targets if target.path not in kept]
    changes = [Change(target, _found(machine, target)) for target in todo if not _is_back(machine, target)]
    if preview:
        return _told(changes, [_row(machine, one) for one in left], [], [], problems, reboot=False)
    errors: Dict[str, OSError] = {}
    for _ in range(_ROUNDS):
        differ = [target for target in reversed(todo) if not _is_back(machine, target)]
        if not differ:
            break
        wanted = [(one.kind, one.path, forms.to_write(one.form, one.text)) for one in differ]
        errors = write_all(machine, wanted)
    machine.look_again()
    wrong = [target for target in todo if not _is_back(machine, target)]
    gone = [one for one in wrong if read_text(machine, one.kind, one.path) is None]
    failed = [one for one in wrong if one not in gone]
    _keep(journal, here, mine, area, kept | {one.path for one in failed})
    void = len(batches) - len(here)
    problems += [f"{void} acts of tuning ended with their boot: nothing to restore"] if void else []
    return _told(
        [change for change in changes if change.target not in wrong],
        [_row(machine, one) for one in left],
        [{**_row(machine, one), "error": _words(errors.get(one.path))} for one in failed],
        [_row(machine, one) for one in gone],
        problems,
        reboot=any(_lingers(machine, target) for target in todo),
    )


def _targets(batches: Sequence[Batch], area: str) -> List[Target]:
    """Return each place once, in the order of the first write, with its first text and its last setting."""
    found: Dict[str, Target] = {}
    written = [(entry, act.shown(entry)) for act in batches for entry in act.written]
    for entry, last in [pair for pair in written if in_area(pair[0].knob, area)]:
        known = found.get(entry.path)
        if known is None:
            found[entry.path] = Target(*entry[:5], last)
        else:
            found[entry.path] = known._replace(knob=entry.knob, kind=entry.kind, form=entry.form, last=last)
        for path, text in entry.beside.items():
            found.setdefault(path, Target(entry.knob, "file", "text", path, text, None))
    return list(found.values())


def _is_foreign(machine: Machine, target: Target) -> bool:
    now = read_text(machine, target.kind, target.path)
    if now is None or target.last is None:
        return False
    if any(forms.same(target.form, now, text) for text in (target.last, target.text)):
        return False
    between = kinds.of(target.kind).between
    return between is None or not between(now, target.last, target.text)


def _lingers(machine: Machine, target: Target) -> bool:
    lingers = kinds.of(target.kind).lingers
    return lingers is not None and lingers(machine, target.last or "")


def _is_back(machine: Machine, target: Target) -> bool:
    now = read_text(machine, target.kind, target.path)
    return now is not None and forms.same(target.form, now, target.text)


def _refuse_strangers(machine: Machine, journal: Journal, batches: Sequence[Batch]) -> None:
    name = host_name(machine)
    for batch in batches:
        if batch.head.get("host") not in {name, None, ""}:
            raise RefusalError(
                f"{journal.path} is of another host ({batch.head['host']}): it came here as a copy; remove it"
            )


def _keep(
    journal: Journal, here: Sequence[Batch], mine: Sequence[Batch], area: str, paths: "set[str]"
) -> None:
    """Let the journal hold what is not restored: other runs' batches, and of these the places left."""
    kept = []
    for batch in here:
        if not any(batch is one for one in mine):
            kept.append(batch)
            continue
        entries: List[Entry] = [
            entry
            for entry in batch.entries
            if not in_area(entry.knob, area) or (entry.path in paths and entry in batch.written)
        ]
        if entries:
            kept.append(batch._replace(entries=entries))
    journal.replace(kept)


def _row(machine: Machine, target: Target) -> Json:
    return {
        "knob": target.knob,
        "path": target.path,
        "was": forms.to_write(target.form, target.text),
        "found": _found(machine, target),
    }


def _found(machine: Machine, target: Target) -> Optional[str]:
    return read_plain(machine, target.kind, target.form, target.path)


def _by_knob(name: str, changes: Sequence[Change]) -> Json:
    mine = [change for change in changes if change.target.knob == name]
    return {
        "knob": name,
        "found": distinct([change.found or "" for change in mine]),
        "was": distinct([forms.to_write(one.form, one.text) for one, _ in mine]),
    }


def _words(error: Optional[OSError]) -> str:
    return "it reads back otherwise" if error is None else str(error.strerror)


def _told(
    changes: Sequence[Change],
    left: List[Json],
    failed: List[Json],
    gone: List[Json],
    problems: List[str],
    *,
    reboot: bool,
) -> Json:
    return {
        "restored": len(changes),
        "knobs": [_by_knob(name, changes) for name in dict.fromkeys(one.target.knob for one in changes)],
        "left": left[:SHOWN],
        "failed": failed[:SHOWN],
        "gone": gone[:SHOWN],
        "problems": problems,
        "reboot": reboot,
    }
