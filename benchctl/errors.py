"""The one root error and its families: what failed, where, and what to do next.

The class docstring is the first sentence of every message. Each family owns an exit code of the command.
Must not import any other room, and must not print.
"""

from __future__ import annotations

from typing import ClassVar


class BenchctlError(Exception):
    """benchctl failed."""

    exit_code: ClassVar[int] = 1

    def __init__(self, detail: str = "", *, remedy: str = "") -> None:
        """Take what happened (host, file and line belong in it) and what the reader can do about it."""
        super().__init__(detail)
        self.detail = detail
        self.remedy = remedy

    @property
    def headline(self) -> str:
        return (type(self).__doc__ or "").strip().splitlines()[0]

    def __str__(self) -> str:
        parts = [self.headline]
        if self.detail:
            parts.append(self.detail)
        if self.remedy:
            parts.append(f"To do: {self.remedy}")
        return "\n".join(parts)


class StepError(BenchctlError):
    """A step failed."""


class AgentError(StepError):
    """The agent on a host could not do what was asked."""


class LateError(AgentError):
    """A host learned of an instant after it had passed."""


class ConnectionLostError(AgentError):
    """The connection to the agent on a host ended unexpectedly."""


class ServiceError(StepError):
    """A service did not start, or died."""


class TaskError(StepError):
    """A task did not finish as it should."""


class ParseError(StepError):
    """The output of a load generator is not what its parser or its role knows."""


class ConvergeError(StepError):
    """Ansible could not bring a host to the wanted state."""


class RunStateError(StepError):
    """The run directory does not allow this."""


class FileError(BenchctlError):
    """A file could not be read or written."""


class UsageError(BenchctlError):
    """The command was not used as it can be."""

    exit_code = 2


class IncomparableError(UsageError):
    """The sides cannot be compared."""


class SpecError(UsageError):
    """The experiment is not valid."""


class UnfitError(BenchctlError):
    """The environment is not fit for this."""

    exit_code = 3


class UnreachableError(UnfitError):
    """A host cannot be reached."""


class HostKeyError(UnfitError):
    """A host did not prove that it is the one meant."""


class AuthError(UnfitError):
    """A host does not let us in."""


class LeaseError(UnfitError):
    """Another run holds this host."""


class SoftwareError(UnfitError):
    """Software could not be fetched or built."""


class EngineError(UnfitError):
    """Pulumi's engine cannot be used."""


class StackLockedError(UnfitError):
    """Another engine works on the hosts of this run."""


class StackError(StepError):
    """The hosts could not be made or taken away."""


class TooFewBlocksError(BenchctlError):
    """A comparison has fewer valid blocks than the design asks for."""

    exit_code = 4


class RegressionError(BenchctlError):
    """The contender is worse than the baseline."""

    exit_code = 5


class InterruptedRunError(BenchctlError):
    """The run was interrupted."""

    exit_code = 130

    def __init__(self, signal_number: int, detail: str = "", *, remedy: str = "") -> None:
        """Keep the signal: the exit code is 128 plus its number, as shells expect."""
        super().__init__(detail, remedy=remedy)
        self.signal_number = signal_number
