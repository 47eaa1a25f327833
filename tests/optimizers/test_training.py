"""Ravine's optimizers on a user's model: the same steps, the same prices, and torch's conventions."""

from __future__ import annotations

import copy

import pytest
import torch
from sklearn.datasets import load_digits

from optimizers import OPTIMIZERS, NotApplicable, as_torch
from optimizers.adam import Adam
from optimizers.damped_newton import DampedNewton
from optimizers.decay import Decay
from optimizers.momentum import Momentum
from optimizers.newton import Newton
from optimizers.saddle_free_newton import SaddleFreeNewton
from optimizers.sgd import SGD
from ravine import Refused


class Bent(torch.nn.Module):
    """The valley of `smooth_valley` as a module: its parameters are a matrix and a number."""

    def __init__(self, data):
        super().__init__()
        self.data = data
        first, last = data["start"].flatten().split([2, 1])
        self.pair = torch.nn.Parameter(first.view(1, 2).clone())
        self.last = torch.nn.Parameter(last[0].clone())

    @property
    def x(self):
        return torch.cat([self.pair.flatten(), self.last.view(1)])

    def forward(self):
        x = self.x
        bent = (x - self.data["center"].flatten()) @ self.data["matrix"][0, 0]
        return torch.logaddexp(bent, -bent).sum() + 0.5 * x.square().sum()


def trained(optimizer, data, steps, **more):
    model = Bent(data)
    ours = as_torch(optimizer, model.parameters(), **more)
    points = [model.x.detach()]
    for _ in range(steps):
        ours.step(model)
        points.append(model.x.detach())
    return torch.stack(points), ours


@pytest.mark.parametrize(
    "name", ["sgd", "adam", "newton", "saddle_free_newton", "damped_newton", "clipped_sgd"]
)
def test_takes_the_steps_of_a_sweep_at_their_price(walk, draw, valley, name):
    data, optimizer = draw(instances=1), OPTIMIZERS[name]
    points, ours = trained(optimizer, data, steps=10)
    there = walk(optimizer, valley, data, steps=10)
    torch.testing.assert_close(points, there.points[:, 0, 0], rtol=1e-10, atol=1e-12)
    if (
        name == "damped_newton"
    ):  # a closure may see another minibatch: where it came from is paid again
        assert ours.cost == pytest.approx(10 * (1 + 2 * 3) + ours.counts["losses"] / 3)
        assert ours.counts["losses"] >= 5
    else:
        assert ours.cost == there.prices.sum().item()


def test_counts_what_was_asked(draw):
    _, ours = trained(SaddleFreeNewton(), draw(instances=1), steps=4)
    assert ours.counts == {"losses": 0, "gradients": 4, "hvps": 0, "hessians": 4}
    assert ours.cost == 4 * (1 + 2 * 3)


def test_returns_the_loss_from_which_it_steps(draw):
    model = Bent(draw(instances=1))
    before = model().item()
    assert as_torch(DampedNewton(), model.parameters()).step(model).item() == before
    assert as_torch(OPTIMIZERS["idle"], model.parameters()).step(model).item() == model().item()


