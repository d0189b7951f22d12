"""Servers: start with settings, wait until ready, read back, stop; and the short commands around them.

Owns the life of an instance's server process. Must not know one database from another: descriptors do.
"""

import contextlib
import hashlib
import json
import os
import signal
import time
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Union

from benchctl.agent import layout, listening, pinning, probe, process
from benchctl.agent.context import Context, Handle
from benchctl.agent.descriptor import Descriptor
from benchctl.agent.process import Setting
from benchctl.agent.refusal import RefusalError
from benchctl.agent.wire import Json

COMMAND_TIMEOUT = 60.0  # seconds for a short command whose descriptor states no limit
OUTPUT_LIMIT = 1 << 20  # bytes of a short command's output that are read
LOG_LINES = 20
SAID_LIMIT = 200  # characters of a ready command's last line that a message carries
LOG_SLICE_LIMIT = 64 << 20  # bytes of one start's log that are copied for a trial
_LAST_SIGNAL = "SIGTERM"  # after a stop command that did not stop the server
_STATE = "service.json"


class Answer(NamedTuple):
    """How a short command ended."""

    exit: int
    stdout: str
    stderr: str


def start(
    context: Context, descriptor: Union[str, Json], settings: Optional[Json] = None, limit: float = 0
) -> Json:
    """Start the server and wait until it is ready, at most `limit` seconds or what the descriptor says.

    When it dies or is late, nothing of it is left, and the refusal carries the last lines of its log.
    Of an embedded engine only the settings are written: the load generator runs it. Of somebody else's server
    nothing is done but to ask whether it is ready.
    """
    found = Descriptor(descriptor, context)
    if found.serverless:
        make_work_folder(context, found)
        found.write_settings(settings or {})
        if found.parts.get("ready"):
            command(context, found, "ready", found.part("ready"))
        return {"pid": None, "seconds": 0.0}
    if running(context, found) is not None:
        raise RefusalError(f"{found.instance} is running already; stop it first", "service")
    _require_port(found)
    began = time.monotonic()
    make_work_folder(context, found)
    found.write_settings(settings or {})
    argv = found.argv("start", found.part("start"))
    with found.log.open("ab") as log:
        log.write(probe.mark(found.instance))
        log.flush()
        begin = log.tell()
        asked = _probe(context, found, begin)
        try:
            setting = pinning.placed(found.setting(server=True), pinning.DBMS)
            handle = context.reaper.spawn(argv, found.instance, setting, log.fileno(), log.fileno())
        except RefusalError as error:
            raise RefusalError(f"{found.instance}: {error}", "service") from error
    _remember(context, found, handle, begin)
    try:
        _await_ready(found, handle, limit, asked)
    except BaseException:
        context.kill_tree(handle, found.instance)
        _forget(context, found)
        raise
    return {"pid": handle.pid, "seconds": time.monotonic() - began}


def ready(context: Context, descriptor: Union[str, Json]) -> Json:
    """Ask once whether the server takes requests; an embedded engine, which has no such part, always does.

    A line of its log was there before its start was over.
    """
    found = Descriptor(descriptor, context)
    if found.serverless:
        return {"ready": not _probe(context, found)(COMMAND_TIMEOUT)}
    if running(context, found) is None:
        return {"ready": False}
    said = "log" in (found.parts.get("ready") or {})
    return {"ready": said or not _probe(context, found)(COMMAND_TIMEOUT)}


def stop(context: Context, descriptor: Union[str, Json], log: Optional[str] = None) -> Json:
    """Stop the server and all that belongs to it; well if it is not running.

    Escalates from the descriptor's command or signal over `then` to SIGKILL for the whole tree. What the
    server wrote to its log since its start is copied to `log`.
    """
    found = Descriptor(descriptor, context)
    began = time.monotonic()
    handle = running(context, found)
    births = _births(process.descendants(handle.pid)) if handle else {}
    how = _escalate(context, found, handle) if handle else "none"
    ended = handle or context.services.get(found.instance)
    context.kill_tree(
        handle, found.instance, [pid for pid, birth in births.items() if process.is_alive(pid, birth)]
    )
    code = ended.exit if ended else None
    if log is not None:
        _copy_log(context, found, Path(log))
    _forget(context, found)
    return {
        "exit": code,
        "how": how,
        "seconds": time.monotonic() - began,
        "running_before": handle is not None,
    }


