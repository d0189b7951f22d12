"""Tuning this host: read, write and read back, from the rows of knobs; each place ends with one outcome.

Owns the order of writes and what counts as done. What undoes it is in restore; the journal stands between.
"""

import contextlib
import errno
import time
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from benchctl.agent import cpu_plan, forms, kinds, places, profiles
from benchctl.agent.knob import Knob, UnknownError
from benchctl.agent.knobs import KNOBS
from benchctl.agent.machine import Machine
from benchctl.agent.pinning import KNOB
from benchctl.agent.process import boot_id
from benchctl.agent.refusal import RefusalError
from benchctl.agent.tuning_journal import Batch, Entry, Journal, standing
from benchctl.agent.wire import Json

APPLIED, ALREADY = "applied", "already"
UNSUPPORTED, BLOCKED, FAILED, DRIFTED = "unsupported", "blocked", "failed", "drifted"
OUTCOMES = (FAILED, BLOCKED, APPLIED, ALREADY, UNSUPPORTED)  # of a knob: the first that one of its places has
SHOWN = 50  # drifted places that a reply names
_ROUNDS = 2  # a second one sets what the first refused, or changed along with something else
_TEXT_LIMIT = 120  # characters of a value that a reply carries
_BLOCKING = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ECONNREFUSED}
_MISSING = {errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT}


class Item:
    """One place on its way: what it was, what it shall be, what became of it."""

    def __init__(self, knob: Knob, path: str, want: str) -> None:
        """Begin with nothing read."""
        self.knob = knob
        self.path = path
        self.want = want
        self.old: Optional[str] = None
        self.now = ""  # what it shows at the end
        self.beside: Dict[str, str] = {}
        self.error: Optional[OSError] = None
        self.written = False
        self.outcome = ""
        self.why = ""

    def end(self, outcome: str, why: str = "") -> None:
        """Keep the outcome; the first one stands."""
        if not self.outcome:
            self.outcome, self.why = outcome, why

    def is_set_by(self, text: Optional[str]) -> bool:
        """Say whether a text that its place shows is the wanted setting."""
        return text is not None and forms.same(self.knob.form, text, self.want)

    @property
    def entry(self) -> Entry:
        """What the journal must know to undo it."""
        knob = self.knob
        return Entry(knob.name, knob.kind, knob.form, self.path, self.old or "", self.want, self.beside)


def snapshot(machine: Machine, names: Sequence[str] = (), area: str = "") -> Json:
    """Read all knobs, or some, and write nothing: for each how many places it has here and their values."""
    found = []
    machine.look_again()
    for name in names or [name for name in KNOBS if in_area(name, area)]:
        knob = _known(name)
        texts = [read_plain(machine, knob.kind, knob.form, spot.path) for spot in places.spots(machine, knob)]
        there = [text for text in texts if text is not None]
        found.append({"knob": name, "places": len(there), "values": places.distinct(there)})
    return {"knobs": found, "container": machine.in_container()}


def preview(
    machine: Machine,
    values: Mapping[str, str],
    journal: Optional[Journal] = None,
    *,
    area: str = "",
    shared: bool = True,
) -> Json:
    """Say for each knob what it is now and in how many places it `differs` from a value; write nothing.

    With a journal, what was tried there in vain and still shows the same does not differ: setting it again
    would change nothing. For `area` and `shared`, see `tune`.
    """
    chosen = _checked(values, area)
    vain = _tried_in_vain(journal) if journal else {}
    items, missing = _gather(machine, chosen)
    for item in items:
        _look(machine, item, closed=not shared and machine.in_container())
    found = []
    for name, value in chosen.items():
        mine = [item for item in items if item.knob.name == name]
        differ = [
            item
            for item in mine
            if not item.outcome
            and not item.is_set_by(item.old)
            and vain.get(item.path) != (item.want, item.old)
        ]
        why = next((item.why for item in mine if item.why), missing[name])
        row = {"knob": name, "value": value, "was": _was(mine), "places": len(mine), "differs": len(differ)}
        found.append({**row, "wants": places.distinct([item.want for item in differ]), "why": why})
    return {"knobs": found, "container": machine.in_container()}


