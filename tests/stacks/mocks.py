"""A stack's program against Pulumi's mocks: what it would make, and what it exports."""

from __future__ import annotations

import asyncio
import gc
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pulumi
from pulumi.runtime import mocks as runtime

from benchctl.provision.request import KEY, Request
from benchctl.spec.load import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

STACKS = Path(__file__).parents[2] / "stacks"
EXPIRES = 2_000_000_000.0
_SECRET = "4dabf18193072939515e22adb298388d"  # noqa: S105 - Pulumi's mark of secret values
_LOOP = asyncio.new_event_loop()
_REST = 'dbms: {role: postgresql, version: "18"}\nworkload: {role: pgbench}\n'


class Made(NamedTuple):
    """One resource as the program asks for it, with the plain values of secrets."""

    type: str
    name: str
    inputs: dict[str, Any]
    secret: frozenset[str]


class Result(NamedTuple):
    resources: list[Made]
    asked: list[tuple[str, dict[str, Any]]]
    exports: dict[str, Any]

    def of(self, kind: str) -> dict[str, Made]:
        """Return the resources of one type in the order of their names: Pulumi makes them in any order."""
        ordered = sorted(self.resources, key=lambda made: made.name)
        return {made.name: made for made in ordered if made.type == kind}


class Recorder(runtime.Mocks):
    """Records what is made and answers what is asked."""

    def __init__(self, answers: Mapping[str, Any], known: Mapping[str, Mapping[str, Any]]) -> None:
        self.answers, self.known = answers, known
        self.resources: list[Made] = []
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def new_resource(self, args: runtime.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        plain = {key: _plain(value) for key, value in args.inputs.items()}
        secret = frozenset(key for key, value in args.inputs.items() if _is_secret(value))
        self.resources.append(Made(args.typ, args.name, plain, secret))
        return f"{args.name}-id", {**plain, **self.known.get(args.typ, {})}

    def call(self, args: runtime.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        plain = {key: _plain(value) for key, value in args.args.items()}
        self.asked.append((args.token, plain))
        answer = self.answers[args.token]
        return (answer(plain) if callable(answer) else answer), []


def request(hosts: str, **changes: Any) -> Request:
    """Return what benchctl asks a stack for, from the hosts of an experiment file."""
    spec = parse(f"name: case\nhosts: {hosts}\n{_REST}", Path("case.yml"))
    return msgspec.structs.replace(
        Request(
            run="20261121-1015-case-3f2a",
            owner="me@here",
            expires=EXPIRES,
            public_key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINothing",
            hosts=spec.experiment.hosts,
            caller=("203.0.113.7/32",),
            seed="seed",
        ),
        **changes,
    )


def program_of(provider: str) -> Callable[[], None]:
    """Return the program of a stack, imported as benchctl imports it."""
    folder = str(STACKS / provider)
    if folder not in sys.path:
        sys.path.append(folder)
    module = __import__(f"bench_{provider}")
    program: Callable[[], None] = module.program
    return program


def run(provider: str, asked: Request, recorder: Recorder) -> Result:
    """Run a stack's program to its end; raises what it raises."""
    program = program_of(provider)
    exports: dict[str, Any] = {}
    found: dict[str, Any] = {}
    kept = pulumi.export
    pulumi.export = lambda name, value: exports.update({name: value})
    try:
        with _quiet_loop():
            runtime.set_mocks(recorder, project=f"bench-{provider}", stack="case")
            config = {f"bench-{provider}:{KEY}": msgspec.json.encode(asked).decode()}
            pulumi.runtime.set_all_config(config)
            pulumi.runtime.test(lambda: _after(program, exports, found))()  # type: ignore[no-untyped-call]
    finally:
        pulumi.export = kept
    return Result(recorder.resources, recorder.asked, found)


@contextmanager
def _quiet_loop() -> Iterator[None]:
    """Let Pulumi's loop, which lives as long as the process, be silent about what failed after an error."""
    _LOOP.set_exception_handler(lambda *_: None)
    asyncio.set_event_loop(_LOOP)
    try:
        yield
    finally:
        gc.collect()  # futures say what they failed with when they go: now, and not in mid-parse elsewhere


def _after(
    program: Callable[[], None], exports: dict[str, Any], found: dict[str, Any]
) -> pulumi.Output[None]:
    program()
    return pulumi.Output.all(**exports).apply(found.update)


def _is_secret(value: Any) -> bool:
    return isinstance(value, dict) and _SECRET in value


def _plain(value: Any) -> Any:
    if _is_secret(value):
        return _plain(value["value"])
    if isinstance(value, dict):
        return {key: _plain(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_plain(child) for child in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
