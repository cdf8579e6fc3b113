"""The part of an API server that the operator uses, over a real socket. lab/faults/operator has a real one.

Pools are in memory, with resource versions and a watch. Every other path answers a document of the test. A test may
answer any request with `instead`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

POOLS = "/apis/rtppool.dev/v1alpha1/rtppools"
GROUP_VERSION = "/apis/rtppool.dev/v1alpha1"
Instead = Callable[[web.Request], web.StreamResponse | None]


def _nothing(_request: web.Request) -> web.StreamResponse | None:
    return None


def refusal(code: int, message: str, **details: Any) -> web.Response:
    """A Status of the API server."""
    document = {"kind": "Status", "status": "Failure", "code": code, "reason": "Invalid", "message": message}
    return web.json_response({**document, "details": details}, status=code)


@dataclass
class ApiStandIn:
    """Answers by path. `requests` are (method, path, Accept) in order."""

    port: int = 0
    documents: dict[str, Any] = field(default_factory=dict)
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    instead: Instead = field(default_factory=lambda: _nothing)
    watches: list[web.StreamResponse] = field(default_factory=list)
    other_watches: dict[str, list[web.StreamResponse]] = field(default_factory=dict)
    pools: dict[str, dict[str, Any]] = field(default_factory=dict)
    version: int = 1
    bodies: list[Any] = field(default_factory=list)
    _runner: web.AppRunner | None = None
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def begin(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]

    async def end(self) -> None:
        self._ended.set()
        if self._runner is not None:
            await self._runner.cleanup()

    def kubeconfig(self, folder: Path, server: str | None = None) -> Path:
        path = folder / "kubeconfig"
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "c", "cluster": {"server": server or f"http://127.0.0.1:{self.port}"}}],
                    "users": [{"name": "u", "user": {"token": "t"}}],
                    "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                    "current-context": "x",
                }
            )
        )
        return path

    def count(self, method: str, path: str) -> int:
        return sum(1 for asked, where, _ in self.requests if (asked, where) == (method, path))

    async def put_pool(self, name: str, generation: int = 1) -> dict[str, Any]:
        self.version += 1
        known = name in self.pools
        self.pools[name] = {
            "apiVersion": "rtppool.dev/v1alpha1",
            "kind": "RtpPool",
            "metadata": {
                "namespace": "voice",
                "name": name,
                "uid": f"uid-{name}",
                "generation": generation,
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "resourceVersion": str(self.version),
            },
            "spec": {"portRange": {"start": 10000, "end": 10100}},
        }
        await self.emit("MODIFIED" if known else "ADDED", self.pools[name])
        return self.pools[name]

    async def emit(self, kind: str, document: dict[str, Any], path: str = POOLS) -> None:
        for watch in list(self.watches if path == POOLS else self.other_watches.get(path, [])):
            # A client that has just gone lists again when it comes back.
            with contextlib.suppress(ConnectionResetError):
                await watch.write(json.dumps({"type": kind, "object": document}).encode() + b"\n")

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path, request.headers.get("Accept", "")))
        if request.method in {"POST", "PATCH", "PUT"}:
            self.bodies.append(json.loads(await request.text()))
        other = self.instead(request)
        if other is not None:
            return other
        if request.path == POOLS and request.query.get("watch"):
            return await self._watch(request, self.watches)
        if request.path == POOLS:
            return web.json_response({**_list("RtpPoolList", [*self.pools.values()], self.version)})
        document = self.documents.get(request.path)
        if document is None:
            return refusal(404, "not found")
        if request.query.get("watch"):
            return await self._watch(request, self.other_watches.setdefault(request.path, []))
        return web.json_response(_select(document, request.query.get("labelSelector")))

    async def _watch(self, request: web.Request, watches: list[web.StreamResponse]) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        watches.append(response)
        try:
            await self._ended.wait()
        finally:
            watches.remove(response)
        return response


def _list(kind: str, items: list[Any], version: int = 1) -> dict[str, Any]:
    return {"kind": kind, "apiVersion": "v1", "metadata": {"resourceVersion": str(version)}, "items": items}


def _select(document: dict[str, Any], selector: str | None) -> dict[str, Any]:
    """Return the items of a list that have the labels of a selector."""
    if not selector:
        return document
    wanted = dict(pair.split("=") for pair in selector.split(","))
    items = [item for item in document["items"] if wanted.items() <= item["metadata"].get("labels", {}).items()]
    return {**document, "items": items}


def make_list(*items: Any) -> dict[str, Any]:
    """A list of built-in objects, of the version of the latest of them."""
    versions = (int(each["metadata"].get("resourceVersion", 1)) for each in items)
    return _list("List", list(items), max(versions, default=1))


DISCOVERY: dict[str, Any] = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    # kopf waits for the resource of namespaces, although it lists none.
    "/api/v1": {
        "kind": "APIResourceList",
        "groupVersion": "v1",
        "resources": [{"name": "namespaces", "singularName": "namespace", "namespaced": False, "kind": "Namespace"}],
    },
    "/apis": {
        "groups": [
            {
                "name": "rtppool.dev",
                "versions": [{"groupVersion": "rtppool.dev/v1alpha1", "version": "v1alpha1"}],
                "preferredVersion": {"groupVersion": "rtppool.dev/v1alpha1", "version": "v1alpha1"},
            }
        ]
    },
    GROUP_VERSION: {
        "kind": "APIResourceList",
        "groupVersion": "rtppool.dev/v1alpha1",
        "resources": [
            {
                "name": "rtppools",
                "singularName": "rtppool",
                "namespaced": True,
                "kind": "RtpPool",
                "verbs": ["list", "watch"],
            }
        ],
    },
}


RELAY_LABELS = {
    "app.kubernetes.io/name": "rtp-pool",
    "app.kubernetes.io/instance": "calls",
    "app.kubernetes.io/component": "relay",
}


def relay_pod(name: str = "relay-a", **metadata: Any) -> dict[str, Any]:
    """A relay's running pod on node a."""
    return {
        "metadata": {"name": name, "uid": f"uid-{name}", "labels": RELAY_LABELS, "resourceVersion": "2", **metadata},
        "spec": {
            "nodeName": "a",
            "containers": [
                {"name": "relay", "ports": [{"containerPort": 10000}, {"name": "http", "containerPort": 9090}]}
            ],
        },
        "status": {"phase": "Running", "podIP": "192.0.2.1"},
    }
