"""kopf's handlers. `kopf run -m rtppool_operator.handlers` runs the operator, too.

They watch events only. Change handlers, timers and daemons would set a finalizer, and `kubectl delete` would hang while
the operator is down (seen with kopf 1.45).
"""

from __future__ import annotations

import os
from typing import Any

import kopf

from rtppool_operator.app import start
from rtppool_operator.kube.kopf_watch import APP, TAKE_POOL, configure
from rtppool_operator.pools.spec import GROUP, PLURAL, VERSION


@kopf.on.startup()
async def begin(settings: kopf.OperatorSettings, memo: kopf.Memo, **_: Any) -> None:
    """Configure kopf. Under `kopf run`, start the operator as well."""
    configure(settings)
    if TAKE_POOL not in memo:
        app = await start(os.environ)
        memo[APP], memo[TAKE_POOL] = app, app.take_pool
        # kopf discovers resources once, at its start, so the CRD must be served before.
        await app.definition.served.wait()


@kopf.on.event(GROUP, VERSION, PLURAL)
async def pool_changed(memo: kopf.Memo, event: kopf.RawEvent, **_: Any) -> None:
    """Give the pool to the operator: it was created, edited or deleted, or its status was written."""
    # Events of kopf's own list have no type.
    memo[TAKE_POOL](event["type"] or "ADDED", event["object"])


@kopf.on.cleanup()
async def end(memo: kopf.Memo, **_: Any) -> None:
    """Stop an operator that `begin` started."""
    if APP in memo:
        await memo[APP].stop()
