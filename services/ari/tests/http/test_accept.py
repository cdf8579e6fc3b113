from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rtppool_relay.http.accept import preferred, weight_of

OFFERED = ("application/json; charset=utf-8", "text/html; charset=utf-8")
JSON, HTML = OFFERED
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("media_type", "weight"),
    [
        ("text/html;level=1", 1),
        ("text/html", 0.7),
        ("text/plain", 0.3),
        ("image/jpeg", 0.5),
        ("text/html;level=2", 0.4),
        ("text/html;level=3", 0.7),
    ],
)
def test_weights_are_those_of_the_example_in_rfc_7231(media_type: str, weight: float) -> None:
    header = "text/*;q=0.3, text/html;q=0.7, text/html;level=1, text/html;level=2;q=0.4, */*;q=0.5"
    assert weight_of(header, media_type) == weight


@pytest.mark.parametrize(
    ("accept", "answer"),
    [
        # Nothing said, or all the same: JSON, as curl and monitors expect.
        ("", JSON),
        ("*/*", JSON),
        ("text/html, application/json", JSON),
        ("application/json, text/html", JSON),
        ("text/html;q=0.5, application/json;q=0.5", JSON),
        # A person's browser.
        (FIREFOX, HTML),
        ("text/html", HTML),
        ("TEXT/HTML", HTML),
        ("text/*", HTML),
        ("text/html;charset=utf-8", HTML),
        ("text/html, */*", JSON),
        ("text/html, */*;q=0.9", HTML),
        ("text/html;q=0.2, */*;q=0.1", HTML),
        # A program that would rather have JSON, whatever the order.
        ("application/json", JSON),
        ("application/json, text/html;q=0.9", JSON),
        ("text/html;q=0.9, application/json", JSON),
        ("application/json, text/plain, */*", JSON),
        ("text/html;q=0.9, application/*;q=0.95", JSON),
        # 0 is «not acceptable», and the more specific range counts.
        ("application/json;q=0, */*", HTML),
        ("text/html;q=0, */*", JSON),
        ("text/html;q=0", JSON),
        ("text/*;q=1, text/html;q=0.1, application/json;q=0.2", JSON),
        # Another form of HTML than what there is.
        ("text/html;level=1, application/json;q=0.1", JSON),
        ("application/xhtml+xml, application/json;q=0.1", JSON),
        # None that there is, and what can't be read.
        ("image/png", JSON),
        ("text/html;q=2", JSON),
        ("text/html;q=0.1234, application/json;q=0.1", JSON),
        ("text/html;q=, application/json;q=0.1", JSON),
        ("text/html;q=x, application/json;q=0.1", JSON),
        ("html", JSON),
        ("/html, text/", JSON),
        (",, ,text/html,", HTML),
        # A mention in another place is none.
        ('application/json;note="text/html, text/html;q=1", text/html;q=0.1', HTML),
        ("application/json;note=text/html", JSON),
    ],
)
def test_the_answer_is_the_form_that_the_client_prefers(accept: str, answer: str) -> None:
    assert preferred(accept, OFFERED) == answer


@given(st.one_of(st.text(), st.text(alphabet="textml/*;,q=01.\"\\ %'-8:", max_size=60)))
@example("\udc80/html;q=\udcff")
def test_any_header_gets_an_answer(accept: str) -> None:
    assert preferred(accept, OFFERED) in OFFERED


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_the_higher_weight_wins_whatever_the_order(json_weight: int, html_weight: int) -> None:
    ranges = [f"application/json;q={json_weight / 1000:.3f}", f"text/html;q={html_weight / 1000:.3f}"]
    answer = HTML if html_weight > json_weight else JSON
    assert preferred(",".join(ranges), OFFERED) == preferred(",".join(reversed(ranges)), OFFERED) == answer
