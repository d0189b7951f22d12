"""Images of hosts: Debian 12 from packages, once per user and content. Takes half a minute and 500 MB.

Owns how an image is built and kept, and what a container host is made from.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shlex
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from benchctl.errors import StackError
from benchctl.provision.cache import cache_folder
from benchctl.provision.expiry import FOLDER, units
from benchctl.provision.lab.podman import as_root, podman, prefix, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

RELEASE = "bookworm"
PACKAGES = (
    "ca-certificates",
    "dbus",
    "iproute2",
    "openssh-server",
    "procps",
    "python3",
    "python3-apt",
    "sudo",
    "systemd",
    "systemd-sysv",
)
BUILD_LIMIT = 900.0  # seconds
IMPORT_LIMIT = 300.0  # seconds
GIB = 1024**3
# Host key and who may log in come from the folder that a host is given; no login waits for a user session.
SSHD = f"""rm -f "$1"/etc/ssh/ssh_host_*
mkdir -p "$1{FOLDER}"
cat > "$1/etc/ssh/sshd_config.d/benchctl.conf" <<'END'
HostKey {FOLDER}/host_key
AuthorizedKeysFile {FOLDER}/authorized_keys
StrictModes no
PasswordAuthentication no
UseDNS no
END
ln -s /dev/null "$1/etc/tmpfiles.d/systemd-nologin.conf"
"""


class Recipe(NamedTuple):
    """What is in an image: packages, and a shell script that gets the root folder as its first argument.

    With `inside`, that one is built first, and the script has the path of its tar file in `$inside`.
    """

    name: str  # of the image, without a tag
    packages: tuple[str, ...]
    setup: str
    options: tuple[str, ...] = ()  # of mmdebstrap
    inside: Recipe | None = None
    needed: int = 2 * GIB  # bytes free: the tar file, and the same in podman's store

    @property
    def key(self) -> str:
        inside = () if self.inside is None else (self.inside.key,)
        return hashlib.sha256(
            "\n".join((RELEASE, *self.packages, *self.options, self.setup, *inside)).encode()
        ).hexdigest()[:12]


def host_recipe() -> Recipe:
    """Return what a host of the lab is made from: systemd, sshd, Python, sudo, and the dead man's switch."""
    enable = 'chroot "$1" systemctl --quiet enable benchctl-expiry.timer\n'
    return Recipe("localhost/benchctl-host", PACKAGES, f"set -e\n{SSHD}{write(units())}{enable}")


def write(files: Mapping[str, str]) -> str:
    """Return the shell's words that write path -> content below the root folder."""
    return "".join(f"cat > \"$1{path}\" <<'END'\n{text}END\n" for path, text in files.items())


def image(recipe: Recipe, folder: Path | None = None) -> str:
    """Return the image's name in podman's store; built or imported when it is not there yet.

    `folder` keeps the tar file between; default: benchctl's cache. Raises StackError when it cannot be built.
    """
    folder = folder or cache_folder() / "lab"
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{recipe.name}:{recipe.key}"
    with locked(folder / "image.lock"):
        if run([*prefix(), "podman", "image", "exists", name]).returncode:
            podman("import", "--quiet", str(_root_filesystem(recipe, folder)), name, limit=IMPORT_LIMIT)
    return name


def _root_filesystem(recipe: Recipe, folder: Path) -> Path:
    """Return the tar file, built under another name first: a build that was killed leaves no half image."""
    path = folder / f"{recipe.key}.tar"
    if not path.exists():
        free = shutil.disk_usage(folder).free
        if free < recipe.needed:
            raise StackError(
                f"{folder} has {free / GIB:.1f} GB free; "
                f"the image of the hosts takes {recipe.needed // GIB} GB",
                remedy="free space there, or set BENCHCTL_CACHE to a folder with more",
            )
        part = path.with_suffix(f".{os.getpid()}.tar")
        within = path.with_suffix(f".{os.getpid()}.inside.tar")
        try:
            if recipe.inside is not None:
                _bootstrap(recipe.inside, within)
            _bootstrap(recipe, part, before=f"inside={shlex.quote(str(within))}\n" if recipe.inside else "")
            part.rename(path)
        finally:
            part.unlink(missing_ok=True)
            within.unlink(missing_ok=True)
    return path


def _bootstrap(recipe: Recipe, path: Path, *, before: str = "") -> None:
    """Have mmdebstrap make the tar file of a root filesystem."""
    packages = f"--include={','.join(recipe.packages)}"
    hook = f"--customize-hook={before}{recipe.setup}"
    options = ("--quiet", "--variant=minbase", *recipe.options, packages, hook)
    as_root("mmdebstrap", *options, RELEASE, str(path), limit=BUILD_LIMIT)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process of this user at a time; the lock goes with the process."""
    with path.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
