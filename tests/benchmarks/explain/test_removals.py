"""Each removal changes what it says, by a closed form, and nothing else: bits stay where it does not apply."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch

from benchmarks.catalog.contenders import contender
from benchmarks.engine.cell import run_cell
from benchmarks.engine.contender import Contender
from benchmarks.engine.instances import Instances
from benchmarks.engine.protocol import Protocol
from benchmarks.explain import removals, steps
from benchmarks.explain.removals import (
    Both,
    Clipped,
    Conditioned,
    ExactGradient,
    ExactLoss,
    Fields,
    Held,
    Kick,
    Leashed,
    Limited,
    Met,
    Raised,
    Signs,
)
from optimizers import Range
from optimizers.gauss_newton import GaussNewton
from optimizers.newton import Newton
from optimizers.oracle import CountingOracle
from optimizers.sgd import SGD
from problems import PROBLEMS, Problem, dial
from problems.ill_conditioning.quadratic import Quadratic
from problems.ill_conditioning.rosenbrock import Rosenbrock
from problems.inexact_gradients.noisy_quadratic import NoisyQuadratic
from problems.modifiers import noisy, transformed
from problems.saddles.deep_linear import STRENGTHS, DeepLinear
from tests.benchmarks.problems_for_tests import card

SIZE = Protocol(trials=4, tuning_seeds=1, seeds=2, budget=40)
BOWL = Quadratic(dim=4, condition=100.0)
ROUND = Quadratic(dim=4, condition=1.0)
NOISY = NoisyQuadratic(dim=4, noise=0.1)
GAUSSIAN = noisy(BOWL, "gaussian")
DATA = Instances(BOWL, ("a", "b")).data
ROSENBROCK = PROBLEMS["rosenbrock"]
SMALL = {"lr": Range(1e-3, 0.5)}  # rates at which descent on a bowl of curvature 1 only shrinks
EVERY = [
    ExactLoss(), ExactGradient(), Clipped(), Leashed(), Limited(), Held(), Conditioned(), Kick(), Signs(), Raised(),
    Fields({"b": 1.0}, "ill_conditioning"), Both(Clipped(), Conditioned()),
]  # fmt: skip
SOME = [Clipped(), Conditioned(), Kick(), Both(Raised(), Leashed())]


@dataclass(frozen=True)
class Saddle(Problem):
    """½ x² + ½ (y² − 1)², which curves downwards along y within |y| < 1/√3; the minima are at y = ±1."""

    height: float = dial(1.0)
    card: ClassVar = card(control={"height": 1.0})

    def instance(self, generator):
        return {"start": torch.tensor([1.0, 1e-3])}

    def loss(self, x, data):
        return 0.5 * x[..., 0] ** 2 + 0.5 * (x[..., 1] ** 2 - 1) ** 2

    def floor(self, data):
        return torch.zeros(())

    def distance(self, x, data):
        return (x[..., 0] ** 2 + (x[..., 1].abs() - 1) ** 2).sqrt()


@dataclass(frozen=True)
class Hill(Saddle):
    """−¼ (x + 2 y)² − ¼ y⁴: it curves downwards or not at all, and not along the axes."""

    def loss(self, x, data):
        return -0.25 * (x[..., 0] + 2 * x[..., 1]) ** 2 - 0.25 * x[..., 1] ** 4


def way(share):
    """The points (instances, 1, dim) on the way from the minimizer of the bowl to the start."""
    return DATA["minimizer"] + share * (DATA["start"] - DATA["minimizer"])


def ran(problem, optimizer: str | Contender = "sgd", removal=None):
    found = optimizer if isinstance(optimizer, Contender) else contender(optimizer)
    return run_cell(problem, replace(found, removal=removal), SIZE.settled(problem)).runs


def length(vectors):
    return vectors.norm(dim=-1, keepdim=True)


def slow_descent():
    return Contender("sgd", SGD(lr=0.1), SMALL)


def same_bits(one, other, but=()):
    assert one.keys() == other.keys()
    for name in one.keys() - {"seconds", *but}:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def steps_of(removal, problem, optimizer, points=(None,)):
    """Yield the oracle of two instances and the step (instances, 1, dim) at each point; None is the start."""
    at = removal.problem(problem)
    instances = Instances(at, ("a", "b"))
    start, draws = instances.data["start"], instances.draws()
    method = removal.optimizer(optimizer, instances)
    oracle = CountingOracle(at, instances.data, (2, 1), instances.normals(), start.device)
    state = method.init(start)
    for x in points:
        point = start if x is None else torch.as_tensor(x, dtype=start.dtype).expand_as(start)
        oracle.move(point, next(draws), progress=0.0)
        step, state = method.update(oracle, state)
        yield oracle, step


def moved(removal, problem, optimizer, *points):
    """The last step (instances, 1, dim) with a removal, and without."""
    return [
        list(steps_of(each, problem, optimizer, points or (None,)))[-1][1]
        for each in (removal, removals.Removal())
    ]


class TestWhereItDoesNotApply:
    @pytest.mark.parametrize(
        ("removal", "problem", "optimizer"),
        [
            (ExactLoss(), BOWL, "sgd"),
            (ExactLoss(), ROSENBROCK, "newton"),
            (ExactGradient(), BOWL, "sgd"),
            (ExactGradient(), NOISY.control(), "momentum"),
            (Fields({"condition": 100.0}, "ill_conditioning"), BOWL, "adam"),
            (Fields({"noise": 0.1}, "noise"), NOISY, "sgd+decay"),
            (Held(), BOWL, "sgd"),
            (Kick(), BOWL, "momentum"),
            (Kick(), NOISY, "newton"),
            (Signs(), BOWL, "newton"),
            (Signs(), BOWL, "damped_newton"),
            (Signs(), PROBLEMS["hilbert"], "newton"),
        ],
    )
    def test_the_bits_are_the_same(self, removal, problem, optimizer):
        same_bits(ran(problem, optimizer), ran(problem, optimizer, removal))

    def test_a_leash_longer_than_every_step(self, monkeypatch):
        monkeypatch.setattr(steps, "LEASH", 1e6)
        same_bits(ran(BOWL, slow_descent()), ran(BOWL, slow_descent(), Leashed()))

    def test_slopes_of_a_convex_function(self):
        same_bits(ran(BOWL, slow_descent()), ran(BOWL, slow_descent(), Raised()))

    @pytest.mark.parametrize("optimizer", ["sgd", "adam", "newton"])
    def test_no_limit_where_gradients_are_shorter_than_at_the_start(self, optimizer):
        method = contender(optimizer).optimizer
        self.same_steps(Limited(), BOWL, method, [way(each) for each in (0.9, 0.5, 0.7)])

    def test_no_clipping_of_gradients_that_only_shrink(self):
        """The first one is its own median, and is left but for clip's 1e-6."""
        points = [way(each) for each in (1.0, 0.9, 0.5, 0.2)]
        self.same_steps(Clipped(), BOWL, SGD(lr=0.1), points, after=1)

    @pytest.mark.parametrize("optimizer", ["sgd", "adam", "newton"])
    def test_nothing_is_conditioned_where_nothing_curves_upwards(self, optimizer):
        points = torch.randn(7, 2, generator=torch.Generator().manual_seed(0)).double()
        method = contender(optimizer).optimizer
        self.same_steps(Conditioned(), Hill(), method, list(points))

    def same_steps(self, removal, problem, optimizer, points, after=0):
        """Bitwise, behind the first few."""
        found, own = (
            [step for _, step in steps_of(each, problem, optimizer, points)][after:]
            for each in (removal, removals.Removal())
        )
        assert all(map(torch.equal, found, own)) and all(step.abs().sum() > 0 for step in own)

    @pytest.mark.parametrize("removal", [Conditioned(), Limited()])
    def test_up_to_rounding(self, removal):
        """A round bowl is conditioned; clip's 1e-6 shortens a first gradient that is as long as the limit."""
        one, other = (ran(ROUND, slow_descent(), each) for each in (None, removal))
        for name in ("status", "steps", "cost"):
            np.testing.assert_array_equal(one[name], other[name])
        np.testing.assert_allclose(other["gap_final"], one["gap_final"], rtol=1e-5)


