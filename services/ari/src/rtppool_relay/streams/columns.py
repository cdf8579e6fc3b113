"""Columns of many streams in one: rows lie stream by stream, and an owner column says whose each row is.

One numpy call over all streams costs little more than the same call over one, and a relay has hundreds of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]


class OwnerGroups:
    """Where each owner's rows begin and end; `owners` must be ascending and not empty.

    `ordinals` numbers the groups for each row: 0 for the rows of the first owner that has any.
    """

    __slots__ = ("ends", "ordinals", "owners", "starts")

    def __init__(self, owners: Int64s) -> None:
        changes = np.flatnonzero(owners[1:] != owners[:-1]) + 1
        self.starts: Int64s = np.concatenate(([0], changes))
        self.ends: Int64s = np.concatenate((changes, [owners.size]))
        self.owners: list[int] = owners[self.starts].tolist()
        self.ordinals: Int64s = np.repeat(np.arange(self.starts.size), self.ends - self.starts)

    def sums(self, values: NDArray[Any]) -> list[int]:
        """Sum of each group; of flags, their number."""
        sums: list[int] = np.add.reduceat(values, self.starts, dtype=np.int64).tolist()
        return sums


def before(values: Int64s, groups: OwnerGroups, carried: Sequence[int]) -> Int64s:
    """The value one row earlier of the same owner; for each owner's first row, what is carried of its last batch."""
    shifted = np.empty_like(values)
    shifted[1:] = values[:-1]
    shifted[groups.starts] = carried
    return shifted


def wrapped_steps(timestamps: Int64s, earlier: Int64s) -> Int64s:
    """How many ticks each 32-bit timestamp is ahead of the earlier one, from -2^31 to 2^31 - 1."""
    steps: Int64s = ((timestamps - earlier + (1 << 31)) & 0xFFFF_FFFF) - (1 << 31)
    return steps
