"""The look of every figure: colours, lines, sizes."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

# The colours of Okabe & Ito, which the colour-blind can distinguish; brown replaces their yellow, which is too
# pale for a line on white. The ninth optimizer has the first colour again, with another line style.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#6B4226")
STYLES = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2)))
LOOK: dict[Any, Any] = {
    "font.size": 9.0, "axes.titlesize": 9.0, "axes.labelsize": 9.0, "xtick.labelsize": 8.0, "ytick.labelsize": 8.0,
    "legend.fontsize": 8.5, "legend.frameon": False, "axes.spines.top": False, "axes.spines.right": False,
    "figure.dpi": 100.0, "savefig.dpi": 100.0,
}  # fmt: skip


class Picture(Figure):
    """A figure that notebooks show, with or without pyplot."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()


def save(figure: Picture, file: Path) -> None:
    """Write the figure as SVG, the same bytes each time."""
    with mpl.rc_context({"svg.hashsalt": file.stem, "svg.fonttype": "path"}):
        figure.savefig(file, format="svg", metadata={"Date": None})


@dataclass(frozen=True)
class Style:
    """The line style of an optimizer, given by its place in the sweep and the same in all of its figures."""

    place: int

    @property
    def colour(self) -> str:
        return COLOURS[self.place % len(COLOURS)]

    @property
    def line(self) -> Any:
        return STYLES[self.place // len(COLOURS) % len(STYLES)]
