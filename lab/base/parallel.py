"""Long jobs side by side: builds of programs load the processors, images the network."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

from lab.base.steps import Steps


def side_by_side(steps: Steps, *jobs: Callable[[], object]) -> None:
    """Run all jobs to their end. When one fails, or the user interrupts, the steps of the others are stopped.

    Raises:
        Exception: that of the job that failed first.
    """
    with ThreadPoolExecutor(max_workers=len(jobs)) as pool:
        futures = [pool.submit(job) for job in jobs]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        except BaseException:
            steps.stop()
            raise
