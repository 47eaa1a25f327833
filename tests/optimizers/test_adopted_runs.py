"""Adopted classes whose runs are stepped together: to the bit what each does alone."""

from __future__ import annotations

import dataclasses
import inspect

import pytest
import torch

from benchmarks.engine.instances import Instances
from benchmarks.engine.loop import run
from benchmarks.engine.protocol import stream
from optimizers import adopted_runs
from optimizers.adopted import Adopted, shaped
from optimizers.adopted_runs import Runs, StackedRuns
from optimizers.clip import Clip
from optimizers.decay import Decay
from optimizers.needs import needs
from problems import PROBLEMS

RATES = torch.tensor([[1e-4], [1e-2], [0.3]], dtype=torch.float64)
ON = {
    "vector": dataclasses.replace(PROBLEMS["quadratic"], dim=5),
    "matrices": PROBLEMS["linear_autoencoder"],
    "noise": dataclasses.replace(PROBLEMS["noisy_quadratic"], dim=4),
}
CLASSES = [
    each for each in vars(torch.optim).values()
    if inspect.isclass(each) and issubclass(each, torch.optim.Optimizer) and each is not torch.optim.Optimizer
]  # fmt: skip
NO_VECTORS = {"Muon"}  # and torch's SparseAdam takes no dense gradient
# L-BFGS needs a closure; Adafactor and Muon treat a parameter as a whole, ASGD's average is kept per parameter.
ALONE = {"LBFGS", "Adafactor", "Muon"}


def outcome(optimizer, problem, instances=4, budget=120):
    given = Instances(problem, tuple(map(stream, range(instances))))
    method = shaped(optimizer, problem.shapes).batched({"lr": RATES})
    kinds = type(method.init(given.data["start"].expand(instances, 3, -1))[0])
    found = run(method, given, 3, budget, record=False)
    return found.status, found.numbers, kinds


def assert_same_rows(stacked, alone):
    assert stacked[0] == alone[0]
    for name, column in alone[1].items():
        torch.testing.assert_close(stacked[1][name], column, rtol=0, atol=0, equal_nan=True)


def both(optimizer, problem, monkeypatch, **how):
    stacked = outcome(optimizer, problem, **how)
    with monkeypatch.context() as patch:
        patch.setattr("optimizers.adopted.can_stack", lambda *_: False)
        alone = outcome(optimizer, problem, **how)
    assert alone[2] is Runs
    return stacked, alone


@pytest.mark.parametrize("on", list(ON))
@pytest.mark.parametrize("method", CLASSES, ids=lambda each: each.__name__)
def test_the_rows_are_those_of_runs_stepped_alone(method, on, monkeypatch):
    if method is torch.optim.SparseAdam or (on != "matrices" and method.__name__ in NO_VECTORS):
        pytest.skip("not applicable")
    if method.__name__ in ALONE:
        assert outcome(Adopted(method), ON[on], budget=10)[2] is Runs
        return
    stacked, alone = both(Adopted(method), ON[on], monkeypatch)
    assert_same_rows(stacked, alone)
    assert stacked[2] is StackedRuns


@pytest.mark.slow
@pytest.mark.parametrize("on", ["vector", "matrices"])
def test_the_rows_of_every_class_of_the_zoo_are_those_of_runs_stepped_alone(on, monkeypatch):
    theirs = pytest.importorskip("pytorch_optimizer", reason="needs the extra zoo")
    stacks = 0
    for each in vars(theirs).values():
        if not (inspect.isclass(each) and issubclass(each, torch.optim.Optimizer)):
            continue
        try:
            torch.manual_seed(0)
            stacked, alone = both(Adopted(each), ON[on], monkeypatch)
        except Exception:  # not applicable, or refused
            continue
        stacks += stacked[2] is StackedRuns
        if stacked[2] is StackedRuns:
            assert_same_rows(stacked, alone)
    assert stacks >= 50


class Late(torch.optim.SGD):
    """Normalizes the gradient from the 80th step on: no probe is that long."""

    steps = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.steps += 1
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(group["lr"] * (p.grad / p.grad.norm() if self.steps > 80 else p.grad))


def test_a_witness_shows_what_the_probe_could_not(monkeypatch):
    stacked, alone = both(Adopted(Late), ON["vector"], monkeypatch)
    assert stacked[2] is StackedRuns  # it began so
    assert_same_rows(stacked, alone)
    assert needs(Late).coupled
    assert outcome(Adopted(Late), ON["vector"])[2] is Runs


class Norm(torch.optim.SGD):
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(group["lr"] * p.grad / p.grad.norm())


