"""The contracts of optimizers find planted faults, each by the promise that it breaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from benchmarks.checks.check import check_optimizer
from benchmarks.checks.optimizer_contracts import CONTRACTS, examined
from optimizers import OPTIMIZERS, Hyper, Optimizer, hyper, linear, log
from optimizers.adopted import Adopted
from optimizers.matrices import KroneckerOptimizer


def broken(optimizer):
    return {each.contract.name for each in examined(optimizer) if each.mark == "broken"}


@dataclass(frozen=True)
class Sound(Optimizer):
    """Heavy ball."""

    lr: Hyper = hyper(1e-3, search=log(1e-5, 1e1, unit="length/gradient"), low=0)
    momentum: Hyper = hyper(0.5, low=0, below=1)

    def init(self, x):
        return (torch.zeros_like(x),)

    def update(self, oracle, state):
        velocity = self.momentum * state[0] + oracle.gradient
        return -self.lr * velocity, (velocity,)


class MixesRuns(Sound):
    """The mean over the runs instead of a run's own gradient."""

    def update(self, oracle, state):
        return -self.lr * oracle.gradient.mean(0, keepdim=True).expand_as(oracle.x), state


class ShiftsAcrossRuns(Sound):
    """lr · eye, where a run's own lr should stand on the diagonal: wrong where trials = dim."""

    def update(self, oracle, state):
        scale = self.lr * torch.eye(oracle.x.shape[-1], dtype=oracle.x.dtype)
        return -torch.einsum("ij,...j->...i", scale, oracle.gradient), state


@dataclass(frozen=True)
class WrongUnit(Sound):
    """A learning rate that is a length by its own word, and none."""

    lr: Hyper = hyper(1e-3, search=log(1e-5, 1e1, unit="length"), low=0)


@dataclass(frozen=True)
class TakesAnything(Sound):
    """A learning rate without bounds."""

    lr: float = 1e-3


@dataclass(frozen=True)
class SearchesThree(Sound):
    """More than is searched."""

    momentum: Hyper = hyper(0.5, search=linear(0, 0.9), low=0, below=1)
    third: Hyper = hyper(0.5, search=linear(0, 0.9), low=0, below=1)


class Remembers(Sound):
    """State outside of the state: the second walk is another one."""

    seen: list = []

    def update(self, oracle, state):
        self.seen.append(1)
        return -self.lr * oracle.gradient * (1 + 1e-3 * len(self.seen)), state


class SpreadsNaN(Sound):
    """One step length for all runs: a NaN in one is a NaN in all."""

    def update(self, oracle, state):
        gradient = oracle.gradient
        length = torch.where(oracle.alive, 1.0, torch.nan).mean()
        return -self.lr * gradient * length, state


class Drifts(Sound):
    """Moves where the gradient is 0."""

    def update(self, oracle, state):
        return -self.lr * (oracle.gradient + 1), state


class Divides(Sound):
    """Divides by a curvature that may be 0."""

    def update(self, oracle, state):
        gradient = oracle.gradient
        return -self.lr * gradient / oracle.hvp(gradient), state


class Climbs(Sound):
    """Uphill."""

    def update(self, oracle, state):
        return self.lr * oracle.gradient, state


class AsksInSecret(Sound):
    """A Hessian, of which it says nothing."""

    def update(self, oracle, state):
        return -self.lr * oracle.hessian.diagonal(dim1=-2, dim2=-1) * oracle.gradient, state


class FirstTrialForAll(Sound):
    """The step of the first trial for every trial."""

    def update(self, oracle, state):
        step, state = super().update(oracle, state)
        return step[:, :1], state


class Coarse(Sound):
    """A step in a precision of its own."""

    def update(self, oracle, state):
        step, state = super().update(oracle, state)
        return step.float(), state


class KeepsTheLastWalk(Sound):
    """A velocity that each start forgets, and that is of whichever walk began last."""

    velocity: ClassVar[list] = [None]

    def init(self, x):
        self.velocity[0] = torch.zeros_like(x)
        return ()

    def update(self, oracle, state):
        self.velocity[0] = self.momentum * self.velocity[0] + oracle.gradient
        return -self.lr * self.velocity[0], state


class Mutates(Sound):
    """A state that is changed in place."""

    def update(self, oracle, state):
        state[0].mul_(self.momentum).add_(oracle.gradient)
        return -self.lr * state[0], state


class MovesX(Sound):
    """A step that is half taken before it is returned."""

    def update(self, oracle, state):
        step, state = super().update(oracle, state)
        oracle.x.add_(0.5 * step)
        return step, state


class LooksBehind(Sound):
    """A second gradient, asked of the problem behind the oracle's back."""

    def update(self, oracle, state):
        step, state = super().update(oracle, state)
        if hasattr(oracle, "_landscape"):
            there = oracle._landscape.value_and_gradient(oracle.x + step, oracle._data)[1]
            step = step - self.lr * there
        return step, state


class AsksForNobody(Sound):
    """A trial point that is charged to no run."""

    def update(self, oracle, state):
        step, state = super().update(oracle, state)
        nobody = torch.zeros_like(oracle.x[..., :1])
        return step - self.lr * oracle.at(oracle.x + step, who=nobody).gradient, state


