"""Starting, awaiting and killing processes; their trees are found by descent, by adoption and by marker.

Owns all waiting for children: one thread reaps them all, so that no exit status is lost to another.
Must not know what a process is for.
"""

import contextlib
import os
import resource
import select
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
)

from benchctl.agent.birth import Program
from benchctl.agent.cgroup import Cgroups
from benchctl.agent.layout import MARKER, NOBODY, OWNER_TAG
from benchctl.agent.refusal import RefusalError
from benchctl.agent.wire import Json

KILL_LIMIT = 10.0  # seconds after SIGKILL until a process counts as stuck in the kernel

_USERNS = ("unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}", "--")
_KERNEL_LISTS_CHILDREN = Path("/proc/thread-self/children").exists()
_PASSED_ON = ("PATH", "HOME", "USER", "LOGNAME", "TMPDIR")


class Setting(NamedTuple):
    """How a program is started beside its command line."""

    env: Dict[str, str]
    cwd: str
    run_as: str = "self"
    limits: Optional[Dict[str, int]] = None
    cpus: Optional[str] = None


class Process:
    """A child. Its exit status (negative: the signal) and its resources are there once `done` is set."""

    def __init__(self, pid: int, started: float, began: float, lock: threading.Lock) -> None:
        """Register a child; `started` is CLOCK_REALTIME just before its start, `began` CLOCK_MONOTONIC."""
        self.pid = pid
        self.started = started
        self.began = began
        self.ended = 0.0
        self.exit: Optional[int] = None
        self.usage: Optional[resource.struct_rusage] = None
        self.done = threading.Event()
        self._watchers: List[threading.Event] = []
        self._lock = lock

    def wait(self, timeout: float) -> bool:
        """Say whether it ended within `timeout` seconds."""
        return self.done.wait(timeout)

    def watch(self, event: threading.Event) -> None:
        """Set `event` when it ends, at once if it has ended."""
        with self._lock:
            self._watchers.append(event)
            if self.done.is_set():
                event.set()

    def send(self, number: int) -> None:
        """Signal it; never a stranger that got its number, since only the reaper frees it."""
        with self._lock:
            if not self.done.is_set():
                os.kill(self.pid, number)

    def finish(self, status: int, usage: resource.struct_rusage) -> None:
        """Take what the reaper collected; the reaper holds the lock."""
        self.ended = time.time()
        self.exit = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
        self.usage = usage
        self.done.set()
        for event in self._watchers:
            event.set()


class Foreign:
    """A process that an earlier command started: it can be awaited and signalled, its status is not known."""

    exit = None

    def __init__(self, pid: int, birth: int) -> None:
        """Refer to the process `pid` born at `birth`, in clock ticks. Raises ProcessLookupError."""
        self.pid = pid
        self._fd = os.pidfd_open(pid)
        if birth_of(pid) != birth:
            os.close(self._fd)
            raise ProcessLookupError(pid)

    def wait(self, timeout: float) -> bool:
        """Say whether it ended within `timeout` seconds."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        return bool(poll.poll(timeout * 1000))

    def send(self, number: int) -> None:
        """Signal it."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._fd, number)


