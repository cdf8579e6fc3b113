from __future__ import annotations

import asyncio
import logging

from rtppool_testing.lost_exceptions import lost_exceptions


async def fail() -> None:
    raise ValueError("nobody handles this")


async def test_a_lost_exception_of_a_task_is_found_and_a_handled_one_is_not() -> None:
    logger = logging.getLogger("lost exceptions of this test")
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(
        lambda _loop, context: logger.error(context["message"], exc_info=context.get("exception"))
    )
    with lost_exceptions(logger.name) as lost:
        handled = asyncio.create_task(fail())
        await asyncio.gather(handled, return_exceptions=True)
        asyncio.create_task(fail())  # noqa: RUF006 nothing keeps it, on purpose
        loop.call_soon(lambda: 1 / 0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    callback, task = sorted(lost)
    assert callback.startswith("Exception in callback test_a_lost_exception")
    assert task.startswith("Task exception was never retrieved")
    assert "nobody handles this" in task
