"""A provider's plug-in that stands in for a real one: over gRPC, before a cloud that is made of Python.

The engine attaches to it by PULUMI_DEBUG_PROVIDERS. It counts what is created and fails where it is told to.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import grpc
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"  # Pulumi's word for what is not known yet
_REPLACING = frozenset({"ami", "cidrBlock", "imageReference", "instanceType", "subnetId", "userData"})


class Cloud(Protocol):
    """What a provider's plug-in drives; kinds are Pulumi's types, states are inputs with what was found."""

    computed: Mapping[str, tuple[str, ...]]  # kind -> what is known only of a resource that is there

    def create(self, kind: str, name: str, inputs: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Make one resource; return its id and its state."""

    def exists(self, kind: str, name: str) -> bool:
        """Say whether the resource of this id is there."""

    def tag(self, kind: str, name: str, tags: dict[str, str]) -> None:
        """Replace tags."""

    def delete(self, kind: str, name: str, state: dict[str, Any]) -> None:
        """Take a resource away."""

    def invoke(self, token: str, args: dict[str, Any]) -> dict[str, Any]:
        """Answer a question."""


class Failure(NamedTuple):
    """Which create fails, with which words, whether it is made all the same, what is done then."""

    at: int
    words: str = "InternalError: told to fail"
    made: bool = False
    instead: Callable[[], None] = lambda: None


class StandIn(provider_pb2_grpc.ResourceProviderServicer):
    """The plug-in of one package; one call at a time, since Moto takes no more."""

    def __init__(self, package: str, version: str, cloud: Cloud) -> None:
        self.cloud = cloud
        self.failure: Failure | None = None
        self.creates = 0
        self.calls: list[str] = []
        self._package, self._version = package, version
        self._lock = threading.RLock()

    def Handshake(self, request: Any, context: Any) -> Any:  # noqa: N802
        return provider_pb2.ProviderHandshakeResponse()

    def Attach(self, request: Any, context: Any) -> Any:  # noqa: N802
        return empty_pb2.Empty()

    def Cancel(self, request: Any, context: Any) -> Any:  # noqa: N802
        return empty_pb2.Empty()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:  # noqa: N802
        return plugin_pb2.PluginInfo(version=self._version)

    def GetSchema(self, request: Any, context: Any) -> Any:  # noqa: N802
        return provider_pb2.GetSchemaResponse(
            schema=f'{{"name": "{self._package}", "version": "{self._version}"}}'
        )

    def CheckConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        return provider_pb2.DiffResponse()

    def Configure(self, request: Any, context: Any) -> Any:  # noqa: N802
        return provider_pb2.ConfigureResponse()

    def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        return provider_pb2.CheckResponse(inputs=request.news)

    def Diff(self, request: Any, context: Any) -> Any:  # noqa: N802
        old, new = _read(request.old_inputs), _read(request.news)
        changed = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
        response = provider_pb2.DiffResponse
        return response(
            changes=response.DIFF_SOME if changed else response.DIFF_NONE,
            diffs=changed,
            replaces=[key for key in changed if key in _REPLACING],
        )

    def Invoke(self, request: Any, context: Any) -> Any:  # noqa: N802
        with self._telling(context, f"ask {request.tok}"):
            answer = self.cloud.invoke(request.tok, _read(request.args))
            return provider_pb2.InvokeResponse(**{"return": _written(answer)})

    def Create(self, request: Any, context: Any) -> Any:  # noqa: N802
        kind, name = request.type, request.name
        if request.preview:
            computed = dict.fromkeys(self.cloud.computed.get(kind, ()), _UNKNOWN)
            return provider_pb2.CreateResponse(properties=_written({**_read(request.properties), **computed}))
        with self._telling(context, f"create {kind} {name}"):
            self.creates += 1
            fails = self.failure if self.failure and self.failure.at == self.creates else None
            if fails:
                fails.instead()
            if fails and not fails.made:
                raise RuntimeError(fails.words)
            inputs = _read(request.properties)
            made, state = self.cloud.create(kind, name, inputs)
            if fails:
                raise RuntimeError(fails.words)
            return provider_pb2.CreateResponse(id=made, properties=_written({**inputs, **state}))

    def Read(self, request: Any, context: Any) -> Any:  # noqa: N802
        with self._telling(context, f"read {request.type} {request.id}"):
            if not self.cloud.exists(request.type, request.id):
                return provider_pb2.ReadResponse()
            return provider_pb2.ReadResponse(
                id=request.id, properties=request.properties, inputs=request.inputs
            )

    def Update(self, request: Any, context: Any) -> Any:  # noqa: N802
        with self._telling(context, f"update {request.type} {request.id}"):
            old, news = _read(request.old_inputs), _read(request.news)
            changed = {key: value for key, value in news.items() if old.get(key) != value}
            self.cloud.tag(request.type, request.id, news.get("tags", {}))
            return provider_pb2.UpdateResponse(properties=_written({**_read(request.olds), **changed}))

    def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        with self._telling(context, f"delete {request.type} {request.id}"):
            self.cloud.delete(request.type, request.id, _read(request.properties))
            return empty_pb2.Empty()

    @contextmanager
    def _telling(self, context: Any, what: str) -> Iterator[None]:
        """Do one thing at a time, and tell the engine what went wrong as plug-ins do."""
        with self._lock:
            self.calls.append(what)
            try:
                yield
            except Exception as error:  # noqa: BLE001 - whatever the cloud says
                context.abort(grpc.StatusCode.UNKNOWN, f"{what}: {error}")


@contextmanager
def serving(stand_in: StandIn) -> Iterator[int]:
    """Serve a stand-in on a free port of this machine; yields the port."""
    server = grpc.server(ThreadPoolExecutor(8))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(stand_in, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(5).wait()


def _read(message: struct_pb2.Struct) -> dict[str, Any]:
    plain: dict[str, Any] = _whole(json_format.MessageToDict(message))
    return plain


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _whole(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_whole(child) for child in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _written(plain: dict[str, Any]) -> struct_pb2.Struct:
    message = struct_pb2.Struct()
    json_format.ParseDict(plain, message)
    return message