class TestWhatItSays:
    def test_an_exact_loss_is_that_of_no_noise(self):
        silent = replace(NOISY, noise=0.0)
        same_bits(ran(NOISY, "sgd", ExactLoss()), ran(silent), but=["problem.noise"])

    @pytest.mark.parametrize("noise", ["gaussian", "heavy_tailed", "biased", "quantised"])
    def test_exact_gradients_are_those_of_the_problem_without_noise(self, noise):
        """Runs are judged as noisy ones are, so that steps are compared."""
        exact, seen = moved(ExactGradient(), noisy(BOWL, noise), SGD(lr=0.5))
        without = moved(removals.Removal(), BOWL, SGD(lr=0.5))[0]
        torch.testing.assert_close(exact, without, rtol=0, atol=0)
        assert (seen != without).any()

    def test_an_exact_loss_leaves_what_the_problem_makes_of_gradients(self):
        step, _ = moved(ExactLoss(), noisy(NOISY, "sign_compressed"), SGD(lr=1.0))
        exact, _ = moved(ExactGradient(), noisy(NOISY, "sign_compressed"), SGD(lr=1.0))
        torch.testing.assert_close(step, exact.abs().mean(-1, keepdim=True) * exact.sign())

    def test_no_step_is_longer_than_the_leash(self):
        step, free = moved(Leashed(), BOWL, SGD(lr=100.0))
        leash = steps.LEASH * BOWL.distance(DATA["start"], DATA).unsqueeze(-1)
        torch.testing.assert_close(step, free * leash / length(free))

    def test_no_gradient_is_longer_than_at_the_start(self):
        step, free = moved(Limited(), BOWL, SGD(lr=1.0), 100 * torch.ones(4))
        first = length(BOWL.value_and_gradient(DATA["start"], DATA)[1])
        torch.testing.assert_close(step, free * first / length(free), rtol=1e-5, atol=0)

    def test_gradients_are_clipped_to_the_median_of_their_norms(self):
        """Of two norms, the second larger: half way between them."""
        points = None, 100 * torch.ones(4)
        _, free = zip(*steps_of(removals.Removal(), BOWL, SGD(lr=1.0), points), strict=True)
        step, _ = moved(Clipped(), BOWL, SGD(lr=1.0), *points)
        middle = (length(free[0]) + length(free[1])) / 2
        torch.testing.assert_close(step, free[1] * middle / length(free[1]), rtol=1e-5, atol=0)

    def test_steps_shrink_as_the_curvature_grows(self):
        """It is measured at the sixth step, where the largest is 6 · 2² − 2 = 22 times that of the start."""
        points = [[0.0, 2.0]] * (steps.EVERY + 1)
        found = [step for _, step in steps_of(Held(), Saddle(), SGD(lr=0.1), points)]
        _, free = moved(Held(), Saddle(), SGD(lr=0.1), [0.0, 2.0])
        torch.testing.assert_close(found[-2], free, rtol=0, atol=0)
        torch.testing.assert_close(found[-1], free / 22)

    def test_one_step_of_length_one_solves_a_conditioned_bowl(self):
        """Its largest curvature is 1, so that the gradient becomes the way from the minimum."""
        step, _ = moved(Conditioned(), BOWL, SGD(lr=1.0))
        way = DATA["minimizer"] - DATA["start"]
        torch.testing.assert_close(step, way, rtol=1e-9, atol=1e-8)  # the damping is 1e-12 · 100

    def test_curvatures_are_seen_as_the_gradient_is(self):
        """So that the step of a method that divides by them stays as it is."""
        step, free = moved(Conditioned(), ROSENBROCK, Newton())
        torch.testing.assert_close(step, free, rtol=1e-6, atol=1e-9)
        method = GaussNewton(damping=1e-9)
        tripled = steps.Shown(method, lambda x, gradient: lambda vector: 3 * vector)
        step, free = (moved(removals.Removal(), ROSENBROCK, each)[0] for each in (tripled, method))
        torch.testing.assert_close(step, free, rtol=1e-6, atol=1e-9)

    @pytest.mark.parametrize("y", [1e-3, -1e-3])
    def test_a_kick_ends_a_tenth_of_the_way_from_the_ridge(self, y):
        """The ridge is y = 0, the saddle at 0; far from it nothing is kicked."""
        step, _ = moved(Kick(), Saddle(), SGD(lr=0.1), [0.0, y])
        away = math.hypot(1.0, 1 - 1e-3)  # of the start from the solutions
        there = torch.tensor([0.0, math.copysign(0.1 * away, y)], dtype=torch.float64)
        expected = there - torch.tensor([0.0, y], dtype=torch.float64)
        torch.testing.assert_close(step, expected.expand_as(step), rtol=1e-6, atol=1e-8)
        step, free = moved(Kick(), Saddle(), SGD(lr=0.1), [0.0, 0.9])
        torch.testing.assert_close(step, free, rtol=0, atol=0)

    def test_negative_curvatures_are_positive(self):
        """Newton's method then goes down from a ridge."""
        step, free = moved(Signs(), Saddle(), Newton(), [0.5, 0.1])
        torch.testing.assert_close(step, free * torch.tensor([1.0, -1.0]).double())

    def test_no_gradient_is_shorter_than_the_mean_slope_to_the_solutions(self):
        x = torch.tensor([0.0, 1e-3], dtype=torch.float64)
        step, free = moved(Raised(), Saddle(), SGD(lr=1.0), x)
        slope = Saddle().loss(x, {}) / math.hypot(1.0, 1 - 1e-3)
        torch.testing.assert_close(step, free * slope / length(free))

    def test_one_stated_minimizer_is_enough_to_raise_slopes(self):
        """The set of solutions is unknown: they are all layers whose product is the target."""
        problem = DeepLinear()
        seen = Instances(problem, ("a", "b"))
        gradient = problem.value_and_gradient(seen.data["start"], seen.data)[1]
        raised = Raised().gradient(gradient, seen).norm(dim=-1)
        for tree, slope in zip(seen.trees, raised, strict=True):
            away = (problem.aligned(torch.tensor(STRENGTHS).double(), tree) - tree["start"]).norm()
            torch.testing.assert_close(slope[0], problem.loss(tree["start"], tree) / away)

    def test_a_view_predicts_nothing(self):
        """Without signs every direction is open, and a theory is of the method that sees the problem itself."""
        signs = PROBLEMS["sign_compression"]
        assert signs.predicted_share() == 0.0
        assert ExactGradient().problem(signs).predicted_share() is None
        assert BOWL.card.theory and not ExactLoss().problem(BOWL).card.theory

    def test_fields_are_those_of_another_problem(self):
        other = Fields({"condition": 1.0}, "ill_conditioning")
        same_bits(ran(BOWL, "sgd", other), ran(ROUND))
        assert other.problem(noisy(BOWL, "gaussian")) == noisy(ROUND, "gaussian")

    def test_two_at_once(self):
        both = Both(Conditioned(), Leashed())
        step, _ = moved(both, BOWL, SGD(lr=1.0))
        way = DATA["minimizer"] - DATA["start"]
        torch.testing.assert_close(step, steps.LEASH * way, rtol=1e-9, atol=1e-8)
        assert both.cause == "ill_conditioning+cliff"


