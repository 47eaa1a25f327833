"""Draw how far each optimizer gets on each problem: a heat map, problems by subsection and optimizers by family."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
import pandas
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle

from benchmarks.plots.style import LOOK, Picture

CELL, GAP = 0.21, 0.35  # inches; of a cell
LEFT, RIGHT, TOP, BOTTOM = 3.3, 0.8, 1.5, 1.4  # inches, for words
COLOURMAP, ABSENT = "cividis", "#ffffff"  # cividis looks alike to the colour-blind
WRAP = 26  # characters of a subsection's title in a line


def heat_map(
    table: pandas.DataFrame,
    problems: Mapping[str, Sequence[str]],
    optimizers: Mapping[str, Sequence[str]],
) -> Picture:
    """Return the figure.

    Args:
        table: Problems × optimizers, the share of the ladder that each climbs, from 0 to 1; NaN is left white.
        problems: The rows from top to bottom, by subsection; empty groups are left out, as are names without a score.
        optimizers: The columns, by family.
    """
    rows, height = _places(problems, set(table.index))
    columns, width = _places(optimizers, set(table.columns))
    with matplotlib.rc_context(LOOK):
        size = width * CELL + LEFT + RIGHT, height * CELL + TOP + BOTTOM
        figure = Picture(figsize=size)
        box = LEFT / size[0], BOTTOM / size[1], width * CELL / size[0], height * CELL / size[1]
        axes = figure.add_axes(box)
        colours = matplotlib.colormaps[COLOURMAP]
        shares = table.stack(future_stack=True).astype(float).to_dict()
        for problem, y in rows.names.items():
            for optimizer, x in columns.names.items():
                share = shares[problem, optimizer]
                known = not np.isnan(share)
                colour = colours(share) if known else ABSENT
                axes.add_patch(
                    Rectangle(
                        (x, y), 0.92, 0.92, facecolor=colour, linewidth=0 if known else 0.4, edgecolor="#bbbbbb"
                    )
                )  # fmt: skip
        axes.set_xlim(0, width)
        axes.set_ylim(height, 0)
        axes.set_xticks(
            [x + 0.46 for x in columns.names.values()], list(columns.names), rotation=90
        )
        axes.set_yticks([y + 0.46 for y in rows.names.values()], list(rows.names))
        axes.tick_params(
            length=0, pad=2, labelsize=7, bottom=False, labelbottom=False, labeltop=True
        )
        for side in axes.spines.values():
            side.set_visible(False)
        for title, (first, last) in rows.groups.items():
            axes.text(
                -LEFT / CELL + 0.2, (first + last) / 2, _wrapped(title), va="center", fontsize=7.5, color="#555555"
            )  # fmt: skip
        for title, (first, last) in columns.groups.items():
            axes.text(
                (first + last) / 2, height + 0.3, title,
                rotation=90, ha="center", va="top", fontsize=7.5, color="#555555",
            )  # fmt: skip
        bar = figure.add_axes((1 - 0.62 / size[0], box[1] + box[3] / 4, 0.12 / size[0], box[3] / 2))
        scale = ScalarMappable(Normalize(0, 1), COLOURMAP)
        figure.colorbar(scale, cax=bar, ticks=[0, 0.5, 1])
        bar.set_title("share of\nthe ladder", fontsize=7.5, color="#555555")
        bar.tick_params(labelsize=7.5, length=2)
    return figure


class _Places:
    """Where names and groups are along an axis, in cells."""

    def __init__(self) -> None:
        self.names: dict[str, float] = {}
        self.groups: dict[str, tuple[float, float]] = {}


def _places(groups: Mapping[str, Sequence[str]], known: set[str]) -> tuple[_Places, float]:
    """Return the places of those names that are known, and the length of the axis; groups are a gap apart."""
    found, at = _Places(), 0.0
    for title, names in groups.items():
        there = [name for name in names if name in known]
        if there:
            found.groups[title] = at, at + len(there)
            found.names |= {name: at + k for k, name in enumerate(there)}
            at += len(there) + GAP
    return found, at - GAP


def _wrapped(title: str) -> str:
    return "\n".join(textwrap.wrap(title, WRAP))
