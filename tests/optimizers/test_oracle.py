"""What answers cost, that nothing is paid twice, and that nothing infinite is handed out."""

from __future__ import annotations

import pytest
import torch

from benchmarks.engine.instances import Instances
from benchmarks.engine.loop import run
from optimizers.adopted import Adopted
from optimizers.oracle import CountingOracle, cost
from optimizers.sgd import SGD
from problems.modifiers import noisy
from tests.benchmarks.problems_for_tests import Bowl, Hole, NoisyBowl

RUNS = (2, 4)


@pytest.fixture
def make():
    """An oracle at the start of two instances × four trials."""

    def made(problem):
        instances = Instances(problem, ("a", "b"))
        oracle = CountingOracle(
            problem, instances.data, RUNS, instances.normals(), torch.device("cpu")
        )
        draws = instances.draws()
        x = instances.data["start"].expand(*RUNS, -1)
        oracle.move(x, next(draws))
        return oracle, x, draws

    return made


def paid(oracle) -> torch.Tensor:
    """Gradient-equivalents of the step, one number a run."""
    return torch.as_tensor(cost(oracle.counts, 3), dtype=torch.float64).expand(RUNS)


def test_a_value_is_a_third_a_gradient_one_a_product_two_and_a_hessian_two_per_dimension(make):
    oracle, x, _ = make(Bowl())
    _ = oracle.value
    assert torch.allclose(paid(oracle), torch.tensor(1 / 3, dtype=torch.float64))
    _ = oracle.gradient
    assert torch.allclose(
        paid(oracle), torch.tensor(1.0, dtype=torch.float64)
    )  # with the value: one pass
    _ = oracle.value, oracle.gradient
    oracle.hvp(x)
    assert (paid(oracle) == 3).all()
    _ = oracle.hessian
    assert (paid(oracle) == 3 + 2 * 3).all()


def test_only_the_runs_of_the_mask_pay_for_another_point(make):
    oracle, x, _ = make(Bowl())
    who = torch.tensor([[True, False, False, True], [False, False, True, False]]).unsqueeze(-1)
    point = oracle.at(x + 1, who)
    assert point.value.shape == (*RUNS, 1)
    assert torch.equal(paid(oracle), who[..., 0].double() / 3)
    _ = point.gradient
    assert torch.allclose(paid(oracle), who[..., 0].double())


def test_a_point_asked_before_is_not_paid_again(make):
    oracle, x, _ = make(Bowl())
    _ = oracle.gradient, oracle.hessian
    trial = x + 1
    _ = oracle.at(trial).value
    moved = torch.ones(*RUNS, 1, dtype=torch.bool)
    moved[0, 0] = False  # a rejected step: this run stays where it was
    oracle.move(torch.where(moved, trial, x), None)
    _ = oracle.gradient, oracle.hessian
    expected = torch.full(
        RUNS, 2 / 3 + 6, dtype=torch.float64
    )  # the value of the trial point is paid
    expected[0, 0] = 0.0
    assert torch.allclose(paid(oracle), expected)


def test_under_another_draw_everything_is_paid_again(make):
    oracle, x, draws = make(NoisyBowl())
    first = oracle.gradient
    _ = oracle.at(x + 1).value  # refused: the run stays, and without noise would keep its gradient
    oracle.move(x, next(draws))
    assert not torch.equal(oracle.gradient, first)
    assert (paid(oracle) == 1).all()


def test_one_run_alone_is_charged_alone_and_answers_as_the_batch(make):
    oracle, x, _ = make(NoisyBowl())
    value, gradient = oracle.single(1, 2, x[1, 2])
    expected = torch.zeros(RUNS, dtype=torch.float64)
    expected[1, 2] = 1.0
    assert torch.equal(paid(oracle), expected)
    assert torch.allclose(value, oracle.value[1, 2, 0], rtol=1e-12)
    assert torch.allclose(gradient, oracle.gradient[1, 2], rtol=1e-12)


class ByClosure(torch.optim.Optimizer):
    """Gradient descent that needs a closure; with `ahead`, it uses the gradient at the point after a first step."""

    def __init__(self, params, lr=0.1, ahead=False):
        super().__init__(params, {"lr": lr})
        self.ahead = ahead

    def step(self, closure):  # type: ignore[override]
        (parameter,) = self.param_groups[0]["params"]
        before, rate = parameter.detach().clone(), self.param_groups[0]["lr"]
        loss = closure()
        if self.ahead:
            parameter.data = before - rate * parameter.grad
            loss = closure()
        parameter.data = before - rate * parameter.grad
        return loss


class Extragradient(SGD):
    """Gradient descent that uses the gradient at the point after a first step (the extragradient method)."""

    def update(self, oracle, state):
        ahead = oracle.at(oracle.x - self.lr * oracle.gradient)
        return -self.lr * ahead.gradient, state


@pytest.mark.parametrize(("ahead", "batched"), [(False, SGD), (True, Extragradient)])
def test_a_closure_sees_the_delayed_gradients_that_a_batched_method_sees(ahead, batched):
    """A delay counts steps, however many calls a step makes, and each run has delayed gradients of its own."""
    rates, final = torch.tensor([[0.02], [0.3]], dtype=torch.float64), []
    for delay in (1.0, 3.0, 8.0):
        instances = Instances(noisy(Bowl(), "delayed", delay), ("a", "b", "c"))
        mine, twin = (
            run(each.batched({"lr": rates}), instances, trials=2, budget=80, record=False)
            for each in (Adopted(ByClosure, {"ahead": ahead}), batched())
        )
        assert mine.status == twin.status
        for name in ("gap_final", "gap_best", "loss_final", "steps"):
            torch.testing.assert_close(
                mine.numbers[name], twin.numbers[name], rtol=1e-9, atol=1e-12
            )
        final.append(mine.numbers["gap_final"])
    assert not torch.equal(final[0], final[1]) and not torch.equal(final[1], final[2])


def test_a_run_that_meets_nan_is_shown_zeros_and_leaves_the_others_alone(make):
    oracle, x, _ = make(Hole())
    whole = oracle.gradient
    inside = x.clone()
    inside[1, 1] = oracle._data["minimizer"][1, 0]
    oracle.move(inside, None)
    gradient, value, hessian = oracle.gradient, oracle.value, oracle.hessian
    others = torch.ones(RUNS, dtype=torch.bool)
    others[1, 1] = False
    assert torch.equal(oracle.broken, ~others)
    assert torch.equal(gradient[others], whole[others])
    assert (gradient[1, 1] == 0).all() and value[1, 1] == 0 and torch.isfinite(hessian).all()


def test_a_trial_point_without_a_finite_value_is_only_very_bad(make):
    oracle, x, _ = make(Hole())
    inside = x.clone()
    inside[0, 0] = oracle._data["minimizer"][0, 0]
    value = oracle.at(inside).value
    assert value[0, 0] == torch.finfo(torch.float64).max
    assert not oracle.broken.any()