class TestWhatStays:
    @pytest.mark.parametrize("removal", [ExactLoss(), ExactGradient(), Signs()])
    def test_instances_and_noise_are_those_of_the_problem(self, removal):
        view, own = (Instances(each, ("a", "b")) for each in (removal.problem(GAUSSIAN), GAUSSIAN))
        torch.testing.assert_close(view.data["inner"], own.data, rtol=0, atol=0)
        for _, mine, theirs in zip(range(5), view.draws(), own.draws(), strict=False):
            torch.testing.assert_close(mine, theirs, rtol=0, atol=0)

    @pytest.mark.parametrize(
        "optimizer", ["adam", "newton", "gauss_newton", "krylov_saddle_free_newton"]
    )
    @pytest.mark.parametrize("removal", EVERY, ids=lambda each: type(each).__name__)
    def test_a_removal_is_not_charged(self, removal, optimizer):
        """Three steps cost what they cost without."""
        counts = [
            [oracle.counts for oracle, _ in steps_of(each, ROSENBROCK, contender(optimizer).optimizer, [None] * 3)]
            for each in (removal, removals.Removal())
        ]  # fmt: skip
        assert str(counts[0]) == str(counts[1])

    def test_trials_are_the_same_settings(self):
        """Of a gradient that is shown otherwise, in the units of what is shown."""
        one = ran(BOWL)
        first = one["search"] == "sobol"  # refined ones follow the best of these
        for removal, names in ((Held(), ("trial", "seed", "u", "hp.lr")), (Conditioned(), ("u",))):
            other = ran(BOWL, "sgd", removal)
            for name in names:
                np.testing.assert_allclose(other[name][first], one[name][first], rtol=1e-12)

    @pytest.mark.parametrize("removal", [Conditioned(), Raised(), Both(Raised(), Conditioned())])
    def test_units_are_those_of_the_gradient_that_is_shown(self, removal):
        instances = Instances(ROSENBROCK, ("a", "b"))
        data = instances.data
        exact = ROSENBROCK.value_and_gradient(data["start"], data)[1]
        step, _ = moved(removal, ROSENBROCK, SGD(lr=1.0))
        torch.testing.assert_close(removal.gradient(exact, instances), -step)

    @pytest.mark.parametrize("removal", SOME, ids=lambda each: type(each).__name__)
    def test_adopted_classes_run_as_built_in_ones(self, removal):
        adopted = contender(torch.optim.SGD)
        space = {"lr": contender("sgd").space["lr"]}
        built = Contender("SGD", SGD(lr=1e-3), space)
        one = ran(ROSENBROCK, Contender("SGD", adopted.optimizer, space), removal)
        other = ran(ROSENBROCK, built, removal)
        np.testing.assert_array_equal(one["status"], other["status"])
        np.testing.assert_allclose(one["gap_final"], other["gap_final"], rtol=1e-6)

    def test_a_closure_sees_what_is_shown(self):
        """From the second call on, which is at another point."""

        class Twice(torch.optim.Optimizer):
            def __init__(self, params, lr: float = 1.0):
                super().__init__(params, {"lr": lr})

            @torch.no_grad()
            def step(self, closure=None):
                for group in self.param_groups:
                    for each in group["params"]:
                        for _ in range(2):
                            assert closure is not None
                            closure()
                            each -= 0.5 * each.grad

        step, _ = moved(Conditioned(), BOWL, contender(Twice).optimizer)
        way = DATA["minimizer"] - DATA["start"]
        torch.testing.assert_close(step, 0.75 * way, rtol=1e-9, atol=1e-8)

    @pytest.mark.parametrize("removal", SOME, ids=lambda each: type(each).__name__)
    def test_a_wrapped_method_runs(self, removal):
        runs = ran(ROSENBROCK, "adam+decay", removal)
        assert set(runs["status"]) <= {"solved", "missed", "diverged"}


