"""What the picture of a problem shows, as numbers; `benchmarks.plots` draws them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import torch

Scale = Literal["linear", "log", "symlog"]
Line: TypeAlias = "tuple[torch.Tensor, torch.Tensor]"


@dataclass(frozen=True)
class Curves:
    """Measured numbers as dots and predicted ones as lines over one axis.

    A line and dots of one name belong together: they have one colour. All texts are plain: exponents and indices are
    Unicode's, as in 2ⁿ and h₁.

    Attributes:
        caption: A sentence on what to see.
        x_label: The label of the horizontal axis.
        y_label: The label of the vertical axis.
        lines: Predicted or exact numbers: by the name in the legend, those along the two axes, (count) each.
        dots: The same for measured numbers.
        bars: The same for a histogram, whose bars are centred there.
        paths: The same for the steps of a run, in their order, by the optimizer; each is drawn in a panel of its own.
        x_scale: "linear", "log" or "symlog".
        y_scale: "linear", "log" or "symlog".
        y_range: (low, high) of the vertical axis; None for all numbers.
    """

    caption: str
    x_label: str
    y_label: str
    lines: Mapping[str, Line] = field(default_factory=dict)
    dots: Mapping[str, Line] = field(default_factory=dict)
    bars: Mapping[str, Line] = field(default_factory=dict)
    paths: Mapping[str, Line] = field(default_factory=dict)
    x_scale: Scale = "linear"
    y_scale: Scale = "linear"
    y_range: tuple[float, float] | None = None


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
        variant: The problem that is drawn, such as one of two dimensions, in the place of the problem itself.
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
    variant: Any = None
