"""What the controller builds for hosts, shared by tests: it is kept by content, and takes minutes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchctl.provision.cache import cache_folder

if TYPE_CHECKING:
    from pathlib import Path


def share(cache: Path) -> None:
    """Let a test's cache of its own have the user's archives, and give them those that it makes."""
    shared, own = cache_folder() / "prefixes", cache / "prefixes"
    shared.mkdir(parents=True, exist_ok=True)
    cache.mkdir(parents=True, exist_ok=True)
    own.symlink_to(shared)
