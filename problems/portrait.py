"""What the picture of a problem shows, as numbers; `benchmarks.plots` draws them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import torch

Scale = Literal["linear", "log", "symlog"]
Line: TypeAlias = "tuple[torch.Tensor, torch.Tensor]"


@dataclass(frozen=True)
class Curves:
    """Measured numbers as dots and predicted ones as lines over one axis.

    Attributes:
        caption: A sentence on what to see.
        x_label: The label of the horizontal axis.
        y_label: The label of the vertical axis.
        lines: By the name in the legend, the numbers along the two axes, (count) each.
        dots: The same, as dots.
        bars: The same, as a histogram whose bars are centred there.
        x_scale: "linear", "log" or "symlog".
        y_scale: "linear", "log" or "symlog".
    """

    caption: str
    x_label: str
    y_label: str
    lines: Mapping[str, Line] = field(default_factory=dict)
    dots: Mapping[str, Line] = field(default_factory=dict)
    bars: Mapping[str, Line] = field(default_factory=dict)
    x_scale: Scale = "linear"
    y_scale: Scale = "linear"


@dataclass(frozen=True)
class Plane:
    """Contours of the loss over a plane, with the paths of some optimizers.

    Attributes:
        caption: A sentence on what to see.
        window: (low, high) along each axis of the plane.
        paths: Names and hyperparameters of optimizers.
        steps: How many steps are drawn.
        start: Where the paths start, (dim,); by default where the instance does.
        origin: A point of the plane, (dim,): x = origin + a axes[0] + b axes[1]. None if the problem is
            two-dimensional itself. Paths are projected onto the plane.
        axes: The two directions, (2, dim).
        x_label: The label of the first axis.
        y_label: The label of the second axis.
        log: True if the levels are spaced by the logarithm of the height above the floor.
    """

    caption: str
    window: tuple[tuple[float, float], tuple[float, float]]
    paths: tuple[tuple[str, Mapping[str, float]], ...]
    steps: int = 100
    start: torch.Tensor | None = None
    origin: torch.Tensor | None = None
    axes: torch.Tensor | None = None
    x_label: str = "x₁"
    y_label: str = "x₂"
    log: bool = True
