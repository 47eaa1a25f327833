"""The stability limit that a method states is where it begins to diverge."""

from __future__ import annotations

import pytest
import torch

from optimizers import OPTIMIZERS
from optimizers.clip import Clip
from optimizers.decay import Decay
from optimizers.momentum import Momentum
from optimizers.optimizer import Optimizer
from optimizers.registry import WRAPPERS
from optimizers.sgd import SGD
from optimizers.wrapper import Wrapper

# A preconditioner that hardly changes: then the limit, which is one of the moment, is one of the whole run.
STILL = {"eps": 1e6, "weight_decay": 0.0}
STATING = [
    name
    for name, each in OPTIMIZERS.items()
    if type(each).stability is not Optimizer.stability and not isinstance(each, Wrapper)
]


class Here:
    """An oracle on a bowl of steepness 1, whose gradient is x."""

    progress, alive, normal = 0.0, True, None

    def __init__(self, x: torch.Tensor, gradient: torch.Tensor | None = None):
        self.x = x
        self.gradient = x if gradient is None else gradient


def used(optimizer: Optimizer, x: torch.Tensor, gradient: torch.Tensor) -> float:
    """The share of its limit that a method uses after a first step on a bowl of steepness 1."""
    _, state = optimizer.update(Here(x, gradient), optimizer.init(x))  # type: ignore[arg-type]
    share = optimizer.stability(state, gradient, 0.0)
    assert share is not None
    return share.max().item()


def grown(optimizer: Optimizer, steps: int = 2000) -> tuple[float, float]:
    """By which factor x grows at most, and at the end, on a bowl of steepness 1.

    Corrections for the start are over. What grows does so until √v is no longer far below eps, and then shrinks.
    """
    x = torch.full((1, 3), 1e-9, dtype=torch.float64)  # so small that √v stays far below eps
    state = tuple(10_000 if isinstance(each, int) else each for each in optimizer.init(x))
    largest = []
    for _ in range(steps):
        step, state = optimizer.update(Here(x), state)  # type: ignore[arg-type]
        x = x + step
        largest.append(x.abs().max().item())
    first = max(largest[:100])
    return max(largest) / first, max(largest[-100:]) / first


def test_who_states_a_limit():
    assert set(STATING) == {"sgd", "momentum", "nesterov", "adam", "adamw", "amsgrad", "rmsprop"}


@pytest.mark.parametrize("name", STATING)
def test_a_method_diverges_just_above_the_limit_that_it_states_and_not_just_below(name):
    method = OPTIMIZERS[name]
    method = method.replace(**{k: v for k, v in STILL.items() if k in method.hyperparameters})
    x = torch.ones(1, 3, dtype=torch.float64)
    state = tuple(10_000 if isinstance(each, int) else each for each in method.init(x))
    share = method.replace(lr=1.0).stability(state, x, 0.0)
    assert share is not None
    rate = 1 / share.max().item()  # at which q is 1 on a bowl of steepness 1
    assert grown(method.replace(lr=0.98 * rate))[1] < 1e-2
    assert grown(method.replace(lr=1.02 * rate))[0] > 1e2


def test_clipping_by_norm_takes_its_share_and_by_value_says_nothing():
    x = torch.ones(1, 4, dtype=torch.float64)
    gradient = 10 * x  # of norm 20
    plain = used(SGD(lr=0.1), x, gradient)
    assert used(Clip(SGD(lr=0.1), threshold=5.0), x, gradient) == pytest.approx(plain / 4)
    assert used(Clip(SGD(lr=0.1), threshold=50.0), x, gradient) == pytest.approx(plain)
    assert used(WRAPPERS["adaptive_clip"].around(SGD(lr=0.1)), x, gradient) == pytest.approx(plain)
    assert Clip(SGD(), by="value").stability((), gradient, 0.0) is None


def test_a_falling_rate_uses_what_is_left_of_it():
    gradient = torch.ones(1, 4, dtype=torch.float64)
    whole = Momentum(lr=0.1).stability((), gradient, 0.0)
    left = Decay(Momentum(lr=0.1)).stability((), gradient, torch.tensor([[0.75]]))
    assert left is not None
    torch.testing.assert_close(left, 0.25 * whole)


def test_a_method_without_a_known_limit_says_nothing():
    assert OPTIMIZERS["newton"].stability((), torch.ones(1, 2), 0.0) is None
    assert WRAPPERS["average"].around(SGD()).stability((), torch.ones(1, 2), 0.0) is None
