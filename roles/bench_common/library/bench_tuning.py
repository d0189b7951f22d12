# ruff: noqa: INP001 - Ansible sends it to hosts, it is no part of a package
"""The module that lets the agent set, compare and give back the knobs of a host.

Owns what Ansible wants to know of it: arguments, check mode, diff, messages. What a knob is and how it is
written, the agent knows. Runs on Python 3.9.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: bench_tuning
short_description: Set, compare and give back the knobs of a host
description:
  - Runs the agent of benchctl on the host. What is set is noted in the host's journal before it is written;
    the commands benchctl hosts verify and restore go by the same journal.
options:
  program:
    type: path
    required: true
    description: The agent on the host.
  zipapp:
    type: str
    description: The agent's bytes in base64. Used where it does not lie on the host, and not left there.
  act:
    type: str
    choices: [snapshot, tune, verify, restore]
    required: true
    description: What is done. Only tune and restore change something.
  area:
    type: str
    default: ""
    description: Only the knobs of this area; empty for all.
  profile:
    type: str
    default: repeatable
    description: For tune, what is set; for verify, whether anything has to be.
  knobs:
    type: dict
    default: {}
    description: For tune, changes to the profile, a knob to its value; null leaves it alone.
  own:
    type: dict
    default: {}
    description: The same for knobs that must be of the area.
  roles:
    type: list
    elements: str
    choices: [dbms, loader]
    default: []
    description: For tune, what will run on the host; its CPUs are divided among them.
  shared:
    type: bool
    default: false
    description: For tune in a container, change what it shares with its machine too.
  force:
    type: bool
    default: false
    description: For restore, also what somebody else changed, and under a run.
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
author: the benchctl authors
"""

EXAMPLES = """
- name: Set the knobs of the CPUs
  bench_tuning:
    program: /root/.cache/benchctl/agent/0f3c.pyz
    act: tune
    area: cpu
    profile: repeatable
    own: {wakeup_latency: null}
"""

RETURN = """
knobs:
  description: >-
    Each knob. For tune with value, outcome, why, counts (places by outcome) and was; in check mode was, wants
    and in how many places it differs; for snapshot its values; for restore found and was.
  type: list
  elements: dict
  returned: tune, snapshot, restore
undo:
  description: The command that gives the host back by hand.
  type: str
  returned: tune
drifted:
  description: For verify, places that differ from what was set.
  type: list
  elements: dict
  returned: verify
reboot:
  description: Whether something is in force, or gone, only after a reboot.
  type: bool
  returned: tune, restore
left:
  description: For restore, places that somebody else set meanwhile.
  type: list
  elements: dict
  returned: restore
"""

ARGUMENTS = {
    "program": {"type": "path", "required": True},
    "zipapp": {"type": "str", "no_log": True},
    "act": {"type": "str", "required": True, "choices": ["snapshot", "tune", "verify", "restore"]},
    "area": {"type": "str", "default": ""},
    "profile": {"type": "str", "default": "repeatable"},
    "knobs": {"type": "dict", "default": {}},
    "own": {"type": "dict", "default": {}},
    "roles": {"type": "list", "elements": "str", "default": [], "choices": ["dbms", "loader"]},
    "shared": {"type": "bool", "default": False},
    "force": {"type": "bool", "default": False},
}
SHOWN = 5  # places that a message names; the return values have more


def main() -> None:
    """Do one act and tell Ansible what came of it."""
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    acts = {"snapshot": snapshot, "tune": tune, "verify": verify, "restore": restore}
    reply, wrong = acts[module.params["act"]](module)
    for problem in reply.pop("problems", []):
        module.warn(problem)
    if reply.get("reboot"):
        module.warn("what the kernel is told at its boot is in force, or gone, only after a reboot")
    if wrong:
        module.fail_json(msg=wrong, **reply)
    module.exit_json(**reply)


def snapshot(module: AnsibleModule) -> tuple[dict, str]:
    """Read what the knobs are."""
    return {**ask(module, ["snapshot"]), "changed": False}, ""


