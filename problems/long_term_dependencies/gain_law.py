"""The law of the factor by which a random layer multiplies the length of a vector."""

from __future__ import annotations

import math
from typing import Literal

import torch

Activation = Literal["linear", "relu"]


def log_gain_law(width: int, activation: Activation) -> tuple[float, float]:
    """Return the mean and the standard deviation of ln of one layer's factor at g = 1.

    The layer is an N × N matrix with entries N(0, g²/N). The factor squared is g²/N times a chi-squared number with as
    many degrees of freedom as entries pass, and ln of such a number with M has mean digamma(M/2) + ln 2 and variance
    trigamma(M/2). Of a linear layer all N entries pass, of a rectified one each with probability ½.

    Args:
        width: N.
        activation: What follows the matrix.

    Returns:
        The mean, to which ln g adds, and the standard deviation.
    """
    if activation == "relu":
        passing = torch.arange(1, width + 1, dtype=torch.float64)
        ways = math.lgamma(width + 1) - (passing + 1).lgamma() - (width - passing + 1).lgamma()
        share = ways.softmax(0)
    else:
        passing = torch.tensor([float(width)], dtype=torch.float64)
        share = torch.ones_like(passing)
    means = torch.special.digamma(passing / 2)
    mean = (share * means).sum()
    inner = torch.special.polygamma(1, passing / 2)
    variance = (share * (inner + (means - mean).square())).sum()
    return (mean.item() + math.log(2 / width)) / 2, math.sqrt(variance.item()) / 2
