"""The sizes of the scale run, with the bounds of their figures."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class EditBounds:
    """Seconds from an edit to ConfigMap, last annotation and status, as medians; None: no bound.

    `worst_published` is the worst of ConfigMap and of last annotation.
    """

    config: float | None = None
    annotated: float | None = None
    status: float | None = None
    worst_published: float | None = None


@dataclass(frozen=True, slots=True)
class Size:
    """A cluster, its edits and its bounds. The `part` of the command line runs it.

    The last pool has all relays that the others do not select. Calls move on `moving` relays. `whole_report_seconds`
    is the shortest time between two whole reports of a quiet relay. Shares are those of one processor.
    """

    part: str
    relays: int
    pools: int
    edits: int
    wide_edits: int
    moving: int
    quiet_seconds: float
    whole_report_seconds: float
    max_quiet_share: float
    max_moving_share: float | None
    max_resident_bytes: int
    narrow: EditBounds
    wide: EditBounds

    @property
    def title(self) -> str:
        """The title of its table."""
        return f"{self.relays:,} relays and {self.pools} pools"


# The operator asks for whole reports every 15 s, or every minute above 1,000 relays, less up to 30 %.
USUAL = Size(
    part="scale",
    relays=200,
    pools=50,
    edits=20,
    wide_edits=5,
    moving=200,
    quiet_seconds=30.0,
    whole_report_seconds=10.5,
    max_quiet_share=0.04,
    max_moving_share=0.12,
    max_resident_bytes=200 * MIB,
    narrow=EditBounds(0.10, 0.15, 0.5, worst_published=1.0),
    wide=EditBounds(worst_published=1.0),
)
LARGE = Size(
    part="scale-5000",
    relays=5_000,
    pools=200,
    edits=20,
    wide_edits=2,
    moving=500,
    quiet_seconds=60.0,
    whole_report_seconds=42.0,
    max_quiet_share=0.45,
    max_moving_share=None,
    max_resident_bytes=600 * MIB,
    narrow=EditBounds(1.0, 1.0, 2.0),
    wide=EditBounds(),
)
