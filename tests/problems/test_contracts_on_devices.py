"""Five contracts of every problem on a second device without hardware, and eleven on a GPU where there is one."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch

from benchmarks.checks import contracts
from benchmarks.checks.contract import NothingStated, ensure
from benchmarks.checks.preflight import check_problem
from problems import PROBLEMS
from problems.ill_conditioning.quadratic import Quadratic
from ravine import Refused
from tests.benchmarks.second_device import NAME, second_device
from tests.problems.moved import on_device


def can_be_swept(problem):
    """The contract of this name, on the device of the problem's examples."""
    check_problem(type(problem).__name__, problem, device=str(problem.example()["start"].device))


def has_critical_points_there(problem):
    data = problem.example()
    for point in problem.critical_points(data):
        ensure(point.x.device == data["start"].device, f"{point} is on {point.x.device}")


BESIDE = [
    can_be_swept,
    has_critical_points_there,
    contracts.has_something_to_do,
    contracts.repeats_its_draws,
    contracts.has_the_stated_minimizers,
    contracts.has_nothing_below_its_floor,
]
# Not on the second device: autograd's batched derivatives crash there, and differences take long.
ON_CUDA = [
    *BESIDE,
    contracts.has_the_stated_critical_points,
    contracts.has_the_gradient_that_differences_see,
    contracts.has_the_derivatives_of_its_loss,
    contracts.has_residuals_whose_squares_are_its_loss,
    contracts.does_not_mix_runs,
    contracts.is_not_solved_by_doing_nothing,
]


def on_each_problem(promises):
    """Return the contracts on each problem at the first rung, except those that its card excepts."""
    unless = {each.holds: each.unless for each in contracts.CONTRACTS}
    return [
        pytest.param(promise, problem.at_dial(problem.card.ladder[0]), id=f"{name}-{promise.__name__}")
        for name, problem in PROBLEMS.items()
        for promise in promises
        if unless.get(promise) not in problem.card.exceptions
    ]  # fmt: skip


def hold(promise, problem, device):
    with second_device() if device == NAME else nullcontext():
        try:
            promise(on_device(problem, device))
        except NothingStated as nothing:
            pytest.skip(str(nothing))


@pytest.mark.parametrize(("promise", "problem"), on_each_problem(BESIDE))
def test_contract_on_a_second_device(promise, problem):
    hold(promise, problem, NAME)


NO_GPU = pytest.param(None, None, marks=pytest.mark.skip(reason="there is no GPU"))


@pytest.mark.parametrize(
    ("promise", "problem"), on_each_problem(ON_CUDA) if torch.cuda.is_available() else [NO_GPU]
)
def test_contract_on_a_gpu(promise, problem):
    hold(promise, problem, "cuda")


# Faults: in each, one method makes numbers on the CPU.


class Loss(Quadratic):
    def loss(self, x, data):
        return super().loss(x, data) + torch.zeros(x.shape[:-1])


class Gradient(Quadratic):
    def value_and_gradient(self, x, data):
        value, gradient = super().value_and_gradient(x, data)
        return value, gradient + torch.zeros(x.shape)


class Solved(Quadratic):
    def solved(self, x, gap, gradient, data):
        return ((x - torch.full(x.shape[-1:], 1e9)).abs() < 1).all(-1)


class Minimizers(Quadratic):
    def minimizers(self, data):
        return data["minimizer"].cpu()[None]


class Distance(Quadratic):
    def distance(self, x, data):
        return (x - data["minimizer"].cpu()).norm(dim=-1)


class Floor(Quadratic):
    def floor(self, data):
        return torch.zeros(data["start"].shape)[..., 0]


class Project(Quadratic):
    def project(self, x, data):
        return x + torch.zeros(x.shape)


FAULTS = {
    Loss: can_be_swept,
    Gradient: contracts.has_something_to_do,
    Solved: contracts.has_something_to_do,
    Minimizers: contracts.has_the_stated_minimizers,
    Distance: contracts.has_the_stated_minimizers,
    Floor: can_be_swept,
    Project: contracts.has_nothing_below_its_floor,
}


@pytest.mark.parametrize(
    ("fault", "promise"), [pytest.param(*each, id=each[0].__name__) for each in FAULTS.items()]
)
def test_numbers_made_on_the_cpu_are_found(fault, promise):
    hold(promise, Quadratic(dim=3), NAME)
    hold(promise, fault(dim=3), "cpu")
    with pytest.raises((RuntimeError, Refused), match="mixes devices"):
        hold(promise, fault(dim=3), NAME)
