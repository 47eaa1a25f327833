"""The rule by which noisy runs are judged: when it errs, and what is said of runs with too few steps."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import sweep
from benchmarks.display.breaking_table import Matrix
from benchmarks.display.sweep_views import views
from benchmarks.report import report
from benchmarks.simulations import noisy_runs
from problems.inexact_gradients.noisy_quadratic import NoisyQuadratic
from problems.noisy_runs import FEWEST, steps_judged

SIZE: dict[str, Any] = {"trials": 3, "tuning_seeds": 1, "seeds": 6}


def test_half_of_few_steps_then_twenty_then_a_tenth_are_judged():
    steps = (0, 3, 4, 5, 10, 39, 40, 200, 1000)
    assert [steps_judged(each) for each in steps] == [0, 0, 2, 2, 5, 19, 20, 20, 100]
    assert steps_judged(FEWEST - 1) == 0 < steps_judged(FEWEST)


@pytest.fixture(scope="module")
def table():
    return noisy_runs.simulate(runs=400)


def shares(table, rows):
    """The shares of runs that are called solved, at each number of steps."""
    return table.query(rows).filter(like="steps").astype(float)


def test_in_many_dimensions_few_are_called_solved_that_are_not(table):
    many = "method in ('Newton', 'SGD') and dimensions >= 20"
    above = "`mean gap over the target`"
    assert (shares(table, f"{many} and {above} >= 2") < 0.12).all(axis=None)
    newton = "method == 'Newton' and dimensions == 100"
    assert (shares(table, f"{newton} and {above} > 1") < 0.02).all(axis=None)


def test_runs_at_half_the_target_are_called_solved(table):
    half = "method in ('Newton', 'SGD') and `mean gap over the target` == 0.5"
    assert (shares(table, half) > 0.8).all(axis=None)
    assert (shares(table, f"{half} and dimensions >= 20") > 0.93).all(axis=None)


def test_a_mean_errs_less_than_the_last_gap(table):
    above = table.query("method in ('Newton', 'SGD') and `mean gap over the target` > 1")
    mean, last = above["solved after 4 steps"].sum(), above["by the last gap alone"].sum()
    assert mean < 0.85 * last


def test_second_order_methods_with_four_steps_are_solved(table):
    real = table[table["method"].isin(noisy_runs.REAL)]
    assert len(real) == 2 and (real["solved after 4 steps"] == 1).all()


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Newton's method with a budget of three, of one and of no step in ten dimensions, and sgd."""
    folder = tmp_path_factory.mktemp("noisy") / "short"
    problem = NoisyQuadratic(dim=10)
    return sweep(problem, ["sgd", "newton"], budget=80, rungs=3, out=folder, **SIZE), folder


def test_a_run_of_three_steps_is_not_judged(swept):
    result, _ = swept
    newton = result.runs.query("optimizer == 'newton' and status != 'skipped'")
    assert (newton["steps"] == 3).all() and set(newton["status"]) == {"too_few_steps"}
    assert set(newton["verdict"]) == {""} and newton["cost_to_target"].isna().all()
    summary = result.summary.query("optimizer == 'newton'").dropna(subset="choice")
    assert set(summary["status"]) == {"too_few_steps"}
    assert not set(result.runs.query("optimizer == 'sgd'")["status"]) & {"too_few_steps", "no_step"}


def test_that_is_no_breaking_point(swept):
    """At a third of the budget the method has one step, at a tenth none."""
    points = swept[0].breaking_points.query("choice == 'tuned'").set_index(["optimizer", "budget"])
    assert points.loc["newton", "text"].tolist() == ["too few steps", "too few steps", "no step"]
    assert points.loc["newton", "unjudged"].tolist() == [
        "too_few_steps",
        "too_few_steps",
        "no_step",
    ]
    assert (points.loc["sgd", "unjudged"] == "").all()
    assert points.loc["newton", "theory"].isna().all() and points.loc["sgd", "theory"].notna().all()


def test_the_terminal_says_too_few_steps(swept):
    result, _ = swept
    matrix = Matrix(result.tables)
    remark = (
        "too few steps: with noise a run is judged from 4 steps on, and the budget affords fewer."
    )
    entry = next(each for each in matrix.entries.values() if each.optimizer == "newton")
    assert entry.text == "too few steps" and entry.place is None and remark in matrix.remarks()
    weakest = matrix.weakest()
    assert weakest is None or weakest.optimizer == "sgd"
    (view,) = views(result.tables)
    row = view.table.set_index("").loc["newton"]
    assert row["breaks at noise"] == row["at 1/3 budget"] == "too few steps"
    assert row["at 1/10 budget"] == "no step" and row["reads like"] == "too few steps 18"
    assert (
        remark in view.remarks and "no step: one step costs more than the budget." in view.remarks
    )


def test_the_page_says_too_few_steps(swept):
    page = report([swept[1]])
    (row,) = (each for section in page.sections for each in section.rows)
    answer = row.answers[page.optimizers.index("newton")]
    assert (answer.text, answer.notes, answer.spoken) == ("too few steps", {}, "")


def test_at_one_rung_the_words_stand_for_the_share():
    result = sweep(NoisyQuadratic(dim=10), ["newton"], budget=20, **SIZE)
    assert set(result.runs["status"]) == {"no_step"}
    (view,) = views(result.tables)
    assert view.table["reads like"].tolist() == ["no step 6"]
    (entry,) = Matrix(result.tables).entries.values()
    assert (entry.text, entry.place) == ("no step", None)


def test_exact_runs_are_judged_after_one_step():
    result = sweep("quadratic", ["newton"], budget=250, **SIZE)
    assert (result.runs["steps"] == 1).all()
    assert set(result.runs["status"]) <= {"solved", "missed"}
