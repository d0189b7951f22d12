"""Tasks: a command that finishes, held until an instant if asked, with its limits and its resources.

Owns the life of one command from start to result, each in a thread of its own: what holds a program must be
the thread that started it. A result stays under the task's id, so that a controller that lost its connection
finds it again.
"""

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import BinaryIO, Dict, List, NamedTuple, Optional, Tuple

from benchctl.agent import files, hold, layout, null_target, pinning, process
from benchctl.agent.context import Context, Handle
from benchctl.agent.process import Process, Setting
from benchctl.agent.refusal import RefusalError
from benchctl.agent.wire import Json

GRACE = 5.0  # seconds between SIGTERM and SIGKILL
OUTPUT_LIMIT = 1 << 30  # bytes of stdout and stderr together
LISTING_LIMIT = 40_000  # bytes of a result that its list of files may take: a reply has 64 KiB
_SHELL = ("/bin/sh", "-c")
_NOTICE = 0.5  # seconds in which a server's death may be noticed after its loader's
_FASTEST_OUTPUT = 2 << 30  # bytes a second: how far output may grow between two looks at it


class Wanted(NamedTuple):
    """What a task is to do."""

    argv: List[str]
    cwd: Path
    env: Dict[str, str]
    limit: float  # seconds after its start
    hold: bool
    output_limit: int  # bytes


class Task:
    """One command: loaded, under way or ended."""

    def __init__(self, name: str, wanted: Wanted) -> None:
        """Describe a task that has not started."""
        self.name = name
        self.wanted = wanted
        self.wake = threading.Event()  # something happened: it ended, its service died, it was told something
        self.loaded = threading.Event()  # it is held, it runs, or it could not be started
        self.begun = threading.Event()  # it runs, or it never will
        self.over = threading.Event()  # its process has ended
        self.done = threading.Event()  # its result is there
        self.cancelled = False
        self.held = ""
        self.at: Optional[float] = None  # CLOCK_MONOTONIC at which it is to start
        self.late = False  # that instant was past when it was told
        self.child: Optional[Process] = None
        self.result: Optional[Json] = None
        self.refusal: Optional[RefusalError] = None
        self._watchers: List[threading.Event] = []
        self._lock = threading.Lock()

    @property
    def instant(self) -> Optional[float]:
        """CLOCK_MONOTONIC of its start, which may be ahead; None while nobody knows."""
        if self.wanted.hold:
            return self.at
        return self.child.began if self.child is not None else None

    def watch(self, event: threading.Event) -> None:
        """Set `event` when its start is known and when its process has ended, at once if that is past."""
        with self._lock:
            self._watchers.append(event)
            if self.over.is_set() or self.instant is not None:
                event.set()

    def tell(self, at: float) -> None:
        """Let it start at an instant of CLOCK_MONOTONIC."""
        with self._lock:
            self.at = at
            self.wake.set()
            for event in self._watchers:
                event.set()

    def finish(self) -> None:
        """Tell all who watch that its process has ended."""
        with self._lock:
            self.begun.set()
            self.over.set()
            for event in self._watchers:
                event.set()

    def outcome(self) -> Json:
        """Wait for the end; return the result. Raises what kept it from having one."""
        self.done.wait()
        if self.refusal is not None:
            raise self.refusal
        return self.result or {}


def launch(  # noqa: PLR0913, PLR0917 - the protocol's own arguments
    context: Context,
    task: str,
    argv: List[str],
    cwd: str,
    limit: float,
    env: Optional[Dict[str, str]] = None,
    hold: bool = False,  # noqa: FBT001, FBT002 - same
    service: Optional[str] = None,
    shell: bool = False,  # noqa: FBT001, FBT002 - same
    output_limit: int = OUTPUT_LIMIT,
    against: Optional[Json] = None,
) -> Json:
    """Start a command in an empty folder, or load it and hold it for `go`; the same id is not started again.

    `limit` in seconds after its start; it ends earlier when `service` dies. `against` describes a null target
    that it is run against, see null_target.words. `held` says how it waits: by
    ptrace before its first instruction, or still to be spawned. Raises RefusalError of kind task when it
    cannot be started, of kind service when there is no server.
    """
    words = [*_SHELL, *_words(argv, 1)] if shell else _words(argv)
    if against is not None:
        words = null_target.words(against, words)
    with context.lock:
        found = context.tasks.get(task)
        if found is None:
            folder = _folder(context, cwd)
            server = _server(context, service)
            variables = {str(name): str(value) for name, value in (env or {}).items()}
            wanted = Wanted(words, folder, variables, float(limit), hold, output_limit)
            found = context.tasks[task] = Task(task, wanted)
            execution = _Execution(context, found, server)
            threading.Thread(target=execution.live, name=f"task-{task}", daemon=True).start()
    if found.wanted.argv != words:
        raise RefusalError(f"there was a task {task} with another command; a task's id is used once")
    found.loaded.wait()
    if found.refusal is not None:
        raise found.refusal
    return {"pid": found.child.pid if found.child else 0, "held": found.held}