class Reaper:
    """Starts children and collects all that end, those adopted from them too."""

    def __init__(self, run: str) -> None:
        """Mark all that is started with the run's name."""
        self.run = run
        self.cgroups = Cgroups(run=run)
        self.placed: Dict[str, str] = {}  # owner -> the CPUs that it was started on
        self._lock = threading.Lock()
        self._children: Dict[int, Process] = {}
        self._news = threading.Condition(self._lock)
        threading.Thread(target=self._reap, name="reaper", daemon=True).start()

    def spawn(
        self,
        argv: Sequence[str],
        owner: str,
        setting: Setting,
        stdout: int,
        stderr: int,
        load: Optional[Callable[[Program], int]] = None,
    ) -> Process:
        """Start a program without a shell, in a session of its own, stdin from /dev/null.

        `owner` tags it and all its children; `load` starts it and holds it before its first instruction, for
        the calling thread to release. Raises RefusalError when it cannot be started.
        """
        command = [*_USERNS, *argv] if setting.run_as == "userns" else list(argv)
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        environment.update(setting.env)
        environment.update({MARKER: self.run, OWNER_TAG: owner})
        limited, pinned = _limited(setting.limits or {}), self._placed(owner, setting.cpus)
        with self._lock, limited, pinned:
            started, began = time.time(), time.monotonic()
            try:
                if load is None:
                    pid = self._start(command, owner, setting, environment, (stdout, stderr))
                else:
                    home = self.cgroups.home(owner)
                    pid = load(Program(command, environment, setting.cwd, stdout, stderr, home))
            except (OSError, subprocess.SubprocessError, ValueError) as error:
                raise RefusalError(f"{command[0]} does not start: {error}", "task") from error
            process = self._children[pid] = Process(pid, started, began, self._lock)
            self._news.notify()
        return process

    def _placed(self, owner: str, cpus: Optional[str]) -> "contextlib.AbstractContextManager[None]":
        """Have it start on its CPUs: by its cgroup where that can be, else by its affinity."""
        if cpus:
            self.placed[owner] = cpus
            return _pinned(None if self.cgroups.confine(owner, cpus) else cpus)
        return _pinned(None)

    def _start(
        self,
        command: List[str],
        owner: str,
        setting: Setting,
        environment: Dict[str, str],
        outputs: Tuple[int, int],
    ) -> int:
        as_nobody: Dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        with self.cgroups.entry(owner) as entry:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=outputs[0],
                stderr=outputs[1],
                cwd=setting.cwd,
                env=environment,
                start_new_session=True,
                preexec_fn=None if entry is None else lambda: _enter(entry),  # noqa: PLW1509 - a system call
                **(as_nobody if setting.run_as == "nobody" else {}),
            )
        child.returncode = 0  # the reaper waits for it, not this object
        return child.pid

    def orphans(self) -> List[int]:
        """Return adopted children: what daemonised, or outlived the parent that started it."""
        with self._lock:
            return [pid for pid in children(os.getpid()) if pid not in self._children]

    def _reap(self) -> None:
        while True:
            try:
                # Peek first: the number must not be free for others before the child is marked as done.
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
            except ChildProcessError:
                with self._lock:
                    if not self._children:
                        self._news.wait()
                continue
            if found is not None:
                self._collect(found.si_pid)

    def _collect(self, pid: int) -> None:
        with self._lock:
            try:  # again, under the lock: it may have been a held program's stop, which is its tracer's
                if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
                    return
            except ChildProcessError:
                pass
            process = self._children.pop(pid, None)
            try:
                _, status, usage = os.wait4(pid, 0)
            except ChildProcessError:  # a failed exec, which Popen collects itself
                return
            if process is not None:
                process.finish(status, usage)


def _enter(entry: int) -> None:
    """In the child, before its exec: put it into its cgroup."""
    with contextlib.suppress(OSError):
        os.write(entry, b"0")


def birth_of(pid: int) -> int:
    """Return when a process started, in clock ticks since boot: with its number it is unique.

    Raises ProcessLookupError.
    """
    return int(stat_of(pid)[19])


