"""Whether hosts can be measured: what each says of itself over ssh, judged, all side by side.

Owns the limits of fitness. Installs nothing and changes nothing on a host.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchctl.errors import UnfitError
from benchctl.provision.fitness import MIN_FREE, Check
from benchctl.provision.openssh import CONNECT_TIMEOUT, ssh_command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchctl.model.host import Host

MIN_PYTHON = (3, 9)
MAX_CLOCK_OFFSET = 1.0  # seconds; logs and leases of hosts further apart cannot be read side by side
PARALLEL = 32
_ANSWER_LIMIT = 30.0  # seconds, after the connection stands
_LINE_LIMIT = 64 * 1024  # bytes; what a host sends is bounded
_NOISE_LIMIT = 200  # lines that a login shell may print before the answer
_MARK = b"benchctl:"
_PINGS = 5  # as the probe has it


class Wish(NamedTuple):
    """What is asked of a host beside its facts."""

    sudo: bool = True
    processes: bool = True
    password: str | None = None


class Answer(NamedTuple):
    """What came of asking a host: facts, or ssh's words about why there are none."""

    facts: dict[str, Any]
    offset: float = 0.0  # the host's time of day minus ours, seconds
    uncertainty: float = 0.0  # seconds
    failure: str = ""


def examine(
    hosts: Sequence[Host], *, sudo: bool = False, password: str | None = None
) -> dict[str, list[Check]]:
    """Ask all hosts at once; return what was found by host: the same checks in the same order for each.

    `sudo` says that it is needed on every host; where a host's own options say so it always is.
    """
    with ThreadPoolExecutor(min(PARALLEL, len(hosts)) or 1) as pool:
        answers = pool.map(lambda host: ask(host, Wish(password=password)), hosts)
        return {
            host.name: _checks(host, answer, sudo=sudo or bool(host.options.get("become")))
            for host, answer in zip(hosts, answers, strict=True)
        }


def require_fit(hosts: Sequence[Host], password: str | None) -> None:
    """Raise UnfitError unless every one of these hosts can be reached, has Python, and lets us use sudo."""
    wish = Wish(processes=False, password=password)
    with ThreadPoolExecutor(min(PARALLEL, len(hosts)) or 1) as pool:
        answers = list(pool.map(lambda host: ask(host, wish), hosts))
    wrong = [
        (f"{host.name}: {check.name}: {check.found}", check.remedy)
        for host, answer in zip(hosts, answers, strict=True)
        for check in _checks(host, answer, sudo=True)
        if not check.fit and check.name in {"reachable", "key", "python", "sudo"}
    ]
    if wrong:
        remedies = dict.fromkeys(remedy for _, remedy in wrong if remedy)
        raise UnfitError("\n".join(text for text, _ in wrong), remedy="; ".join(remedies))