def go(context: Context, task: str, at: float, strict: bool = False) -> Json:  # noqa: FBT001, FBT002 - as above
    """Start a held task at an instant of CLOCK_MONOTONIC, at once and late if that is past; told once.

    With `strict` an instant that is past is refused, with kind late, and the task is held on.
    """
    found = _known(context, task)
    if not found.wanted.hold:
        raise RefusalError(f"task {task} is not held: it started when it was launched")
    if found.at is None:
        found.late = time.monotonic() > at
        if found.late and strict:
            raise RefusalError(f"task {task} was told of its start after it", "late")
        found.tell(float(at))
    return {"late": found.late}


def await_(context: Context, task: str) -> Json:
    """Wait for a task's end; return its result, however often it is asked."""
    return _known(context, task).outcome()


def cancel(context: Context, task: str) -> Json:
    """End a task, all of its processes; `await` then returns. Well if it has ended or never was."""
    with context.lock:
        found = context.tasks.get(task)
    if found is not None:
        found.cancelled = True
        found.wake.set()
    return {}


def _known(context: Context, task: str) -> Task:
    with context.lock:
        found = context.tasks.get(task)
    if found is None:
        raise RefusalError(f"there is no task {task}; launch it first")
    return found


def _words(argv: List[str], most: Optional[int] = None) -> List[str]:
    if not argv or not all(isinstance(word, str) for word in argv):
        raise RefusalError("launch: argv is no list of words")
    if most is not None and len(argv) > most:
        raise RefusalError("launch: a shell takes one word, the whole command line")
    return argv


def _folder(context: Context, cwd: str) -> Path:
    """Return a folder that may be emptied. Raises RefusalError when it is not this run's or holds others'."""
    folder = Path(cwd)
    if not folder.is_absolute() or ".." in folder.parts or not layout.below(folder, context.work):
        raise RefusalError(f"{folder} is not below {context.work}: no task of this run may empty it")
    taken = [other.wanted.cwd for other in context.tasks.values() if not other.done.is_set()]
    taken += [context.work / instance for instance in context.services]
    for other in (context.work, *taken):
        if layout.below(other, folder):
            raise RefusalError(f"{folder} is or holds {other}, which is in use: no task may empty it")
    return folder


def _server(context: Context, instance: Optional[str]) -> Optional[Handle]:
    if instance is None:
        return None
    server = context.services.get(instance)
    if server is None or server.wait(0):
        raise RefusalError(f"{instance} is not running, so its load would measure nothing", "service")
    return server


