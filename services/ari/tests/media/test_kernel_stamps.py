from __future__ import annotations

import socket
import struct

from hypothesis import given
from hypothesis import strategies as st

from rtppool_relay.media.kernel_stamps import departure_stamp_ns, examine_kernel_stamps
from rtppool_testing.descriptors import no_free_descriptor

STAMP = (socket.SOL_SOCKET, 37, struct.pack("=qqqqqq", 5, 7, 0, 0, 0, 0))


def report(number: int, origin: int = 4) -> tuple[int, int, bytes]:
    return (socket.IPPROTO_IP, 11, struct.pack("=IBBBBII", 42, origin, 0, 0, 0, 0, number))


def test_this_kernel_stamps_what_it_receives_and_what_it_sends() -> None:
    facts = examine_kernel_stamps()
    assert (facts.stamps, facts.reason) == ("kernel", None)


def test_a_report_of_the_first_stamped_datagram_has_its_stamp() -> None:
    assert departure_stamp_ns([STAMP, report(0)]) == 5_000_000_007
    assert departure_stamp_ns([STAMP, report(9)]) is None


def test_reports_of_anything_else_are_no_stamp() -> None:
    assert departure_stamp_ns([STAMP]) is None
    assert departure_stamp_ns([report(0)]) is None
    assert departure_stamp_ns([STAMP, report(0, origin=2)]) is None


@given(st.lists(st.tuples(st.sampled_from([0, 1, 41]), st.sampled_from([11, 25, 37]), st.binary(max_size=60))))
def test_no_report_raises(ancillary: list[tuple[int, int, bytes]]) -> None:
    departure_stamp_ns(ancillary)


def test_stamps_that_can_not_be_examined_are_a_reason_and_no_end() -> None:
    with no_free_descriptor():
        facts = examine_kernel_stamps()
    assert facts.stamps == "user"
    assert "could not be examined (Too many open files: raise the limit of open files" in str(facts.reason)