def ask(host: Host, wish: Wish) -> Answer:
    """Send the probe to a host and return what it says; a host that says nothing sensible is a failure."""
    limit = float(host.options.get("connect_timeout", CONNECT_TIMEOUT)) * 2 + _ANSWER_LIMIT
    with subprocess.Popen(
        _argv(host), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        errors: list[bytes] = []
        reader = threading.Thread(target=lambda: errors.append(_drain(process)), daemon=True)
        reader.start()
        timer = threading.Timer(limit, process.kill)
        timer.start()
        try:
            return _converse(process, _wishes(host, wish))
        except (OSError, ValueError, KeyError, TypeError) as error:
            process.kill()
            reader.join()
            said = b"".join(errors).decode(errors="replace").strip()
            late = "" if timer.is_alive() else f"no answer within {limit:.0f} s"
            return Answer({}, failure=said[-2000:] or late or str(error) or "the connection ended early")
        finally:
            timer.cancel()
            process.kill()


def _argv(host: Host) -> list[str]:
    size = len(_probe())
    program = f"import sys;exec(sys.stdin.buffer.read({size}).decode())"
    if host.transport == "pipe":
        return [sys.executable, "-ISBc", program]
    python = shlex.quote(str(host.options.get("python", "python3")))
    script = (
        f"command -v {python} >/dev/null 2>&1 || {{ echo 'benchctl:\"no python\"'; exit 0; }}; "
        f"exec {python} -ISBc {shlex.quote(program)}"
    )
    return ssh_command(host, f"exec sh -c {shlex.quote(script)}")


def _probe() -> bytes:
    return Path(__file__).with_name("probe.py").read_bytes()


def _wishes(host: Host, wish: Wish) -> bytes:
    user = str(host.options.get("become_user", "root"))
    return json.dumps({**wish._asdict(), "become_user": user}).encode() + b"\n"


def _converse(process: subprocess.Popen[bytes], wishes: bytes) -> Answer:
    if process.stdin is None or process.stdout is None:
        raise ValueError("no pipes")
    process.stdin.write(_probe() + wishes)
    best = (float("inf"), 0.0)
    for _ in range(_PINGS):
        process.stdin.write(b"\n")
        begin = time.time()
        process.stdin.flush()
        said = _line(process)
        if said == "no python":
            return Answer({"python": None})
        took = time.time() - begin
        best = min(best, (took, float(said) - begin - took / 2))
    facts = _line(process)
    if not isinstance(facts, dict):
        raise TypeError("the host's answer is no JSON object")
    return Answer(facts, offset=best[1], uncertainty=best[0] / 2)


def _line(process: subprocess.Popen[bytes]) -> Any:  # noqa: ANN401 - JSON
    if process.stdout is None:
        raise ValueError("no pipes")
    for _ in range(_NOISE_LIMIT):
        line = process.stdout.readline(_LINE_LIMIT)
        if line.startswith(_MARK):
            return json.loads(line[len(_MARK) :])
        if not line:
            raise ValueError("the connection ended early")
    raise ValueError(f"the host prints more than {_NOISE_LIMIT} lines of something else")


def _drain(process: subprocess.Popen[bytes]) -> bytes:
    kept = b""
    while process.stderr is not None and (chunk := os.read(process.stderr.fileno(), _LINE_LIMIT)):
        kept = (kept + chunk)[-_LINE_LIMIT:]
    return kept


def _checks(host: Host, answer: Answer, *, sudo: bool) -> list[Check]:
    where = str(host.options.get("address", "this machine"))
    unknown = [Check(name, fit=False, found="–") for name in _AFTER_CONNECTION]
    if answer.failure:
        return [*_unreached(host, where, answer.failure), *unknown]
    reached = [Check("reachable", fit=True, found=where), Check("key", fit=True, found="ok")]
    facts = answer.facts
    if facts["python"] is None:
        name = host.options.get("python", "python3")
        python = Check("python", fit=False, found=f"there is no {name}", remedy=_PYTHON_REMEDY)
        return [*reached, python, *unknown[1:]]
    return [
        *reached,
        _python(facts),
        _sudo(facts, needed=sudo),
        *_machine(facts),
        _clock(answer),
        _quiet(facts),
    ]


_FAR_OFF = 10.0  # seconds from which on a clock's offset is told in seconds
_AFTER_CONNECTION = ("python", "sudo", "disk", "cores", "kernel", "clock", "quiet")
_PYTHON_REMEDY = "install Python 3.9 or newer there, or set ansible_python_interpreter in the inventory"


def _unreached(host: Host, where: str, said: str) -> list[Check]:
    """Tell a host that is not there from one whose key, or which of ours, is refused."""
    last = said.splitlines()[-1]
    reachable = Check("reachable", fit=True, found=where)
    if "IDENTIFICATION HAS CHANGED" in said:
        found = "the host key has CHANGED: another machine, a new installation, or somebody in between"
        remedy = f"find out why; then remove the old key from {host.options.get('known_hosts_file')}"
        return [reachable, Check("key", fit=False, found=found, remedy=remedy)]
    if re.search(r"host key is known|Host key verification failed", said):
        remedy = "`benchctl hosts trust`, given the same inventory, shows the key and records it on a yes"
        return [reachable, Check("key", fit=False, found="the host key is unknown", remedy=remedy)]
    if "Permission denied" in said:
        remedy = "add your public key to its authorized_keys, or name user and key: hosts.ssh, the inventory"
        return [reachable, Check("key", fit=False, found=f"{_user(host)} is refused: {last}", remedy=remedy)]
    if said.startswith("Traceback") or "\nTraceback" in said:
        found = f"the question failed on the host: {last}"
        return [reachable, Check("key", fit=False, found=found, remedy="see that its Python and /proc work")]
    remedy = "check address, port, bastion and that sshd runs"
    return [
        Check("reachable", fit=False, found=f"{where}: {last}", remedy=remedy),
        Check("key", fit=False, found="–"),
    ]


def _user(host: Host) -> str:
    return f"the user {host.options.get('user', '')}"


def _python(facts: dict[str, Any]) -> Check:
    version = tuple(facts["python"])
    found = ".".join(map(str, version))
    return Check("python", fit=version >= MIN_PYTHON, found=found, remedy=_PYTHON_REMEDY)


def _sudo(facts: dict[str, Any], *, needed: bool) -> Check:
    found = str(facts["sudo"])
    fit = found in {"root", "free", "password"} or not needed
    remedy = "give the password (hosts.become.password, or --ask-become-password), or allow it in sudoers"
    return Check("sudo", fit=fit, found=found, remedy="" if fit else remedy)


def _machine(facts: dict[str, Any]) -> list[Check]:
    free = int(facts["free"])
    system = str(facts["system"])
    return [
        Check(
            "disk", free >= MIN_FREE, f"{free / 1024**3:.1f} GB free", f"free {MIN_FREE // 1024**3} GB there"
        ),
        Check("cores", fit=True, found=str(facts["cores"])),
        Check("kernel", system == "Linux", f"{system} {facts['kernel']}", "measured hosts run Linux"),
    ]


def _clock(answer: Answer) -> Check:
    fit = abs(answer.offset) <= MAX_CLOCK_OFFSET + answer.uncertainty
    unit, factor = ("s", 1) if abs(answer.offset) >= _FAR_OFF else ("ms", 1000)
    found = f"{answer.offset * factor:+.1f} {unit} ± {answer.uncertainty * factor:.1f}"
    return Check(
        "clock", fit=fit, found=found, remedy="" if fit else "set its clock: chrony or systemd-timesyncd"
    )


def _quiet(facts: dict[str, Any]) -> Check:
    disturbing = [f"{name} ({pid}) at {share} %" for name, pid, share in facts.get("busy", ())]
    disturbing += [f"{name} is running" for name in facts.get("package_managers", ())]
    if facts["lease"]:
        disturbing.insert(0, f"the run {facts['lease']['run']} holds it")
    found = ", ".join(disturbing) or f"load {facts['load']:.2f}"
    remedy = "wait for its end, or stop it" if disturbing else ""
    if facts["lease"]:
        remedy += f"; if its controller is gone: `benchctl destroy {facts['lease']['run']}`"
    return Check("quiet", fit=not disturbing, found=found, remedy=remedy)