def inspect(context: Context, descriptor: Union[str, Json], names: Optional[List[str]] = None) -> Json:
    """Read version and settings back from the running server; `missing` are names it did not print."""
    found = _running_one(context, descriptor)
    version = command(context, found, "version", found.part("version")).strip()
    read = (found.parts.get("settings") or {}).get("read")
    settings: Dict[str, str] = {}
    if read:
        printed = ask(context, found, "settings.read", read)
        settings = {name: str(value) for name, value in printed.items()}
    missing = [name for name in names or [] if name not in settings]
    return {"version": version, "settings": settings, "missing": missing}


def stats(context: Context, descriptor: Union[str, Json]) -> Json:
    """Read the running server's counters; none when the descriptor has no such command."""
    found = _running_one(context, descriptor)
    if found.serverless or not found.parts.get("stats"):
        return {"counters": {}}
    return {"counters": ask(context, found, "stats", found.part("stats"))}


def checkpoint(context: Context, descriptor: Union[str, Json]) -> Json:
    """Make the running server write what it holds back; nothing when the descriptor has no such command."""
    found = _running_one(context, descriptor)
    if found.parts.get("checkpoint"):
        command(context, found, "checkpoint", found.part("checkpoint"))
    return {}


def verify(context: Context, descriptor: Union[str, Json]) -> Json:
    """Compare what is installed with what the descriptor expects; say each difference."""
    found = Descriptor(descriptor, context)
    problems = []
    for check in found.parts.get("verify") or []:
        if "argv" in check:
            problems.append(_differs(context, found, check))
        else:
            problems.append(_changed(check))
    return {"problems": [problem for problem in problems if problem]}


def check(context: Context, descriptor: Union[str, Json], settings: Json) -> Json:
    """Let the server's program say whether it takes these settings, without starting it.

    `said` is what it has against them, and `names` are the settings that it knows, where it has something;
    both are empty for a descriptor without such a command.
    """
    found = Descriptor(descriptor, context)
    part = found.parts.get("check")
    if not part:
        return {"said": "", "names": []}
    make_work_folder(context, found)
    found.render(settings, Path(part.get("file", "")))
    answer = _ask_program(context, found, "check", part)
    if answer.exit == 0:
        return {"said": "", "names": []}
    listed = _ask_program(context, found, "check.names", part["names"]).stdout if part.get("names") else ""
    names = [line.partition("\t")[0] for line in listed.splitlines()]
    return {"said": answer.stderr or answer.stdout or f"exit code {answer.exit}", "names": names}


def _ask_program(context: Context, found: Descriptor, name: str, part: Json) -> Answer:
    limit = float(part.get("timeout") or COMMAND_TIMEOUT)
    return execute(context, found.argv(name, part), found.instance, found.setting(server=True), limit)


def running(context: Context, found: Descriptor) -> Optional[Handle]:
    """Return the instance's live server; under direct verbs the one that an earlier verb started."""
    handle = context.services.get(found.instance)
    if handle is None and not context.supervised:
        handle = _recall(found)
    return None if handle is None or handle.wait(0) else handle


def command(context: Context, found: Descriptor, name: str, part: Json) -> str:
    """Run a short command of the descriptor as the caller; return its stdout.

    Raises RefusalError with its stderr when it fails or takes longer than its limit.
    """
    answer = execute(
        context,
        found.argv(name, part),
        found.instance,
        found.setting(server=False),
        float(part.get("timeout") or COMMAND_TIMEOUT),
    )
    if answer.exit:
        raise RefusalError(
            f"{found.instance}: {name} ended with {answer.exit}", "service", answer.stderr or answer.stdout
        )
    return answer.stdout


def ask(context: Context, found: Descriptor, name: str, part: Json) -> Json:
    """Run a short command of the descriptor and return the JSON object that it prints.

    Raises RefusalError when it fails, or prints something else.
    """
    text = command(context, found, name, part)
    try:
        printed = json.loads(text)
    except ValueError as error:
        raise RefusalError(
            f"{found.instance}: {name} printed no JSON: {error}", "service", text[:2000]
        ) from error
    if not isinstance(printed, dict):
        raise RefusalError(f"{found.instance}: {name} printed no JSON object", "service", text[:2000])
    return printed


