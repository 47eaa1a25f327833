"""Sweeps and runs whose outcome a theorem or a paper foretells."""

from __future__ import annotations

import pytest
import torch

from benchmarks import sweep
from benchmarks.engine.instances import Instances
from benchmarks.engine.loop import run
from benchmarks.engine.protocol import stream
from optimizers.newton import Newton
from optimizers.saddle_free_newton import SaddleFreeNewton
from problems.cliffs.cliff import Cliff
from problems.ill_conditioning.quadratic import Quadratic
from problems.saddles.random_field import RandomField


@pytest.mark.slow
@pytest.mark.parametrize(
    ("optimizer", "exponent", "tolerance"),
    [("sgd", 1.0, 0.15), ("momentum", 0.5, 0.15), ("newton", 0.0, 0.05)],
)
def test_the_cost_grows_as_the_condition_number_to_the_exponent_of_theory(
    optimizer, exponent, tolerance
):
    """GD needs κ steps, heavy ball √κ, Newton one; tuned by search, hence the tolerance."""
    problems = [Quadratic(dim=20, condition=kappa) for kappa in (30.0, 100.0, 300.0, 1000.0)]
    found = sweep(problems, optimizer, budget=5000, tuning_seeds=3, seeds=6, trials=49)
    points = found.breaking_points.query("choice == 'tuned' and budget == 1")
    assert points["rungs"].item() == 4
    assert points["dose_exponent"].item() == pytest.approx(exponent, abs=tolerance)


def test_newton_solves_the_quadratic_in_one_step_at_every_condition():
    for kappa in (1.0, 1e2, 1e4, 1e6):
        instances = Instances(Quadratic(condition=kappa), tuple(map(stream, range(5))))
        outcome = run(Newton(), instances, 1, 1000.0)
        assert (outcome.numbers["steps_to_target"] == 1).all()


def test_newton_ends_on_saddles_of_the_random_field_and_saddle_free_newton_in_minima():
    """By steps and not by cost, at dim 10, with damping 0.1: at 1e-4, near-zero eigenvalues throw it.

    At half the step; at the whole one, 14 of the 15 are there within 200 steps and the last within 1000.
    """
    problem = RandomField(dim=10)
    instances = Instances(problem, tuple(map(stream, range(15))))
    steps = 200
    budget = steps * (1 + 2 * problem.dim)
    found = {}
    for name, optimizer in (
        ("newton", Newton()),
        ("saddle-free", SaddleFreeNewton(lr=0.5, damping=0.1)),
    ):
        outcome = run(optimizer, instances, 1, budget)
        assert outcome.trace is not None
        end = outcome.trace.end
        gradient = problem.value_and_gradient(end, instances.data)[1].norm(dim=-1)[:, 0]
        lowest = torch.linalg.eigvalsh(problem.hessian(end, instances.data))[:, 0, 0]
        at_rest = gradient < 1e-6
        found[name] = (int((at_rest & (lowest < 0)).sum()), int((at_rest & (lowest > 0)).sum()))
    saddles, minima = found["newton"]
    assert saddles >= 12 and minima <= 1  # one critical point in 1600 is a minimum
    assert found["saddle-free"] == (0, 15)


@pytest.mark.slow
def test_the_solved_count_of_plain_descent_falls_along_the_cliffs_ladder():
    problems = [Cliff().at_dial(rung) for rung in Cliff.card.ladder]
    runs = sweep(problems, "sgd").runs
    tuning = runs[(runs["role"] == "tuning") & (runs["trial"] > 0)]
    solved = tuning[tuning["status"] == "solved"].groupby(["dial", "trial"]).size()
    best = [
        int(solved.get(rung, solved.iloc[:0]).max() if rung in solved else 0)
        for rung in Cliff.card.ladder
    ]
    assert best[0] == 5 and best[0] > best[1] >= best[2] == 0, best
