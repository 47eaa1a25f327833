"""What is left of the error after descent and Adam on layers whose scale the loss does not see.

The loss of a layer w is ½ |w/|w| − t|² for a unit target t: 1 − cos θ, with the angle θ between them. Its gradient has
the length sin θ/|w| and stands at right angles to w, in the plane of w and t, which descent never leaves.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch


def loss_left_by_descent(
    norms: torch.Tensor, angles: torch.Tensor, lr: torch.Tensor, steps: float
) -> torch.Tensor:
    """Return the sum of 1 − cos θ over the layers after a number of steps of gradient descent.

    The first step turns a layer by arctan(p), p = lr sin θ/|w|², and makes |w|² (1 + p²) times as large. From there on
    the steps are taken for a flow at the effective rate lr/|w|², which solves tan(θ/2) = tan(θ₁/2) e^(−lr t/|w|²). What
    later steps add to |w|² is left out: they turn the layer by little if it was thrown, and if lr is far below |w|².

    Args:
        norms: |w| at the start, (layers).
        angles: θ at the start, (*runs, layers).
        lr: The learning rates, (*runs, 1).
        steps: The number of steps, at least 1.
    """
    push = lr * angles.sin() / norms**2
    rate = lr / (norms**2 * (1 + push**2))
    turned = (angles - push.atan()).abs()
    half = ((turned / 2).tan() * (-rate * (steps - 1)).exp()).atan()
    return 2 * half.sin().square().sum(-1)


def losses_of_adam(
    norms: torch.Tensor, angles: torch.Tensor, lr: torch.Tensor, size: int, beta1: float = 0.9, beta2: float = 0.999,
) -> Iterator[torch.Tensor]:  # fmt: skip
    """Yield the sum of 1 − cos θ over the layers after each step of Adam, were v the same in all weights of a layer.

    Then Adam stays in the plane of w and t, too, and two coordinates are all it takes: those along t and across.

    Args:
        norms: |w| at the start, (layers).
        angles: θ at the start, (*runs, layers).
        lr: The learning rates, (*runs, 1).
        size: How many weights a layer has.
        beta1: Of m.
        beta2: Of v.
    """
    shape = torch.broadcast_shapes(angles.shape, lr.shape)
    point = (norms[:, None] * torch.stack([angles.cos(), angles.sin()], -1)).expand(*shape, 2)
    target = point.new_tensor([1.0, 0.0])
    mean, square, t = torch.zeros_like(point), torch.zeros_like(point[..., :1]), 0
    norm = point.norm(dim=-1, keepdim=True)
    error = point / norm - target
    while True:
        unit, t = error + target, t + 1
        gradient = (error - (error * unit).sum(-1, keepdim=True) * unit) / norm
        mean = beta1 * mean + (1 - beta1) * gradient
        square = beta2 * square + (1 - beta2) * gradient.square().sum(-1, keepdim=True) / size
        root = (square / (1 - beta2**t)).sqrt()
        point = point - lr[..., None] / (1 - beta1**t) * mean / root
        norm = point.norm(dim=-1, keepdim=True)
        error = point / norm - target
        yield 0.5 * error.square().sum((-2, -1))
