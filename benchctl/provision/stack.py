"""The hosts of a run as a Pulumi stack: made, looked at, changed and taken away by the engine.

Owns what the engine is asked to do and what its failures mean. Pulumi is imported when a stack is used, never
before. Must not know what a provider makes.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import re
import socket
import sys
import time
from contextlib import contextmanager
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from benchctl.errors import BenchctlError, EngineError, StackError, StackLockedError, UnfitError
from benchctl.provision.cache import cache_folder
from benchctl.provision.command import EngineCommand
from benchctl.provision.engine import Engine, environment, find_engine
from benchctl.provision.janitor import leftovers, provider_module, remove
from benchctl.provision.keys import kept_key
from benchctl.provision.outputs import read_outputs, to_inventory
from benchctl.provision.place import PASSPHRASE, Place, passphrase
from benchctl.provision.prices import quotes
from benchctl.provision.request import KEY, PINNED, Request
from benchctl.spec.share import shared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pulumi import automation

    from benchctl.model.experiment import Experiment, Hosts
    from benchctl.model.host import Inventory
    from benchctl.provision.prices import Quote
    from benchctl.provision.workspace import Project

GRACE = 3600.0  # seconds that hosts live longer than the run may take
_LAST_LINES = 30
_NO_PLUGIN = re.compile(
    r"no resource plugin 'pulumi-resource-(?P<name>[a-z-]+)' found[^\n]*version v(?P<version>[0-9.]+)"
)
_AFTER_DIAGNOSTICS = re.compile(r"^(?:Outputs|Resources):", re.MULTILINE)
_KILLED = re.compile(r"^\s*code: -(\d+)$", re.MULTILINE)
_TRACEBACK = "Traceback (most recent call last):"
_EXCEPTION = re.compile(r"[\w.]+(Error|Exception|Interrupt|Expired)\b")
_SWEEPS = 5  # an orphan of a dead engine may make one more while we remove
_OF_RESOURCES = re.compile(r"[-+~!]+\s+\S+:\S+:\S+ .*(created|deleted|updated|replaced|failed)")
_LOCKED_BY = re.compile(r"created by (?P<user>\S+)@(?P<host>\S+) \(pid (?P<pid>\d+)\)")
_BROKEN_STATE = re.compile(
    r"could not deserialize|failed to load checkpoint|unexpected end of JSON|unmarshal|invalid character"
    r"|snapshot integrity|not valid JSON|unexpected EOF"
)


class StackProvisioner:
    """Makes the hosts of one run and takes them away; safe to repeat, after a crash too."""

    def __init__(
        self,
        place: Place,
        hosts: Hosts,
        *,
        say: Callable[[str], None] = lambda _text: None,
        cancelled: Callable[[], bool] = lambda: False,
        unlock: bool = False,
    ) -> None:
        """Take where the run lies and what hosts it wants; nothing is started.

        `say` is told what the engine does, a line each; once `cancelled` is true the engine is asked to stop.
        """
        self.place = place
        self.provider = provider_of(hosts)
        self.state = place.backend
        self.expires = 0.0
        self._hosts = hosts
        self._say = say
        self._cancelled = cancelled
        self._unlock = unlock

    def check(self) -> None:
        """Raise EngineError without an engine, UnfitError for what else is missing here."""
        _ = self._engine
        _automation()
        provider_module(self.provider).check(self._hosts)

    def provision(self, experiment: Experiment) -> Inventory:
        """Make what is missing of the hosts; the same hosts when they are there.

        Raises StackError with the engine's own words; what was made until then is in the state.
        """
        return self.up(time.time() + experiment.limits.run + GRACE)

    def up(self, expires: float) -> Inventory:
        """As `provision`, with the time (s since the epoch) at which the hosts shut themselves down."""
        request = self._request(expires)
        try:
            outputs = self._up(request)
        except StackError as error:
            fallback = getattr(provider_module(self.provider), "fallback", None)
            other = None if fallback is None or self._cancelled() else fallback(request, str(error))
            if other is None:
                raise
            self._say(f"{error.detail}\nonce more, as the provider allows it")
            outputs = self._up(replace(other, prices=_known(quotes(self._hosts, on_demand=other.on_demand))))
        self.expires = expires
        self.place.pin(outputs.get(PINNED, {}))
        groups = read_outputs(outputs)
        inventory = to_inventory(groups, identity_file=self.place.key, known_hosts=self.place.known_hosts)
        settle = getattr(provider_module(self.provider), "settle", None)
        if settle is not None:
            settle(self.place.run, self._hosts, inventory.hosts, expires, self._cancelled)
        return inventory

    def preview(self, expires: float) -> dict[str, int]:
        """Return how many resources an up would create, update, delete, …; nothing is made."""
        with self._made_stack(self._request(expires)) as stack:
            changes = self._do(lambda: stack.preview(on_output=self._tell, color="never")).change_summary
        return {str(getattr(kind, "value", kind)): count for kind, count in changes.items()}

    def refresh(self) -> int:
        """Look which resources are still there; return how many were gone."""
        with self._known_stack() as stack:
            if stack is None:
                return 0
            done = self._do(lambda: stack.refresh(on_output=self._tell, color="never"))
        return int((done.summary.resource_changes or {}).get("delete", 0))

    def remove(self) -> None:
        """Take everything away: by the state, then by the run's tags what the state did not know.

        Raises StackError when something is left, StackLockedError while another engine works.
        """
        try:
            self._destroy(unlock=self._unlock)
        except _BrokenStateError as error:
            self._say(f"{error.detail}\nthe state cannot be used: looking for the run's tags instead")
            self._set_state_aside()
        except StackError as error:
            # What was made while its answer got lost is not in the state, and other things hang on it.
            self._say(f"{error.detail}\nlooking for the run's tags, then once more")
            self._sweep()
            self._destroy(refresh=True)
        self._sweep()

    def _destroy(self, *, unlock: bool = False, refresh: bool = False) -> None:
        with self._known_stack() as stack:
            if stack is None:
                return
            if unlock:
                self._do(stack.cancel)
            self._do(
                lambda: stack.destroy(
                    on_output=self._tell, color="never", continue_on_error=True, refresh=refresh
                )
            )
            self._do(lambda: stack.workspace.remove_stack(self.place.run, force=True))

    def _sweep(self) -> None:
        """Remove what carries the run's tags, until nothing does."""
        for _ in range(_SWEEPS):
            found = leftovers(self.provider, run=self.place.run, hosts=self._hosts)
            if not found:
                return
            for leftover in found:
                self._say(f"removing the {leftover.kind} {leftover.name}, which the state does not have")
                remove(leftover)
        names = ", ".join(f"{item.kind} {item.name}" for item in found)
        raise StackError(f"{self.place.run}: removed again and again, and still there: {names}")

    def _up(self, request: Request) -> dict[str, Any]:
        again = self.place.work.exists()  # what was made before may have gone since
        with self._made_stack(request) as stack:
            outputs = self._do(lambda: stack.up(on_output=self._tell, color="never", refresh=again)).outputs
        return {name: output.value for name, output in outputs.items()}

    @contextmanager
    def _made_stack(self, request: Request) -> Iterator[automation.Stack]:
        """Give the run's stack with the request as its configuration, made when it is not there."""
        new = not self.place.work.exists()
        with self._project() as project:
            from benchctl.provision import workspace  # late: imports Pulumi

            how: workspace.How = "create" if new else "create or select"  # a new one is not looked for first
            stack = self._do(lambda: workspace.open_stack(project, self.place.run, how))
            text, secret = msgspec.json.encode(request).decode(), bool(request.seed)
            self._do(lambda: workspace.configure(project, stack, KEY, text, secret=secret))
            yield stack

    @contextmanager
    def _known_stack(self) -> Iterator[automation.Stack | None]:
        """Give the run's stack; None when the state has none, and then a lock of it is worth nothing."""
        with self._project() as project:
            from pulumi.automation.errors import StackNotFoundError

            from benchctl.provision import workspace

            def known() -> automation.Stack | None:
                try:
                    return workspace.open_stack(project, self.place.run, "select")
                except StackNotFoundError:
                    return None

            stack = self._do(known)
            if stack is None:
                self._drop_locks()
            yield stack

    @contextmanager
    def _project(self) -> Iterator[Project]:
        """Give what the engine works with."""
        _automation()
        from benchctl.provision import workspace

        work = self.place.work.absolute()
        work.mkdir(parents=True, exist_ok=True)
        command = EngineCommand(self._engine, self._cancelled)
        with _stack_folder(self.provider) as program:
            variables = self._environment()
            yield workspace.Project(f"bench-{self.provider}", program, work, command, variables)

    def _drop_locks(self) -> None:
        """Remove what an engine left that died after it had taken the stack out of the state."""
        for path in self._state_files(f"locks/organization/bench-{self.provider}/{self.place.run}/*.json"):
            path.unlink(missing_ok=True)

    def _state_files(self, pattern: str) -> list[Path]:
        """Return files of the state; none where it does not lie in files."""
        folder = self.place.state_folder
        return [] if folder is None else list(folder.glob(f".pulumi/{pattern}"))

    @cached_property
    def _engine(self) -> Engine:
        return find_engine()

    def _request(self, expires: float) -> Request:
        public = kept_key(self.place.key)
        caller = getattr(self._hosts, "ssh_from", None)
        if caller is not None and not caller:
            from benchctl.provision.caller import address  # late: asks the network

            caller = (address(),)
        return Request(
            run=self.place.run,
            owner=f"{_user()}@{socket.gethostname()}",
            expires=expires,
            public_key=public,
            hosts=self._hosts,
            caller=tuple(caller or ()),
            seed="" if caller is None else hashlib.sha256(self.place.key.read_bytes()).hexdigest(),
            pinned=self.place.pinned(),
            prices=self._prices,
        )

    @cached_property
    def _prices(self) -> dict[str, float]:
        return _known(quotes(self._hosts))

    def _environment(self) -> dict[str, str]:
        if self.place.state_folder is not None:
            self.place.state_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        variables = {
            **environment(),
            "PULUMI_BACKEND_URL": self.place.backend,
            PASSPHRASE: passphrase(self.place.private / "passphrase"),
            "PYTHONPATH": os.pathsep.join(
                filter(None, [str(_folder(self.provider)), os.environ.get("PYTHONPATH")])
            ),
            "PYTHONWARNINGS": "ignore",
        }
        if self._engine.own and "PULUMI_HOME" not in os.environ:
            variables["PULUMI_HOME"] = str(cache_folder() / "pulumi")
        return variables

    def _tell(self, line: str) -> None:
        if _OF_RESOURCES.match(line.strip()):
            self._say(line.strip())

    def _do(self, act: Callable[[], Any]) -> Any:  # noqa: ANN401 - what Pulumi returns
        """Translate what the engine says when it fails."""
        from pulumi.automation.errors import CommandError, ConcurrentUpdateError

        try:
            return act()
        except ConcurrentUpdateError as error:
            raise self._locked(str(error)) from error
        except CommandError as error:
            raise self._failed(str(error)) from error

    def _locked(self, said: str) -> BenchctlError:
        by = _LOCKED_BY.search(said)
        who = f"{by['user']} on {by['host']} (pid {by['pid']})" if by else "another engine"
        undo = f"`benchctl destroy {self.place.run}"
        if by and by["host"] == socket.gethostname() and not _is_engine(by["pid"]):
            return StackLockedError(
                f"{self.place.run}: the lock was left by {who}, which is dead",
                remedy=f"{undo} --unlock` removes the lock, then the hosts",
            )
        return StackLockedError(
            f"{self.place.run}: {who} has locked it",
            remedy=f"wait for its end; when that engine is surely dead, {undo} --unlock` removes the lock",
        )

    def _failed(self, said: str) -> BenchctlError:
        killed = _KILLED.search(said)
        words = f"the engine was killed by signal {killed[1]}" if killed else last_words(said)
        if "incorrect passphrase" in said:
            return UnfitError(
                f"the passphrase is not the one with which the state in {self.place.backend} was written",
                remedy=f"set {PASSPHRASE} to that one, or put back {self.place.private / 'passphrase'}; else "
                f"`benchctl janitor --run {self.place.run} --remove` finds the hosts by their tags",
            )
        if plugin := _NO_PLUGIN.search(said):
            return EngineError(
                f"it has no plug-in for provider {self.provider}",
                remedy=f"pulumi plugin install resource {plugin['name']} v{plugin['version']}; or put "
                f"pulumi-resource-{plugin['name']} of that version on PATH",
            )
        if _BROKEN_STATE.search(said):
            return _BrokenStateError(f"the state in {self.place.backend} is broken: {words}")
        return StackError(
            f"{self.place.run}: {words}",
            remedy=f"`benchctl destroy {self.place.run}` takes away what was made",
        )

    def _set_state_aside(self) -> None:
        """Keep a broken state for whoever wants to look, where no engine reads it."""
        for path in self._state_files(f"stacks/bench-{self.provider}/{self.place.run}.json*"):
            path.replace(path.with_name(f"broken-{path.name}.txt"))


