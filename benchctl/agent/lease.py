"""The exclusive, expiring right of one run to this host: one JSON record that all users of the host can see.

Owns the record. Expiry is judged by the clock that counts since boot, so that a step of the time of day
neither ends a lease nor keeps one alive.
"""

import contextlib
import fcntl
import json
import os
import time
from pathlib import Path
from typing import Iterator, Optional

from benchctl.agent import process
from benchctl.agent.process import boot_id, state_of
from benchctl.agent.refusal import RefusalError
from benchctl.agent.wire import Json

_RECORD = "lease.json"


class Lease:
    """The lease as one run's supervisor holds it."""

    def __init__(self, folder: Path, run: str) -> None:
        """Refer to the host's lease for `run`; nothing is taken yet."""
        self._folder = folder
        self._path = folder / _RECORD
        self._run = run
        self._acquired: Optional[float] = None
        self.renewed = 0.0  # CLOCK_MONOTONIC

    @property
    def held(self) -> bool:
        """Say whether this process has taken it."""
        return self._acquired is not None

    def take(self, owner: Json, ttl: float) -> None:
        """Take or renew the lease for `ttl` seconds.

        Raises RefusalError of kind lease that names the holder. A record of a dead supervisor, of an earlier
        boot or past its time is taken over, after what its run left has been killed.
        """
        with _locked(self._folder):
            record = _read(self._path)
            if record is not None and record.get("run") != self._run:
                if _is_live(record):
                    raise RefusalError(refusal(record), "lease")
                process.await_gone(process.kill_all(process.marked(str(record.get("run")))))
            now = time.time()
            self._acquired = self._acquired or now
            _write(self._path, self._record(owner, now, ttl))
        self.renewed = time.monotonic()

    def release(self) -> None:
        """Remove the record if it is this run's. Safe to repeat."""
        if not self.held:
            return
        with _locked(self._folder):
            record = _read(self._path)
            if record is not None and record.get("run") == self._run:
                self._path.unlink()
        self._acquired = None

    def _record(self, owner: Json, now: float, ttl: float) -> Json:
        return {
            "schema": 1,
            "run": self._run,
            "owner": owner,
            "supervisor": state_of(os.getpid()),
            "boot_id": boot_id(),
            "acquired": self._acquired,
            "expires": now + ttl,
            "expires_boottime": time.clock_gettime(time.CLOCK_BOOTTIME) + ttl,
        }


def holder(folder: Path) -> Optional[Json]:
    """Return the record of the run that holds the host now; None when nobody does."""
    record = _read(folder / _RECORD)
    return record if record is not None and _is_live(record) else None


def left(folder: Path, run: str) -> float:
    """Return the seconds for which a run may still come back to its lease; 0 when it is not its any more."""
    record = _read(folder / _RECORD)
    try:
        if record is None or record["run"] != run or record["boot_id"] != boot_id():
            return 0.0
        return max(0.0, float(record["expires_boottime"] - time.clock_gettime(time.CLOCK_BOOTTIME)))
    except (KeyError, TypeError, ValueError):
        return 0.0


def refusal(record: Json) -> str:
    """Say who holds the host."""
    who = (record.get("owner") or {}).get("user", "somebody")
    since = time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(record.get("acquired") or 0))
    until = time.strftime("%H:%M:%S", time.localtime(record.get("expires") or 0))
    return (
        f"the run {record['run']} of {who} holds this host since {since}; "
        f"wait for its end, or until {until} if its controller is gone"
    )


def _is_live(record: Json) -> bool:
    try:
        supervisor = record["supervisor"]
        return bool(
            record["boot_id"] == boot_id()
            and record["expires_boottime"] > time.clock_gettime(time.CLOCK_BOOTTIME)
            and process.is_alive(supervisor["pid"], supervisor["birth"])
        )
    except (KeyError, TypeError):
        return False


def _read(path: Path) -> Optional[Json]:
    try:
        record = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:  # torn by a crash: nobody can hold it
        return {}
    return record if isinstance(record, dict) else {}


def _write(path: Path, record: Json) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(json.dumps(record, indent=2) + "\n")
    part.chmod(0o644)
    part.replace(path)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True)
        folder.chmod(0o777)
    except FileExistsError:
        pass
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
