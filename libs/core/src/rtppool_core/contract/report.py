"""`/status` of a relay: its configuration, ports, calls and figures. The operator relies on no other source.

A figure that was not measured is absent, never 0. Histograms are exported sparse, with their scheme, so that the
operator merges relays by adding counts.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Literal

from msgspec import Meta, field

from rtppool_core.contract.codec import Contract
from rtppool_core.contract.figures import MAX_NUMBER, Number, PacketCounts
from rtppool_core.statistics.bursts import BurstCounts
from rtppool_core.statistics.histogram import BUCKETS, SCHEME, Histogram, SchemeError
from rtppool_core.units import NS_PER_US

VERSION = 1
MAX_TEXT = 4_096
MAX_PORTS = 1 << 16
MAX_WINDOW_SECONDS = 3_600
MAX_PROCESSORS = 1 << 16

# Readers reject a longer text, and a number outside these bounds.
Text = Annotated[str, Meta(max_length=MAX_TEXT)]
PortCount = Annotated[int, Meta(ge=0, le=MAX_PORTS)]
Bucket = Annotated[int, Meta(ge=0, lt=BUCKETS)]
Nanoseconds = Annotated[int, Meta(ge=0, le=MAX_NUMBER * NS_PER_US)]
AddedNanoseconds = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
CpuSeconds = Annotated[float, Meta(ge=0, le=MAX_WINDOW_SECONDS * MAX_PROCESSORS)]
HostNumber = Annotated[int, Meta(ge=0, le=MAX_WINDOW_SECONDS * MAX_PROCESSORS * 1_000)]

AriState = Literal["Connected", "NotConfigured", "Unreachable", "Unauthorized", "Replaced"]
SlaResult = Literal["Met", "Violated", "Unknown"]
# Of the echo's host time: the relay's own witnesses on this machine, the echo's answers, or no witness.
EchoWitness = Literal["ThisMachine", "Reported", "NotReported"]


class HistogramExport(Contract, frozen=True):
    """A histogram's non-empty buckets as (bucket, count) in ascending order, and its exact extremes in ns."""

    counts: tuple[tuple[Bucket, Number], ...]
    min_ns: Nanoseconds
    max_ns: Nanoseconds
    scheme: Text = SCHEME


def export_histogram(histogram: Histogram) -> HistogramExport | None:
    """Return None for an empty histogram, because a figure that was not measured is absent."""
    if histogram.min_ns is None or histogram.max_ns is None:
        return None
    return HistogramExport(tuple(sorted(histogram.counts.items())), histogram.min_ns, histogram.max_ns)


def import_histogram(export: HistogramExport) -> Histogram:
    """Return the histogram of an export.

    Raises:
        SchemeError: another scheme.
    """
    if export.scheme != SCHEME:
        raise SchemeError(f"histogram scheme {export.scheme!r}; accepted is {SCHEME}")
    histogram = Histogram()
    histogram.add_buckets(export.counts, export.min_ns, export.max_ns)
    return histogram


class PoolReference(Contract, frozen=True):
    """The pool whose configuration the relay runs."""

    name: Text
    namespace: Text
    uid: Text


class Quarantine(Contract, frozen=True):
    """A port that could not be bound, and the reason."""

    port: int
    reason: Text


class PortsReport(Contract, frozen=True):
    """`total = free + leased + resting + quarantined`, always; excluded ports are not in total.

    `draining` counts leased ports outside the current range; they are not in total either. `range` is `10000-10100`.
    `leaked` counts released leases without a call since the relay started.
    """

    range: Text
    total: PortCount
    free: PortCount
    leased: PortCount
    resting: PortCount
    quarantined: PortCount
    excluded: PortCount
    draining: PortCount
    reused_early: Number = 0
    quarantine: tuple[Quarantine, ...] = ()
    leaked: Number = 0


class DurationsReport(Contract, frozen=True):
    """Durations since the relay started. `buckets` are (upper edge in µs, values up to it), edges ascending."""

    samples: int
    sum_microseconds: int
    p50_microseconds: int
    p95_microseconds: int
    p99_microseconds: int
    max_microseconds: int
    buckets: tuple[tuple[int, int], ...] = ()