def tune(
    machine: Machine,
    journal: Journal,
    values: Mapping[str, str],
    head: Json,
    *,
    area: str = "",
    shared: bool = False,
) -> Json:
    """Set knobs to values, after all that is there now is in the journal; return an outcome for each.

    `head` says whose it is: run, profile, kept, program. With an `area` only the values of its knobs are set,
    but all are checked: knobs of two areas can exclude each other. `shared` lets a container change what it
    shares with its machine. The reply's `reboot` says that something is in force only after one. Raises
    RefusalError, and then nothing was changed: for values that cannot be, and when the journal cannot be
    written.
    """
    chosen = _checked(values, area)
    try:
        with journal.locked():
            return _tune(machine, journal, chosen, head, shared=shared)
    except OSError as error:
        raise RefusalError(
            f"the journal {journal.path} cannot be written: {error.strerror}; nothing was changed", "unfit"
        ) from error


def _tune(machine: Machine, journal: Journal, values: Mapping[str, str], head: Json, *, shared: bool) -> Json:
    before, unreadable = journal.read()
    if unreadable:
        raise RefusalError(f"{unreadable[0]}; restore this host first; nothing was changed")
    items, missing = _gather(machine, values)
    closed = not shared and machine.in_container()
    for item in items:
        _look(machine, item, closed=closed)
    pending = sorted((item for item in items if not item.outcome), key=lambda item: item.knob.order)
    if KNOB in values:
        head = {**head, "cpus": cpu_plan.head(machine)}
    news = _news(before, pending, head)
    if news:
        whose = {**head, "boot_id": boot_id(), "host": host_name(machine), "time": time.time()}
        journal.append(whose, [item.entry for item in pending])
        _write(machine, pending)
    machine.look_again()
    for item in pending:
        _judge(machine, item)
    if news:
        with contextlib.suppress(OSError):  # without it all counts as written, which undoes it as well
            journal.conclude(
                [item.path for item in pending if item.written],
                {item.path: item.now for item in pending if item.outcome not in {APPLIED, ALREADY}},
            )
    rows = [_summary(name, value, items, missing) for name, value in values.items()]
    return {"knobs": rows, "reboot": any(map(_awaits_reboot, pending))}


def _awaits_reboot(item: Item) -> bool:
    return item.outcome == BLOCKED and item.error is not None and item.error.errno == errno.EINPROGRESS


def drift(machine: Machine, journal: Journal, area: str = "") -> Json:
    """Compare what was set with what is there now, in one pass; `drifted` names the first that differ."""
    batches, unreadable = journal.read()
    wanted = _wanted(batches, area)
    found = [
        {"knob": entry.knob, "path": entry.path, "wanted": entry.new, "found": now}
        for entry, now in _differing(machine, wanted)
    ]
    last = next(reversed(standing(batches)), None)
    return {
        "run": last.run if last else None,
        "profile": last.head.get("profile") if last else None,
        "places": len(wanted),
        "drifts": len(found),
        "drifted": found[:SHOWN],
        "problems": unreadable,
    }


def mend(machine: Machine, journal: Journal) -> int:
    """Set again what differs from what was set; return how many places still differ.

    The journal has what was there before any of it, so nothing is added. Raises RefusalError.
    """
    try:
        with journal.locked():
            wanted = _wanted(journal.read()[0])
            for _ in range(_ROUNDS):
                differ = [entry for entry, _ in _differing(machine, wanted)]
                write_all(machine, [(entry.kind, entry.path, entry.new) for entry in differ])
            return len(_differing(machine, wanted))
    except OSError as error:
        raise RefusalError(f"{journal.path}: {error.strerror}", "unfit") from error


def in_area(knob: str, area: str) -> bool:
    """Say whether a knob is of an area; "" is all of them, with those that an older agent had."""
    return not area or (knob in KNOBS and KNOBS[knob].area == area)


def host_name(machine: Machine) -> str:
    """Return what tells this host from its copies; "" where there is nothing."""
    return (read_text(machine, "file", "/etc/machine-id") or "").strip()


