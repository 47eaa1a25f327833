"""Adopted classes: their hyperparameters, their unit, and their freedom to be as they are."""

from __future__ import annotations

import pytest
import torch

from optimizers.adopted import Adopted, default_hyperparameters
from optimizers.optimizer import log_uniform
from ravine import Refused


class Descent(torch.optim.Optimizer):
    """As users write it: no annotations, a rate that must be given, arguments of any kind."""

    def __init__(
        self, params, lr, decay=0, steps=5, name="plain", sizes=(1.0, 2.0), hook=None, *, flag=False
    ):
        if lr < 0:
            raise ValueError(f"Invalid learning rate: {lr}\nin two lines")
        super().__init__(params, {"lr": lr, "decay": decay})

    def step(self, closure=None):  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                p.data.add_(p.grad, alpha=-group["lr"])


class Replacing(Descent):
    """Gives its parameters new memory, and spoils their gradients."""

    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.grad.mul_(-group["lr"])
                p.data = p.data + p.grad
                p.grad = None


def test_hyperparameters_are_read_from_the_signature():
    own = {"lr": None, "decay": 0.0, "steps": 5, "name": "plain", "sizes": (1.0, 2.0)}
    assert default_hyperparameters(Descent) == {**own, "flag": False}
    numbers = {"lr": 1e-3, "momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0}
    words = {"nesterov": False, "maximize": False}
    assert default_hyperparameters(torch.optim.SGD) == {**numbers, **words}
    assert isinstance(default_hyperparameters(torch.optim.LBFGS)["lr"], float)
    assert isinstance(default_hyperparameters(torch.optim.LBFGS)["max_iter"], int)


def test_what_has_no_default_must_be_given(walk, start, draw, valley):
    adopted = Adopted(Descent)
    assert adopted.missing_defaults == ("lr",)
    assert adopted.space == {"lr": log_uniform(1e-5, 1e1, "length/gradient")}
    with pytest.raises(Refused, match=r"Descent\.lr has no default"):
        adopted.init(torch.zeros(1, 1, 2))
    given = adopted.replace(lr=0.1)
    assert given.missing_defaults == ()
    points = walk(given, lambda x, data: 0.5 * x.square().sum(-1), start(1.0), steps=2).points
    assert points.flatten().tolist() == pytest.approx([1.0, 0.9, 0.81])
    rates = {"lr": torch.tensor([[0.1], [0.2]], dtype=torch.float64)}
    assert walk(adopted.batched(rates), valley, draw(), trials=2, steps=1).points.isfinite().all()


def test_given_values_replace_defaults():
    adopted = Adopted(torch.optim.SGD, {"momentum": 0.9}).replace(lr=0.5)
    assert adopted.hyperparameters["momentum"] == 0.9
    assert adopted.hyperparameters["lr"] == 0.5
    assert repr(adopted) == "SGD(momentum=0.9, lr=0.5)"


@pytest.mark.parametrize(
    ("method", "values", "message"),
    [
        (torch.optim.SGD, {"lr": -1.0}, "SGD cannot be used: Invalid learning rate: -1.0"),
        (torch.optim.SGD, {"nesterov": True}, "Nesterov momentum requires"),
        (torch.optim.SGD, {"momentun": 0.9}, "did you mean momentum"),
        (torch.optim.Adam, {"lr": "fast"}, "Adam cannot be used: TypeError"),
        (torch.optim.Muon, {}, "Muon only supports 2D parameters"),
        (torch.optim.SparseAdam, {}, "does not support dense gradients"),
        (Descent, {"lr": -1.0}, "Invalid learning rate: -1.0 in two lines"),
    ],
)
def test_refuses_in_one_line(method, values, message):
    with pytest.raises(Refused) as refusal:
        Adopted(method, values)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("method", "unit"),
    [
        ("ASGD", "length/gradient"),
        ("Adadelta", "length"),
        ("Adafactor", "none"),
        ("Adagrad", "length"),
        ("AdamW", "length"),
        ("Adamax", "length"),
        ("LBFGS", "none"),
        ("NAdam", "length"),
        ("RAdam", "length"),
        ("Rprop", "length"),
    ],
)
def test_unit_of_the_learning_rate(method, unit):
    adopted = Adopted(getattr(torch.optim, method))
    assert adopted.space["lr"].unit == unit
    assert adopted.space["lr"].high == (2.0 if unit == "none" else 1e1)


def test_a_class_may_replace_memory_and_spoil_gradients(walk, draw, valley):
    data = draw()
    plain, replacing = (
        walk(Adopted(method, {"lr": 0.01}), valley, data, trials=2, steps=50).points
        for method in (Descent, Replacing)
    )
    torch.testing.assert_close(replacing, plain)


class Frozen:
    """An oracle whose point never moves."""

    def __init__(self, x):
        self.x = x
        self.gradient = torch.ones_like(x)
        self.alive = torch.ones(x.shape[:-1], dtype=torch.bool)


@pytest.mark.parametrize("method", [Descent, Replacing, torch.optim.SGD])
def test_begins_each_step_where_the_run_is(method):
    """A run may be frozen, or its point projected, whatever the instance would have liked."""
    adopted = Adopted(method, {"lr": 0.5})
    oracle = Frozen(torch.zeros(2, 2, 3, dtype=torch.float64))
    state = adopted.init(oracle.x)
    for _ in range(3):
        step, state = adopted.update(oracle, state)  # type: ignore[arg-type]
        assert torch.equal(step, torch.full_like(step, -0.5))
    assert torch.equal(oracle.x, torch.zeros_like(oracle.x))
    assert torch.equal(oracle.gradient, torch.ones_like(oracle.x))


def test_hooks_are_called():
    called = []

    class Hooked(torch.optim.SGD):
        def __init__(self, params, lr=0.5):
            super().__init__(params, lr)
            self.register_step_post_hook(lambda *_: called.append("own"))

    for method, expected in ((Hooked, ["own"] * 4), (torch.optim.SGD, [])):
        adopted = Adopted(method)
        oracle = Frozen(torch.zeros(2, 2, 3, dtype=torch.float64))
        state = adopted.init(oracle.x)
        called.clear()
        adopted.update(oracle, state)  # type: ignore[arg-type]
        assert called == expected


def test_each_run_has_its_own_value(walk, draw, valley):
    """Searched are any two numbers, not the learning rate alone."""
    data = draw()
    columns = {
        "lr": torch.tensor([[0.01], [0.02], [0.03]], dtype=torch.float64),
        "momentum": torch.tensor([[0.0], [0.5], [0.9]], dtype=torch.float64),
    }
    adopted = Adopted(torch.optim.SGD)
    batch = walk(adopted.batched(columns), valley, data, trials=3, steps=50).points
    for trial, (lr, momentum) in enumerate([(0.01, 0.0), (0.02, 0.5), (0.03, 0.9)]):
        alone = walk(adopted.replace(lr=lr, momentum=momentum), valley, data, steps=50).points
        torch.testing.assert_close(batch[:, :, [trial]], alone, rtol=1e-10, atol=1e-12)


def test_keeps_single_precision(walk, draw, valley):
    data = {name: each.float() for name, each in draw().items()}
    points = walk(Adopted(torch.optim.Adam), valley, data, steps=3).points
    assert points.dtype == torch.float32
