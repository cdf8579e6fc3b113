"""The definition of RtpPool (the CRD), applied where the cluster's is missing or older.

The image has a copy, because the CRD of the cluster may belong to no release. A pre-upgrade Job applies it
(`python -m rtppool_operator.kube.crd`), and so does the operator at its start, in the background. A newer revision
stays.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from rtppool_core.process import logs
from rtppool_core.process.early_stop import exit_on_signals
from rtppool_core.process.logs import FORMATS, LEVELS
from rtppool_core.process.settings import Environment, SettingsError
from rtppool_operator.kube.api_server import ApiServer, ClusterError, connect
from rtppool_operator.pools.parsing import spec_schema
from rtppool_operator.pools.spec import CRD_NAME, GROUP, VERSION
from rtppool_operator.settings import DEFAULT_CRD_FILE

log = logging.getLogger(__name__)

REVISION_ANNOTATION = "rtppool.dev/crd-revision"
# Helm's own, so that no later `helm upgrade` or rollback meets a conflict.
FIELD_MANAGER = "helm"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
# The API server serves a new definition within a second or two.
SERVED_WITHIN_SECONDS = 30.0
POLL_SECONDS = 0.2
RETRY_SECONDS = 1.0
# While the cluster's definition serves: an administrator has to grant or repair something first.
SLOW_RETRY_SECONDS = 60.0
APPLIED, READ = "applied", "read"
PATH = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{CRD_NAME}"


class DefinitionKeeper:
    """Keeps our definition in force. Few requests concern it, and they are urgent: nothing works without it.

    `served` is set as soon as pools can be watched, by any definition. Without `applies`, an administrator applies the
    definition, and the keeper waits for it. Requests raise ClusterError when they fail.
    """

    def __init__(self, api: ApiServer, ours: Mapping[str, Any], *, applies: bool = True) -> None:
        self._api = api
        self._ours = ours
        self._applies = applies
        self.served = asyncio.Event()
        # By action, so that two alternating problems are logged once each.
        self._problems = {APPLIED: "the definition of RtpPool was not read yet"}

    @property
    def problem(self) -> str | None:
        """Why our definition is not in force; None when it is."""
        return next(iter(self._problems.values()), None)

    async def run(self) -> None:
        """Apply our definition where it is newer, until that is done and pools are served."""
        applied = False
        while True:
            applied = applied or await self._attempt(APPLIED, self.apply)
            if not self.served.is_set() and await self._attempt(READ, self.serves_pools):
                self.served.set()
                log.info("pools are served")
            if applied and self.served.is_set():
                return
            await asyncio.sleep(SLOW_RETRY_SECONDS if self.served.is_set() else RETRY_SECONDS)

    async def apply(self) -> bool:
        """Apply our definition where the cluster's is missing or older. Return True.

        Raises:
            ClusterError: also while an older one stands that an administrator has to replace.
        """
        standing = await self.find_definition()
        found, ours = revision_of(standing), revision_of(self._ours)
        fields = {"crd": CRD_NAME, "standing": found, "ours": ours}
        if found >= ours:
            log.info("the definition of RtpPool is up to date", extra={"fields": fields})
        elif self._applies:
            await self.write_definition(replacement(standing, self._ours))
            log.info("the definition of RtpPool was applied", extra={"fields": fields})
        else:
            state = "is missing" if standing is None else f"has revision {found}"
            raise ClusterError(
                f"the CRD {CRD_NAME} {state}; this release needs revision {ours} and must not apply it "
                "(crds.install is false), so an administrator does"
            )
        return True

    async def serves_pools(self) -> bool:
        """Return whether pools can be listed and watched: the API server serves our group and version.

        It does so once the CRD is established, and the definition is the only one of the group.
        """
        path = f"/apis/{GROUP}/{VERSION}"
        return await self._api.find(f"get {path}", path) is not None

    async def wait_until_served(self, within_seconds: float = SERVED_WITHIN_SECONDS) -> None:
        """Wait until pools can be listed.

        Raises:
            ClusterError: also when it takes longer.
        """
        deadline = time.monotonic() + within_seconds
        while not await self.serves_pools():
            if time.monotonic() >= deadline:
                raise ClusterError(f"crd {CRD_NAME}: {VERSION} is not served after {within_seconds:.0f} s")
            await asyncio.sleep(POLL_SECONDS)

    async def find_definition(self) -> dict[str, Any] | None:
        """Return the CRD of the cluster; None without one."""
        return await self._api.find(f"get crd {CRD_NAME}", PATH)

    async def write_definition(self, document: Mapping[str, Any]) -> None:
        """Apply a CRD server-side, with the fields of other managers."""
        await self._api.apply(f"apply crd {CRD_NAME}", PATH, document, FIELD_MANAGER, urgent=True)

    async def _attempt(self, action: str, call: Callable[[], Awaitable[bool]]) -> bool:
        try:
            done = await call()
        except Exception as error:
            expected = isinstance(error, ClusterError)
            reason = str(error) if expected else repr(error)
            problem = f"the definition of RtpPool can't be {action}, so a new field may be missing: {reason}"
            if problem != self._problems.get(action):
                log.warning("%s", problem, exc_info=None if expected else error)
                self._problems[action] = problem
            return False
        self._problems.pop(action, None)
        return done


def revision_of(document: Mapping[str, Any] | None) -> int:
    """Return the revision in the annotation; 0 without one, -1 without a definition."""
    if document is None:
        return -1
    annotations = document.get("metadata", {}).get("annotations") or {}
    text = str(annotations.get(REVISION_ANNOTATION, "0"))
    return int(text) if text.isdecimal() else 0


def replacement(standing: Mapping[str, Any] | None, ours: Mapping[str, Any]) -> dict[str, Any]:
    """Return our definition with the labels and annotations of the cluster's.

    An apply removes the fields of its manager that it does not have. Without the annotations of a release, Helm would
    delete the CRD with its next upgrade.
    """
    if standing is None:
        return dict(ours)
    labels, kept = (standing["metadata"].get(kind) or {} for kind in ("labels", "annotations"))
    annotations = {name: value for name, value in kept.items() if name != LAST_APPLIED}
    annotations[REVISION_ANNOTATION] = str(revision_of(ours))
    return {**ours, "metadata": {"name": CRD_NAME, "labels": labels, "annotations": annotations}}


def read_definition(file: Path) -> dict[str, Any]:
    """Read the CRD file of the image.

    Raises:
        SettingsError: the file can't be read, or has no schema of our version of RtpPool.
    """
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
        spec_schema(document)
    except (OSError, ValueError, LookupError, TypeError, StopIteration, yaml.YAMLError) as error:
        cause = " ".join(f"{type(error).__name__} {error}".split())
        accepted = f"the CRD {CRD_NAME} with version {VERSION}"
        raise SettingsError((f"CRD_FILE={file}: {cause}; accepted is {accepted}",)) from error
    return dict(document)


async def install(definition: Mapping[str, Any]) -> None:
    """Apply a definition where the cluster's is missing or older, and wait until pools are served.

    Raises:
        ClusterError: the API server rejects the definition, can't be reached, or does not serve pools in time.
    """
    api = await connect()
    try:
        keeper = DefinitionKeeper(api, definition)
        await keeper.apply()
        await keeper.wait_until_served()
    finally:
        await api.close()


def main() -> int:
    """Apply the definition once. Return 0 when pools are served, 1 on failure, 2 for invalid settings."""
    env = Environment(os.environ)
    level, form = env.choice("LOG_LEVEL", "INFO", LEVELS), env.choice("LOG_FORMAT", "text", FORMATS)
    file = Path(env.text("CRD_FILE", DEFAULT_CRD_FILE))
    try:
        env.finish()
        logs.configure(level, form, sys.stderr)
        definition = read_definition(file)
        asyncio.run(install(definition))
    except SettingsError as error:
        print("\n".join(error.problems), file=sys.stderr)  # noqa: T201 the log is not configured yet
        return 2
    except ClusterError as error:
        log.error("the definition of RtpPool was not applied: %s", error)  # noqa: TRY400 expected, one line
        return 1
    return 0


if __name__ == "__main__":
    exit_on_signals()  # as process 1 of the upgrade's pod, it has no init
    sys.exit(main())
