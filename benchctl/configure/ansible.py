"""The playbook runner that is Ansible itself, through ansible-runner, in an environment of its own.

Owns the environment: interpreter, locale, configuration, folders. The user's ansible.cfg is not read; nothing
stays in the user's home; variables lie in a private folder for the time of the call only, a password nowhere.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchctl.configure.failures import Failure, failure, task_name
from benchctl.configure.private import control_folder, private_folder, told_once
from benchctl.configure.runner import Played
from benchctl.errors import ConvergeError
from benchctl.spec.share import shared

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchctl.configure.runner import Call

JOB_TIMEOUT = 3600  # seconds for a whole playbook
MAX_FORKS = 32
_PERSIST = 60  # seconds that ssh keeps a connection for the next task
_MIN_FORKS = 5  # Ansible's own default
_TAKES_LONG = ", once: "  # in the name of a task that says how long it takes; it is told before it begins
_POLL = 1  # seconds between looks at `cancelled`
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


class AnsibleRunner:
    """Runs playbooks with the Ansible of this Python."""

    def __init__(
        self,
        *,
        playbooks: Path | None = None,
        roles_path: Sequence[Path] = (),
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        """Take playbooks from a folder (default: the shipped), roles from `roles_path`, then the shipped.

        `cancelled` is asked about once a second; when it says yes, Ansible is stopped.
        """
        self._playbooks = playbooks or shared("playbooks")
        self._roles_path = (*roles_path, shared("roles"))
        self._cancelled = cancelled

    @property
    def roles_path(self) -> tuple[Path, ...]:
        return self._roles_path

    def run(self, call: Call) -> Played:
        """Run a playbook; what Ansible leaves goes to folder/<number of the call>/.

        Raises ConvergeError with host, role, task, the task's message and the place of the log.
        """
        folder, access = call.folder, call.access
        folder.mkdir(parents=True, exist_ok=True)
        artifacts = folder / str(sum(1 for _ in folder.iterdir()) + 1)
        artifacts.mkdir(mode=0o700)
        listener = _Listener(call.on_event)
        with private_folder() as private, told_once(access.become_password, private) as secret:
            (artifacts / "command").symlink_to(private / "command")  # it holds the whole environment
            sources = [
                *([access.inventory] if access.inventory else []),
                _write_inventory(call.inventory, private),
            ]
            status, code = self._play(
                call.playbook,
                artifacts,
                listener,
                private_data_dir=str(private),
                inventory=[str(source) for source in sources],
                limit=":".join(call.inventory["all"]["hosts"]) if access.inventory else None,
                extravars=json.loads(json.dumps(call.variables)),
                envvars=self._environment(private, len(call.inventory["all"]["hosts"]), secret),
            )
        (artifacts / "command").unlink()
        log = artifacts / "stdout"
        if status != "successful":
            why = _explain(call.playbook, status, code, listener.failures, log)
            raise ConvergeError(why, remedy=f"read the full log: {log}")
        return Played(changed=listener.changed, log=log)

    def _play(
        self,
        playbook: str,
        artifacts: Path,
        listener: _Listener,
        **options: Any,  # noqa: ANN401 - ansible-runner's own
    ) -> tuple[str, int]:
        import ansible_runner  # late: 0.2 s

        runner = ansible_runner.run(
            artifact_dir=str(artifacts.parent),
            ident=artifacts.name,
            playbook=str(self._playbooks / f"{playbook}.yml"),
            settings={"job_timeout": JOB_TIMEOUT, "pexpect_timeout": _POLL, "pexpect_use_poll": True},
            event_handler=listener.hear,
            cancel_callback=self._cancelled,  # without one ansible-runner takes the signals for itself
            quiet=True,
            **options,
        )
        shutil.rmtree(artifacts / "fact_cache", ignore_errors=True)  # nobody reads it
        return runner.status, runner.rc

    def _environment(self, private: Path, hosts: int, secret: Path | None) -> dict[str, str]:
        own = str(Path(sys.executable).parent)
        (private / "ansible.cfg").touch()
        control = control_folder(private)
        shared_connection = f"-o ControlMaster=auto -o ControlPersist={_PERSIST}s" if control else ""
        return {
            "PATH": os.pathsep.join([own, os.environ.get("PATH", os.defpath)]),
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_HOME": str(private / "home"),
            "ANSIBLE_CONFIG": str(private / "ansible.cfg"),
            "ANSIBLE_LOCAL_TEMP": str(private / "local"),
            "ANSIBLE_REMOTE_TEMP": str(private / "remote"),  # this machine's; the others' is a host variable
            "ANSIBLE_ROLES_PATH": os.pathsep.join(map(str, self._roles_path)),
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_HOST_KEY_CHECKING": "1",
            "ANSIBLE_FORKS": str(min(MAX_FORKS, max(_MIN_FORKS, hosts))),
            "ANSIBLE_GATHERING": "explicit",
            "ANSIBLE_SSH_ARGS": shared_connection or "-o ControlMaster=no",
            **({"ANSIBLE_SSH_CONTROL_PATH_DIR": str(control)} if control else {}),
            **({"ANSIBLE_BECOME_PASSWORD_FILE": str(secret)} if secret else {}),
        }


def _write_inventory(inventory: Mapping[str, Any], private: Path) -> Path:
    """Write hosts and groups as a file, each host's variables into host_vars beside it.

    There they win over all that an inventory of the user's says, which comes before it.
    """
    folder = private / "inventory"
    for name, variables in inventory["all"]["hosts"].items():
        place = folder / "host_vars" / name
        place.mkdir(parents=True)
        (place / "benchctl.json").write_text(json.dumps(variables), encoding="utf-8")
    hosts = {"all": {**inventory["all"], "hosts": {name: {} for name in inventory["all"]["hosts"]}}}
    (folder / "hosts.json").write_text(json.dumps(hosts), encoding="utf-8")
    return folder / "hosts.json"


class _Listener:
    """Counts and keeps what matters of the events as they come."""

    def __init__(self, on_event: Callable[[str], None]) -> None:
        self.failures: list[Failure] = []
        self.changed = 0
        self._on_event = on_event

    def hear(self, event: dict[str, Any]) -> bool:
        found = failure(event)
        if found is not None:
            self.failures.append(found)
            self._on_event(str(found))
        data = event.get("event_data") or {}
        if event.get("event") == "playbook_on_task_start" and _TAKES_LONG in str(data.get("task")):
            self._on_event(str(data["task"]))
        if event.get("event") == "runner_on_ok" and (data.get("res") or {}).get("changed"):
            self.changed += 1
            self._on_event(f"{data.get('host')}: {task_name(event)}")
        return True


def _explain(playbook: str, status: str, code: int, failures: Sequence[Failure], log: Path) -> str:
    if status == "canceled":
        return f"the playbook {playbook} was stopped on request"
    if status == "timeout":
        return f"the playbook {playbook} took longer than {JOB_TIMEOUT} s"
    if failures:
        return "\n".join(map(str, failures))
    printed = _ANSI.sub("", log.read_text(encoding="utf-8", errors="replace")) if log.exists() else ""
    tail = "\n".join(f"    {line}" for line in printed.strip().splitlines()[-20:])
    return f"ansible-playbook ended with {code} before any task failed (playbook {playbook}):\n{tail}"
