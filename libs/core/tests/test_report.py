from __future__ import annotations

import pytest

from rtppool_core.histogram import BUCKETS, SchemeError
from rtppool_core.report import HistogramExport, import_histogram


def test_a_histogram_of_another_scheme_is_refused_by_name() -> None:
    with pytest.raises(SchemeError, match="histogram scheme 'other'; accepted is loglinear64-1us-60s"):
        import_histogram(HistogramExport(((1, 1),), 1100, 1100, scheme="other"))


@pytest.mark.parametrize("pair", [(-1, 1), (BUCKETS, 1), (5, -1)])
def test_a_bucket_that_can_not_be_is_refused(pair: tuple[int, int]) -> None:
    with pytest.raises(
        SchemeError, match=rf"bucket {pair[0]} with count {pair[1]}; accepted are buckets below {BUCKETS}"
    ):
        import_histogram(HistogramExport((pair,), 1100, 1100))
