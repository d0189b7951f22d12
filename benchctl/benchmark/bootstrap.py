"""What the first command on a host is: a few lines of Python that find the agent there, or take it in.

Owns those lines and the command around them. They parse on every Python 3, and say what is missing.
"""

from __future__ import annotations

import base64

REMEDY = "install Python 3.9 or newer there, or name one that is there (variable ansible_python_interpreter)"

# Arguments: nonce, sha256 and size of the agent; all further ones are the agent's own.
# XDG_RUNTIME_DIR of a login ends with the login; the agent lives longer.
_PROGRAM = r"""
import os, sys
nonce, wanted, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
def say(text):
    os.write(1, ("benchctl-agent %s %s\n" % (nonce, " ".join(text.split()))).encode("utf-8", "replace"))
def fail(text):
    say(text)
    sys.exit(1)
def there(path):
    try:
        return os.stat(path).st_size == size
    except OSError:
        return False
def take(path):
    say("need")
    parts, left = [], size
    while left:
        data = os.read(0, min(left, 65536))
        if not data:
            sys.exit(1)
        parts.append(data)
        left -= len(data)
    data = b"".join(parts)
    import hashlib
    if hashlib.sha256(data).hexdigest() != wanted:
        fail("the agent's program arrived damaged")
    part = "%s.%d" % (path, os.getpid())
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(handle, view):]
            os.fsync(handle)
        finally:
            os.close(handle)
        os.rename(part, path)
    except OSError:
        os.unlink(part)
        raise
def main():
    if sys.version_info < (3, 9):
        fail("%s is Python %d.%d; the agent needs 3.9" % ((sys.executable,) + sys.version_info[:2]))
    if os.environ.get("XDG_RUNTIME_DIR", "").startswith("/run/user/"):
        del os.environ["XDG_RUNTIME_DIR"]
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = os.path.join(os.environ.get("BENCHCTL_CACHE") or os.path.join(base, "benchctl"), "agent")
    path = os.path.join(folder, wanted + ".pyz")
    try:
        os.makedirs(folder, 0o700, exist_ok=True)
        status = os.stat(folder)
        if status.st_uid != os.getuid():
            fail("%s belongs to another user" % folder)
        if status.st_mode & 0o022:
            os.chmod(folder, 0o700)
        if not there(path):
            take(path)
    except OSError as error:
        fail("the agent cannot be kept in %s: %s" % (folder, error.strerror))
    say("have")
    sys.argv[:] = [path] + sys.argv[4:]
    sys.path.insert(0, path)
    from benchctl.agent.compiled import install
    install(path)
    from benchctl.agent.main import main as agent
    sys.exit(agent())
main()
"""


def command(python: str, nonce: str, sha256: str, size: int) -> list[str]:
    """Return the argv to which the agent's own words are added.

    One line of letters, digits and the like: no shell, however strange, takes it for something else.
    """
    program = base64.b64encode(_PROGRAM.encode()).decode()
    line = f'import binascii;exec(binascii.a2b_base64("{program}"))'
    return [python, "-ISB", "-c", line, nonce, sha256, str(size)]