def test_saddle_free_newton_trains_a_small_network_faster_per_step_than_momentum():
    """Eight hidden units tell zeros from ones in ten steps; momentum at its best rate here is not there in thirty."""
    digits = load_digits(n_class=2)
    inputs = torch.tensor(digits.data, dtype=torch.float64)[:, 20:44] / 16
    targets = torch.tensor(digits.target, dtype=torch.float64)

    def losses(optimizer, steps):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(24, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
        model = model.double()

        def loss():
            return torch.nn.functional.mse_loss(model(inputs).squeeze(-1), targets)

        ours = as_torch(optimizer, model.parameters())
        for _ in range(steps):
            ours.step(loss)
        return loss().item()

    newton = losses(SaddleFreeNewton(lr=1.0, damping=0.01), 10)
    rates = [0.003, 0.01, 0.03, 0.1, 0.3]
    momentum = min(losses(Momentum(lr=rate), 30) for rate in rates)
    assert newton < 0.5 * momentum


def test_every_call_of_a_step_has_the_same_dropout_mask():
    """So a Hessian and a trial point belong to one loss, and training goes on with other masks."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(5, 1), torch.nn.Dropout(0.5)).double()
    inputs, seen = torch.randn(4, 5, dtype=torch.float64), []

    def loss():
        out = model(inputs)
        seen.append((out == 0).flatten().tolist())
        return out.square().sum()

    ours = as_torch(DampedNewton(), model.parameters())
    for _ in range(5):
        seen.clear()
        ours.step(loss)
        assert len(seen) > 1
        assert all(mask == seen[0] for mask in seen)
    masks = [tuple(seen[0])]
    for _ in range(5):
        seen.clear()
        ours.step(loss)
        masks.append(tuple(seen[0]))
    assert len(set(masks)) > 1


def test_a_schedule_changes_the_learning_rate(walk, draw, valley):
    data = draw(instances=1)
    model = Bent(data)
    ours = as_torch(Momentum(lr=0.02), model.parameters())
    schedule = torch.optim.lr_scheduler.LambdaLR(ours, lambda t: 1 - t / 20)
    for _ in range(20):
        ours.step(model)
        schedule.step()
    there = walk(Decay(Momentum(lr=0.02)), valley, data, steps=20).points[-1, 0, 0]
    torch.testing.assert_close(model.x.detach(), there, rtol=1e-10, atol=1e-12)
    points, _ = trained(Decay(Momentum(lr=0.02)), data, 20, budget=20.0)
    torch.testing.assert_close(points[-1], there, rtol=1e-10, atol=1e-12)


def test_goes_on_from_a_saved_state(draw):
    data = draw(instances=1)
    straight, _ = trained(Adam(lr=0.05), data, steps=8)
    model = Bent(data)
    ours = as_torch(Adam(lr=0.05), model.parameters())
    for _ in range(4):
        ours.step(model)
    saved, weights = copy.deepcopy(ours.state_dict()), copy.deepcopy(model.state_dict())
    other = Bent(data)
    other.load_state_dict(weights)
    resumed = as_torch(Adam(lr=0.05), other.parameters())
    resumed.load_state_dict(saved)
    assert resumed.cost == 4
    for _ in range(4):
        resumed.step(other)
    torch.testing.assert_close(other.x.detach(), straight[-1], rtol=1e-12, atol=0)


def test_a_step_that_meets_infinity_is_not_taken(draw):
    model = Bent(draw(instances=1))
    before = model.x.detach()
    ours = as_torch(SGD(lr=0.1), model.parameters())
    assert ours.step(lambda: model() / 0).isinf()
    assert torch.equal(model.x.detach(), before)
    assert ours.step(model).isfinite()
    assert not torch.equal(model.x.detach(), before)


def test_what_the_closure_raises_leaves_the_model_where_it_was(draw):
    model, calls = Bent(draw(instances=1)), []
    before = model.x.detach()

    def failing():
        calls.append(model.x.detach())
        if len(calls) == 3:
            raise KeyError("data")
        return model()

    ours = as_torch(DampedNewton(), model.parameters())
    with pytest.raises(KeyError):
        ours.step(failing)
    assert not torch.equal(calls[-1], before)
    assert torch.equal(model.x.detach(), before)


def test_refuses_what_it_cannot_use(draw):
    model = Bent(draw(instances=1))
    ours = as_torch(Newton(), model.parameters())

    def backward():
        loss = model()
        loss.backward()
        return loss

    for closure, message in (
        (None, "needs a closure"),
        (backward, "not call backward"),
        (lambda: 3.0, "a tensor of one number"),
        (lambda: model.pair, "a tensor of one number"),
        (lambda: model().detach(), "does not depend on the parameters"),
    ):
        with pytest.raises(Refused, match=message):
            ours.step(closure)
    mixed = [torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.zeros(1).double())]
    for parameters in (mixed, [torch.nn.Parameter(torch.zeros(1), requires_grad=False)]):
        with pytest.raises(Refused, match="one group"):
            as_torch(SGD(), parameters)
    ours.param_groups[0]["lr"] = -1.0
    with pytest.raises(Refused, match=r"lr is -1"):
        ours.step(model)
    with pytest.raises(NotApplicable, match="no budget"):
        as_torch(Decay(SGD()), model.parameters()).step(model)


def test_parameters_that_are_frozen_stay(draw):
    model = Bent(draw(instances=1))
    model.last.requires_grad_(False)
    before = model.last.item()
    as_torch(Newton(), model.parameters()).step(model)
    assert model.last.item() == before
