"""What the picture of a problem shows, as numbers: whoever draws decides how."""

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

    lines, dots: by the name in the legend, the numbers along the two axes.
    bars: the same, as a histogram whose bars are centred there.
    caption: a sentence on what to see.
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
    """A contour of the loss over a plane, with the paths of some optimizers in it.

    window: (low, high) along each axis of the plane.
    paths: names and values of optimizers, which start where the instance does or at `start`.
    steps: how many of them are drawn.
    origin, axes: x = origin + a axes[0] + b axes[1]; None where the problem is two-dimensional itself.
        Paths are projected onto the plane.
    log: whether the levels are spaced by the logarithm of the height above the floor.
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
