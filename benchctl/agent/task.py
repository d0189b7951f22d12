"""Tasks: a command that finishes, with its measured window, its limits and its resources.

Owns the life of one command from start to result. A result stays under the task's id, so that a controller
that lost its connection finds it again.
"""

import signal
import threading
import time
from pathlib import Path
from typing import Dict, List, Optional

from benchctl.agent import process
from benchctl.agent.context import Context, Handle, Json
from benchctl.agent.process import Process, Setting
from benchctl.agent.refusal import RefusalError
from benchctl.agent.sampler import Sampler

GRACE = 5.0  # seconds between SIGTERM and SIGKILL
_NOTICE = 0.5  # seconds in which a server's death may be noticed after its loader's


class Task:
    """One command under way or ended."""

    def __init__(self, name: str, argv: List[str]) -> None:
        """Describe a task that has not started."""
        self.name = name
        self.argv = argv
        self.wake = threading.Event()  # something happened: it ended, its service died, it was cancelled
        self.cancelled = False
        self.done = threading.Event()
        self.result: Optional[Json] = None
        self.refusal: Optional[RefusalError] = None

    def outcome(self) -> Json:
        """Wait for the end; return the result. Raises what kept it from having one."""
        self.done.wait()
        if self.refusal is not None:
            raise self.refusal
        return self.result or {}


def run(  # noqa: PLR0913, PLR0917 - the protocol's own arguments
    context: Context,
    task: str,
    argv: List[str],
    cwd: str,
    limit: float,
    env: Optional[Dict[str, str]] = None,
    window: Optional[Json] = None,
    sample_hz: float = 1.0,
    service: Optional[str] = None,
) -> Json:
    """Run a command to its end in a folder made for it; asked again with the same id, return the same result.

    `limit` in seconds, `window` {warmup, duration} in seconds after the start. It ends early when `service`
    dies. Raises RefusalError of kind task when it cannot be started, of kind service when there is no server.
    """
    with context.lock:
        found = context.tasks.get(task)
        mine = found is None
        if found is None:
            found = context.tasks[task] = Task(task, argv)
    if found.argv != argv:
        raise RefusalError(f"there was a task {task} with another command; a task's id is used once")
    if mine:
        try:
            server = _server(context, service)
            found.result = _Execution(context, found, server).execute(
                Path(cwd), env or {}, limit, window or {}, sample_hz
            )
        except RefusalError as error:
            found.refusal = error
        except BaseException as error:
            found.refusal = RefusalError(f"task {task}: {error!r}", "internal")
            raise
        finally:
            found.done.set()
    return found.outcome()


def cancel(context: Context, task: str) -> Json:
    """End a task, all of its processes; its `run` then returns. Well if it has ended or never was."""
    with context.lock:
        found = context.tasks.get(task)
    if found is not None:
        found.cancelled = True
        found.wake.set()
    return {}


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
        self._server = server
        self._sampler: Optional[Sampler] = None
        self._sampled = 0

    def execute(self, cwd: Path, env: Dict[str, str], limit: float, window: Json, hertz: float) -> Json:
        cwd.mkdir(parents=True, exist_ok=True)
        warmup, duration = float(window.get("warmup") or 0), float(window.get("duration") or 0)
        if duration > 0:
            self._sampler = Sampler(cwd / "host.samples", self._server.pid if self._server else None)
        try:
            child = self._spawn(cwd, env)
            times = sample_times(child.began + warmup, duration, hertz) if duration > 0 else []
            timed_out = self._attend(child, child.began + limit, times)
        finally:
            if self._sampler is not None:
                self._sampler.close()
        return self._report(child, timed_out, child.started + warmup, duration)

    def _spawn(self, cwd: Path, env: Dict[str, str]) -> Process:
        setting = Setting({str(name): str(value) for name, value in env.items()}, str(cwd))
        with (cwd / "stdout").open("wb") as stdout, (cwd / "stderr").open("wb") as stderr:
            child = self._context.reaper.spawn(
                self._task.argv, self._task.name, setting, stdout.fileno(), stderr.fileno()
            )
        child.watch(self._task.wake)
        if isinstance(self._server, Process):
            self._server.watch(self._task.wake)
        return child

    def _attend(self, child: Process, deadline: float, times: List[float]) -> bool:
        """Sample at the given times until the task ends or must end; say whether it ran out of time."""
        late = False
        while not child.wait(0):
            now = time.monotonic()
            late = now >= deadline
            if late or self._task.cancelled or self._server_died():
                self._end(child)
                break
            if self._sampler is not None and self._sampled < len(times) and now >= times[self._sampled]:
                edge = self._sampled in {0, len(times) - 1}
                self._sampler.take(child.pid, edge=edge)
                self._sampled += 1
                continue
            until = min([deadline, *times[self._sampled : self._sampled + 1]])
            self._task.wake.wait(max(0.0, until - now))
            self._task.wake.clear()
        if self._sampler is not None and 0 < self._sampled < len(times):
            self._sampler.take(child.pid, edge=True, ended=_cpu(child))
        self._context.kill_tree(None, self._task.name)
        return late

    def _server_died(self) -> bool:
        return self._server is not None and self._server.wait(0)

    def _end(self, child: Process) -> None:
        tree = process.descendants(child.pid)
        child.send(signal.SIGTERM)
        process.kill_all(tree, signal.SIGTERM)
        child.wait(GRACE)
        self._context.kill_tree(child, self._task.name)
        child.wait(process.KILL_LIMIT)

    def _report(self, child: Process, timed_out: bool, start: float, duration: float) -> Json:  # noqa: FBT001 - private
        if self._server is not None and child.exit:
            self._server.wait(_NOTICE)
        died = self._server_died()
        usage = child.usage
        return {
            "exit": child.exit,
            "timed_out": timed_out,
            "cancelled": self._task.cancelled,
            "start": child.started,
            "end": child.ended,
            "cpu_user": usage.ru_utime if usage else 0.0,
            "cpu_system": usage.ru_stime if usage else 0.0,
            "max_rss": usage.ru_maxrss * 1024 if usage else 0,  # at least the agent's own at the fork
            "window": {"start": start, "end": start + duration},
            "service_died": died,
            "service_exit": self._server.exit if self._server is not None and died else None,
        }


def _cpu(child: Process) -> float:
    return child.usage.ru_utime + child.usage.ru_stime if child.usage else 0.0


def sample_times(start: float, duration: float, hertz: float) -> List[float]:
    """At the start, then each 1/hertz seconds, and at the end."""
    times = [start]
    step = 1 / hertz if hertz > 0 else duration
    while times[-1] + step < start + duration - step / 2:
        times.append(start + step * len(times))
    return [*times, start + duration]
