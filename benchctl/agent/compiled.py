"""The agent's modules in the form that the host's Python executes, kept beside the program file.

Owns that one file: the modules of a zip file are compiled anew at each start, which takes longer than all the
rest of it. It is a copy: without it, or with a broken one, everything works, and it is written again.
"""

import contextlib
import marshal
import os
import sys
from _frozen_importlib import ModuleSpec  # importlib itself takes longer to load than this saves
from _frozen_importlib_external import MAGIC_NUMBER
from types import ModuleType
from typing import Dict, Optional, Tuple

_Codes = Dict[str, Tuple[bool, bytes]]  # by module: whether it is a package, its code


def install(program: str) -> None:
    """Let the modules of a program file be found compiled, from now on and at each later start."""
    place = f"{program}.{sys.implementation.cache_tag}"
    try:
        codes = _read(place)
    except (OSError, ValueError, EOFError, TypeError):
        codes = _compile(program)
        with contextlib.suppress(OSError):  # a folder of another user, a full disk
            _write(place, codes)
    sys.meta_path.insert(0, _Modules(program, codes))


class _Modules:
    """Finds and loads modules by their names."""

    def __init__(self, program: str, codes: _Codes) -> None:
        self._program = program
        self._codes = codes

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> Optional[ModuleSpec]:
        if name not in self._codes:
            return None
        return ModuleSpec(name, self, origin=self._program, is_package=self._codes[name][0])  # type: ignore[arg-type]

    def create_module(self, _spec: ModuleSpec) -> None:
        """Let the interpreter make it."""

    def exec_module(self, module: ModuleType) -> None:
        exec(marshal.loads(self._codes[module.__name__][1]), module.__dict__)  # noqa: S102, S302 - our own


def _read(place: str) -> _Codes:
    with open(place, "rb") as file:  # noqa: PTH123 - loads nothing
        magic, codes = marshal.load(file)  # noqa: S302 - as far to be trusted as the program beside it
    if magic != MAGIC_NUMBER:
        raise ValueError("it is of another Python")
    return dict(codes)


def _compile(program: str) -> _Codes:
    from zipfile import ZipFile

    codes = {}
    with ZipFile(program) as archive:
        for path in archive.namelist():
            stem, _, kind = path.rpartition(".")
            name, is_package = stem.replace("/", "."), stem.endswith("/__init__")
            if kind == "py" and "/" in path:
                code = compile(archive.read(path), f"{program}/{path}", "exec", dont_inherit=True)
                codes[name[: -len(".__init__")] if is_package else name] = is_package, marshal.dumps(code)
    return codes


def _write(place: str, codes: _Codes) -> None:
    """Whole or not at all, and on disk: half a file after a crash would have to be noticed."""
    part = f"{place}.{os.getpid()}"
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(handle, "wb") as file:  # noqa: PTH123 - a handle
            marshal.dump((MAGIC_NUMBER, codes), file)
            file.flush()
            os.fsync(handle)
        os.replace(part, place)  # noqa: PTH105 - loads nothing
    except OSError:
        os.unlink(part)  # noqa: PTH108 - same
        raise