class Distance(torch.optim.SGD):
    """Its rate depends on the way from the start, which random gradients hardly show."""

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                first = self.state[p].setdefault("first", p.clone())
                far = 2.0 if (p - first).norm() > 0.9 * first.norm() else 1.0
                p.sub_(group["lr"] * far * p.grad)


class Draws(torch.optim.SGD):
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(group["lr"] * (p.grad + 1e-3 * torch.randn_like(p)))


class Sharp(torch.optim.SGD):
    """Sets a matrix apart from a vector."""

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                scale = p.grad.square().mean(-1, keepdim=True).sqrt() if p.ndim > 1 else 1.0
                p.sub_(group["lr"] * p.grad / scale)


class Root(torch.optim.SGD):
    """Takes a cube root, which may round in two ways, and hides it behind small steps."""

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(1e-12 * group["lr"] * p.grad.abs().pow(1 / 3) * p.grad.sign())


@pytest.mark.parametrize(
    ("method", "on", "kind"),
    [
        (Norm, "vector", Runs),
        (Distance, "vector", Runs),
        (Draws, "vector", Runs),
        (Root, "vector", Runs),
        (Sharp, "vector", StackedRuns),
        (Sharp, "matrices", StackedRuns),  # rows are not parted
    ],
)
def test_a_probe_tells_which_runs_are_stepped_together(method, on, kind, monkeypatch):
    before = torch.get_rng_state()
    assert outcome(Adopted(method), ON[on], budget=5)[2] is kind
    if method is not Draws:
        assert torch.equal(before, torch.get_rng_state())  # the probe leaves no trace
        assert_same_rows(*both(Adopted(method), ON[on], monkeypatch))


def test_wrappers_change_nothing_of_it(monkeypatch):
    for wrapped in (Decay(Adopted(torch.optim.Adam)), Clip(Adopted(torch.optim.RMSprop))):
        stacked, alone = both(wrapped, ON["vector"], monkeypatch)
        assert stacked[2] is StackedRuns
        assert_same_rows(stacked, alone)


def test_operations_called_exact_round_alike_wherever_a_number_lies():
    given = torch.randn(3, 4099, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    unary = ("sqrt", "rsqrt", "reciprocal", "square", "round")
    operations = [
        *(lambda x, y, z, name=name: getattr(x.abs(), name)() for name in unary),
        *(lambda x, y, z, power=power: x.abs().pow(power) for power in adopted_runs.EXACT_POWERS),
        lambda x, y, z: torch.addcdiv(x, y, z, value=-0.123),
        lambda x, y, z: torch.addcmul(x, y, z, value=0.123),
        lambda x, y, z: torch.lerp(x, y, 0.123),
        lambda x, y, z: torch.add(x, y, alpha=0.0137),
        lambda x, y, z: x * y / z - x,
    ]
    for operation in operations:
        together = operation(*given)
        alone = torch.cat([operation(*part) for part in given.split(3, -1)])
        assert torch.equal(together, alone)


class TwoPoints(torch.optim.SGD):
    """Schedule-free in form: evaluated at one point, judged at another."""

    def __init__(self, params, lr: float = 0.1):
        super().__init__(params, lr=lr)
        self.training = True

    def train(self):
        self._move(True)

    def eval(self):
        self._move(False)

    @torch.no_grad()
    def _move(self, training):
        if self.training is not training:
            for p in self.param_groups[0]["params"]:
                p.mul_(2.0 if training else 0.5)
            self.training = training

    def step(self, closure=None):
        assert self.training
        super().step()


def test_classes_of_two_points_are_stepped_together_too(monkeypatch):
    stacked, alone = both(Adopted(TwoPoints), ON["vector"], monkeypatch)
    assert stacked[2] is StackedRuns
    assert_same_rows(stacked, alone)


def test_a_run_alone_and_a_rate_that_differs_between_instances_are_not_stacked():
    x = torch.zeros(2, 3, 4, dtype=torch.float64)
    sgd = Adopted(torch.optim.SGD)
    assert type(sgd.init(x[:1])[0]) is Runs
    assert type(sgd.init(x)[0]) is StackedRuns
    assert type(sgd.batched({"lr": torch.rand(2, 3, 1)}).init(x)[0]) is Runs


def test_a_parameter_of_no_dimension_is_stacked_in_one():
    x = torch.arange(24.0, dtype=torch.float64).view(2, 3, 4)
    runs, *_ = Adopted(torch.optim.SGD).on(((), (3, 1))).init(x)
    assert type(runs) is StackedRuns
    assert [tuple(each.shape) for each in runs.instances[0].param_groups[0]["params"]] == [
        (2,),
        (6, 1),
    ]
    assert torch.equal(runs.points(), x)