def execute(context: Context, argv: List[str], owner: str, setting: Setting, timeout: float) -> Answer:
    """Run a program to its end and return what it printed. Raises RefusalError when it takes too long."""
    stdout, stderr = os.memfd_create("stdout"), os.memfd_create("stderr")
    try:
        child = context.reaper.spawn(argv, owner, setting, stdout, stderr)
        if not child.wait(timeout):
            known = process.descendants(child.pid)
            child.send(signal.SIGKILL)
            process.kill_all(known)
            child.wait(process.KILL_LIMIT)
            raise RefusalError(f"{owner}: {argv[0]} did not end within {timeout:g} s", "service")
        return Answer(child.exit or 0, _text(stdout), _text(stderr))
    finally:
        os.close(stdout)
        os.close(stderr)


def tail(path: Path, lines: int = LOG_LINES) -> str:
    """Return the last lines of the last start's log, as far as they stand in its last 16 KiB."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 16384))
            text = file.read().decode(errors="replace")
            return "\n".join(probe.since_start(text).splitlines()[-lines:])
    except OSError:
        return ""


def _text(fd: int) -> str:
    return os.pread(fd, OUTPUT_LIMIT, 0).decode(errors="replace")


def _copy_log(context: Context, found: Descriptor, target: Path) -> None:
    if not target.is_absolute() or ".." in target.parts or not layout.below(target, context.work):
        raise RefusalError(f"{target} is not below {context.work}: no log of this run belongs there")
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as copy, contextlib.suppress(FileNotFoundError), found.log.open("rb") as log:
        log.seek(context.log_starts.get(found.instance, 0))
        left = LOG_SLICE_LIMIT
        while left and (data := log.read(min(left, 1 << 20))):
            copy.write(data)
            left -= len(data)


def _probe(context: Context, found: Descriptor, start: Optional[int] = None) -> probe.Ask:
    """Return what asks the server once what is in the way; a log is searched from byte `start` on."""
    part = found.parts.get("ready") or {}
    asked = probe.of(part, found.log, start)
    if asked is not None:
        return asked
    if not part:
        return lambda _: ""
    argv = found.argv("ready", part)
    return lambda timeout: _in_the_way(context, found, argv, timeout)


def _in_the_way(context: Context, found: Descriptor, argv: List[str], timeout: float) -> str:
    try:
        answer = execute(context, argv, found.instance, found.setting(server=False), timeout)
    except RefusalError as error:
        if error.kind == "service":  # the probe took all of the time that was left
            return probe.LATE
        raise
    said = (answer.stderr or answer.stdout).strip().splitlines()[-1:]
    return (
        f"exit code {answer.exit}{''.join(f', {line[:SAID_LIMIT]}' for line in said)}" if answer.exit else ""
    )


def _asked(part: Json) -> str:
    kind = next((kind for kind in ("http", "port", "log", "argv") if kind in part), None)
    if kind is None:
        return ""
    value = " ".join(part[kind]) if kind == "argv" else part[kind]
    return f", asked again and again by {'command' if kind == 'argv' else kind}: {value}"


def _await_ready(found: Descriptor, handle: process.Process, limit: float, asked: probe.Ask) -> None:
    part = found.parts.get("ready") or {}
    limit = limit or float(part.get("timeout") or COMMAND_TIMEOUT)
    deadline = time.monotonic() + limit
    answer = ""
    while not handle.wait(0):
        left = deadline - time.monotonic()
        if left <= 0:
            last = f"; the last answer: {answer}" if answer else ""
            text = f"{found.instance} was not ready within {limit:g} s{_asked(part)}{last}"
            raise RefusalError(text, "service", tail(found.log))
        latest = asked(left)
        if not latest:
            if not handle.wait(0):  # else something else answered at its port
                return
            break
        if latest != probe.LATE or not answer:  # the last question may have had too little time
            answer = latest
        handle.wait(min(left, float(part.get("interval") or 0.02)))
    raise RefusalError(f"{found.instance} ended with {handle.exit} at its start", "service", tail(found.log))


def _escalate(context: Context, found: Descriptor, handle: Handle) -> str:
    part = found.parts.get("stop") or {}
    limit = float(part.get("timeout") or 10)
    then = part.get("then")
    if part.get("argv"):
        if _stops_by_command(context, found, handle, limit):
            return "command"
        signals = [(str(then or _LAST_SIGNAL), 10.0)]
    else:
        signals = [(str(part.get("signal") or "SIGTERM"), limit), *([(str(then), 10.0)] if then else [])]
    for name, patience in signals:
        handle.send(_number(found, name))
        if handle.wait(patience):
            return name
    handle.send(signal.SIGKILL)
    handle.wait(process.KILL_LIMIT)
    return "SIGKILL"


def _stops_by_command(context: Context, found: Descriptor, handle: Handle, limit: float) -> bool:
    """Run the command and wait for the server's end; a command that fails is as good as none."""
    deadline = time.monotonic() + limit
    with contextlib.suppress(RefusalError):
        argv = found.argv("stop", found.part("stop"))
        answer = execute(context, argv, found.instance, found.setting(server=False), limit)
        if answer.exit == 0:
            return handle.wait(max(0.0, deadline - time.monotonic()))
    return handle.wait(0)


