"""kopf's handlers: a table of contents. `kopf run -m rtppool_operator.handlers` runs the operator, too.

Only events are watched: change handlers, timers and daemons would set a finalizer, and with the operator down
`kubectl delete` would hang (tried with kopf 1.45).
"""

from __future__ import annotations

import os
from typing import Any

import kopf

from rtppool_operator.pool_spec import GROUP, PLURAL, VERSION
from rtppool_operator.running import start


@kopf.on.startup()
async def begin(settings: kopf.OperatorSettings, memo: kopf.Memo, **_: Any) -> None:
    """Start everything; kopf itself writes nothing anywhere."""
    settings.posting.enabled = False
    settings.scanning.disabled = True
    memo.running = await start(os.environ)


@kopf.on.event(GROUP, VERSION, PLURAL)
async def pool_changed(memo: kopf.Memo, event: kopf.RawEvent, **_: Any) -> None:
    """A pool was made, edited or deleted, or its status was written."""
    metadata: Any = event["object"]["metadata"]
    memo.running.reconciler.pool_seen(metadata["uid"], None if event["type"] == "DELETED" else metadata["generation"])


@kopf.on.cleanup()
async def end(memo: kopf.Memo, **_: Any) -> None:
    """Stop, and give the lease up."""
    await memo.running.end()