class OutlivesNaN(Sound):
    """It takes its run back from the dead: the oracle's note of a gradient that was NaN is wiped out."""

    def update(self, oracle, state):
        step, state = super().update(oracle, state)
        if hasattr(oracle, "broken"):
            oracle.broken = torch.zeros_like(oracle.broken)
        return step, state


FAULTS = {
    FirstTrialForAll: "keeps_shapes",
    Coarse: "keeps_shapes",
    KeepsTheLastWalk: "shares_nothing_between_walks",
    Mutates: "leaves_its_state_alone",
    MovesX: "leaves_its_state_alone",
    LooksBehind: "pays_for_what_it_asks",
    AsksForNobody: "pays_for_what_it_asks",
    OutlivesNaN: "ends_no_other_run_where_a_gradient_is_nan",
    MixesRuns: "does_not_mix_runs",
    ShiftsAcrossRuns: "does_not_mix_runs",
    WrongUnit: "has_a_learning_rate_in_the_unit_that_it_states",
    TakesAnything: "refuses_bad_hyperparameters",
    SearchesThree: "searches_at_most_two_of_its_hyperparameters",
    Remembers: "repeats_its_steps",
    SpreadsNaN: "ends_no_other_run_where_a_gradient_is_nan",
    Drifts: "stays_where_nothing_leads_away",
    Divides: "survives_a_loss_without_curvature",
    Climbs: "survives_a_singular_hessian",
    AsksInSecret: "says_whether_it_asks_for_hessians",
}


def test_a_sound_optimizer_keeps_every_contract():
    assert broken(Sound()) == set()


@pytest.mark.parametrize(
    ("fault", "contract"), FAULTS.items(), ids=lambda each: getattr(each, "__name__", "")
)
def test_a_planted_fault_is_found(fault, contract):
    assert contract in broken(fault())


def test_a_wrong_unit_changes_what_a_search_finds():
    assert "does_not_depend_on_units" in broken(WrongUnit())


def test_every_contract_has_a_fault_that_it_finds():
    assert {*FAULTS.values(), "does_not_depend_on_units"} == {each.name for each in CONTRACTS}


class OfMatrices(Sound, KroneckerOptimizer):
    """Heavy ball for matrices alone."""

    on_vectors = "heavy ball"

    def init(self, x):
        self.need_a_matrix(x)
        return super().init(x)


class MixesRunsOfMatrices(OfMatrices):
    """The same, with the mean over the runs where a matrix has two columns."""

    def update(self, oracle, state):
        step, state = super().update(oracle, state)
        two = any(block.shape[-1] > 1 for block in self.blocks(oracle.x))
        return (step.mean(0, keepdim=True).expand_as(oracle.x) if two else step), state


@pytest.mark.parametrize("name", ["soap", "shampoo", "kron"])
def test_a_method_that_needs_a_matrix_is_checked_on_one(name):
    lines = []
    assert check_optimizer(name, OPTIMIZERS[name], lines.append)
    assert "not applicable" not in "\n".join(lines)


def test_a_fault_of_a_method_that_needs_a_matrix_is_found():
    assert broken(OfMatrices()) == set()
    assert "does_not_mix_runs" in broken(MixesRunsOfMatrices())


def test_a_class_of_torch_for_matrices_alone_is_checked_on_one():
    lines = []
    assert check_optimizer("Muon", Adopted(torch.optim.Muon), lines.append)
    assert "not applicable" not in "\n".join(lines)


def test_a_class_of_torch_is_checked_and_its_unit_named():
    lines = []
    assert check_optimizer("Adam", Adopted(torch.optim.Adam), lines.append)
    text = "\n".join(lines)
    assert "lr behaves like length" in text
    assert "nothing stated" in text
    assert "ok" in text


class Theirs(torch.optim.Optimizer):
    """Steps of a fixed length; the rate has no default."""

    def __init__(self, params, lr: float):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter -= group["lr"] * parameter.grad.sign()


def test_what_a_class_of_torch_does_not_state_is_not_called_ok():
    found = {each.contract.name: each for each in examined(Adopted(Theirs))}
    assert not [each.text for each in found.values() if each.mark == "broken"]
    assert {name for name, each in found.items() if each.mark == "-"} == {
        "refuses_bad_hyperparameters", "has_a_learning_rate_in_the_unit_that_it_states",
        "leaves_its_state_alone", "stays_where_nothing_leads_away",
    }  # fmt: skip
    said = found["has_a_learning_rate_in_the_unit_that_it_states"].text
    assert said == "lr behaves like length; declared: none"


@dataclass(frozen=True)
class FixedLength(Sound):
    """Long steps of a constant length, which end higher than they began beside a trough that is near."""

    lr: Hyper = hyper(0.1, search=log(1e-5, 1e1, unit="length"), low=0)

    def update(self, oracle, state):
        gradient = oracle.gradient
        return -self.lr * gradient / (1e-300 + gradient.norm(dim=-1, keepdim=True)), state


def test_long_steps_of_a_constant_length_are_no_fault():
    assert broken(FixedLength()) == set()


def test_wrapped_optimizers_are_checked():
    assert check_optimizer("adam+clip", OPTIMIZERS["adam+clip"], lambda line: None)