class CallsReport(Contract, frozen=True):
    """`active`, `shared`, `silent` and `one_way` are now; the others count since the relay started.

    `arrived = refused + left_before_answer + ended + active`, always; `arrived` are new callers and calls that
    were found in Asterisk for adoption. `refused` is by reason, `ended_by` by the event that ended the call and adds
    up to `ended`; `cut` are those that ended by a fault or at a drain's deadline.

    `shared`: a third channel is in the bridge. `silent`: Asterisk has not sent a packet. `one_way`: it sends, and no
    packet returns to it. `went_silent` and `went_one_way` count all such calls, also past ones. `setup` is from
    StasisStart to both channels in the bridge, `first_return` from Asterisk's first packet to its return, `refusal`
    from StasisStart to the refused caller's return to the dialplan.

    `handed_over` are adopted calls whose previous relay recorded its departure. `gap` runs from that time to the first
    packet at this relay.
    """

    active: PortCount
    accepted: int
    ended: int
    cut: int
    adopted: int
    refused: dict[Text, int]
    orphans_deleted: int = 0
    arrived: int = 0
    left_before_answer: int = 0
    ended_by: dict[Text, int] = field(default_factory=dict)
    shared: int = 0
    silent: int = 0
    one_way: int = 0
    went_silent: int = 0
    went_one_way: int = 0
    setup: DurationsReport | None = None
    first_return: DurationsReport | None = None
    refusal: DurationsReport | None = None
    handed_over: int = 0
    gap: DurationsReport | None = None


class AriReport(Contract, frozen=True):
    """The connection to Asterisk. `reason` is a sentence whenever `state` is not `Connected`.

    `events_ignored` counts events that could not be parsed.
    """

    state: AriState
    reconnects: int
    url: Text | None = None
    application: Text | None = None
    since_unix_seconds: int | None = None
    reason: Text | None = None
    events_ignored: int = 0


class MediaReport(Contract, frozen=True):
    """Media processes: those that are up, restarts, rows lost to a slow reader.

    `streams_unjudged`: SSRCs that replaced each other too fast for lateness, jitter and gaps.
    `real_time`: they have real-time priority, so that no ordinary thread of the node delays packets.
    """

    workers: int
    workers_up: int
    restarts: int
    row_overruns: int
    dropped: dict[Text, int]
    real_time: bool = False
    streams_unjudged: int = 0


class DepartureErrorReport(Contract, frozen=True):
    """Delay of the kernel's departure stamps after the relay's own clock readings, over the latest `samples`."""

    samples: int
    p50_ns: int
    p99_ns: int
    max_ns: int


class ClockReport(Contract, frozen=True):
    """Sources of times: `stamps` is `kernel` or `user`; `steps` and `slews` count moves of the wall clock.

    Departures are read by the media process just before the send; the kernel stamps one in a hundred as well.
    """

    stamps: Literal["kernel", "user"]
    steps: int
    samples_dropped: int
    departure_error: DepartureErrorReport | None = None
    reason: Text | None = None
    slews: int = 0


class EchoReport(Contract, frozen=True):
    """The echo's state at this relay. `reachable` is None before the first packet to it."""

    host: Text
    port: Annotated[int, Meta(ge=0, lt=MAX_PORTS)]
    resolved_address: Text | None = None
    reachable: bool | None = None
    reason: Text | None = None


class LateByCause(Contract, frozen=True):
    """Packets that left for Asterisk more than the threshold behind the RTP clock, by the largest part of it.

    `host`: the machine took the processor away; absent where no witness places such time, and from earlier relays.
    `judged` packets count towards `maxLatePpm`, under `judgeHost` with the host's part of their delay. Earlier relays
    do not report it, and judge all of `relay` and `echo`.
    """

    source: Number = 0
    relay: Number = 0
    echo: Number = 0
    host: Number | None = None
    judged: Number | None = None

    @property
    def all_causes(self) -> int:
        """All late packets."""
        return self.source + self.here

    @property
    def here(self) -> int:
        """Packets late by relay, echo or host."""
        return self.relay + self.echo + (self.host or 0)

    @property
    def counted(self) -> int:
        """Packets that count towards `maxLatePpm`."""
        return self.relay + self.echo if self.judged is None else self.judged


class ReorderingReport(Contract, frozen=True):
    """The maxima over reordered packets (RFC 4737).

    `max_extent` is in packets (4.2.3). The late time counts from the packet that should have followed (4.3.3). `max_n`
    is the largest n of n-reordering (5.3): 3 and more make TCP retransmit.
    """

    max_extent: Number
    max_late_microseconds: Number
    max_n: Number


class DirectedLossReport(Contract, frozen=True):
    """Lost packets by direction, from the echo's own count. `undetermined` where the count is not conclusive."""

    to_echo: Number
    from_echo: Number
    undetermined: Number


