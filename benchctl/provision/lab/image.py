"""Images of hosts: Debian 12 from packages, once per user and content. Takes half a minute and 500 MB."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from benchctl.errors import StackError
from benchctl.provision.cache import cache_folder
from benchctl.provision.expiry import FOLDER, units
from benchctl.provision.lab.podman import as_root, podman, prefix, run

if TYPE_CHECKING:
    from collections.abc import Iterator
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
NEEDED = 2 * 1024**3  # bytes free: the tar file, and the same in podman's store


class Recipe(NamedTuple):
    """What is in an image: packages, and a shell script that gets the root folder as its first argument."""

    name: str  # of the image, without a tag
    packages: tuple[str, ...]
    setup: str
    options: tuple[str, ...] = ()  # of mmdebstrap

    @property
    def key(self) -> str:
        return hashlib.sha256(
            "\n".join((RELEASE, *self.packages, *self.options, self.setup)).encode()
        ).hexdigest()[:12]


def host_recipe() -> Recipe:
    """Return what a host of the lab is made from: systemd, sshd, Python, sudo, and the dead man's switch."""
    files = "".join(f"cat > \"$1{path}\" <<'END'\n{text}END\n" for path, text in units().items())
    setup = f"""set -e
rm -f "$1"/etc/ssh/ssh_host_*
mkdir -p "$1{FOLDER}"
cat > "$1/etc/ssh/sshd_config.d/benchctl.conf" <<'END'
HostKey {FOLDER}/host_key
AuthorizedKeysFile {FOLDER}/authorized_keys
StrictModes no
PasswordAuthentication no
UseDNS no
END
ln -s /dev/null "$1/etc/tmpfiles.d/systemd-nologin.conf"
{files}chroot "$1" systemctl --quiet enable benchctl-expiry.timer
"""
    return Recipe("localhost/benchctl-host", PACKAGES, setup)


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
        if free < NEEDED:
            raise StackError(
                f"{folder} has {free / 1024**3:.1f} GB free; the image of the hosts takes {NEEDED >> 30} GB",
                remedy="free space there, or set BENCHCTL_CACHE to a folder with more",
            )
        part = path.with_suffix(f".{os.getpid()}.tar")
        packages = f"--include={','.join(recipe.packages)}"
        options = ("--quiet", "--variant=minbase", *recipe.options, packages)
        try:
            hook = f"--customize-hook={recipe.setup}"
            as_root("mmdebstrap", *options, hook, RELEASE, str(part), limit=BUILD_LIMIT)
            part.rename(path)
        finally:
            part.unlink(missing_ok=True)
    return path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process of this user at a time; the lock goes with the process."""
    with path.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
