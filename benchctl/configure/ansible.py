"""The playbook runner that is Ansible itself, through ansible-runner, in an environment of its own.

Owns the environment: interpreter, locale, configuration, folders. The user's ansible.cfg is not read; nothing
stays in the user's home; extra variables lie in a private folder for the time of the call only.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchctl.configure.failures import Failure, failure, task_name
from benchctl.configure.runner import Played
from benchctl.errors import ConvergeError
from benchctl.spec.share import shared

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

JOB_TIMEOUT = 3600  # seconds for a whole playbook
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

    def run(
        self,
        playbook: str,
        inventory: Mapping[str, Any],
        variables: Mapping[str, Any],
        *,
        folder: Path,
        on_event: Callable[[str], None],
    ) -> Played:
        """Run a playbook; see PlaybookRunner. What Ansible leaves goes to folder/<number of the call>/.

        Raises ConvergeError with host, role, task, the task's message and the place of the log.
        """
        folder.mkdir(parents=True, exist_ok=True)
        number = str(sum(1 for _ in folder.iterdir()) + 1)
        listener = _Listener(on_event)
        with tempfile.TemporaryDirectory(prefix="benchctl-ansible-") as private:
            status, code = self._play(
                playbook, inventory, variables, Path(private), folder / number, listener
            )
        log = folder / number / "stdout"
        if status != "successful":
            raise ConvergeError(
                _explain(playbook, status, code, listener.failures, log), remedy=f"read the full log: {log}"
            )
        return Played(changed=listener.changed, log=log)

    def _play(
        self,
        playbook: str,
        inventory: Mapping[str, Any],
        variables: Mapping[str, Any],
        private: Path,
        artifacts: Path,
        listener: _Listener,
    ) -> tuple[str, int]:
        import ansible_runner  # late: 0.2 s

        (private / "ansible.cfg").touch()
        runner = ansible_runner.run(
            private_data_dir=str(private),
            artifact_dir=str(artifacts.parent),
            ident=artifacts.name,
            playbook=str(self._playbooks / f"{playbook}.yml"),
            inventory=json.loads(json.dumps(inventory)),
            extravars=json.loads(json.dumps(variables)),
            envvars=self._environment(private),
            settings={"job_timeout": JOB_TIMEOUT, "pexpect_timeout": _POLL, "pexpect_use_poll": True},
            event_handler=listener.hear,
            cancel_callback=self._cancelled,  # without one ansible-runner takes the signals for itself
            quiet=True,
        )
        (artifacts / "command").unlink(missing_ok=True)  # it holds the whole environment, secrets too
        shutil.rmtree(artifacts / "fact_cache", ignore_errors=True)  # nobody reads it
        return runner.status, runner.rc

    def _environment(self, private: Path) -> dict[str, str]:
        own = str(Path(sys.executable).parent)
        return {
            "PATH": os.pathsep.join([own, os.environ.get("PATH", os.defpath)]),
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_HOME": str(private / "home"),
            "ANSIBLE_CONFIG": str(private / "ansible.cfg"),
            "ANSIBLE_LOCAL_TEMP": str(private / "local"),
            "ANSIBLE_REMOTE_TEMP": str(private / "remote"),
            "ANSIBLE_ROLES_PATH": os.pathsep.join(map(str, self._roles_path)),
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_NOCOLOR": "1",
        }


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
