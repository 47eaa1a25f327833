"""Truth by intervention: where analysis says what is wrong, taking just that away is what helps."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from benchmarks.engine.instances import Instances
from benchmarks.engine.loop import run
from benchmarks.engine.protocol import stream
from benchmarks.validation.interventions import (
    Exact,
    Kicked,
    Near,
    Noiseless,
    Shown,
    conditioned,
    in_a_basin,
    modes,
    raised,
    truth,
)
from optimizers.adam import Adam
from optimizers.momentum import Momentum
from optimizers.newton import Newton
from optimizers.sgd import SGD
from problems import PROBLEMS
from problems.cliffs.generalized_smoothness import GeneralizedSmoothness
from problems.ill_conditioning.quadratic import Quadratic
from problems.inexact_gradients.biased_gradient import BiasedGradient
from problems.inexact_gradients.noisy_quadratic import NoisyQuadratic
from problems.local_minima.rastrigin import Rastrigin
from problems.modifiers.noises import noisy
from problems.plateaus.golf_hole import GolfHole
from problems.plateaus.needle import Needle
from problems.plateaus.shelf import Shelf
from problems.saddles.goe_saddle import GoeSaddle
from problems.saddles.strict_saddle import StrictSaddle

SEEDS = tuple(stream(k) for k in range(2))
BOWL = Quadratic(dim=5, condition=1.0)
RAVINE = Quadratic(dim=5, condition=1e4)


def found(problem, optimizer, budget):
    instances = Instances(problem, SEEDS)
    return truth(optimizer, instances, 1, budget, run(optimizer, instances, 1, budget))


@pytest.mark.parametrize(
    ("problem", "optimizer", "budget", "expected"),
    [
        (RAVINE, SGD(lr=1.0), 300, {"ill_conditioning"}),  # e^(−300/1e4) of the slowest mode is left
        (RAVINE, Momentum(lr=1.0), 100, {"ill_conditioning"}),
        (RAVINE, Newton(), 300, set()),  # solved in one step
        (BOWL, SGD(lr=1.0), 300, set()),
        (BOWL, SGD(lr=0.01), 300, {"step_too_small"}),  # 460 steps, or 44
        (BOWL, SGD(lr=10.0), 60, {"step_too_large"}),  # multiplies the error by −9
        (noisy(BOWL, "gaussian", 2.0), SGD(lr=0.5), 120, {"noise"}),
        (NoisyQuadratic(dim=5, noise=10.0), SGD(lr=0.5), 150, {"noise"}),
        (BiasedGradient(dim=5, bias=5.0), SGD(lr=1.0), 300, {"wrong_direction"}),
        (StrictSaddle(dim=3, ratio=1.0, offset=1e-10), SGD(lr=0.3), 80, {"saddle"}),
        (GoeSaddle(dim=6), Newton(), 400, {"saddle"}),  # it goes back wherever it is kicked to
        (Rastrigin(dim=2, amplitude=1.0), SGD(lr=1e-2), 60, {"local_minimum"}),
        (GeneralizedSmoothness(radius=6.0), SGD(lr=0.9), 150, {"cliff"}),
        (Needle(dim=3, radius=4.0), SGD(lr=1.0), 100, {"plateau"}),
        (GolfHole(hole=0.05), SGD(lr=1.0), 50, {"no_signal"}),
        (PROBLEMS["matrix_power"].without("exploding_gradient"), SGD(lr=1.0), 100, set()),
    ],
)  # fmt: skip
def test_the_one_thing_that_is_wrong(problem, optimizer, budget, expected):
    result = found(problem, optimizer, budget)
    for instance in range(len(SEEDS)):
        assert set(result.causes(instance, 0)) == expected


def test_nothing_is_wrong_that_does_not_cost_five_times_as_much():
    """A rate of 0.15 takes 29 steps on a bowl, and ten times that 7: nearly, but not quite."""
    bowl = Instances(BOWL, SEEDS)
    for rate, expected in [(0.15, ()), (0.1, ("step_too_small",))]:
        base = run(SGD(lr=rate), bowl, 1, 300)
        result = truth(SGD(lr=rate), bowl, 1, 300, base)
        assert result.causes(0, 0) == expected
        assert (result.cost["base"] == base.numbers["cost_to_target"]).all()


def test_each_trial_and_instance_has_its_own_truth():
    rates = torch.tensor([[1.0], [0.01], [10.0]], dtype=torch.float64)
    optimizer = SGD().batched({"lr": rates})
    instances = Instances(BOWL, SEEDS)
    result = truth(optimizer, instances, 3, 300, run(optimizer, instances, 3, 300))
    for instance in range(2):
        assert [result.causes(instance, trial) for trial in range(3)] == [
            (), ("step_too_small",), ("step_too_large",)
        ]  # fmt: skip


def test_an_exploding_chain_throws_and_a_vanishing_one_does_not():
    """At the rate that suits a chain of length one, W²⁰ multiplies errors by up to ρ⁴⁰."""
    chain = replace(PROBLEMS["matrix_power"], dim=10)
    chained = {"exploding_gradient", "vanishing_gradient"}
    thrown = found(chain, SGD(lr=1.0), 100)
    assert chained & set(thrown.causes(0, 0)) == {"exploding_gradient"}
    slow = found(chain, SGD(lr=0.03), 200)
    assert chained & set(slow.causes(0, 0)) == {"vanishing_gradient"}


def test_a_kick_downhill_makes_no_saddle():
    """Behind a mountain a kick helps on its way down, but not one back up."""
    result = found(PROBLEMS["mountain"], SGD(lr=0.35), 200)
    assert result.cost["saddle ridge 1"][1, 0] < 200
    assert "saddle" not in result.causes(1, 0)


def test_a_start_near_the_solution_shows_what_a_shelf_is():
    result = found(Shelf(dim=2, width=3.0), SGD(lr=1.0), 50)
    assert "plateau" in result.causes(0, 0)


# The views.


def one(problem):
    instances = Instances(problem, SEEDS)
    x = instances.data["start"] + torch.tensor([[[0.0]], [[0.1]]]).double()
    return instances.data, x


def test_a_conditioned_bowl_is_round_and_as_steep_as_before():
    """A g = λmax (x − m), A H = λmax I, up to the damping of 1e-6 over 1e-4."""
    data, x = one(RAVINE)
    matrix = conditioned(RAVINE, data, 1e-6, math.inf)(x, x)
    gradient = RAVINE.value_and_gradient(x, data)[1]
    error = x - data["minimizer"]
    torch.testing.assert_close(
        matrix(gradient), error, rtol=0.0, atol=0.02 * float(error.abs().max())
    )
    hessian = matrix(RAVINE.hessian(x, data).movedim(-1, 0)).movedim(0, -1)
    torch.testing.assert_close(
        hessian, torch.eye(5).double().expand(2, 1, 5, 5), rtol=0.0, atol=0.02
    )


def test_conditioning_leaves_what_curves_downwards():
    problem = StrictSaddle(dim=3, ratio=100.0)
    data, x = one(problem)
    curvatures, basis = modes(problem, x, data)
    assert (curvatures[..., 0] < 0).all()
    down = basis[..., 0]
    torch.testing.assert_close(conditioned(problem, data, 1e-6, math.inf)(x, x)(down), down)


def test_on_a_convex_function_no_gradient_is_raised():
    data, x = one(RAVINE)
    gradient = RAVINE.value_and_gradient(x, data)[1]
    away = RAVINE.distance(data["start"], data)
    x = data["start"]
    gradient = RAVINE.value_and_gradient(x, data)[1]
    assert (raised(RAVINE, data, away)(x, gradient)(gradient) == gradient).all()
    flat = Needle(dim=3, radius=5.0)
    data, _ = one(flat)
    gradient = flat.value_and_gradient(data["start"], data)[1]
    longer = raised(flat, data, torch.full((2, 1), 5.0).double())(data["start"], gradient)(gradient)
    torch.testing.assert_close(
        longer.norm(dim=-1), torch.full((2, 1), 0.2).double(), rtol=1e-4, atol=0
    )


@pytest.mark.parametrize("by", ["ridge", "point"])
def test_a_kick_leads_off_a_ridge_to_either_side_once(by):
    problem = StrictSaddle(dim=3, ratio=1.0, offset=1e-6)
    data, x = [], []
    for side in (1, -1):
        view = Kicked(problem, by, side)
        instances = Instances(view, SEEDS)
        saddle = torch.stack([problem.critical_points(t["inner"])[0].x for t in instances.trees])
        near = saddle[:, None] + 1e-3 * (instances.data["start"] - saddle[:, None])
        kicked = view.project(near, instances.data)
        torch.testing.assert_close(view.project(kicked, instances.data), kicked)
        x.append(kicked - saddle[:, None])
        data.append(instances.data["kick"])
    torch.testing.assert_close(x[0].norm(dim=-1, keepdim=True), data[0], rtol=0.05, atol=0)
    assert ((x[0] * x[1]).sum(-1) < 0).all()


def test_noise_and_bias_are_taken_away_one_by_one():
    problem = BiasedGradient(dim=5, bias=5.0)
    draws, gradients = {}, {}
    for name, view in [("noise", Noiseless(problem)), ("both", Exact(problem))]:
        instances = Instances(view, SEEDS)
        data, x = instances.data, instances.data["start"]
        draws[name] = next(instances.draws())
        gradient = view.sampled_value_and_gradient(x, data, draws[name])[1]
        gradients[name] = view.seen(gradient, data, draws[name], None)[0]
        exact = problem.value_and_gradient(x, data["inner"])[1]
        gradients[name] = gradients[name] - exact
    assert (gradients["both"] == 0).all()
    assert (gradients["noise"].norm(dim=-1) > 0).all()


def test_a_view_draws_what_the_problem_draws():
    problem = NoisyQuadratic(dim=4)
    plain, viewed = Instances(problem, SEEDS), Instances(Exact(problem), SEEDS)
    assert (plain.data["start"] == viewed.data["start"]).all()
    first, second = next(plain.draws()), next(viewed.draws())
    assert all((first[name] == second[name]).all() for name in first)


def test_interventions_are_not_charged():
    """A Hessian at each step is looked at behind the method's back."""
    instances = Instances(RAVINE, SEEDS)
    shown = Shown(SGD(lr=1.0), conditioned(RAVINE, instances.data, 1e-6, math.inf))
    outcome = run(shown, instances, 1, 50, record=False)
    assert (outcome.numbers["cost"] == outcome.numbers["steps"]).all()
    assert (outcome.numbers["hessians"] == 0).all()


