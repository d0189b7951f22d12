"""The agent as one file: a zipapp of this folder, the same bytes for the same sources.

Runs on the controller; it is here because it must know which files the agent is made of.
"""

import hashlib
import io
import os
import tempfile
import zipfile
from pathlib import Path

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first time a zip file can hold
_MAIN = b"""import sys
from benchctl.agent.compiled import install
install(sys.argv[0])
from benchctl.agent.main import main
sys.exit(main())
"""
_NOT_SHIPPED = ("build.py",)


def zipapp(cache: Path) -> Path:
    """Return <cache>/agent/<sha256>.pyz, written first if it is not there yet.

    Nothing is compressed: zlib's output differs between its versions, and the start is faster.
    """
    data = _pack(Path(__file__).parent)
    target = cache / "agent" / f"{hashlib.sha256(data).hexdigest()}.pyz"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).chmod(0o644)
        Path(file.name).replace(target)
    return target


def _pack(folder: Path) -> bytes:
    sources = sorted(path for path in folder.glob("*.py") if path.name not in _NOT_SHIPPED)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, "__main__.py", _MAIN)
        _add(archive, "benchctl/__init__.py", b"")
        for path in sources:
            _add(archive, f"benchctl/agent/{path.name}", path.read_bytes())
    return buffer.getvalue()


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, data)