class TestWhereItIsAsked:
    def names(self, problem, optimizer="sgd", **met):
        return [name for name, why_not in self.asked(problem, optimizer, **met) if not why_not]

    def asked(self, problem, optimizer="sgd", **met):
        found = removals.removals(problem, contender(optimizer).optimizer, Met(**met))
        return [(type(each).__name__, why_not) for each, why_not in found]

    def test_noise_is_removed_where_there_is_some(self):
        assert "ExactLoss" in self.names(NOISY) and "ExactLoss" not in self.names(BOWL)
        assert "ExactGradient" not in self.names(NOISY)

    @pytest.mark.parametrize(
        ("noise", "asked"),
        [
            ("gaussian", {"ExactLoss"}),
            ("heavy_tailed", {"ExactLoss"}),
            ("correlated", {"ExactLoss"}),
            ("biased", {"ExactGradient"}),
            ("delayed", {"ExactGradient"}),
            ("quantised", {"ExactGradient"}),
            ("sign_compressed", {"ExactGradient"}),
        ],
    )
    def test_noise_is_removed_once_and_by_its_name(self, noise, asked):
        """The two removals are the same bits under noise that is added to the loss."""
        both = {"ExactLoss", "ExactGradient"}
        problem = transformed(noisy(BOWL, noise), ["rotate"])
        assert both & set(self.names(problem)) == asked
        assert both & set(self.names(noisy(NOISY, noise))) == asked | {"ExactLoss"}
        steps = [
            moved(each, noisy(BOWL, noise), SGD(lr=1.0), None, 2 * DATA["start"][0, 0])[0]
            for each in (ExactLoss(), ExactGradient())
        ]
        added = noise in ("gaussian", "heavy_tailed", "correlated", "biased")
        assert torch.equal(*steps) == added

    def test_nothing_is_kicked_or_raised_where_nothing_curves_down(self):
        asked = self.names(ROSENBROCK, "newton", negative=False)
        assert not {"Kick", "Signs", "Raised"} & set(asked)
        assert {"Kick", "Signs", "Raised"} <= set(self.names(ROSENBROCK, "newton"))
        assert "Signs" not in self.names(ROSENBROCK, curvature_used=False)

    def test_what_even_curvatures_leave_out(self):
        assert "Conditioned" not in self.names(BOWL, uneven=False)
        assert "Held" not in self.names(BOWL, stiffened=False)

    @pytest.mark.parametrize("name", ["clipped_sgd", "sgd+adaptive_clip", "sgd+clip+decay"])
    def test_what_is_clipped_already_is_not_clipped_again(self, name):
        assert not {"Clipped", "Limited"} & set(self.names(BOWL, name))

    def test_a_limit_takes_the_place_of_a_leash_of_unknown_length(self):
        """The solutions of separable data are at infinity."""
        asked = self.names(PROBLEMS["separable_logistic"])
        assert "Limited" in asked and "Leashed" not in asked

    def test_slopes_are_raised_where_a_solution_is_known(self):
        assert "Raised" in self.names(PROBLEMS["deep_linear"])
        assert ("Raised", "no solution is known") in self.asked(PROBLEMS["mountain"])

    def test_no_hessian_is_diagonalized_in_many_dimensions_and_it_is_said(self):
        found = self.asked(Rosenbrock(dim=513), "newton")
        large = {name for name, why_not in found if why_not == "more than 512 dimensions"}
        assert large == {"Held", "Conditioned", "Kick", "Signs"}
        small = self.asked(Rosenbrock(dim=512), "newton")
        assert large <= {name for name, why_not in small if not why_not}

    def test_nothing_curves_down_in_a_convex_quadratic_of_any_dimension(self):
        found = dict(self.asked(replace(BOWL, dim=513), "newton"))
        assert not {"Kick", "Signs", "Raised"} & set(found) and "Conditioned" in found

    def test_fields_of_two_causes_are_asked_once(self):
        found = [
            each
            for each, _ in removals.removals(PROBLEMS["cliff"], SGD(), Met())
            if isinstance(each, Fields)
        ]
        assert [each.cause for each in found] == ["vanishing_gradient/exploding_gradient"]