class _BrokenStateError(StackError):
    """The state of the hosts cannot be read."""


def provider_of(hosts: Hosts) -> str:
    """Return the provider's name as the experiment file has it."""
    return str(type(hosts).__struct_config__.tag)


def _is_engine(pid: str) -> bool:
    """Tell whether that process is an engine: another one may have got the number of a dead one."""
    try:
        return b"pulumi" in Path("/proc", pid, "cmdline").read_bytes().split(b"\0")[0]
    except OSError:
        return False


def _known(prices: Mapping[str, Quote]) -> dict[str, float]:
    return {group: price.per_hour for group, price in prices.items() if price.per_hour is not None}


def _automation() -> Any:  # noqa: ANN401 - a module
    try:
        return import_module("pulumi.automation")
    except ImportError as error:
        raise EngineError(
            f"the Python package pulumi is not there: {error}",
            remedy="install benchctl with the provider's extra: pip install 'benchctl[lab]' (aws, azure)",
        ) from error


def _folder(provider: str) -> Path:
    return shared("stacks") / provider


@contextmanager
def _stack_folder(provider: str) -> Iterator[Callable[[], None]]:
    """Give the program of a provider's stack, which imports from its own folder."""
    folder = str(_folder(provider))
    sys.path.insert(0, folder)
    try:
        yield import_module(f"bench_{provider}").program
    finally:
        sys.path.remove(folder)


def last_words(said: str) -> str:
    """Return the diagnostics that the engine printed, or the end of what it said; no frames of Python."""
    _, found, after = said.partition("Diagnostics:")
    text = _AFTER_DIAGNOSTICS.split(after, maxsplit=1)[0] if found else said
    kept = []
    inside = False  # of a traceback
    for line in filter(None, map(str.strip, text.splitlines())):
        if _EXCEPTION.match(line):
            inside = False
        if not inside:
            kept.append(line.removesuffix(_TRACEBACK).rstrip())
        inside = inside or line.endswith(_TRACEBACK)
    return "\n".join(kept[-_LAST_LINES:])


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return f"uid-{os.getuid()}"
