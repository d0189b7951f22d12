"""What every operation needs: which run, which folders, which processes.

Owns the state of a run on this host in memory: the supervisor's for its life, a direct verb's for one act.
"""

import threading
import time
from typing import TYPE_CHECKING, Dict, List, Optional, Union

from benchctl.agent import layout, process
from benchctl.agent.process import Foreign, Process, Reaper
from benchctl.agent.refusal import RefusalError

if TYPE_CHECKING:
    from benchctl.agent.lease import Lease
    from benchctl.agent.sources import Sources
    from benchctl.agent.task import Task
    from benchctl.agent.watch import Watch
    from benchctl.agent.wire import Json

Handle = Union[Process, Foreign]


class Context:
    """One run on one host."""

    def __init__(self, run: str, *, supervised: bool) -> None:
        """Work out the folders; nothing is made yet. Raises RefusalError for what cannot be a run's name."""
        self.run = layout.check_name(run, "a run")
        self.cache = layout.cache_folder()
        self.work = self.cache / "runs" / run
        self.runtime = layout.runtime_folder(run)
        self.supervised = supervised
        self.reaper = Reaper(run)
        self.lock = threading.Lock()
        self.services: Dict[str, Handle] = {}  # instance -> its process, in the order of starts
        self.descriptors: Dict[str, Union[str, "Json"]] = {}  # instance -> descriptor, to stop it at the end
        self.log_starts: Dict[str, int] = {}  # instance -> where its last start's output begins in its log
        self.tasks: Dict[str, "Task"] = {}
        self.watches: Dict[str, "Watch"] = {}
        self.sources: Optional["Sources"] = None  # of samples, opened with the first watch
        self.lease: Optional["Lease"] = None
        self.looked = time.time()  # when the knobs were last looked at in order to mend them
        self.rebooting = False  # what outlives a boot is not given back at its end
        self.password = ""  # sudo's, for tuning by a user who is not root: never written anywhere

    def stragglers(self, owner: str) -> List[int]:
        """Return what a task or instance left behind after its own process ended.

        A server's children may have overwritten their environment: those without any tag are a server's.
        """
        if not self.supervised:
            return process.marked(self.run, owner)
        mine = {owner, None} if owner in self.services else {owner}
        return [pid for pid in self.reaper.orphans() if process.owner_of(pid) in mine]

    def kill_tree(self, handle: Optional[Handle], owner: str, known: Optional[List[int]] = None) -> None:
        """Kill a process, all below it and all that left it; `known` are descendants seen earlier.

        Raises RefusalError when something does not die.
        """
        left = set(known or ())
        for _ in range(100):  # a tree may grow while it is cut down
            self.reaper.cgroups.kill(owner)
            targets = left | set(self.reaper.cgroups.members(owner))
            if handle is not None and not handle.wait(0):
                targets |= {handle.pid, *process.descendants(handle.pid)}
            targets |= set(self.stragglers(owner))
            for pid in list(targets):
                targets.update(process.descendants(pid))
            reached = process.kill_all(targets)
            left = process.await_gone(reached)
            if left:
                break
            if not reached:
                self.reaper.cgroups.remove(owner)
                self.reaper.placed.pop(owner, None)
                return
        raise RefusalError(f"{owner}: processes {sorted(left)} do not end after SIGKILL", "internal")

    def make_folders(self) -> None:
        """Make the run's folders, private to this user."""
        layout.private_folder(self.runtime.parent)
        layout.private_folder(self.runtime)
        self.work.mkdir(parents=True, exist_ok=True)
