"""Draw contours of a loss over a plane: window, levels, lines."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize
from matplotlib.contour import QuadContourSet
from matplotlib.ticker import LogFormatterSciNotation, MaxNLocator

from benchmarks.engine.status import DIVERGED, SOLVED

GRID = 201  # points per side
SHADE = LinearSegmentedColormap.from_list("pale", ["#ffffff", "#a9b0b8"])


def window(paths: Sequence[tuple[np.ndarray, str]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower left and the upper right corner of the plotted window.

    It contains the solved paths (or the missed ones if none is solved), except those that go more than three
    times the median distance from the start, because one far path would leave no room for the others. No side
    is less than a quarter of the other. If all paths go to infinity, the width is set by the size of the start.
    """
    start = paths[0][0][0]
    solving = [points for points, status in paths if status == SOLVED]
    missing = [points for points, status in paths if status not in (SOLVED, DIVERGED)]
    shown = solving or missing or [start[None]]
    reach = np.array([np.abs(points - start).max() for points in shown])
    near = np.concatenate(
        [points for points, far in zip(shown, reach, strict=True) if far <= 3 * np.median(reach)]
    )
    low, high = near.min(axis=0), near.max(axis=0)
    middle, side = (low + high) / 2, 1.24 * (high - low)
    half = np.maximum(side, side.max() / 4 or 2 * np.abs(start).max() or 1.0) / 2
    return middle - half, middle + half


def contours(
    axes: Axes,
    sides: Sequence[np.ndarray],
    height: np.ndarray,
    logarithmic: bool,
    target: float | None,
) -> QuadContourSet:
    """Draw levels of the gap `height` over a plane; the level of the target is dotted.

    The levels are a bitmap, also in an SVG, which would have thousands of corners otherwise.

    Returns:
        What `height_bar` explains.
    """
    finite = height[np.isfinite(height)]
    levels = level_heights(finite, logarithmic, target)
    norm = (LogNorm if logarithmic else Normalize)(levels[0], levels[-1])
    drawn = axes.contourf(
        *sides, height, levels=levels, norm=norm, cmap=SHADE, extend="both", antialiased=False
    )
    drawn.set_rasterized(True)
    if target is not None and finite.min() < target < finite.max():
        axes.contour(*sides, height, levels=[target], colors="0.2", linewidths=1, linestyles=":")
    axes.set_xlim(sides[0][0], sides[0][-1])
    axes.set_ylim(sides[1][0], sides[1][-1])
    return drawn


def height_bar(drawn: QuadContourSet, axes: Sequence[Axes], logarithmic: bool) -> None:
    """Draw which shade is which gap beside some axes with the same levels."""
    bar = axes[0].figure.colorbar(drawn, ax=axes, label="relative gap", pad=0.02)
    if logarithmic:
        bar.set_ticks(
            [
                each
                for each in drawn.levels
                if abs(math.log10(each) - round(math.log10(each))) < 1e-9
            ]
        )
        bar.formatter = LogFormatterSciNotation()


def level_heights(heights: np.ndarray, logarithmic: bool, target: float | None) -> np.ndarray:
    """Return about a dozen heights at which contours are drawn."""
    if not logarithmic:
        return np.asarray(MaxNLocator(12).tick_values(heights.min(), heights.max()))
    bottom, top = np.quantile(heights, [0.002, 0.998])
    return _log_levels(bottom, top, target or 1e-4)


def _log_levels(bottom: float, top: float, target: float) -> np.ndarray:
    """Return about a dozen levels, with whole decades among them, up to a gap of 1e6 if necessary."""
    bottom = max(bottom, target / 10)
    top = min(max(top, 10 * bottom), max(1e6, 10 * bottom))
    decades = math.log10(top / bottom)
    parts = 4 if decades <= 3 else 2 if decades <= 6 else 1  # levels per decade
    first, last = math.floor(parts * math.log10(bottom)), math.ceil(parts * math.log10(top))
    return 10 ** (np.arange(first, last + 1) / parts)
