"""The picture of a bench: every figure with a target, as its share of the target."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lab.bench.results.figures import Figure
from lab.bench.results.report import Part

REACHED_COLOUR, MISSED_COLOUR = "#2a7f62", "#c0392b"
# A larger share is drawn at the edge, with its figure beside it.
MAX_SHARES = 3.0
WIDTH_INCHES, ROW_INCHES, MARGIN_INCHES = 10.0, 0.34, 1.2


def draw(parts: Sequence[Part], path: Path) -> bool:
    """Draw a PNG; return False without matplotlib or without a target above 0."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 installed by make bench only
        from matplotlib.figure import Figure as Canvas  # noqa: PLC0415 as above
    except ImportError:
        return False
    figures = [figure for part in parts if part.result for figure in part.result.figures if _share(figure)]
    if not figures:
        return False
    canvas = Canvas(figsize=(WIDTH_INCHES, MARGIN_INCHES + ROW_INCHES * len(figures)), layout="constrained")
    FigureCanvasAgg(canvas)
    axes = canvas.subplots()
    for row, figure in enumerate(reversed(figures)):
        target = figure.target or 1.0
        values = (
            (figure.high, figure.median, figure.low) if figure.at_least else (figure.low, figure.median, figure.high)
        )
        low, middle, high = (min(_share_of(value or 0.0, target, figure), MAX_SHARES) for value in values)
        colour = REACHED_COLOUR if figure.reached else MISSED_COLOUR
        axes.plot([low, high], [row, row], color=colour, linewidth=3, solid_capstyle="round")
        axes.plot([middle], [row], "o", color=colour)
        axes.annotate(
            f"{figure.median:.3g}", (high, row), xytext=(6, 0), textcoords="offset points", va="center", fontsize=8
        )
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_yticks(range(len(figures)), [figure.name for figure in reversed(figures)], fontsize=8)
    # Space for the figure beside the longest line.
    axes.set_xlim(0, 1.15 * MAX_SHARES)
    axes.set_xlabel("share of the target (1 = the limit); median, lowest to highest round")
    canvas.savefig(path, dpi=110)
    return True


def _share_of(value: float, target: float, figure: Figure) -> float:
    """Return the share of the target; of a lower bound the inverse, so that 1 is the limit of both."""
    if not figure.at_least:
        return value / target
    return target / value if value else MAX_SHARES


def _share(figure: Figure) -> bool:
    return bool(figure.target) and figure.median is not None
