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
DOTS = 100.0  # per inch of a screen; bitmaps have twice as many
STYLES = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2)))
LOOK: dict[Any, Any] = {
    "font.size": 9.0, "axes.titlesize": 9.0, "axes.labelsize": 9.0, "xtick.labelsize": 8.0, "ytick.labelsize": 8.0,
    "legend.fontsize": 8.5, "legend.frameon": False, "axes.spines.top": False, "axes.spines.right": False,
    "figure.dpi": DOTS, "savefig.dpi": DOTS,
}  # fmt: skip


class Picture(Figure):
    """A figure that notebooks show, with or without pyplot.

    Attributes:
        caption: What to see; it is never drawn into the figure.
    """

    caption = ""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """Return the figure at twice the density of the screen, and the size at which it is shown."""
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=2 * DOTS)
        width, height = (round(DOTS * each) for each in self.get_size_inches())
        return file.getvalue(), {"width": width, "height": height}


def save(figure: Picture, file: Path, **metadata: str) -> None:
    """Write the figure as SVG, the same bytes each time.

    Args:
        figure: The figure.
        file: Where it is written.
        metadata: Its Title, Description and Identifier, as the file states them.
    """
    with mpl.rc_context({"svg.hashsalt": file.stem, "svg.fonttype": "path"}):
        figure.savefig(file, format="svg", dpi=2 * DOTS, metadata={"Date": None, **metadata})


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