class BurstsReport(Contract, frozen=True):
    """Loss of either leg by RFC 3611 section 4.7.2 (Gmin 16): counts that add up, and the means from them.

    Densities are shares of packets lost in 1/256, durations means; `gaps` are those that have ended, `gap_density` is
    over all packets outside bursts.
    """

    expected: Number
    lost: Number
    runs: Number
    bursts: Number
    burst_packets: Number
    burst_lost: Number
    burst_ns: AddedNanoseconds
    gaps: Number
    gap_packets: Number
    gap_ns: AddedNanoseconds
    burst_density: Number | None = None
    gap_density: Number | None = None
    mean_burst_microseconds: int | None = None
    mean_gap_microseconds: int | None = None


def export_bursts(counts: BurstCounts, expected: int) -> BurstsReport | None:
    """Return counts and means over `expected` packets, or None when no packet was expected."""
    if expected <= 0:
        return None
    mean_burst_ns, mean_gap_ns = counts.mean_burst_ns(), counts.mean_gap_ns()
    return BurstsReport(
        expected=expected,
        lost=counts.lost,
        runs=counts.runs,
        bursts=counts.bursts,
        burst_packets=counts.burst_packets,
        burst_lost=counts.burst_lost,
        burst_ns=counts.burst_ns,
        gaps=counts.gaps,
        gap_packets=counts.gap_packets,
        gap_ns=counts.gap_ns,
        burst_density=counts.burst_density(),
        gap_density=counts.gap_density(expected),
        mean_burst_microseconds=None if mean_burst_ns is None else mean_burst_ns // NS_PER_US,
        mean_gap_microseconds=None if mean_gap_ns is None else mean_gap_ns // NS_PER_US,
    )


def import_bursts(export: BurstsReport) -> BurstCounts:
    """Return the counts of an export."""
    return BurstCounts(**{each.name: getattr(export, each.name) for each in fields(BurstCounts)})


class StreamFigures(PacketCounts, frozen=True, kw_only=True):
    """Figures that the reports of a window and of a call share.

    `packets` were sent to the echo and are answered or lost. Delay variation (PDV, RFC 5481) is the 99.9th percentile
    less the minimum: of the round trip, and of arrivals from Asterisk. Directions of loss need the echo's header
    extension. Jitter (RFC 3550) is the mean over packets, and its maximum. `skew_clamped`: a source's skew is beyond
    500 ppm, and counts as 500 in `skew_ppm`.

    R and MOS (ITU-T G.107) are estimates for a G.711 listener: absent below 100 packets, and where a packet had another
    codec. `g711_packet_microseconds` is the mean media of a packet; absent for another codec, and from earlier relays.
    """

    packets: Number
    answered: Number
    lost: Number
    late: LateByCause
    # Required, as version 1 always had them.
    reordered: Number
    duplicates: Number
    too_late: Number
    reordering: ReorderingReport | None = None
    directed_loss: DirectedLossReport | None = None
    bursts: BurstsReport | None = None
    jitter_microseconds: Number | None = None
    jitter_max_microseconds: Number | None = None
    source_jitter_microseconds: Number | None = None
    source_jitter_max_microseconds: Number | None = None
    pdv_microseconds: Number | None = None
    source_pdv_microseconds: Number | None = None
    skew_ppm: Annotated[int, Meta(ge=-MAX_NUMBER, le=MAX_NUMBER)] | None = None
    skew_clamped: bool | None = None
    g711_packet_microseconds: Number | None = None
    estimated_r_factor: float | None = None
    estimated_mos: float | None = None


class WindowReport(StreamFigures, frozen=True, kw_only=True):
    """Figures of the last closed seconds. The echo's residence and the network's round trip need its extension."""

    start_unix_seconds: int
    end_unix_seconds: int
    round_trip: HistogramExport | None = None
    residence: HistogramExport | None = None
    source_variation: HistogramExport | None = None
    echo_residence: HistogramExport | None = None
    network_round_trip: HistogramExport | None = None


class Windows(Contract, frozen=True):
    """Calls and probe apart: synthetic samples are never mixed with real ones. Absent without packets."""

    calls: WindowReport | None = None
    probe: WindowReport | None = None


class SlaViolation(Contract, frozen=True):
    """A limit, in the unit of its name, with the measured figure above it."""

    limit: Text
    accepted: Number
    measured: Number


