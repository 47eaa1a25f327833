"""The contracts catch what went wrong in other benchmarks: each fault is planted, and found by the promise it breaks.

A problem that keeps them all is changed in one place, as a slip of the pen would.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

import pytest
import torch

from benchmarks.checks.contract import Broken, NothingStated
from benchmarks.checks.contracts import CONTRACTS, examined, has_nothing_below_its_floor
from problems import Card, CriticalPoint, Problem, about, claim, dial
from ravine import Refused


@dataclass(frozen=True)
class Saddle(Problem):
    """Two minima beside a saddle, in rotated coordinates.

    f(x) = ½ steepness u² + ¼ (v² − 1)², (u, v) = R (x − m).

    steepness: how much steeper one direction is than the other.
    """

    steepness: float = dial(10.0, low=1)

    card = Card(
        scale="log",
        ladder=(2.0, 10.0, 100.0),
        target=1e-4,
        budget=200,
        reference=("saddle_free_newton", {"lr": 1.0, "damping": 1e-3}),
        control={"steepness": 1.0},
        signature="largest over smallest size of a curvature between the minima",
        threshold=1.5,
        truth="The minimum is 0, at u = 0, v = ±1; between them lies a saddle of index 1.",
        source="these tests",
        exceptions={"random_search": "In two dimensions it is simply good."},
    )

    def instance(self, generator):
        angle = 2 * math.pi * torch.rand((), generator=generator)
        turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()]).view(2, 2)
        middle = torch.randn(2, generator=generator)
        near = torch.tensor([1.0, 0.3]) + 0.1 * torch.rand(2, generator=generator)
        return {"turn": turn, "middle": middle, "start": middle + turn.T @ near}

    def inside(self, x, data):
        return torch.einsum("...ij,...j->...i", data["turn"], x - data["middle"])

    def loss(self, x, data):
        u, v = self.inside(x, data).unbind(-1)
        return 0.5 * self.steepness * u.square() + 0.25 * (v.square() - 1).square()

    def residuals(self, x, data):
        u, v = self.inside(x, data).unbind(-1)
        return torch.stack([math.sqrt(self.steepness) * u, (v.square() - 1) / math.sqrt(2)], -1)

    def value_and_gradient(self, x, data):
        u, v = self.inside(x, data).unbind(-1)
        inside = torch.stack([self.steepness * u, v * (v.square() - 1)], -1)
        return self.loss(x, data).detach(), torch.einsum("...i,...ij->...j", inside, data["turn"])

    def floor(self, data):
        return torch.zeros(())

    def minimizers(self, data):
        return data["middle"] + torch.tensor([[0.0, 1.0], [0.0, -1.0]]) @ data["turn"]

    def distance(self, x, data):
        u, v = self.inside(x, data).unbind(-1)
        return torch.hypot(u, v.abs() - 1)

    def critical_points(self, data):
        return (CriticalPoint(data["middle"], 0.25, 1),)

    def signature(self, data):
        sizes = torch.linalg.eigvalsh(self.hessian(data["middle"], data)).abs()
        return (sizes.max() / sizes.min()).item()


@claim(
    Saddle, "the slope along the valley", stated=-1.0, within=about(-1.0, abs=1e-9), source="tests"
)
def slope(problem):
    data = problem.example()
    return float(torch.linalg.eigvalsh(problem.hessian(data["middle"], data))[0])


def broken(problem):
    """The names of the contracts that a problem breaks, and what is said of them."""
    return {each.contract.name: each.text for each in examined(problem) if each.mark == "broken"}


def test_a_sound_problem_keeps_every_contract():
    assert broken(Saddle()) == {}


# The faults. Fields are inherited, so that each differs in what is written here and in nothing else.


class OddPower(Saddle):
    """A "saddle" that is an odd power: without a bottom."""

    def loss(self, x, data):
        u, v = self.inside(x, data).unbind(-1)
        return 0.5 * self.steepness * u.square() + v**5

    value_and_gradient = Problem.value_and_gradient


class SwappedArguments(Saddle):
    """Base and exponent swapped: an infinite loss."""

    def loss(self, x, data):
        return super().loss(x, data) + torch.tensor(512.0).pow(512 * self.steepness)


class MinimizerAtInfinity(Saddle):
    """A loss that falls for ever, and reaches its floor nowhere."""

    def loss(self, x, data):
        u, v = self.inside(x, data).unbind(-1)
        return 0.5 * self.steepness * u.square() + torch.nn.functional.softplus(-0.001 * v)

    def minimizers(self, data):
        return None

    def critical_points(self, data):
        return ()

    value_and_gradient = Problem.value_and_gradient


class TargetAdded(Saddle):
    """The target added where it should be subtracted: the start is solved."""

    def solved(self, x, gap, gradient, data):
        return gap - 1 <= self.card.target


class SolvedAnywhere(Saddle):
    """A comparison the wrong way round."""

    def solved(self, x, gap, gradient, data):
        return gap >= self.card.target


class OneOfTwo(Saddle):
    """The distance to one of the minimizers, not to the set."""

    def distance(self, x, data):
        return (x - self.minimizers(data)[..., 0, :]).norm(dim=-1) if x.dim() == 1 else None


class WrongPlace(Saddle):
    """A stated minimizer that is none."""

    def minimizers(self, data):
        return data["middle"][None]


class WrongFloor(Saddle):
    """A floor above the minimum."""

    def floor(self, data):
        return torch.tensor(0.1)


class WrongLevel(Saddle):
    """A level above the minimum, which is not stated."""

    card = replace(Saddle.card, floor_is_minimum=False)

    def floor(self, data):
        return torch.tensor(0.1)

    def minimizers(self, data):
        return None


class LevelAndFlatStart(WrongLevel):
    """A level that holds, and a start that descent never leaves."""

    def floor(self, data):
        return torch.tensor(0.0)

    def instance(self, generator):
        data = super().instance(generator)
        return {**data, "start": data["middle"]}


class WrongFloorOfControl(Saddle):
    """A floor that is above the minimum on the control only."""

    def floor(self, data):
        return torch.tensor(0.1 if self.steepness == 1 else 0.0)


class NoMinimum(Saddle):
    """A floor below the minimum, which no optimizer reaches."""

    def floor(self, data):
        return torch.tensor(-1.0)


class WrongIndex(Saddle):
    """A saddle said to be a maximum."""

    def critical_points(self, data):
        return (CriticalPoint(data["middle"], 0.25, 2),)


class FlatStart(Saddle):
    """A start whose gradient is exactly zero: on the saddle."""

    def instance(self, generator):
        data = super().instance(generator)
        return {**data, "start": data["middle"]}


class SolvedStart(Saddle):
    """A threshold that the start of the last rung is below: doing nothing wins."""

    def solved(self, x, gap, gradient, data):
        return self.loss(x, data) <= self.steepness


class OneSeed(Saddle):
    """Four seeds, one instance."""

    def instance(self, generator):
        return super().instance(torch.Generator().manual_seed(0))


class GlobalSeed(Saddle):
    """Random numbers from the global generator."""

    def instance(self, generator):
        data = super().instance(generator)
        return {**data, "start": data["start"] + 1e-3 * torch.randn(2)}


class NotTransposed(Saddle):
    """R g where it should be Rᵀ g."""

    def value_and_gradient(self, x, data):
        value, gradient = super().value_and_gradient(x, data)
        inside = torch.einsum("...ij,...j->...i", data["turn"], gradient)
        return value, torch.einsum("...ij,...j->...i", data["turn"], inside)


class FlippedSign(Saddle):
    """The force of the double well with the wrong sign."""

    def value_and_gradient(self, x, data):
        value, gradient = super().value_and_gradient(x, data)
        return value, -gradient


class DetachedLoss(Saddle):
    """A step that autograd does not see: a silent zero."""

    def loss(self, x, data):
        u, v = self.inside(x, data).unbind(-1)
        return 0.5 * self.steepness * u.square() + 0.25 * (v.square().detach() - 1).square()

    value_and_gradient = Problem.value_and_gradient


class RootForgotten(Saddle):
    """A residual with the weight that belongs to its square."""

    def residuals(self, x, data):
        u, v = self.inside(x, data).unbind(-1)
        return torch.stack([self.steepness * u, (v.square() - 1) / math.sqrt(2)], -1)


class MixedRuns(Saddle):
    """A mean over the wrong axis: a run is influenced by its neighbours."""

    def loss(self, x, data):
        loss = super().loss(x, data)
        return loss if loss.dim() < 2 else 0.5 * (loss + loss.mean(-1, keepdim=True))

    value_and_gradient = Problem.value_and_gradient


class WithoutPathology(Saddle):
    """The same minima, and no steep direction whatever the dial says."""

    def loss(self, x, data):
        u, v = self.inside(x, data).unbind(-1)
        return 0.5 * u.square() + 0.25 * (v.square() - 1).square()

    value_and_gradient = Problem.value_and_gradient


class DeafControl(Saddle):
    """A control that has the pathology too."""

    card = replace(Saddle.card, control={"steepness": 5.0})


class WeakReference(Saddle):
    """A reference that does not solve the rungs."""

    card = replace(Saddle.card, reference=("sgd", {"lr": 1e-6}))


class Unsolvable(MinimizerAtInfinity):
    """The same, excused by an exception: not even the harmless rung is solved."""

    card = replace(Saddle.card, exceptions={**Saddle.card.exceptions, "reference": "It is hard."})


class NoSuchReference(Saddle):
    """A reference that is not registered."""

    card = replace(Saddle.card, reference=("saddle_free", {}))


class UnheardOf(Saddle):
    """A way to remove what is no cause."""

    card = replace(Saddle.card, removes={"bad_luck": {"steepness": 2.0}})


class Unremoved(Saddle):
    """A way to remove a cause that changes nothing."""

    card = replace(Saddle.card, removes={"ill_conditioning": {"steepness": 100.0}})


class BreaksForNoReason(Saddle):
    """A cause that there is not."""

    card = replace(Saddle.card, breaks=("sgd", "bad_luck"))


class UpAndDown(Saddle):
    """A ladder that is none."""

    card = replace(Saddle.card, ladder=(10.0, 2.0, 100.0))


class EasyForAnyone(Saddle):
    """Chance solves it, and the card does not say so."""

    card = replace(Saddle.card, exceptions={})


@dataclass(frozen=True)
class Careless(Saddle):
    """Fields that say nothing about their values."""

    width: float = 1.0
    count: int = 2
    kind: Literal["plain", "wide"] = "plain"


def test_all_wrong_fields_are_named_at_once_with_the_line_that_mends_each():
    assert broken(Careless())["refuses_bad_fields"] == (
        "width accepts nan, inf, 'much': write width: float = bounded(1.0); "
        "count accepts 0.5, -1, nan, 'many': write count: int = bounded(2, low=1); "
        "kind accepts 'plainx': write kind: str = bounded('plain', choices=('plain', 'wide'))"
    )


def test_an_exception_is_named_where_it_could_be_used():
    said = broken(EasyForAnyone())["is_not_solved_by_random_search"]
    assert said.endswith(
        'if that has a reason, state it: exceptions={"random_search": "the reason"}'
    )


class ReadsFields(Saddle):
    """A signature that repeats a field, and measures nothing."""

    @property
    def ratio(self):
        return self.steepness

    def signature(self, data):
        return self.ratio


class Lenient(Saddle):
    """Takes values for which its truth does not hold."""

    def __post_init__(self):
        pass


FAULTS = {
    OddPower: "has_nothing_below_its_floor",
    SwappedArguments: "can_be_swept",
    MinimizerAtInfinity: "is_solved_by_its_reference",
    TargetAdded: "has_something_to_do",
    SolvedAnywhere: "is_not_solved_by_doing_nothing",
    OneOfTwo: "has_the_stated_minimizers",
    WrongPlace: "has_the_stated_minimizers",
    WrongFloor: "has_nothing_below_its_floor",
    WrongLevel: "has_nothing_below_its_floor",
    WrongFloorOfControl: "has_nothing_below_its_floor",
    NoMinimum: "has_the_stated_minimizers",
    WrongIndex: "has_the_stated_critical_points",
    FlatStart: "has_something_to_do",
    SolvedStart: "has_something_to_do",
    OneSeed: "repeats_its_instances",
    GlobalSeed: "repeats_its_instances",
    NotTransposed: "has_the_derivatives_of_its_loss",
    FlippedSign: "has_the_derivatives_of_its_loss",
    DetachedLoss: "has_the_gradient_that_differences_see",
    RootForgotten: "has_residuals_whose_squares_are_its_loss",
    MixedRuns: "does_not_mix_runs",
    WithoutPathology: "has_a_signature_that_its_control_lacks",
    DeafControl: "has_a_signature_that_its_control_lacks",
    WeakReference: "is_solved_by_its_reference",
    Unsolvable: "is_solved_by_its_reference",
    NoSuchReference: "names_optimizers_that_exist",
    UnheardOf: "says_how_to_remove_causes_that_there_are",
    Unremoved: "says_how_to_remove_causes_that_there_are",
    BreaksForNoReason: "says_what_it_breaks",
    UpAndDown: "has_a_ladder",
    EasyForAnyone: "is_not_solved_by_random_search",
    Lenient: "refuses_bad_fields",
    ReadsFields: "has_a_signature_that_measures_the_loss",
}


@pytest.mark.parametrize(
    ("fault", "contract"), [pytest.param(*each, id=each[0].__name__) for each in FAULTS.items()]
)
def test_a_planted_fault_is_found(fault, contract):
    (promise,) = (each for each in CONTRACTS if each.name == contract)
    problem = fault()
    rungs = problem.card.ladder if promise.at_each_rung else [problem.dial]
    found = []
    for rung in rungs:
        if promise.unless not in Saddle.card.exceptions:
            with suppress(NothingStated):
                promise.holds(Saddle().at_dial(rung))
        try:
            promise.holds(problem.at_dial(rung))
        except (Broken, Refused) as error:
            found.append(str(error))
    assert found
    assert all(text and "\n" not in text for text in found)


def test_a_level_is_judged_where_the_gradient_at_the_start_is_zero():
    has_nothing_below_its_floor(LevelAndFlatStart())


def test_every_contract_has_a_fault_that_it_finds():
    shown = set(FAULTS.values())
    elsewhere = {  # below, and for want of noise, shapes or a card that is incomplete
        "has_a_complete_card", "repeats_its_draws", "has_parameters_of_the_stated_shapes",
    }  # fmt: skip
    assert shown | elsewhere == {contract.name for contract in CONTRACTS}


class Restless(Saddle):
    """Noise that does not come from its generator."""

    def draws(self, data, generator):
        while True:
            yield {"tilt": torch.randn(2)}

    def sampled_loss(self, x, data, draw):
        return self.loss(x, data) + (draw["tilt"] * x).sum(-1)


class Shapeless(Saddle):
    """Parameters of other shapes than x has room for."""

    @property
    def shapes(self):
        return ((3,),)


class Nameless(Saddle):
    """A card without a source."""

    card = replace(Saddle.card, source=" ")


@pytest.mark.parametrize(
    ("fault", "contract", "said"),
    [
        (Restless, "repeats_its_draws", "the same seed draws different noise"),
        (Shapeless, "has_parameters_of_the_stated_shapes", "shapes have 3 numbers, and x has 2"),
        (Nameless, "has_a_complete_card", "card.source is empty"),
    ],
)
def test_what_is_said_of_a_fault(fault, contract, said):
    (promise,) = (each for each in CONTRACTS if each.name == contract)
    with pytest.raises(Broken, match=said):
        promise.holds(fault())


def test_a_claim_is_borne_out_or_not():
    (stated,) = Saddle().claims.values()
    assert stated.holds(stated.measure(Saddle()))
    assert not stated.holds(math.nan)
    assert not stated.holds(stated.measure(FlippedHessian()))


class FlippedHessian(Saddle):
    """Hills for valleys."""

    def hessian(self, x, data):
        return -super().hessian(x, data)