def tune(module: AnsibleModule) -> tuple[dict, str]:
    """Set the knobs of the profile, or in check mode say which would change."""
    given = module.params
    words = ["preview" if module.check_mode else "tune", given["profile"], "--changes"]
    changes = {"knobs": texts(module, given["knobs"]), "own": texts(module, given["own"])}
    words += [f"--role={role}" for role in given["roles"]] + ["--shared"] * given["shared"]
    reply = ask(module, words, json.dumps(changes))
    rows = reply["knobs"]
    changed = [row for row in rows if row.get("differs") or row.get("counts", {}).get("applied")]
    reply["changed"] = bool(changed)
    reply["diff"] = difference([(row["knob"], counted(row["was"]), row["value"]) for row in changed])
    blocked = [told(row) for row in rows if row.get("outcome") == "blocked"]
    if blocked:
        module.warn(f"blocked, as they were before: {'; '.join(blocked)}")
    return reply, "; ".join(told(row) for row in rows if row.get("outcome") == "failed")


def verify(module: AnsibleModule) -> tuple[dict, str]:
    """Compare what was set with what is there now."""
    reply = {**ask(module, ["drift"]), "changed": False}
    if reply["drifts"]:
        rows = [
            f"{row['knob']}: {row['path']}: set to {row['wanted']}, found {row['found']}"
            for row in reply["drifted"]
        ]
        return reply, f"{reply['drifts']} of {reply['places']} places have drifted: {shortened(rows)}"
    if reply["run"] is None and module.params["profile"] != "none":
        return reply, "nothing is tuned on this host: nobody did it, or it was rebooted since, which ends it"
    return reply, ""


def restore(module: AnsibleModule) -> tuple[dict, str]:
    """Give back what the journal says, or in check mode say what that would be."""
    words = ["restore"] + ["--force"] * module.params["force"] + ["--preview"] * module.check_mode
    reply = ask(module, words)
    reply["changed"] = bool(reply["knobs"])
    rows = [(row["knob"], counted(row["found"]), counted(row["was"])) for row in reply["knobs"]]
    reply["diff"] = difference(rows)
    left = [f"{row['path']}: was {row['was']}, somebody set it to {row['found']}" for row in reply["left"]]
    failed = [f"{row['path']}: {row['error']}" for row in reply["failed"]]
    wrong = [f"left alone, bench_force restores it: {shortened(left)}"] if left else []
    return reply, "; ".join([*wrong, *([f"failed: {shortened(failed)}"] if failed else [])])


def ask(module: AnsibleModule, words: list[str], text: str = "") -> dict:
    """Let the agent execute a verb; return its reply. Ends the module when it could not."""
    area = ["--area", module.params["area"]] if module.params["area"] else []
    command = [sys.executable, "-ISB", program(module), *words, *area]
    code, out, err = module.run_command(command, data=text)
    try:
        reply = dict(json.loads(out))
    except (ValueError, TypeError):
        module.fail_json(msg=f"the agent ended with {code}: {err.strip() or out.strip()}")
    if "error" in reply:
        module.fail_json(msg=reply["error"])
    return reply


def program(module: AnsibleModule) -> str:
    """Return the path of the agent: its own, or that of a copy that goes with this module."""
    path = Path(module.params["program"])
    if path.exists() or not module.params["zipapp"]:
        return str(path)
    copy = Path(module.tmpdir) / path.name
    copy.write_bytes(base64.b64decode(module.params["zipapp"]))
    return str(copy)


def texts(module: AnsibleModule, values: dict) -> dict:
    """Return values as the texts that the agent takes; Ansible reads 10 as a number, and off as no."""
    found = {}
    for name, value in values.items():
        if isinstance(value, bool):
            found[name] = "on" if value else "off"
        elif value is None or isinstance(value, (str, int)):
            found[name] = value if value is None else str(value)
        else:
            module.fail_json(msg=f"{name}: {value!r} is no value of a knob: a word, a number, or null")
    return found


def told(row: dict) -> str:
    """Say why a knob is not what it should be."""
    return f"{row['knob']} ({counted(row['was'])} instead of {row['value']}): {row['why']}"


def counted(values: dict) -> str:
    """Render values with how often each is there: performance (8), powersave (1)."""
    if len(values) == 1:
        return " ".join(next(iter(values)).split())
    return ", ".join(f"{' '.join(value.split())} ({count})" for value, count in values.items())


def shortened(rows: list[str]) -> str:
    """Join the first of them, with how many more there are."""
    more = [f"and {len(rows) - SHOWN} more"] if len(rows) > SHOWN else []
    return "; ".join(rows[:SHOWN] + more)


def difference(rows: list[tuple[str, str, str]]) -> dict:
    """Return before and after of each knob, as Ansible shows them with --diff."""
    before, after = ("".join(f"{row[0]}: {row[column]}\n" for row in rows) for column in (1, 2))
    return {"before": before, "after": after}


if __name__ == "__main__":
    main()
