"""One run directory: where everything lies, how trials get in, how they come out again.

A trial is done when its raw files are synced and trial.json is renamed into place; nothing later touches it.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_origin

import msgspec

from benchctl import __version__
from benchctl.errors import RunStateError, UnfitError
from benchctl.journal import Journal
from benchctl.model.comparison import Summary
from benchctl.model.measurement import Trial
from benchctl.model.plan import Plan
from benchctl.model.record import Record, to_json
from benchctl.model.tuning import HostTuning
from benchctl.provision import from_ansible
from benchctl.results.files import manifest, write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchctl.model.host import Inventory
    from benchctl.model.measurement import Capacity

T = TypeVar("T")


class _Head(msgspec.Struct):
    """As much of a record as says which form it has; all else is skipped."""

    schema: int | None = None


@cache
def _schema_of(kind: type[Record]) -> object:
    """The schema of a record that has one; asking costs more than reading a file does."""
    return {field.name: field.default for field in msgspec.structs.fields(kind)}.get("schema")


class RunStore:
    """The files of one run; all writes are atomic."""

    def __init__(self, path: Path) -> None:
        """Take an existing run directory (`create` makes one)."""
        self.path = path
        self.id = path.name

    @classmethod
    def create(cls, path: Path, *, experiment_text: str, plan: Plan) -> RunStore:
        """Make the directory and store what will be done before anything is done. Raises UnfitError."""
        try:
            (path / "trials").mkdir(parents=True)
            store = cls(path)
            write_atomically(path / "experiment.yml", experiment_text.encode())
            write_atomically(path / "plan.json", to_json(plan))
        except OSError as error:
            raise UnfitError(
                f"{path}: the run directory cannot be made: {error.strerror}",
                remedy="name a folder that you can write to with --workspace",
            ) from error
        return store

    def keep_file(self, source: Path, relative: Path) -> None:
        """Copy a file that the experiment names to its place beside experiment.yml."""
        target = self.path / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, source.read_bytes())

    def journal(self) -> Journal:
        return Journal(self.path / "journal.jsonl")

    def plan(self) -> Plan:
        return self._read("plan.json", Plan)

    def experiment_text(self) -> str:
        path = self.path / "experiment.yml"
        try:
            return path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise RunStateError(f"{path}: {error}", remedy="restore it from a copy of the run") from error

    def save_inventory(self, ansible: dict[str, Any]) -> None:
        write_atomically(self.path / "inventory.json", to_json(ansible))

    def inventory(self) -> Inventory:
        """The run's hosts. Raises RunStateError for a run that was not provisioned."""
        if not (self.path / "inventory.json").exists():
            raise RunStateError(
                f"{self.id} has no hosts: there is no inventory.json",
                remedy=f"`benchctl provision {self.id}` first, or restore the file from a copy of the run",
            )
        found = self._read("inventory.json", dict[str, Any])
        try:
            return from_ansible(found)
        except (KeyError, TypeError, AttributeError) as error:
            raise RunStateError(
                f"{self.path / 'inventory.json'}: not an inventory of benchctl: {error!r}",
                remedy="restore it from a copy of the run",
            ) from error

    def save_state(self, state: Record) -> None:
        """A view for people and scripts; the journal is the truth."""
        write_atomically(self.path / "state.json", to_json(state))

    def save_descriptors(self, descriptors: dict[str, dict[str, str]]) -> None:
        write_atomically(self.path / "descriptors.json", to_json(descriptors))

    def descriptors(self) -> dict[str, dict[str, str]]:
        """Host -> instance id or loader role -> path of its descriptor there.

        Raises RunStateError for a run that was not configured.
        """
        if not (self.path / "descriptors.json").exists():
            raise RunStateError(
                f"{self.id} has no step configure behind it", remedy=f"`benchctl configure {self.id}` first"
            )
        return self._read("descriptors.json", dict[str, dict[str, str]])

    def host_folder(self, host: str) -> Path:
        folder = self.path / "hosts" / host
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def save_fingerprint(self, host: str, facts: dict[str, Any]) -> None:
        write_atomically(self.host_folder(host) / "fingerprint.json", to_json(facts))

    def fingerprints(self) -> dict[str, dict[str, Any]]:
        found = sorted(self.path.glob("hosts/*/fingerprint.json"))
        return {
            path.parent.name: self._read(path.relative_to(self.path).as_posix(), dict[str, Any])
            for path in found
        }

    def save_tuning(self, host: str, tuning: HostTuning) -> None:
        write_atomically(self.host_folder(host) / "knobs.json", to_json(tuning))

    def tunings(self) -> dict[str, HostTuning]:
        """What was set on each host that was tuned."""
        found = sorted(self.path.glob("hosts/*/knobs.json"))
        return {
            path.parent.name: self._read(path.relative_to(self.path).as_posix(), HostTuning) for path in found
        }

    def save_capacities(self, host: str, capacities: Mapping[str, Capacity]) -> None:
        """Store what the load generator reaches on a host against a null target, by treatment."""
        if capacities:
            write_atomically(self.host_folder(host) / "capacity.json", to_json(capacities))

    def trial_folder(self, ordinal: int) -> Path:
        return self.path / "trials" / f"{ordinal:04d}"

    def raw_folder(self, ordinal: int) -> Path:
        """An empty folder for the raw files of a new attempt; what an earlier one left is kept aside."""
        folder = self.trial_folder(ordinal)
        if self.is_done(ordinal):
            raise RunStateError(f"{folder}: this trial is done and is never repeated")
        self.abandon(ordinal)
        (folder / "raw").mkdir(parents=True)
        return folder / "raw"

    def attempt(self, ordinal: int) -> int:
        """The number of the attempt that would come next, from 1."""
        return len(list((self.trial_folder(ordinal) / "attempts").glob("*"))) + 1

    def abandon(self, ordinal: int) -> None:
        """Move the raw files of an attempt that did not finish to attempts/<n>."""
        folder = self.trial_folder(ordinal)
        if (folder / "raw").exists() and not self.is_done(ordinal):
            aside = folder / "attempts" / str(self.attempt(ordinal))
            aside.parent.mkdir(exist_ok=True)
            (folder / "raw").rename(aside)

    def finish(self, trial: Trial) -> None:
        """Make a trial done: sync its raw files, then rename trial.json into place."""
        folder = self.trial_folder(trial.ordinal)
        raw = folder / "raw"
        write_atomically(folder / "trial.json", to_json(trial), after=[*raw.rglob("*"), raw, folder.parent])

    def is_done(self, ordinal: int) -> bool:
        return (self.trial_folder(ordinal) / "trial.json").exists()

    def trials(self) -> tuple[Trial, ...]:
        """Every finished trial, by ordinal."""
        found = sorted(self.path.glob("trials/*/trial.json"))
        return tuple(self._read(path.relative_to(self.path).as_posix(), Trial) for path in found)

    def save_summary(self, summary: Summary) -> None:
        write_atomically(self.path / "summary.json", to_json(summary))

    def has_summary(self) -> bool:
        return (self.path / "summary.json").exists()

    def summary(self) -> Summary:
        return self._read("summary.json", Summary)

    def save_manifest(self) -> None:
        """MANIFEST.sha256 of the experiment, the plan and every trial, in the format of sha256sum."""
        chosen = [self.path / "experiment.yml", self.path / "plan.json"]
        chosen += self.path.glob("trials/*/trial.json")
        chosen += (path for path in self.path.glob("trials/*/raw/**/*") if path.is_file())
        write_atomically(self.path / "MANIFEST.sha256", manifest(self.path, chosen))

    def _read(self, name: str, kind: type[T]) -> T:
        path = self.path / name
        try:
            data = path.read_bytes()
            self._check_schema(path, data, kind)
            return msgspec.json.decode(data, type=kind)
        except FileNotFoundError as error:
            raise RunStateError(
                f"{path}: not there", remedy="restore it from a copy of the run; a run cannot do without it"
            ) from error
        except msgspec.MsgspecError as error:
            raise RunStateError(
                f"{path}: {error}",
                remedy="it was cut short or changed: restore it from a copy of the run; or another version of"
                " benchctl made it: use that one (journal.jsonl begins with it)",
            ) from error

    def _check_schema(self, path: Path, data: bytes, kind: type[T]) -> None:
        """Raise RunStateError for a record that another version of benchctl wrote in another form."""
        if not issubclass(get_origin(kind) or kind, Record):
            return
        known = _schema_of(cast("type[Record]", kind))
        found = msgspec.json.decode(data, type=_Head).schema
        if known is not None and found != known:
            raise RunStateError(
                f"{path}: its schema is {found}; benchctl {__version__} knows schema {known}",
                remedy="use the benchctl that made the run (its journal.jsonl begins with the version), or "
                "run the experiment again",
            )
