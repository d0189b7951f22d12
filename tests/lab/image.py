"""The image of a host: Debian 12 from packages, once per user and list of packages. Takes half a minute."""

from __future__ import annotations

import fcntl
import hashlib
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.lab.podman import as_root, cache_folder, podman, prefix, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RELEASE = "bookworm"
PACKAGES = (
    "ca-certificates",
    "dbus",
    "iproute2",
    "iptables",
    "openssh-server",
    "procps",
    "python3",
    "python3-apt",
    "redis-server",
    "sudo",
    "systemd",
    "systemd-sysv",
)
AT_HAND = ("postgresql-15", "postgresql-contrib", "redis-tools")  # their files, for roles to install them
PASSWORD = "correct horse"  # noqa: S105 # of user `plain`, on hosts that only tests can reach
BUILD_LIMIT = 900.0
SETUP = f"""
set -e
cd "$1"
rm -f etc/ssh/ssh_host_*
cat > etc/ssh/sshd_config.d/lab.conf <<'END'
HostKey /lab/host_key
AuthorizedKeysFile /lab/authorized_keys .ssh/authorized_keys
StrictModes no
PasswordAuthentication no
END
ln -s /dev/null etc/tmpfiles.d/systemd-nologin.conf
echo force-unsafe-io > etc/dpkg/dpkg.cfg.d/lab
chroot . apt-get -qq install --no-install-recommends --download-only {" ".join(AT_HAND)} >/dev/null
chroot . systemctl --quiet disable redis-server
chroot . useradd -m -s /bin/bash bench
chroot . useradd -m -s /bin/bash plain
echo 'plain:{PASSWORD}' | chroot . chpasswd
echo 'bench ALL=(ALL) NOPASSWD: ALL' > etc/sudoers.d/bench
echo 'plain ALL=(ALL) ALL' > etc/sudoers.d/plain
mkdir -p etc/systemd/system.conf.d
ln -s /lab/system.conf etc/systemd/system.conf.d/lab.conf
ln -sf /lab/environment etc/environment
"""


def image() -> str:
    """The image's name in podman's store; built or imported when it is not there yet."""
    key = hashlib.sha256("\n".join((RELEASE, *PACKAGES, SETUP)).encode()).hexdigest()[:12]
    name = f"localhost/benchctl-lab:{key}"
    with locked("image"):
        if run([*prefix(), "podman", "image", "exists", name]).returncode:
            podman("import", "--quiet", str(root_filesystem(key)), name)
    return name


def root_filesystem(key: str) -> Path:
    """The tar file, built under another name first: a build that was killed leaves no half image."""
    path = cache_folder() / f"lab-{key}.tar"
    if not path.exists():
        part = path.with_suffix(f".{os.getpid()}.tar")
        try:
            as_root(
                "mmdebstrap",
                "--quiet",
                "--variant=minbase",
                "--skip=cleanup/apt/cache",
                f"--include={','.join(PACKAGES)}",
                f"--customize-hook={SETUP}",
                RELEASE,
                str(part),
                limit=BUILD_LIMIT,
            )
            part.rename(path)
        finally:
            part.unlink(missing_ok=True)
    return path


@contextmanager
def locked(name: str) -> Iterator[None]:
    """One process of this user at a time; the lock goes with the process."""
    with (cache_folder() / f"{name}.lock").open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