class UnreachableTier(Contract, frozen=True):
    """A tier for more calls than the relay can carry. `reason` is a sentence."""

    up_to_calls: Number
    reason: Text


class SlaReport(Contract, frozen=True):
    """This relay's verdict over the window of its calls. `reason` is CamelCase, e.g. `NoCalls`.

    `capacity_calls` is the maximum of concurrent calls. `missing` names the limits that an unknown verdict has too few
    measurements for.
    """

    result: SlaResult
    reason: Text
    active_calls: Number
    tier_up_to_calls: Number | None = None
    above_tiers: bool = False
    violations: tuple[SlaViolation, ...] = ()
    capacity_calls: Number | None = None
    unreachable_tiers: tuple[UnreachableTier, ...] = ()
    missing: tuple[Text, ...] = ()


class WitnessReport(Contract, frozen=True):
    """A source of host time. `reason` is a clause and says why it can't be read; None: it is read.

    Names: `heartbeat`, `steal`, `runDelay`, `throttling`, `pressure`.
    """

    name: Text
    present: bool
    reason: Text | None = None


class HostReport(Contract, frozen=True):
    """Processor time that the machine took away in the SLA's window. A figure is absent where its witness is.

    `cpu_seconds` is the time that all processors of the machine had, and `stolen` what the hypervisor took of it.
    `run_delay` is how long the media processes waited for a processor. `throttled` is how long a CPU limit held this
    container back. In `pressure` some process waited for a processor. `heartbeat_late` is the sum over the watched
    processors, without the time in which the product's own processes ran.

    `late_packets` of calls are late by relay, echo or host. `late_in_host_seconds` of them were sent in a second with
    such time. `echo` says which witness covers the echo's processors; absent without an answer. `sentence` names the
    host's share; absent while no packet is late.
    """

    window_seconds: Annotated[int, Meta(ge=0, le=MAX_WINDOW_SECONDS)]
    cpu_seconds: CpuSeconds | None = None
    stolen_milliseconds: HostNumber | None = None
    run_delay_milliseconds: HostNumber | None = None
    throttled_milliseconds: HostNumber | None = None
    throttled_periods: HostNumber | None = None
    pressure_milliseconds: HostNumber | None = None
    heartbeat_late_milliseconds: HostNumber | None = None
    late_packets: HostNumber | None = None
    late_in_host_seconds: HostNumber | None = None
    echo: EchoWitness | None = None
    witnesses: tuple[WitnessReport, ...] = ()
    sentence: Text | None = None


# Every code that a relay of this version reports, in the order of docs/asterisk.md.
FINDING_CODES = (
    *("EphemeralRange", "PortsNotBound", "ReceiveBuffer", "FileLimit", "ReceiveStamps", "ProcessorStolen", "CpuLimit"),
    *("ProcessorBusy", "HostWitnesses", "RealTimeRefused", "AddressFamilies", "HostUnread", "ComparisonIncomplete"),
    *("JobFailed", "AsteriskRange", "NodePorts", "AdvertisedAddress", "AsteriskSource"),
)


class Finding(Contract, frozen=True):
    """A condition of the relay's host that costs calls or packets: a CamelCase code and a sentence with the remedy.

    `inferred`: not read from the host, but concluded from packets of calls, or assumed.
    """

    code: Text
    sentence: Text
    inferred: bool = False


class Report(Contract, frozen=True):
    """The document of `/status`.

    `drain_deadline_seconds` limits live calls after the relay begins to stop: the lower of the pool's and the pod's
    value. It is absent where calls are handed over.

    `position` is opaque and names the start of the process: `/status?after=POSITION` waits for the next report. It is
    absent from earlier relays, which answer at once. A report that is not `whole` lacks `windows` and `host`, of which
    the reader has those of the last whole one.
    """

    relay: Text
    node: Text
    software_version: Text
    ready: bool
    not_ready: tuple[Text, ...]
    draining: bool
    ports: PortsReport
    calls: CallsReport
    ari: AriReport
    media: MediaReport
    clock: ClockReport
    echo: EchoReport
    sla: SlaReport
    windows: Windows
    version: int = VERSION
    drain_deadline_seconds: float | None = None
    pool: PoolReference | None = None
    applied_generation: Annotated[int, Meta(ge=0, le=(1 << 53) - 1)] | None = None
    config_error: Text | None = None
    preflight: tuple[Finding, ...] = ()
    host: HostReport | None = None
    position: Text | None = None
    whole: bool = True
