"""The result of the load generator: when each packet was due, sent, and returned (kernel stamp)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Nanoseconds = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Load:
    """The times of all packets: a row for each call, a column for each packet, wall clock in ns, 0 for never.

    `overflows` counts datagrams that the generator's own sockets dropped (SO_RXQ_OVFL). Such a loss is the generator's.
    """

    scheduled_ns: Nanoseconds
    sent_ns: Nanoseconds
    returned_ns: Nanoseconds
    warm_up_packets: int
    duplicates: int
    foreign: int
    send_errors: int
    overflows: int

    @property
    def sent(self) -> int:
        """The packets sent after the warm-up."""
        return int(np.count_nonzero(self._after_warm_up(self.sent_ns)))

    @property
    def returned(self) -> int:
        """The packets sent after the warm-up that returned."""
        return int(np.count_nonzero(self._after_warm_up(self.returned_ns)))

    @property
    def lost(self) -> int:
        """The packets sent and not returned, warm-up included."""
        return int(np.count_nonzero(self.sent_ns)) - int(np.count_nonzero(self.returned_ns))

    def lost_by_call(self) -> list[int]:
        """Return the lost packets of each call."""
        lost = np.count_nonzero(self.sent_ns, axis=1) - np.count_nonzero(self.returned_ns, axis=1)
        return [int(each) for each in lost]

    def round_trips_ns(self, *, from_schedule: bool) -> Nanoseconds:
        """Return the sorted round trips after the warm-up, from the time a packet was due, or from its sending."""
        begin = self._after_warm_up(self.scheduled_ns if from_schedule else self.sent_ns)
        end = self._after_warm_up(self.returned_ns)
        return np.sort((end - begin)[end > 0])

    def _after_warm_up(self, times: Nanoseconds) -> Nanoseconds:
        return times[:, self.warm_up_packets :]


def quantile(ordered: Nanoseconds, per_mille: int) -> float:
    """Return the quantile by nearest rank, the ceil(p*n)-th smallest; NaN without values."""
    if ordered.size == 0:
        return float("nan")
    return float(ordered[max(0, -(-per_mille * ordered.size // 1000) - 1)])


def read_load(records: Path, summary: dict[str, Any]) -> Load:
    """Read the generator's file of records."""
    shape = (summary["calls"], summary["packetsPerCall"], 3)
    packets = np.fromfile(records, np.int64).reshape(shape)
    return Load(
        scheduled_ns=packets[:, :, 0],
        sent_ns=packets[:, :, 1],
        returned_ns=packets[:, :, 2],
        warm_up_packets=summary["warmUpPackets"],
        duplicates=summary["duplicates"],
        foreign=summary["foreign"],
        send_errors=summary["sendErrors"],
        overflows=summary["overflows"],
    )