def read_text(machine: Machine, kind: str, path: str) -> Optional[str]:
    """Return the whole text of a place; None when it is not there or may not be read."""
    try:
        return kinds.of(kind).read(machine, path)
    except OSError:
        return None


def read_plain(machine: Machine, kind: str, form: str, path: str) -> Optional[str]:
    """Return the setting that a place shows, without what else it offers, cut to what a reply can carry."""
    text = read_text(machine, kind, path)
    return None if text is None else _plain(form, text)


def write_all(machine: Machine, wanted: Sequence[Tuple[str, str, str]]) -> Dict[str, OSError]:
    """Set places in their order, those that take one text together at once; return the errors by path."""
    errors: Dict[str, OSError] = {}
    done: Dict[Tuple[str, str], bool] = {}  # kind and text -> whether all that want it were brought there
    for kind, path, text in wanted:
        found, key = kinds.of(kind), (kind, text)
        if found.together is not None and key not in done:
            alike = [other for its, other, their in wanted if (its, their) == key]
            try:
                found.together(machine, alike, text)
                done[key] = True
            except OSError:  # one of them may be the reason: each by itself tells
                done[key] = False
        if done.get(key):
            continue
        try:
            found.write(machine, path, text)
        except OSError as error:
            errors[path] = error
    return errors


def _wanted(batches: Sequence[Batch], area: str = "") -> Dict[str, Entry]:
    """Return by path what is to be found as it was set, in the order of writing."""
    entries = [entry for batch in standing(batches) for entry in batch.wanted]
    return {entry.path: entry for entry in entries if in_area(entry.knob, area)}


def _differing(machine: Machine, wanted: Mapping[str, Entry]) -> List[Tuple[Entry, Optional[str]]]:
    """Return the entries whose places show something else, each with what; None for one that is gone."""
    found = []
    machine.look_again()
    for path, entry in wanted.items():
        now = read_text(machine, entry.kind, path)
        if now is None or not forms.same(entry.form, now, entry.new):
            found.append((entry, None if now is None else _plain(entry.form, now)))
    return found


def _gather(machine: Machine, values: Mapping[str, str]) -> Tuple[List[Item], Dict[str, str]]:
    """Return all places of all knobs in the order of the rows, and why some knobs have none."""
    items: List[Item] = []
    missing: Dict[str, str] = {}
    machine.look_again()
    words = places.Words(machine)
    for name in (name for name in KNOBS if name in values):
        knob = KNOBS[name]
        spots = places.spots(machine, knob)
        missing[name] = "" if spots else "this host has none"
        for spot in spots:
            try:
                item = Item(knob, spot.path, words.kernel_text(knob, spot, values[name]))
            except UnknownError as error:
                item = Item(knob, spot.path, "")
                item.end(UNSUPPORTED, str(error))
            for path in spot.beside:
                text = read_text(machine, "file", path)
                if text is not None:
                    item.beside[path] = text
            items.append(item)
    return items, missing


def _look(machine: Machine, item: Item, *, closed: bool) -> None:
    """Read what is there; end an item that cannot be set at all."""
    knob = item.knob
    try:
        item.old = kinds.of(knob.kind).read(machine, item.path)
    except OSError as error:
        item.end(*_refused(item.path, error))
        return
    offered = forms.offered(knob.form, item.old)
    if closed and not knob.own and not item.is_set_by(item.old):
        item.end(BLOCKED, "it is shared with the machine that this container runs on")
    elif offered and item.want not in offered:
        item.end(UNSUPPORTED, f"it offers {', '.join(sorted(offered))}")


def _tried_in_vain(journal: Journal) -> Dict[str, Tuple[str, str]]:
    """Return the places that did not take what they were set to: that, and what they showed instead."""
    batches, _ = journal.read()
    return {
        entry.path: (entry.new, batch.shown(entry))
        for batch in batches
        if batch.here
        for entry in batch.entries
        if entry not in batch.wanted
    }


def _news(before: Sequence[Batch], pending: Sequence[Item], head: Json) -> bool:
    """Say whether the journal must grow: something differs, or is to be watched that was not before."""
    plans = [batch.head["cpus"] for batch in before if batch.here and batch.head.get("cpus")]
    if pending and head.get("cpus") not in (None, *plans[-1:]):
        return True
    known = {entry.path: entry.new for batch in standing(before) for entry in batch.wanted}
    return any(not item.is_set_by(item.old) or known.get(item.path) != item.want for item in pending)


