"""One command of the engine as a process that can be asked to stop.

Owns how signals reach the engine. Must not know what the command does.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pulumi import automation

    from benchctl.provision.engine import Engine

_CANCEL_AGAIN = 60.0  # seconds for the engine to finish what it is making


class EngineCommand:
    """Runs the engine in a session of its own: signals reach it through us alone, once."""

    def __init__(self, engine: Engine, cancelled: Callable[[], bool]) -> None:
        self._engine = engine
        self._cancelled = cancelled

    def as_pulumi(self) -> automation.PulumiCommand:
        """Return it as Pulumi's Automation API wants it."""
        from pulumi.automation import PulumiCommand

        outer = self

        class Command(PulumiCommand):
            def __init__(self) -> None:
                from semver import VersionInfo

                self.command = str(outer._engine.program)
                self.version = VersionInfo.parse(outer._engine.version)

            def run(
                self,
                args: list[str],
                cwd: str,
                additional_env: Mapping[str, str],
                on_output: Callable[[str], Any] | None = None,
                on_error: Callable[[str], Any] | None = None,
            ) -> automation.CommandResult:
                return outer.run(args, Path(cwd), additional_env, on_output=on_output, on_error=on_error)

        return Command()

    def run(
        self,
        args: list[str],
        cwd: Path,
        variables: Mapping[str, str],
        *,
        text: str | None = None,
        on_output: Callable[[str], Any] | None = None,
        on_error: Callable[[str], Any] | None = None,
    ) -> automation.CommandResult:
        """Run one command with `text` on its stdin. Raises Pulumi's CommandError when it fails."""
        from pulumi.automation import CommandResult
        from pulumi.automation.errors import create_command_error

        program = self._engine.program
        whole = {**os.environ, **variables, "PULUMI_AUTOMATION_API": "true"}
        whole["PATH"] = f"{program.parent}{os.pathsep}{whole.get('PATH', '')}"
        argv = [str(program), "--non-interactive", *args]
        code, out, err = self._execute(argv, cwd, whole, text, (on_output, on_error))
        result = CommandResult(stdout=out, stderr=err, code=code)
        if code:
            raise create_command_error(result)
        return result

    def _execute(
        self,
        argv: list[str],
        cwd: Path,
        variables: Mapping[str, str],
        text: str | None,
        told: tuple[Callable[[str], Any] | None, Callable[[str], Any] | None],
    ) -> tuple[int, str, str]:
        """Return exit code, stdout and stderr; stops the engine in order when cancelled."""
        with subprocess.Popen(
            argv,
            cwd=cwd,
            env=dict(variables),
            stdin=subprocess.DEVNULL if text is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as process:
            lines: tuple[list[str], list[str]] = ([], [])
            readers = [
                threading.Thread(target=_read, args=given)
                for given in zip((process.stdout, process.stderr), told, lines, strict=True)
            ]
            for reader in readers:
                reader.start()
            if process.stdin is not None:
                with suppress(BrokenPipeError), process.stdin:  # one that ended already says why
                    process.stdin.write(text or "")
            # Who is cancelled already is on the way back, and that is not to be cut short.
            self._await(process, stoppable=not self._cancelled())
            for reader in readers:
                reader.join()
        return process.returncode, "\n".join(lines[0]), "\n".join(lines[1])

    def _await(self, process: subprocess.Popen[str], *, stoppable: bool) -> None:
        waited: float | None = None
        while process.poll() is None:
            if stoppable and self._cancelled():
                if waited is None or waited >= _CANCEL_AGAIN:
                    process.send_signal(signal.SIGINT)
                    waited = 0.0
                waited += 0.1
            try:
                process.wait(0.1)
            except subprocess.TimeoutExpired:
                continue


def _read(stream: Any, told: Callable[[str], Any] | None, kept: list[str]) -> None:  # noqa: ANN401
    for line in stream:
        kept.append(line.rstrip())
        if told is not None:
            told(line.rstrip())