def test_a_near_start_is_scored_by_the_gap_of_the_run_itself():
    view = Near(BOWL)
    near = run(SGD(lr=0.1), Instances(view, SEEDS), 1, 100, record=False)
    whole = run(SGD(lr=0.1), Instances(BOWL, SEEDS), 1, 100, record=False)
    # 0.9^n takes the error from 1 to 0.01, or from 0.05.
    assert (whole.numbers["steps_to_target"] == 44).all()
    assert (near.numbers["steps_to_target"] == 16).all()


def test_basins_are_told_from_saddles_and_from_the_solution():
    problem = Rastrigin(dim=2, amplitude=1.0)
    instances = Instances(problem, SEEDS)
    best = torch.stack([problem.minimizers(tree)[0] for tree in instances.trees])[:, None]
    trap = best + 0.02  # still in the basin of the best
    assert not in_a_basin(instances, trap, strict=True).any()
    there = run(SGD(lr=1e-3), instances, 1, 2000).trace.end
    assert in_a_basin(instances, there, strict=True).all()
    saddle = Instances(StrictSaddle(dim=3, ratio=1.0, offset=1e-10), SEEDS)
    assert not in_a_basin(saddle, saddle.data["start"], strict=False).any()


def test_removals_are_tried_on_the_rate_of_each_method():
    """Adam's own step length ends on a bowl too: a thousandth of the way a step."""
    result = found(replace(BOWL), Adam(lr=1e-3), 300)
    assert result.causes(0, 0) == ()  # ten times that does not get there either: nothing is known