class _Execution:
    def __init__(self, context: Context, task: Task, server: Optional[Handle]) -> None:
        self._context = context
        self._task = task
        self._wanted = task.wanted
        self._server = server
        self._timed_out = False
        self._exceeded = False
        self._spent = 0.0  # seconds of CPU that are the agent's, not the task's

    def live(self) -> None:
        """Be the task's thread: from its folder to its result."""
        task = self._task
        try:
            task.result = self._execute()
        except RefusalError as error:
            task.refusal = error
        except OSError as error:
            task.refusal = RefusalError(f"task {task.name}: {error}", "task")
        except Exception as error:  # noqa: BLE001 - a defect here must reach the controller, not vanish
            task.refusal = RefusalError(f"task {task.name}: {error!r}", "internal")
        finally:
            task.finish()
            task.loaded.set()
            task.done.set()

    def _execute(self) -> Json:
        folder = self._wanted.cwd
        _empty(folder)
        if isinstance(self._server, Process):
            self._server.watch(self._task.wake)
        with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
            outputs = (stdout, stderr)
            argv = self._wanted.argv
            child = self._start_held(outputs) if self._wanted.hold else self._spawn(outputs, argv)
            if child is not None:
                self._attend(child, outputs)
                self._context.kill_tree(None, self._task.name)
            self._cut(outputs)
        return self._report(child)

    def _spawn(
        self, outputs: Tuple[BinaryIO, ...], argv: List[str], held: Optional[hold.Hold] = None
    ) -> Process:
        setting = pinning.placed(Setting(self._wanted.env, str(self._wanted.cwd)), pinning.LOADER)
        stdout, stderr = (file.fileno() for file in outputs)
        name = self._task.name
        child = self._context.reaper.spawn(argv, name, setting, stdout, stderr, held.load if held else None)
        self._task.child = child
        child.watch(self._task.wake)
        if held is None:
            self._task.loaded.set()
            self._task.begun.set()
        return child

    def _start_held(self, outputs: Tuple[BinaryIO, ...]) -> Optional[Process]:
        """Hold the program and start it when told; None when it was to end before it began."""
        held, child = self._load(outputs)
        task = self._task
        task.held = "spawn" if child is None else "ptrace"
        task.loaded.set()
        with hold.precedence():
            while task.at is None or hold.coarse(task.at) > 0:
                if self._must_end() or (child is not None and child.wait(0)):
                    if child is not None:
                        self._context.kill_tree(child, task.name)
                        child.wait(process.KILL_LIMIT)
                    return child
                task.wake.wait(None if task.at is None else max(0.0, hold.coarse(task.at)))
                task.wake.clear()
            task.late = task.late or time.monotonic() > task.at
            if child is None:
                hold.sleep_until(task.at)
                return self._spawn(outputs, self._wanted.argv)
            began = held.release(child, task.at, task.begun)
        child.began, child.started = began, time.time() - (time.monotonic() - began)
        return child

    def _load(self, outputs: Tuple[BinaryIO, ...]) -> Tuple[hold.Hold, Optional[Process]]:
        held = hold.Hold()
        argv = hold.holdable(self._wanted.argv, {**os.environ, **self._wanted.env})
        try:
            child = self._spawn(outputs, argv, held)
        except RefusalError as error:
            if isinstance(error.__cause__, subprocess.SubprocessError):  # not the program's fault: ptrace's
                return held, None
            raise
        self._spent = held.spent
        return held, child

    def _attend(self, child: Process, outputs: Tuple[BinaryIO, ...]) -> None:
        """Wait until the task ends or must end."""
        deadline = child.began + self._wanted.limit
        while not child.wait(0):
            now = time.monotonic()
            room = self._wanted.output_limit - _size(outputs)
            self._timed_out = now >= deadline
            self._exceeded = room < 0
            if self._timed_out or self._exceeded or self._must_end():
                self._end(child, 0 if self._exceeded else GRACE)
                break
            pause = min(1.0, max(0.02, room / _FASTEST_OUTPUT))
            self._task.wake.wait(max(0.0, min(deadline - now, pause)))
            self._task.wake.clear()
        self._task.finish()

    def _must_end(self) -> bool:
        return self._task.cancelled or self._server_died()

    def _server_died(self) -> bool:
        return self._server is not None and self._server.wait(0)

    def _end(self, child: Process, grace: float) -> None:
        if grace:
            tree = process.descendants(child.pid)
            child.send(signal.SIGTERM)
            process.kill_all(tree, signal.SIGTERM)
            child.wait(grace)
        self._context.kill_tree(child, self._task.name)
        child.wait(process.KILL_LIMIT)

    def _cut(self, outputs: Tuple[BinaryIO, ...]) -> None:
        """Leave no more output than was allowed, the beginning of each."""
        limit = self._wanted.output_limit
        if _size(outputs) > limit:
            self._exceeded = True
            for file in outputs:
                if os.fstat(file.fileno()).st_size > limit:
                    os.ftruncate(file.fileno(), limit)

    def _report(self, child: Optional[Process]) -> Json:
        if self._server is not None and child is not None and child.exit:
            self._server.wait(_NOTICE)
        died = self._server_died()
        now = time.time()
        listed, left_off = _listing(self._context, self._wanted.cwd)
        return {
            "exit": child.exit if child else -signal.SIGKILL,
            "timed_out": self._timed_out,
            "cancelled": self._task.cancelled,
            "output_exceeded": self._exceeded,
            "start": child.started if child else now,
            "end": child.ended if child else now,
            "began": child.began if child else time.monotonic(),
            "late": self._task.late,
            **_resources(child, self._spent),
            "service_died": died,
            "service_exit": self._server.exit if self._server is not None and died else None,
            "files": listed,
            "files_left_off": left_off,
        }


def _empty(folder: Path) -> None:
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)


def _size(outputs: Tuple[BinaryIO, ...]) -> int:
    return sum(os.fstat(file.fileno()).st_size for file in outputs)


def _resources(child: Optional[Process], spent: float) -> Json:
    """What the task used, without what the child used before it was the program."""
    usage = child.usage if child else None
    if usage is None:
        return {"cpu_user": 0.0, "cpu_system": 0.0, "max_rss": 0}
    system = usage.ru_stime - spent
    return {
        "cpu_user": max(0.0, usage.ru_utime + min(0.0, system)),
        "cpu_system": max(0.0, system),
        "max_rss": usage.ru_maxrss * 1024,  # at least the agent's own at the fork
    }


def _listing(context: Context, folder: Path) -> Tuple[List[Json], int]:
    """List what the task left, as far as a reply holds it, and count the rest."""
    found: List[Json] = files.files(context, str(folder))["files"]
    size = 0
    for number, entry in enumerate(found):
        size += len(json.dumps(entry)) + 2
        if size > LISTING_LIMIT:
            return found[:number], len(found) - number
    return found, 0