def _write(machine: Machine, pending: Sequence[Item]) -> None:
    """Write what differs, lower orders first; what was refused or changed again gets a second try."""
    orders = sorted({item.knob.order for item in pending})
    for _ in range(_ROUNDS):
        for order in orders:
            differ = [item for item in pending if item.knob.order == order and not _is_set(machine, item)]
            errors = write_all(machine, [(item.knob.kind, item.path, item.want) for item in differ])
            for item in differ:
                item.error = errors.get(item.path)
                item.written = item.written or item.error is None


def _is_set(machine: Machine, item: Item) -> bool:
    return item.is_set_by(read_text(machine, item.knob.kind, item.path))


def _judge(machine: Machine, item: Item) -> None:
    """Say what became of a place, by what it shows now, whatever the write said."""
    form, old = item.knob.form, item.old or ""
    now = read_text(machine, item.knob.kind, item.path)
    item.now = now or ""
    if now is None:
        item.written = True  # if it comes back, then as the kernel likes
        item.end(UNSUPPORTED, "it went away")
        return
    item.written = item.written or not forms.same(form, now, old)  # by what was beside it, or half
    if item.is_set_by(now):
        item.end(APPLIED if item.written else ALREADY)
    elif item.error is not None:
        item.end(*_refused(item.path, item.error))
    elif forms.same(form, now, old):
        item.end(BLOCKED, f"the write was taken and nothing changed: it still reads {_plain(form, now)}")
    else:
        item.end(FAILED, f"it reads back as {_plain(form, now)}")


def _refused(path: str, error: OSError) -> Tuple[str, str]:
    number = error.errno or 0
    name = errno.errorcode.get(number, str(number))
    if number == errno.EIO and path.startswith("/proc/irq/"):
        return BLOCKED, "EIO: its driver manages this interrupt"
    if number == errno.EINPROGRESS:
        return BLOCKED, str(error.strerror)
    text = f"{name}: {error.strerror}"
    if number in _BLOCKING:
        return BLOCKED, text
    return (UNSUPPORTED if number in _MISSING else FAILED), text


def _summary(name: str, value: str, items: Sequence[Item], missing: Mapping[str, str]) -> Json:
    """Make one outcome of those of all places: places that are missing do not count beside others."""
    mine = [item for item in items if item.knob.name == name]
    counts = places.distinct([item.outcome for item in mine])
    outcome = next((one for one in OUTCOMES if one in counts), UNSUPPORTED)
    why = next((item.why for item in mine if item.outcome == outcome and item.why), missing[name])
    if why and len(counts) > 1:
        why = f"{counts[outcome]} of {len(mine)}: {why}"
    elif outcome in {APPLIED, ALREADY} and UNSUPPORTED in counts:
        gone = next(item.why for item in mine if item.outcome == UNSUPPORTED)
        why = f"{counts[UNSUPPORTED]} of {len(mine)}: {gone}"
    return {"knob": name, "value": value, "outcome": outcome, "why": why, "counts": counts, "was": _was(mine)}


def _was(items: Sequence[Item]) -> Dict[str, int]:
    return places.distinct([_plain(item.knob.form, item.old) for item in items if item.old is not None])


def _plain(form: str, text: str) -> str:
    return forms.to_write(form, text)[:_TEXT_LIMIT]


def _checked(values: Mapping[str, str], area: str) -> Dict[str, str]:
    """Return the values of an area, once they all can stand together."""
    if not all(isinstance(value, str) for value in values.values()):
        raise RefusalError("the values of knobs are texts")
    wrong = profiles.problems(values)
    if wrong:
        raise RefusalError("; ".join(f"{one.knob}: {one.text}" for one in wrong))
    return {name: value for name, value in values.items() if in_area(name, area)}


def _known(name: str) -> Knob:
    knob = KNOBS.get(name)
    if knob is None:
        raise RefusalError(f"there is no knob {name}")
    return knob
