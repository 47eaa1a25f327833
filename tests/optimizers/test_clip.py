"""Clip: what the inner optimizer is shown, and how the two are one."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from optimizers import OPTIMIZERS, Optimizer
from optimizers.adam import Adam
from optimizers.adopted import Adopted
from optimizers.clip import Clip, clip_by_norm, clip_by_value
from optimizers.damped_newton import DampedNewton
from optimizers.momentum import Momentum
from optimizers.sgd import SGD
from ravine import Refused


def test_by_norm_keeps_the_direction_and_by_value_does_not():
    gradient = torch.tensor([[3.0, -4.0], [0.3, 0.4]], dtype=torch.float64)
    shorter = clip_by_norm(gradient, 1.0)
    expected = torch.tensor([[0.6, -0.8], [0.3, 0.4]], dtype=torch.float64)
    torch.testing.assert_close(shorter, expected, rtol=1e-6, atol=0)  # torch's 1e-6
    assert clip_by_value(gradient, 1.0).tolist() == [[1.0, -1.0], [0.3, 0.4]]
    assert clip_by_norm(torch.zeros(2), 1.0).tolist() == [0.0, 0.0]


def test_hyperparameters_of_both_stand_side_by_side():
    clipped = Clip(Momentum(lr=0.2), threshold=3.0)
    assert clipped.hyperparameters == {"lr": 0.2, "momentum": 0.9, "threshold": 3.0, "by": "norm"}
    other = clipped.replace(momentum=0.5, threshold=2.0, by="value")
    assert other == Clip(Momentum(lr=0.2, momentum=0.5), 2.0, "value")
    assert clipped.batched({"lr": torch.ones(2, 1)}).hyperparameters["lr"].shape == (2, 1)
    assert clipped.hyperparameters["lr"] == 0.2


def test_searches_the_learning_rate_and_the_threshold():
    assert list(Clip(Momentum()).space) == ["lr", "threshold"]
    assert Clip(Momentum()).space["lr"] == Momentum.space["lr"]
    assert list(Clip(DampedNewton()).space) == ["damping", "threshold"]
    assert Clip(DampedNewton()).uses_hessian
    assert not Clip(SGD()).uses_hessian
    assert Clip(OPTIMIZERS["idle"]).role == "control"


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Clip(Clip(SGD())),
        lambda: Clip(SGD(), by="length"),  # type: ignore[arg-type]
        lambda: Clip(SGD(), threshold=0.0),
        lambda: Clip(SGD()).replace(lr=-1.0),
        lambda: Clip(SGD()).replace(by="nrm"),
    ],
)
def test_refuses(wrong):
    with pytest.raises(Refused) as refusal:
        wrong()
    assert "\n" not in str(refusal.value)


def test_each_trial_has_its_threshold(walk, draw, valley):
    data, thresholds = draw(), [0.1, 0.5, 2.0]
    column = torch.tensor(thresholds, dtype=torch.float64).unsqueeze(-1)
    for by in ("norm", "value"):
        batch = walk(Clip(SGD(0.01), by=by).batched({"threshold": column}), valley, data, 3, 50)
        for trial, threshold in enumerate(thresholds):
            alone = walk(Clip(SGD(0.01), threshold, by), valley, data, steps=50).points
            torch.testing.assert_close(batch.points[:, :, [trial]], alone, rtol=1e-9, atol=1e-12)


@dataclass(frozen=True)
class Scout(Optimizer):
    """Asks everywhere, and walks by what it hears at another point."""

    def update(self, oracle, state):
        other = oracle.at(oracle.x + 1.0)
        value, single = oracle.single(0, 0, oracle.x[0, 0])
        heard = [other.gradient, other.value, other.hessian, other.hvp(oracle.x), other.x]
        return -oracle.gradient, (*state, *heard, oracle.hessian, single, value)


def test_gradients_are_clipped_wherever_they_are_asked(walk, start):
    """½|10 x|² at (1, 0): gradients 100 x, clipped to 1; all else is as it is."""
    scout = walk(Clip(Scout()), lambda x, data: 50 * x.square().sum(-1), start(1.0, 0.0), steps=1)
    gradient, value, hessian, product, x, here, single, single_value = scout.state
    assert gradient.norm().item() == pytest.approx(1.0, rel=1e-5)
    assert single.tolist() == pytest.approx([1.0, 0.0], rel=1e-5)
    assert (value.item(), single_value.item()) == (250.0, 50.0)
    assert x.flatten().tolist() == [2.0, 1.0]
    assert hessian.flatten().tolist() == here.flatten().tolist() == [100.0, 0.0, 0.0, 100.0]
    assert product.flatten().tolist() == [100.0, 0.0]


def test_closures_are_clipped_by_the_threshold_of_their_run(walk, draw, valley):
    data = draw()
    column = torch.tensor([[0.01], [0.1], [1.0]], dtype=torch.float64)
    method = Clip(Adopted(torch.optim.LBFGS, {"max_iter": 3}))
    batch = walk(method.batched({"threshold": column}), valley, data, trials=3, steps=3).points
    alone = walk(method.replace(threshold=0.1), valley, data, steps=3).points
    torch.testing.assert_close(batch[:, :, [1]], alone)
    assert not torch.allclose(batch[1, :, 0], batch[1, :, 1])


def test_adam_hardly_feels_it(walk, draw, valley):
    """Adam divides the length away: what clipping changes is its memory."""
    data = draw()
    free, clipped = (walk(each, valley, data, steps=1).points[1] for each in (Adam(), Clip(Adam())))
    torch.testing.assert_close(free, clipped, rtol=1e-5, atol=1e-7)