def boot_id() -> str:
    """Return the kernel's name for this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def state_of(pid: int) -> Json:
    """Return what identifies a process for good: number, birth and boot."""
    return {"pid": pid, "birth": birth_of(pid), "boot_id": boot_id(), "uid": os.getuid()}


def stat_of(pid: int) -> List[bytes]:
    """Return the fields of /proc/PID/stat after the name, state first. Raises ProcessLookupError."""
    try:
        data = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError as error:
        raise ProcessLookupError(pid) from error
    return data[data.rindex(b")") + 2 :].split()


def children(pid: int) -> List[int]:
    """Return the children of all threads of a process."""
    if not _KERNEL_LISTS_CHILDREN:
        return [other for other in _all_processes() if _parent(other) == pid]
    found: List[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - at the end of each task, many threads
            with contextlib.suppress(OSError):
                found.extend(map(int, _read(f"/proc/{pid}/task/{thread}/children").split()))
    return found


def _read(path: str) -> bytes:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = b""
        while more := os.read(handle, 1 << 16):
            data += more
        return data
    finally:
        os.close(handle)


def descendants(pid: int) -> List[int]:
    """Return all below a process, parents before their children."""
    found: List[int] = []
    for child in children(pid):
        found.append(child)
        found.extend(descendants(child))
    return found


def marked(run: str, owner: Optional[str] = None) -> List[int]:
    """Return the processes that carry a run's marker, or one owner's of it: a walk over all of /proc.

    Those of other PID namespaces are not ours: a container is a host of its own, with servers by hand too.
    """
    wanted = {f"{MARKER}={run}".encode()} | ({f"{OWNER_TAG}={owner}".encode()} if owner else set())
    own, here = os.getpid(), _namespace(os.getpid())
    return [
        pid
        for pid in _all_processes()
        if pid != own and wanted <= _environment(pid) and _namespace(pid) == here
    ]


def owner_of(pid: int) -> Optional[str]:
    """Return whose a process is by its tag, None without one."""
    tag = f"{OWNER_TAG}=".encode()
    return next((item[len(tag) :].decode() for item in _environment(pid) if item.startswith(tag)), None)


def kill_all(pids: Iterable[int], number: int = signal.SIGKILL) -> Set[int]:
    """Signal live processes that this user may signal; return those that took it."""
    reached = set()
    for pid in filter(is_alive, pids):  # a zombie takes signals too, and would never be gone
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
            reached.add(pid)
    return reached


def await_gone(pids: Set[int], limit: float = KILL_LIMIT) -> Set[int]:
    """Wait until killed processes have ended; return those that still have not after `limit` seconds."""
    deadline = time.monotonic() + limit
    left = {pid for pid in pids if is_alive(pid)}
    while left and time.monotonic() < deadline:
        time.sleep(0.001)  # they are nobody's children here: there is nothing to wait on
        left = {pid for pid in left if is_alive(pid)}
    return left


def is_alive(pid: int, birth: Optional[int] = None) -> bool:
    """Say whether a process runs, the one born at `birth` if given; one that nobody reaped yet does not."""
    try:
        fields = stat_of(pid)
    except ProcessLookupError:
        return False
    return fields[0] not in {b"Z", b"X"} and birth in {None, int(fields[19])}


def _parent(pid: int) -> int:
    try:
        return int(stat_of(pid)[1])
    except ProcessLookupError:
        return 0


def _all_processes() -> Iterator[int]:
    return (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())


def _environment(pid: int) -> Set[bytes]:
    try:
        return set(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
    except OSError:
        return set()


def _namespace(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/pid").readlink())
    except OSError:
        return ""


@contextlib.contextmanager
def _limited(limits: Dict[str, int]) -> Iterator[None]:
    """Set own soft limits for a moment: a child inherits them, and threads rule out a hook before exec."""
    before = {}
    try:
        for name, value in limits.items():
            kind = getattr(resource, f"RLIMIT_{name.upper()}", None)
            if kind is None:
                raise RefusalError(f"there is no limit {name!r}")
            _, hard = before[kind] = resource.getrlimit(kind)
            wanted = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (wanted, hard))
        yield
    finally:
        for kind, pair in before.items():
            resource.setrlimit(kind, pair)


@contextlib.contextmanager
def _pinned(cpus: Optional[str]) -> Iterator[None]:
    """Pin the calling thread for a moment: a child inherits its CPUs, other threads are not touched."""
    if not cpus:
        yield
        return
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, parse_cpus(cpus))
    except (OSError, ValueError) as error:
        raise RefusalError(f"this host has no CPUs {cpus!r} for what is measured") from error
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def parse_cpus(text: str) -> Set[int]:
    """Read a CPU list as the kernel writes it: `0-3,8`. Raises ValueError."""
    found: Set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found
