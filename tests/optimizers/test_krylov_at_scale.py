"""Deep Learning, section 8.2.3: saddle-free Newton "holds promise if it could be scaled". Scaled, it does this.

The Hessian of 50,026 weights would take 10 GB in single precision, and a step that asks for it costs
100,053. In a Krylov space of five dimensions it costs 11.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch

from benchmarks.engine.instances import Instances
from optimizers import OPTIMIZERS, Optimizer
from optimizers.krylov_saddle_free_newton import KrylovSaddleFreeNewton
from optimizers.newton_cg import NewtonCG
from optimizers.oracle import KINDS, CountingOracle, cost
from problems.problem import Problem

pytestmark = pytest.mark.slow

EXAMPLES, CLASSES, WIDTHS = 500, 10, (64, 512, 32, 10)
SEEDS = ("at scale 0", "at scale 1", "at scale 2")
PRICE = 1 + 2 * 5


@dataclass(frozen=True)
class DeepDigits(Problem):
    """Cross-entropy of a tanh network with two hidden layers, on 500 digits of 64 pixels.

    start: standard deviation of the weights at the start, times the root of how many enter a unit.
        At 1 signals keep their size; at 0.1 a thousandth comes out, beside the saddle at 0, where
        even the Hessian of all weights but the output's vanishes.
    """

    start: float = 1.0

    @property
    def dim(self) -> int:
        """The number of weights."""
        return sum((rows + 1) * columns for rows, columns in pairwise(WIDTHS))

    def instance(self, generator):
        from sklearn.datasets import load_digits

        images, classes = load_digits(return_X_y=True)
        pixels, classes = torch.as_tensor(images) / 16, torch.as_tensor(classes).long()
        chosen = torch.randperm(len(pixels), generator=generator)[:EXAMPLES]
        layers = []
        for rows, columns in pairwise(WIDTHS):
            weights = torch.randn(rows * columns, generator=generator)
            layers += [self.start / math.sqrt(rows) * weights, torch.zeros(columns)]
        return {
            "start": torch.cat(layers),
            "inputs": (pixels - pixels.mean(0))[chosen],
            "wanted": torch.nn.functional.one_hot(classes[chosen], CLASSES).to(pixels.dtype),
        }

    def loss(self, x, data):
        sizes = [size for rows, columns in pairwise(WIDTHS) for size in (rows * columns, columns)]
        layers, signal = x.split(sizes, -1), data["inputs"]
        for weights, biases in zip(layers[::2], layers[1::2], strict=True):
            if signal is not data["inputs"]:
                signal = signal.tanh()
            weights = weights.unflatten(-1, (signal.shape[-1], -1))
            signal = signal @ weights + biases.unsqueeze(-2)
        return -(signal.log_softmax(-1) * data["wanted"]).sum((-2, -1)) / EXAMPLES

    def floor(self, data):
        return torch.zeros(())

    def hessian(self, x, data):
        raise AssertionError("nobody can write this down")

    def hvp(self, x, data, vector):
        with torch.enable_grad():
            point = x.detach().requires_grad_()
            value = self.loss(point, data).sum()
            (gradient,) = torch.autograd.grad(value, point, create_graph=True)
            return torch.autograd.grad(gradient, point, vector)[0]


def train(
    problem: Problem,
    optimizer: Optimizer,
    seeds: tuple[str, ...],
    marks: list[int],
    trials: int = 1,
) -> SimpleNamespace:
    """The losses (marks, seeds, trials) where a next step would exceed a mark, and what was asked for.

    All runs are counted as the dearest of them: one seed at a time where prices differ.
    """
    instances = Instances(problem, seeds, torch.float32)
    data, runs = instances.data, (len(seeds), trials)
    x = data["start"].expand(*runs, -1).clone()
    oracle = CountingOracle(problem, data, runs, instances.normals(), x.device)
    state = optimizer.init(x)
    spent, total, prices, losses = 0.0, dict.fromkeys(KINDS, 0.0), [], []
    while len(losses) < len(marks):
        oracle.move(x, None)
        step, state = optimizer.update(oracle, state)
        prices.append(torch.as_tensor(cost(oracle.counts, x.shape[-1])).expand(runs))
        spent += prices[-1].max().item()
        total = {kind: total[kind] + oracle.counts[kind] for kind in KINDS}
        while len(losses) < len(marks) and spent > marks[len(losses)]:
            losses.append(oracle.value[..., 0])
        x = x + step
    assert not oracle.broken.any()
    return SimpleNamespace(losses=torch.stack(losses), asked=total, prices=torch.stack(prices))


def test_a_step_costs_its_products_and_no_hessian():
    steps = 4
    assert DeepDigits().dim == 50_026
    trained = train(DeepDigits(), KrylovSaddleFreeNewton(), SEEDS, [steps * PRICE - 1])
    assert trained.prices.shape[0] == steps
    assert (trained.prices == PRICE).all()
    assert trained.asked["hessians"] == 0.0 and trained.asked["losses"] == 0.0
    assert (trained.asked["hvps"] == 5 * steps).all()


# The best of six on two other seeds at a cost of 600: rates by the start. The Krylov method's setting
# is the best beside the saddle; at a damping of 1e-4 it goes further, and throws some runs far off.
FIRST_ORDER = {
    1.0: (OPTIMIZERS["momentum"].replace(lr=3.0), OPTIMIZERS["adam"].replace(lr=0.03)),
    0.1: (OPTIMIZERS["momentum"].replace(lr=3.0), OPTIMIZERS["adam"].replace(lr=0.1)),
}
KRYLOV = KrylovSaddleFreeNewton(lr=0.3, damping=1e-3)
starts = pytest.mark.parametrize("start", list(FIRST_ORDER))


@starts
def test_learns_from_an_ordinary_start_and_from_beside_a_saddle(start):
    """In 54 steps."""
    at_first, at_last = train(DeepDigits(start), KRYLOV, SEEDS, [0, 600]).losses
    assert (at_first > 2.2).all()  # ln 10 = 2.30 where nothing is told apart
    assert (at_last < 0.1).all()


def test_beside_the_saddle_first_order_is_far_ahead_at_equal_cost():
    """Momentum and Adam are off, and nearly done, before nineteen Krylov steps are paid for."""
    problem = DeepDigits(0.1)
    krylov = train(problem, KRYLOV, SEEDS, [200]).losses
    for method in FIRST_ORDER[0.1]:
        assert (100 * train(problem, method, SEEDS, [200]).losses < krylov).all()


@starts
def test_truncated_newton_ends_far_below_first_order_at_equal_cost(start):
    """With its default radius, on every seed; early on it is behind."""
    problem = DeepDigits(start)
    runs = [train(problem, NewtonCG(), (seed,), [60, 600]) for seed in SEEDS]
    early, late = torch.cat([each.losses for each in runs], 1)
    for method in FIRST_ORDER[start]:
        soon, at_last = train(problem, method, SEEDS, [60, 600]).losses
        assert (soon < early).all()
        assert (10 * late < at_last).all()
    assert sum(each.asked["hessians"] for each in runs) == 0.0
