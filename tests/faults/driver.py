"""The command with other limits: `python driver.py NAME=SECONDS… -- word…` is `benchctl word…`.

Names are of benchctl.benchmark.session: what a person waits minutes for, a test need not.
"""

from __future__ import annotations

import sys

from benchctl.benchmark import session
from benchctl.cli import main

if __name__ == "__main__":
    end = sys.argv.index("--")
    for given in sys.argv[1:end]:
        name, _, seconds = given.partition("=")
        assert isinstance(getattr(session, name), float)
        setattr(session, name, float(seconds))
    sys.argv = ["benchctl", *sys.argv[end + 1 :]]
    main()
