"""Choices: the order of the criteria, and what does not take part."""

from __future__ import annotations

import numpy as np
import pandas
import pytest

from benchmarks.engine.trial_choice import best, choose, costs, grid, keys, log_gaps, median

MISS = (np.nan, 1.0)


def cell(tuning, reporting=None):
    """A cell's runs by trial, on each seed: (cost to the target, final gap), MISS or "diverged"."""
    rows = []
    for role, first, trials in (("tuning", 0, tuning), ("reporting", 1000, reporting or {})):
        for trial, outcomes in trials.items():
            for seed, outcome in enumerate(outcomes):
                cost, gap = (np.nan, np.nan) if outcome == "diverged" else outcome
                ended = "missed" if np.isnan(cost) else "solved"
                status = "diverged" if outcome == "diverged" else ended
                rows.append((trial, first + seed, role, status, gap, 1000.0, cost))
    names = ["trial", "seed", "role", "status", "gap_final", "cost", "cost_to_target"]
    return pandas.DataFrame(rows, columns=names)


def tuned(trials):
    return choose(cell(trials))["tuned"]


def test_more_solved_comes_first():
    cheap, dear = (1.0, 1e-9), (900.0, 1e-3)
    assert tuned({1: [cheap, cheap, MISS], 2: [dear, dear, dear]}) == 2


def test_then_the_median_cost():
    assert tuned({1: [(500.0, 0.0)] * 3, 2: [(1.0, 1.0), (400.0, 1.0), (999.0, 1.0)]}) == 2


def test_misses_are_infinite_in_the_median():
    """Two of five solved each: both medians are infinite, and the gap decides."""
    solved, far, near = (1.0, 1e-4), (np.nan, 0.9), (np.nan, 0.1)
    slower = (800.0, 1e-4)
    assert tuned({1: [solved] * 2 + [far] * 3, 2: [slower] * 2 + [near] * 3}) == 2


def test_then_the_median_gap():
    assert tuned({1: [(np.nan, 0.5)] * 3, 2: [(np.nan, g) for g in (0.9, 0.4, 0.4)]}) == 2


def test_a_diverged_run_has_an_infinite_gap():
    assert tuned({1: ["diverged"] * 2 + [MISS], 2: [(np.nan, 1e8)] * 3}) == 2
    runs = cell({1: [(np.nan, np.inf), "diverged"]})
    runs.loc[1, "gap_final"] = 1e-3  # the last finite point may look good
    assert (log_gaps(runs) == np.inf).all()


def test_then_the_lower_number():
    assert tuned({7: [MISS] * 3, 3: [MISS] * 3, 5: [MISS] * 3}) == 3


def test_defaults_are_not_ranked():
    best_of_all = [(1.0, 0.0)] * 3
    assert choose(cell({0: best_of_all, 1: [MISS] * 3})) == {"default": 0, "tuned": 1}


def test_a_trial_alone_is_everything():
    assert choose(cell({0: [MISS]})) == {"default": 0, "tuned": 0}
    assert choose(cell({0: []}, {0: [MISS]})) == {"default": 0, "tuned": 0}


def test_without_defaults_there_is_no_such_choice():
    assert choose(cell({1: [MISS], 2: [(1.0, 0.0)]})) == {"tuned": 2}


def test_reporting_runs_do_not_choose():
    tuning = {1: [(5.0, 0.0)] * 3, 2: [(6.0, 0.0)] * 3}
    reporting = {1: [MISS] * 3, 2: [(1.0, 0.0)] * 3}
    assert choose(cell(tuning, reporting))["tuned"] == 1


def test_the_order_of_the_rows_is_nothing():
    generator = np.random.default_rng(0)
    runs = cell({t: [(c, 0.1) for c in generator.random(5)] for t in range(8)})
    for state in range(5):
        assert choose(runs.sample(frac=1, random_state=state)) == choose(runs)


def test_costs_and_gaps_of_rows():
    runs = cell({1: [(3.0, 0.0), (3.0, -1e-18), MISS]})
    runs.loc[len(runs)] = [1, 3, "tuning", "solved", 1e-3, 700.0, np.nan]  # judged at its end
    runs.loc[len(runs)] = [1, 4, "tuning", "error", np.nan, np.nan, np.nan]
    assert costs(runs).tolist() == [3, 3, np.inf, 700, np.inf]
    assert log_gaps(runs) == pytest.approx([-300, -300, 0, -3, np.inf])


def test_grid():
    labels, rows = np.array([2, 4, 9]), np.array([9, 2, 9])
    array = grid(np.array([1.0, 2, 3]), (labels, rows), (np.array([0, 1]), np.array([0, 1, 1])))
    np.testing.assert_array_equal(array, [[np.nan, 2], [np.nan, np.nan], [1, 3]])


def test_median_is_numpys():
    values = np.random.default_rng(1).standard_normal((7, 6))
    values[0, :3], values[1, :4] = np.inf, np.inf
    np.testing.assert_array_equal(median(values), np.median(values, axis=-1))
    np.testing.assert_array_equal(median(values[:, :5]), np.median(values[:, :5], axis=-1))
    assert (median(np.zeros((3, 0))) == np.inf).all()


def test_best_is_a_sort():
    """In batches, with many ties, infinities and trials that may not be chosen."""
    generator = np.random.default_rng(2)
    criteria = [generator.choice([0, 1, np.inf], (300, 6)) for _ in range(3)]
    allowed = generator.random((300, 6)) < 0.7
    allowed[:, 3] = True
    for row, found in enumerate(best(allowed, *criteria)):
        by_criteria = [(*(c[row, t] for c in criteria), t) for t in np.flatnonzero(allowed[row])]
        assert found == min(by_criteria)[-1]


def test_keys_of_replicates_are_keys_of_each():
    generator = np.random.default_rng(3)
    cost = np.where(generator.random((4, 5)) < 0.4, np.inf, generator.random((4, 5)))
    gap, seeds = generator.random((4, 5)), generator.integers(0, 5, (20, 5))
    together = keys(cost[:, seeds], gap[:, seeds])
    for replicate, drawn in enumerate(seeds):
        for one, all_ in zip(keys(cost[:, drawn], gap[:, drawn]), together, strict=True):
            np.testing.assert_array_equal(one, all_[:, replicate])


def test_nothing_moves_when_gaps_are_rescaled():
    generator = np.random.default_rng(4)
    runs = cell({t: [(np.nan, g) for g in generator.random(5)] for t in range(1, 9)})
    scaled = runs.assign(gap_final=runs["gap_final"] * 1e3)
    assert choose(runs) == choose(scaled)
