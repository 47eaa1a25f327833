"""Verdicts on short runs of each pathology and of its control, as a sweep would make them."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks import read_table, sweep
from benchmarks.diagnosis import Record, Verdict, diagnose
from benchmarks.diagnosis.from_trace import Known, asked_for, traced_record
from benchmarks.engine.instances import Instances
from benchmarks.engine.loop import run
from benchmarks.engine.measurements import DRAWS
from optimizers import OPTIMIZERS
from problems import PROBLEMS, Problem
from problems.descent import descent
from tests.benchmarks.problems_for_tests import Bowl, Hole, Slip


def records(problem: Problem, optimizer: str, settings: dict, budget: float, seeds: int = 2):
    """The records of a few runs, and where they ended (seeds, dim)."""
    method = OPTIMIZERS[optimizer].replace(**settings)
    instances = Instances(problem, tuple(f"verdict|{k}" for k in range(seeds)))
    found = run(method, instances, 1, budget)
    assert found.trace is not None
    draws = []
    if problem.noisy:
        draws = list(itertools.islice(instances.draws("diagnosis"), DRAWS))
    found.trace.measure(problem, instances.data, list(range(seeds)), [0], draws)
    known = Known(problem.noisy, problem.card.target, problem.floor_attained)
    made = [
        traced_record(found.trace.run(k, 0), found.status[k][0], known, settings)  # type: ignore[arg-type]
        for k in range(seeds)
    ]
    return made, found.trace.end[:, 0], instances


def verdicts(*given, **options) -> list[Verdict]:
    return [diagnose(each) for each in records(*given, **options)[0]]


# Problem, fields, optimizer, its settings, budget: the cause that each run must have first, or among others.
FIRST = {
    "ill_conditioning": ("quadratic", {"condition": 1e4}, "sgd", {"lr": 1.9}, 300),
    "step_too_small": ("quadratic", {"condition": 10.0}, "sgd", {"lr": 0.019}, 300),
    "step_too_large": ("quadratic", {}, "sgd", {"lr": 2.1}, 200),
    "noise": ("noisy_quadratic", {"noise": 0.5}, "sgd", {"lr": 0.3}, 1000),
    "local_minimum": ("rastrigin", {}, "sgd", {"lr": 0.01}, 300),
    "saddle": ("octopus", {"saddles": 3}, "sgd", {"lr": 0.05}, 300),
    "plateau": ("needle", {}, "sgd", {"lr": 1.0}, 200),
    "no_signal": ("golf_hole", {}, "sgd", {"lr": 1.0}, 100),
    "long_path": ("meander", {}, "sgd", {"lr": 1.0}, 300),
    "wrong_direction": ("biased_gradient", {}, "sgd", {"lr": 1.0}, 300),
    "vanishing_gradient": ("deep_linear", {}, "sgd", {"lr": 0.01}, 200),
}
AMONG = {
    "sharpening": ("narrowing_valley", {}, "sgd", {"lr": 0.1}, 1000),
    "cliff": ("cliff", {}, "sgd", {"lr": 1.0}, 400),
    "exploding_gradient": ("matrix_power", {"steps": 50}, "sgd", {"lr": 2e-4}, 300),
    "no_critical_point": ("separable_logistic", {"inverse_margin": 1.0}, "sgd", {"lr": 0.1}, 1000),
}
# The control of these is as long a path, or as far too large a step.
SAME = {"long_path", "step_too_large", "step_too_small"}


@pytest.mark.parametrize("cause", [*FIRST, *AMONG])
def test_pathology_and_control(cause):
    name, fields, optimizer, settings, budget = (FIRST | AMONG)[cause]
    problem = replace(PROBLEMS[name], **fields)
    found = verdicts(problem, optimizer, settings, budget, seeds=3)
    holding = [verdict for verdict in found if cause in dict(verdict.causes)]
    if cause in FIRST:
        assert [verdict.cause for verdict in found] == [cause] * 3
    assert len(holding) >= 2  # not every run is thrown off a cliff
    assert not any(cause in verdict.ruled_out for verdict in holding)
    if cause not in SAME:
        for verdict in verdicts(problem.control(), optimizer, settings, budget):
            assert cause not in dict(verdict.causes)


def test_a_small_step_is_not_called_ill_conditioning_nor_the_other_way_round():
    """Small is a step where ten times the rate would arrive: at 1e4 it does not, however small it was."""
    for condition, rate, wrong in (
        (1e4, 1.9, "step_too_small"), (1e4, 0.019, "step_too_small"), (10.0, 0.019, "ill_conditioning"),
    ):  # fmt: skip
        problem = replace(PROBLEMS["quadratic"], condition=condition)
        for verdict in verdicts(problem, "sgd", {"lr": rate}, 300):
            assert wrong not in dict(verdict.causes) and verdict.causes


@pytest.mark.parametrize("condition", [1.0, 100.0, 1e5])
def test_the_books_test_never_fires_on_a_quadratic(condition):
    problem = replace(PROBLEMS["quadratic"], condition=condition)
    for rate in (0.01, 0.5, 1.5, 1.95, 2.0, 2.005, 2.1, 6.0):
        for verdict in verdicts(problem, "sgd", {"lr": rate}, 150):
            assert "sharpening" not in dict(verdict.causes)


def test_small_gradients_of_a_saturated_neuron_are_no_minimum():
    """Descent ends in the global minimum, in the bad one, or where neurons are saturated: gradients are
    small there, and it looks like a minimum. Only what goes on to a stated minimum may be called one."""
    problem = PROBLEMS["bad_neuron"]
    called, small = 0, 0
    for rate in (0.3, 3.0, 10.0):
        made, ends, instances = records(problem, "sgd", {"lr": rate}, 300, seeds=12)
        onward = itertools.islice(descent(problem, instances.data, ends[:, None], 0.5), 2000, None)
        later = next(onward)[:, 0]
        for record, end, tree in zip(made, later, instances.trees, strict=True):
            minima = [each.x for each in problem.critical_points(tree) if not each.index]
            there = any((end - each).norm() < 0.05 for each in minima)
            small += not there and record.status != "solved" and record.grad_sq[-1] < 1e-6
            if diagnose(record).cause == "local_minimum":
                called += 1
                assert there
    assert called >= 2 and small >= 3  # or the test would say nothing


def test_an_adopted_optimizer_is_judged_without_its_limit():
    from benchmarks.catalog.contenders import contender
    from optimizers.adopted import shaped

    method = shaped(contender(torch.optim.SGD, {"lr": 1.9}).optimizer, None)
    problem = replace(PROBLEMS["quadratic"], condition=1e4)
    instances = Instances(problem, ("a",))
    found = run(method, instances, 1, 100)
    assert found.trace is not None
    found.trace.measure(problem, instances.data, [0], [0], [])
    record = traced_record(found.trace.run(0, 0), "missed", Known(False, 1e-4, True))
    assert np.isnan(record.stability).all()
    assert any("limit is not known" in each for each in diagnose(record).unresolved)


def test_a_sweep_says_what_is_wrong_and_how_often(tmp_path):
    found = sweep(
        "quadratic",
        ["sgd", "newton"],
        trials=4,
        seeds=3,
        tuning_seeds=2,
        budget=410,
        out=tmp_path / "s",
    )
    runs, summary = found.runs, found.summary
    traced = runs[runs["verdict"] != ""]
    assert (
        set(traced["role"]) == {"reporting"}
        and (runs[runs["role"] == "tuning"]["verdict"] == "").all()
    )
    for (cell, trial, seed), verdict in found.verdicts.items():
        row = runs[(runs["cell"] == cell) & (runs["trial"] == trial) & (runs["seed"] == seed)]
        assert row["verdict"].tolist() == [verdict.cause]
        also = [cause for cause, _ in verdict.causes if cause != verdict.cause]
        assert row["also"].tolist() == [",".join(also)]
        assert row["ruled_out"].tolist() == [",".join(verdict.ruled_out)]
    tuned = summary[summary["choice"] == "tuned"].set_index("optimizer")
    default = summary[summary["choice"] == "default"].set_index("optimizer").loc["newton"]
    assert default["verdict"] == "solved" and default["verdict.solved"] == 3
    counts = tuned.filter(like="verdict.")
    assert (counts.sum(axis=1) == 3).all() and tuned.loc["sgd", "verdict"] != "solved"
    (line,) = [each for each in str(found).splitlines() if each.split()[:1] == ["sgd"]]
    assert line.endswith(
        f"{tuned.loc['sgd', 'verdict'].replace('_', ' ')} {counts.loc['sgd'].max()}"
    )


class NoEpsilon(torch.optim.Optimizer):
    """RMSprop without ε: 0/0 where a gradient is 0."""

    def __init__(self, params, lr=0.01, alpha=0.99):
        super().__init__(params, {"lr": lr, "alpha": alpha})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                square = self.state[p].setdefault("square", torch.zeros_like(p))
                square.mul_(group["alpha"]).addcmul_(p.grad, p.grad, value=1 - group["alpha"])
                p.sub_(group["lr"] * p.grad / square.sqrt())


def test_a_nan_of_the_optimizers_own_making_is_said_as_such(tmp_path):
    found = sweep(
        "dead_relu", [NoEpsilon, "adam"], trials=3, seeds=2, tuning_seeds=1, budget=60, out=tmp_path / "s"
    )  # fmt: skip
    mine = found.runs[found.runs["optimizer"] == "NoEpsilon"]
    assert (mine["status"] == "diverged").all() and (mine["diverged_at"] == 1).all()
    assert (mine["not_finite"] == "step").all() and (mine["not_finite_at"] == 0).all()
    others = found.runs[found.runs["optimizer"] == "adam"]
    assert (others["not_finite"] == "").all() and others["not_finite_at"].isna().all()
    judged = {found.verdicts[key].cause for key in found.verdicts if key[0] in set(mine["cell"])}
    assert judged == {"step_not_finite"}
    lines = str(found).splitlines()
    (line,) = [each for each in lines if each.split()[:1] == ["NoEpsilon"]]
    assert line.endswith("step not finite 2")
    (said,) = [each for each in lines if each.startswith("NoEpsilon: ")]
    assert said == (
        "NoEpsilon: its own step was not finite where the gradient was, in 9 of 9 runs, first in step 0: guard its "
        "divisions and roots."
    )
    folder = read_table(tmp_path / "s", "runs")
    assert (folder.loc[folder["optimizer"] == "NoEpsilon", "not_finite"] == "step").all()


def test_a_nan_of_the_problems_making_is_not_the_optimizers():
    rate, size = {"SGD": {"lr": 0.9}}, {"trials": 1, "seeds": 2, "tuning_seeds": 1, "budget": 60}
    found = sweep(Hole(radius=0.01), [torch.optim.SGD], settings=rate, **size)
    assert (found.runs["status"] == "diverged").all() and (found.runs["not_finite"] == "loss").all()
    assert "step_not_finite" not in {verdict.cause for verdict in found.verdicts.values()}
    assert "its own step" not in str(found)
    first = found.runs.loc[found.runs["role"] == "reporting", "not_finite_at"].min()
    assert f"the loss was not finite, in 2 of 2 tuned runs, first in step {first}." in str(found)


@pytest.mark.parametrize(
    ("optimizer", "rate", "asked"),
    [
        ("adam", 0.1, "gradient"),
        ("sgd", 0.3, "gradient"),
        ("sgd", 1.9, "gradient"),
        ("newton", 0.5, "gradient or curvature"),
    ],
)
def test_a_nan_derivative_is_named_at_every_rate(optimizer, rate, asked):
    found = sweep(
        Slip(), [optimizer], settings={optimizer: {"lr": rate}}, trials=1, seeds=2, tuning_seeds=1, budget=100
    )  # fmt: skip
    assert (found.runs["not_finite"] == "gradient").all()
    assert {verdict.cause for verdict in found.verdicts.values()} == {"derivative_not_finite"}
    assert "derivative not finite 2" in str(found)
    assert f"the {asked} was not finite where the loss was, in 2 of 2 tuned runs" in str(found)
    for verdict in found.verdicts.values():
        assert f"the {asked} was not finite (step " in verdict.text()


def test_which_derivatives_are_asked_for_is_known_once_a_step_is_counted():
    counts = {"gradients": np.zeros(2), "hvps": np.array([0, np.nan]), "hessians": np.zeros(2)}
    assert asked_for(counts) == "gradient or curvature"
    counts["gradients"][1] = 3
    assert asked_for(counts) == "gradient"
    for each in ("hvps", "hessians"):
        assert asked_for(counts | {each: np.ones(2)}) == "gradient or curvature"


def test_a_gradient_that_underflows_along_the_chain_is_called_vanishing():
    problem = replace(PROBLEMS["cliff"], steps=200)
    made, _, _ = records(problem, "rmsprop", {"lr": 0.01}, 60, seeds=3)
    assert all((record.chain == 0).any() for record in made)
    assert [diagnose(record).cause for record in made] == ["vanishing_gradient"] * 3


def test_traces_of_another_shape_are_judged_all_the_same():
    """Without a spectrum, as above 512 dimensions, and without a distance."""
    problem = replace(PROBLEMS["quadratic"], dim=600, condition=1e4)
    made, _, _ = records(problem, "sgd", {"lr": 1.9}, 60, seeds=1)
    assert isinstance(made[0], Record) and np.isnan(made[0].lambda_min).all()
    assert {"ill_conditioning", "saddle"}.isdisjoint(diagnose(made[0]).ruled_out)
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize("dim", [1, 3])
def test_a_rate_far_too_small_on_a_round_bowl(dim):
    for optimizer, rate, budget in (("sgd", 1e-3, 40), ("sgd", 1e-3, 1000), ("adam", 1e-4, 40)):
        for verdict in verdicts(Bowl(dim=dim), optimizer, {"lr": rate}, budget):
            assert verdict.cause == "step_too_small"
            assert "ill_conditioning" in verdict.ruled_out
