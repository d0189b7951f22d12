"""The image of a host for tests, once per user and content. Takes half a minute."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from benchctl.provision.lab import image as lab_image

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

PACKAGES = (
    "ca-certificates",
    "dbus",
    "iproute2",
    "iptables",
    "locales",
    "openssh-server",
    "procps",
    "python3",
    "python3-apt",
    "redis-server",
    "sudo",
    "systemd",
    "systemd-sysv",
)
AT_HAND = (  # their files, for roles to install them
    "etcd-server",
    "fio",
    "libmemcached-tools",
    "mariadb-client",
    "mariadb-server-core",
    "memcached",
    "openjdk-17-jre-headless",
    "postgresql-15",
    "postgresql-contrib",
    "redis-tools",
    "stress-ng",
    "sysbench",
)
GERMAN = "de_DE.UTF-8"  # a comma where C has a point, and other words
PASSWORD = "correct horse"  # noqa: S105 # of user `plain`, on hosts that only tests can reach
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
chroot . localedef --inputfile={GERMAN.partition(".")[0]} --charmap=UTF-8 {GERMAN}
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
    recipe = lab_image.Recipe(
        "localhost/benchctl-lab", PACKAGES, SETUP, options=("--skip=cleanup/apt/cache",)
    )
    return lab_image.image(recipe, cache_folder())


def locked(name: str) -> AbstractContextManager[None]:
    """One process of this user at a time; the lock goes with the process."""
    return lab_image.locked(cache_folder() / f"{name}.lock")


def cache_folder() -> Path:
    """Where images stay between sessions, for this user."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "benchctl-tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