def _number(found: Descriptor, name: str) -> int:
    try:
        return int(signal.Signals[name])
    except KeyError as error:
        raise RefusalError(f"descriptor {found.path}: there is no signal {name!r}") from error


def _births(pids: List[int]) -> Dict[int, int]:
    births = {}
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            births[pid] = process.birth_of(pid)
    return births


def _running_one(context: Context, descriptor: Union[str, Json]) -> Descriptor:
    found = Descriptor(descriptor, context)
    if not found.serverless and running(context, found) is None:
        raise RefusalError(f"{found.instance} is not running", "service", tail(found.log))
    return found


def _require_port(found: Descriptor) -> None:
    """Refuse a start at a port that somebody else has; without a host, a port only names a socket."""
    target = found.parts.get("target") or {}
    holder = listening.at(int(target["port"])) if target.get("host") and target.get("port") else None
    if holder:
        raise RefusalError(
            f"{found.instance}: its port {target['port']} is taken by {holder}; stop that one, or let it be"
            " and give the instance another port",
            "service",
        )


def _remember(context: Context, found: Descriptor, handle: process.Process, log_start: int) -> None:
    with context.lock:
        context.services[found.instance] = handle
        context.descriptors[found.instance] = found.given
        context.log_starts[found.instance] = log_start
    with contextlib.suppress(ProcessLookupError):  # it may be dead already; the wait for it will say so
        (found.work / _STATE).write_text(json.dumps(process.state_of(handle.pid)))


def _forget(context: Context, found: Descriptor) -> None:
    with context.lock:
        context.services.pop(found.instance, None)
        context.descriptors.pop(found.instance, None)
    with contextlib.suppress(FileNotFoundError):
        (found.work / _STATE).unlink()


def _recall(found: Descriptor) -> Optional[Handle]:
    try:
        state = json.loads((found.work / _STATE).read_bytes())
        if state["boot_id"] != process.boot_id():
            return None
        return process.Foreign(state["pid"], state["birth"])
    except (OSError, ValueError, KeyError):
        return None


def _differs(context: Context, found: Descriptor, check: Json) -> str:
    argv = found.argv("verify", check)
    found.work.mkdir(parents=True, exist_ok=True)
    try:
        answer = execute(context, argv, found.instance, found.setting(server=False), COMMAND_TIMEOUT)
    except RefusalError as error:
        return str(error)
    printed, wanted = answer.stdout.strip(), str(check.get("stdout", "")).strip()
    expected = check.get("status", [0])
    if answer.exit not in expected:
        statuses = " or ".join(map(str, expected))
        return f"{' '.join(argv)} ended with exit status {answer.exit}, where {statuses} is expected"
    if printed != wanted:
        return f"{' '.join(argv)} printed {printed!r}, not {wanted!r}"
    return ""


def _changed(check: Json) -> str:
    path, wanted = str(check.get("path")), check.get("sha256")
    try:
        found = sha256(Path(path))
    except OSError as error:
        return f"{path}: {error.strerror}"
    return "" if found == wanted else f"{path} has the SHA-256 {found}, not {wanted}"


def sha256(path: Path) -> str:
    """Return the hash of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(1 << 20):
            digest.update(data)
    return digest.hexdigest()


def make_work_folder(context: Context, found: Descriptor) -> None:
    """Make the instance's folder; give it to user nobody where the server runs as that one.

    Raises RefusalError when nobody cannot get there.
    """
    found.work.mkdir(parents=True, exist_ok=True)
    if found.run_as != "nobody":
        return
    context.runtime.parent.chmod(0o711)
    context.runtime.chmod(0o1733)  # may add its sockets, may neither list nor remove others
    os.chown(found.work, layout.NOBODY, layout.NOBODY)
    for folder in found.work.parents:
        if not folder.stat().st_mode & 0o001:
            raise RefusalError(
                f"user nobody cannot reach {found.work}: {folder} is closed to others;"
                " set BENCHCTL_CACHE to a folder that all users can pass, such as /var/lib/benchctl",
                "service",
            )
