"""kopf's handlers: a table of contents. `kopf run -m rtppool_operator.handlers` runs the operator, too.

Only events are watched: change handlers, timers and daemons would set a finalizer, and with the operator down
`kubectl delete` would hang (tried with kopf 1.45). What the watch brings is no more than a wake-up: the operator lists
pools every two seconds anyway.
"""

from __future__ import annotations

import os
from typing import Any

import kopf

from rtppool_operator.app import start
from rtppool_operator.kube.kopf_watch import RUNNING, SEEN, configure
from rtppool_operator.pools.spec import GROUP, PLURAL, VERSION


@kopf.on.startup()
async def begin(settings: kopf.OperatorSettings, memo: kopf.Memo, **_: Any) -> None:
    """Have kopf write nothing anywhere. Under `kopf run` nobody else has started the operator."""
    configure(settings)
    if SEEN not in memo:
        running = await start(os.environ)
        memo[RUNNING], memo[SEEN] = running, running.reconciler.pool_seen
        # kopf looks once for what it should watch; what is defined later it would never see.
        await running.definition.served.wait()


@kopf.on.event(GROUP, VERSION, PLURAL)
async def pool_changed(memo: kopf.Memo, event: kopf.RawEvent, **_: Any) -> None:
    """A pool was made, edited or deleted, or its status was written."""
    metadata: Any = event["object"]["metadata"]
    gone = event["type"] == "DELETED"
    memo[SEEN](metadata["uid"], None if gone else metadata["generation"], metadata["resourceVersion"])


@kopf.on.cleanup()
async def end(memo: kopf.Memo, **_: Any) -> None:
    """Stop what was started here, and give the lease up."""
    if RUNNING in memo:
        await memo[RUNNING].end()
