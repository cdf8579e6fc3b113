from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rtppool_relay.ari.application_name import application_of_node, is_application_name

APPLICATIONS = st.from_regex(r"[A-Za-z0-9._-]{1,60}", fullmatch=True)


def test_a_node_s_application_has_the_node_s_name_behind() -> None:
    assert application_of_node("rtp-pool", "worker-1") == "rtp-pool-worker-1"


def test_a_name_that_would_be_too_long_ends_with_a_digest_of_the_node_s() -> None:
    node = "ip-10-0-12-137.a-rather-long-name-of-a-region.compute.internal.example"
    assert (
        application_of_node("rtp-pool", node)
        == "rtp-pool-ip-10-0-12-137.a-rather-long-name-of-a-region.compute.i-ef7b36ef"
    )


@given(APPLICATIONS, st.text(max_size=300))
def test_asterisk_accepts_the_application_of_a_node_of_any_name(application: str, node: str) -> None:
    assert is_application_name(application_of_node(application, node))


@given(APPLICATIONS, st.text(max_size=300), st.text(max_size=300))
def test_two_nodes_have_two_applications(application: str, node: str, other: str) -> None:
    same = application_of_node(application, node) == application_of_node(application, other)
    assert same == (node == other)
