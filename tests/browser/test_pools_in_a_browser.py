"""The operator's page in a browser: it follows the operator, has a way by keyboard, and breaks no rule of axe-core."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from playwright.sync_api import Page, expect
from prometheus_client import CollectorRegistry
from test_controls import RULES

from conftest import DESKTOP, PHONE
from rtppool_core.contract.port_range import PortRange
from rtppool_core.net.http_endpoints import Health, listen, make_app
from rtppool_core.pages.static_files import StaticFiles, page_response
from rtppool_operator.page.page import PoolsPage
from rtppool_operator.pools.desired import Claim
from rtppool_operator.pools.spec import Pool, PoolSpec, RelayPod
from rtppool_operator.relays.observed import Failure, PoolObservation, RelayState
from rtppool_operator.status.conditions import add_times, conditions
from rtppool_operator.status.figures import figures
from rtppool_operator.status.memory import PoolView

pytestmark = pytest.mark.timeout(120)


def pool_view(name: str, reason: str) -> PoolView:
    pool = Pool("voice", name, f"uid-{name}", 3, "2026-01-01T00:00:00Z", PoolSpec(PortRange(10000, 10100)))
    relay = RelayState(RelayPod("rtp-relay-x7", "u", "worker-1", "10.0.0.7", 9090), failure=Failure(reason))
    observation = PoolObservation(Claim(pool, owned=("worker-1",)), (relay,))
    found = add_times(conditions(observation), [], 3, "2026-01-01T00:00:00Z")
    return PoolView(observation, {**figures(observation), "conditions": found})


@dataclass
class Served:
    """The page of these pools, served by a thread of its own."""

    views: list[PoolView]
    address: str = ""
    _ready: threading.Event = field(default_factory=threading.Event)
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    def run(self) -> None:
        async def page(_request: web.Request) -> web.StreamResponse:
            return page_response(PoolsPage("http").render(self.views, ()))

        async def begin() -> web.AppRunner:
            routes = {"/": page, **StaticFiles(["rtppool_operator.page"]).routes()}
            runner, port = await listen(make_app(CollectorRegistry(), Health, Health, routes), "127.0.0.1", 0)
            self.address = f"http://127.0.0.1:{port}/"
            return runner

        runner = self._loop.run_until_complete(begin())
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    def wait(self) -> None:
        assert self._ready.wait(30)

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)


@pytest.fixture
def served() -> Iterator[Served]:
    made = Served([pool_view("default", "connection refused")])
    thread = threading.Thread(target=made.run)
    thread.start()
    made.wait()
    yield made
    made.end()
    thread.join()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_no_violation_on_the_operators_page(
    served: Served, visit: Callable[..., Page], axe: str, size: tuple[int, int], scheme: str
) -> None:
    page = visit(served.address, size, scheme)
    expect(page.locator("#connection")).to_have_text("Live: this page follows the operator every 2 s.")
    page.evaluate(axe)
    found = page.evaluate("rules => axe.run(rules)", RULES)
    assert [(each["id"], [node["html"][:200] for node in each["nodes"]][:3]) for each in found["violations"]] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]


def test_the_page_follows_the_operator_and_names_its_silence(
    served: Served, visit: Callable[..., Page], errors: list[str]
) -> None:
    page = visit(served.address)
    expect(page.locator("main")).to_contain_text("connection refused")
    expect(page.get_by_role("link", name="worker-1")).to_have_attribute("href", "http://10.0.0.7:9090/")
    served.views.append(pool_view("second", "timed out"))
    expect(page.locator("main h2")).to_have_text(["voice/default", "voice/second"])
    page.route("**/*", lambda route: route.abort())
    expect(page.locator("#connection")).to_contain_text("The operator does not answer: these figures are old.")
    errors.clear()
