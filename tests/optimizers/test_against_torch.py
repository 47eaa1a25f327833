"""Step by step, the built-in methods are their namesakes in torch, and so are adopted classes."""

from __future__ import annotations

import functools

import pytest
import torch

from optimizers import OPTIMIZERS
from optimizers.adopted import Adopted
from optimizers.clip import Clip

SGD, Adam, RMSprop = torch.optim.SGD, torch.optim.Adam, torch.optim.RMSprop
Adagrad, AdamW = torch.optim.Adagrad, torch.optim.AdamW
RATES = [0.003, 0.01, 0.03]
# 200 steps in float64, the same formula in another order of operations.
assert_close = functools.partial(torch.testing.assert_close, rtol=1e-10, atol=1e-12)

NAMESAKES = [
    ("sgd", SGD, {}),
    ("momentum", SGD, {"momentum": 0.9}),
    ("nesterov", SGD, {"momentum": 0.9, "nesterov": True}),
    ("adam", Adam, {}),
    ("rmsprop", RMSprop, {}),
    ("adagrad", Adagrad, {}),
    ("amsgrad", Adam, {"amsgrad": True}),
    ("adamw", AdamW, {}),
]
NAMES = [name for name, _, _ in NAMESAKES]


def torch_paths(method, values, function, data, rates, clip=None, steps=200):
    """What torch does, a parameter and a group a run: (steps + 1, instances, trials, dim)."""
    runs = (len(data["start"]), len(rates))
    groups = [
        {"params": [torch.nn.Parameter(start.clone())], "lr": lr}
        for start in data["start"][:, 0]
        for lr in rates
    ]
    parameters = [group["params"][0] for group in groups]
    optimizer = method(groups, **values)

    def together():
        return torch.stack(parameters).view(*runs, -1)

    points = [together().detach()]
    for _ in range(steps):
        optimizer.zero_grad()
        function(together(), data).sum().backward()
        for parameter in parameters:
            if clip is not None:
                clip([parameter])
        optimizer.step()
        points.append(together().detach())
    return torch.stack(points)


def rates():
    return torch.tensor(RATES, dtype=torch.float64).unsqueeze(-1)


@pytest.mark.parametrize(("name", "method", "values"), NAMESAKES, ids=NAMES)
def test_defaults_are_those_of_torch(walk, draw, valley, name, method, values):
    data, lr = draw(instances=1), method([torch.nn.Parameter(torch.zeros(1))]).defaults["lr"]
    ours = walk(OPTIMIZERS[name], valley, data).points
    assert_close(ours, torch_paths(method, values, valley, data, [lr]))


@pytest.mark.parametrize(("name", "method", "values"), NAMESAKES, ids=NAMES)
def test_a_batch_is_what_torch_does_run_by_run(walk, draw, valley, name, method, values):
    data = draw()
    ours = walk(OPTIMIZERS[name].batched({"lr": rates()}), valley, data, trials=3).points
    assert_close(ours, torch_paths(method, values, valley, data, RATES))


@pytest.mark.parametrize(("name", "method", "values"), NAMESAKES, ids=NAMES)
def test_an_adopted_class_is_the_built_in(walk, draw, valley, name, method, values):
    data, adopted = draw(), Adopted(method, values)
    assert adopted.space["lr"].unit == OPTIMIZERS[name].space["lr"].unit
    assert adopted.hyperparameters["lr"] == OPTIMIZERS[name].hyperparameters["lr"]
    ours = walk(OPTIMIZERS[name].batched({"lr": rates()}), valley, data, trials=3).points
    theirs = walk(adopted.batched({"lr": rates()}), valley, data, trials=3).points
    assert_close(ours, theirs)


@pytest.mark.parametrize("name", ["sgd", "adam", "rmsprop", "adagrad", "amsgrad", "adamw"])
def test_an_adopted_class_is_searched_like_the_built_in(name):
    method, values = {name: (each, given) for name, each, given in NAMESAKES}[name]
    assert Adopted(method, values).space == OPTIMIZERS[name].space


@pytest.mark.parametrize("inner", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("by", ["norm", "value"])
def test_clipping_is_that_of_torch(walk, draw, valley, inner, by):
    data, threshold = draw(), 0.8
    method, values = {name: (each, given) for name, each, given in NAMESAKES}[inner]

    def clip(parameters):
        if by == "norm":
            torch.nn.utils.clip_grad_norm_(parameters, threshold)
        else:
            torch.nn.utils.clip_grad_value_(parameters, threshold)

    clipped = Clip(OPTIMIZERS[inner], threshold, by)
    ours = walk(clipped.batched({"lr": rates()}), valley, data, trials=3).points
    theirs = torch_paths(method, values, valley, data, RATES, clip)
    assert_close(ours, theirs)
    free = walk(OPTIMIZERS[inner].batched({"lr": rates()}), valley, data, trials=3).points
    assert not torch.allclose(ours, free), "nothing was clipped"


def test_an_adopted_class_can_be_clipped(walk, draw, valley):
    data = draw()
    ours = walk(OPTIMIZERS["clipped_sgd"].batched({"lr": rates()}), valley, data, trials=3).points
    theirs = walk(Clip(Adopted(SGD)).batched({"lr": rates()}), valley, data, trials=3).points
    assert_close(ours, theirs)


@pytest.mark.parametrize("line_search", [None, "strong_wolfe"])
def test_lbfgs_is_given_its_closure(walk, draw, valley, line_search):
    class Searching(torch.optim.LBFGS):
        def __init__(self, params, lr=1.0, max_iter=5):
            super().__init__(params, lr, max_iter, line_search_fn=line_search)

    def by_hand(lr, start, own):
        """The last point, and how often the loss was asked for."""
        parameter = torch.nn.Parameter(start.clone())
        optimizer = Searching([parameter], lr)
        asked = 0

        def closure():
            nonlocal asked
            asked += 1
            optimizer.zero_grad()
            loss = valley(parameter, own)
            loss.backward()
            return loss

        for _ in range(4):
            optimizer.step(closure)
        return parameter.detach(), asked

    data = draw()
    ours = walk(Adopted(Searching).batched({"lr": rates()}), valley, data, trials=3, steps=4)
    for instance in range(3):
        own = {name: each[instance, 0] for name, each in data.items()}
        for trial, lr in enumerate(RATES):
            point, asked = by_hand(lr, own["start"], own)
            assert_close(ours.points[-1, instance, trial], point)
            assert ours.prices[:, instance, trial].sum() == asked
