# ruff: noqa: INP001 - Ansible sends it to hosts, it is no part of a package
"""The module that writes the files of one folder at once: what a descriptor names, and the descriptor.

Each task costs a host about a third of a second, and copy two of them for a file. Runs on Python 3.9.
"""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: bench_files
short_description: Write the files of one folder
description:
  - Makes the folder and writes the files in it that differ, each at once or not at all.
  - Other files there stay.
options:
  folder:
    type: path
    required: true
    description: The folder; it gets mode 0755, and so do folders above it that are missing.
  files:
    type: dict
    required: true
    description: What each file holds, by its name in the folder.
  mode:
    type: str
    default: "0644"
    description: The mode of each file.
"""
EXAMPLES = """
- name: Write the descriptor, and what it names
  bench_files:
    folder: "{{ bench_cache }}/instances/mydb-default"
    files:
      ask.py: "{{ lookup('ansible.builtin.file', 'ask.py', rstrip=false) }}"
      descriptor.json: "{{ described }}"
"""
RETURN = """
written:
  description: Names of the files that were written, or would be.
  type: list
  elements: str
  returned: always
"""
ARGUMENTS = {
    "folder": {"type": "path", "required": True},
    "files": {"type": "dict", "required": True},
    "mode": {"type": "str", "default": "0644"},
}
FOLDER_MODE = "0755"


def main() -> None:
    """Write what differs and tell Ansible."""
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    folder = Path(module.params["folder"])
    try:
        changed = make(folder, module)
        differing = {}
        for name, content in module.params["files"].items():
            path, wanted = folder / name, content.encode()
            found = path.read_bytes() if path.is_file() else None
            if found != wanted:
                differing[name] = (found or b"", wanted)
                write(path, wanted, module)
            if path.exists():
                changed = module.set_mode_if_different(str(path), module.params["mode"], changed)
    except OSError as error:
        module.fail_json(msg=f"{error.filename or folder}: {error.strerror or error}")
    shown = [
        {
            "before_header": str(folder / name),
            "after_header": str(folder / name),
            "before": before.decode(errors="replace"),
            "after": after.decode(),
        }
        for name, (before, after) in differing.items()
    ]
    module.exit_json(changed=changed or bool(differing), written=sorted(differing), diff=shown)


def make(folder: Path, module: AnsibleModule) -> bool:
    """Make the folder with those above it; whether anything was to be done."""
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "is no folder", str(folder))
    missing = [path for path in (*reversed(folder.parents), folder) if not path.exists()]
    if not module.check_mode:
        for path in missing:
            path.mkdir(exist_ok=True)
            module.set_mode_if_different(str(path), FOLDER_MODE, changed=False)
    if missing:
        return True
    return bool(module.set_mode_if_different(str(folder), FOLDER_MODE, changed=False))


def write(path: Path, content: bytes, module: AnsibleModule) -> None:
    """Put it there under its name when it is complete."""
    if module.check_mode:
        return
    handle, part = tempfile.mkstemp(dir=module.tmpdir)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    module.atomic_move(part, str(path))


if __name__ == "__main__":
    main()
