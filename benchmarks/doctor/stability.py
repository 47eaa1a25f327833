"""The stability limit of a torch optimizer: its preconditioner, and the largest stable curvature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Stability:
    """The condition λmax(D½ H D½) < limit under which an optimizer converges on a quadratic.

    scale: the diagonal D, one tensor (or number) per parameter: without momentum the step is −D g.
    limit: 2 for gradient descent; see `stability`.
    """

    scale: list[torch.Tensor | float]
    limit: float

    @property
    def uniform(self) -> float | None:
        """Return the learning rate if D is a multiple of the identity, else None."""
        rates = {each if isinstance(each, float) else None for each in self.scale}
        return rates.pop() if len(rates) == 1 else None


def stability(
    optimizer: torch.optim.Optimizer, parameters: Sequence[torch.Tensor]
) -> Stability | None:
    """Return the preconditioner and limit of the step just taken; None if the optimizer's limit is unknown.

    The limits of λmax(D½ H D½) are, with learning rate lr and diagonal preconditioner D:

    - gradient descent, D = lr: 2;
    - heavy ball with momentum β and dampening τ: 2(1 + β)/(1 − τ);
    - Nesterov's method as torch writes it: 2(1 + β)/(1 + 2β);
    - Adam and AdamW, D = lr/(√v̂ + ε): 2(1 + β₁)/(1 − β₁), which is 38 for β₁ = 0.9;
    - Adagrad, and RMSprop without momentum: as gradient descent; RMSprop with momentum: as heavy ball.

    Cohen et al. 2021, arXiv:2103.00065 (gradient descent and momentum), and 2022, arXiv:2207.14484 (Adam).
    """
    known = _KNOWN.get(type(optimizer))
    if known is None:
        return None
    by_parameter = {p: group for group in optimizer.param_groups for p in group["params"]}
    try:
        found = [known(by_parameter[p], optimizer.state.get(p, {})) for p in parameters]
    except KeyError:  # a parameter that has not been stepped yet
        return None
    limits = {limit for _, limit in found}
    return Stability([scale for scale, _ in found], limits.pop()) if len(limits) == 1 else None


def _sgd(group: dict[str, Any], state: dict[str, Any]) -> tuple[float, float]:
    momentum = group["momentum"]
    growth = 1 + 2 * momentum if group["nesterov"] else 1 - group["dampening"] * (momentum > 0)
    return float(group["lr"]), 2 * (1 + momentum) / growth


def _adam(group: dict[str, Any], state: dict[str, Any]) -> tuple[torch.Tensor, float]:
    beta1, beta2 = (float(each) for each in group["betas"])
    steps = float(state["step"])
    second = state["max_exp_avg_sq" if group["amsgrad"] else "exp_avg_sq"]
    root = (second / (1 - beta2**steps)).sqrt() + group["eps"]
    rate = float(group["lr"]) / (1 - beta1**steps)
    return rate / root, 2 * (1 + beta1) / (1 - beta1)


def _rmsprop(group: dict[str, Any], state: dict[str, Any]) -> tuple[torch.Tensor, float]:
    second = state["square_avg"]
    if group["centered"]:
        second = second - state["grad_avg"].square()
    return float(group["lr"]) / (second.sqrt() + group["eps"]), 2 * (1 + group["momentum"])


def _adagrad(group: dict[str, Any], state: dict[str, Any]) -> tuple[torch.Tensor, float]:
    rate = float(group["lr"]) / (1 + (float(state["step"]) - 1) * group["lr_decay"])
    return rate / (state["sum"].sqrt() + group["eps"]), 2.0


_KNOWN = {
    torch.optim.SGD: _sgd,
    torch.optim.Adam: _adam,
    torch.optim.AdamW: _adam,
    torch.optim.RMSprop: _rmsprop,
    torch.optim.Adagrad: _adagrad,
}
