"""What go-ycsb calls each database, and the properties by which it reaches one; a row for each protocol.

Must not hold a password: it comes by the environment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from benchctl.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchctl.loaders.loader import Target

    Properties = dict[str, str]

MYSQL = "mysql"
_FROM_ENVIRONMENT = (
    "${BENCH_MYSQL_PASSWORD}"  # the role's descriptor sets it; go-ycsb prints it as it stands here
)


def reach(target: Target | None) -> tuple[str, Properties]:
    """Return go-ycsb's name of the database and its properties. Raises SpecError for an unknown one."""
    found = target or {}
    if found.get("protocol") not in _REACH:
        raise SpecError(
            "workload.role: go_ycsb has no client for this system",
            remedy="add `dbms: {role: ROLE}`, one of cassandra, etcd, ferretdb, mariadb, postgresql, redis",
        )
    database, properties = _REACH[found["protocol"]]
    return database, properties(found)


def _redis(target: Target) -> Properties:
    if "socket" in target:
        return {"redis.network": "unix", "redis.addr": str(target["socket"])}
    return {"redis.addr": _place(target)}


def _etcd(target: Target) -> Properties:
    return {"etcd.endpoints": _place(target)}


def _mongodb(target: Target) -> Properties:
    return {"mongodb.url": f"mongodb://{_place(target)}/?w=1"}


def _cassandra(target: Target) -> Properties:
    return {"cassandra.cluster": _place(target), "cassandra.keyspace": str(target["keyspace"])}


def _mysql(target: Target) -> Properties:
    """Over TCP: the name that go-ycsb makes for its client has no place for a socket."""
    if "host" not in target:
        raise SpecError(
            "workload.role: go_ycsb reaches a MariaDB over TCP only, and this one listens at a socket",
            remedy="give the load generator a host of its own, a group loader beside the group dbms",
        )
    words = {
        "host": _bracketed(target),
        "port": target["port"],
        "user": target["user"],
        "db": target["database"],
    }
    return {f"mysql.{name}": str(value) for name, value in words.items()} | {
        "mysql.password": _FROM_ENVIRONMENT
    }


def _postgresql(target: Target) -> Properties:
    words = {"port": target["port"], "user": target["user"], "db": target["database"]}
    named = {f"pg.{name}": str(value) for name, value in words.items()}
    if "socket" not in target:
        return named | {"pg.host": str(target["host"]), "pg.sslmode": "disable"}
    # the mode is the last of the URL that go-ycsb makes: what follows it names the socket's folder
    socket = quote(str(target["socket"]), safe="/{}")
    return named | {"pg.host": "", "pg.sslmode": f"disable&host={socket}"}


def _bracketed(target: Target) -> str:
    host = str(target["host"])
    return f"[{host}]" if ":" in host else host


def _place(target: Target) -> str:
    return f"{_bracketed(target)}:{target['port']}"


_REACH: dict[str, tuple[str, Callable[[Target], Properties]]] = {
    "cassandra": ("cassandra", _cassandra),
    "etcd": ("etcd", _etcd),
    "mongodb": ("mongodb", _mongodb),
    "mysql": (MYSQL, _mysql),
    "postgresql": ("pg", _postgresql),
    "redis": ("redis", _redis),
}
