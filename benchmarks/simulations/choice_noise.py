"""Choosing a setting on five instances costs less than what ten reporting instances leave open."""

from __future__ import annotations

import numpy as np
import pandas

from benchmarks.catalog.contenders import contender
from benchmarks.engine.cell import run_cell
from benchmarks.engine.protocol import Protocol
from benchmarks.engine.trial_choice import best, costs, grid, keys, log_gaps
from problems import PROBLEMS

TITLE = "The choice of a setting"
RULE = """
A setting is chosen on 5 tuning instances, and reported on others. Five instances cannot distinguish a setting that
solves half of all instances from one that solves 40 %, so the choice is partly luck. The table shows the cost of this
luck where it is highest: on a cliff, which tuned gradient descent solves about half of the time.

Of the Sobol trials of one real cell, 24 or all 120 are drawn. One of them is chosen on some instances, as in every
sweep but without refined trials, and the figures are the shares of 15 other instances that it solves. A choice on 15
instances is close to a choice without luck. In the last column the trial is chosen on the same instances that score it,
which no search can do: this share is too high by luck alone.

Compare 5 with 15 instances to see the cost of few tuning instances, and each row with the next to see the gain of a
denser search, which is larger for two hyperparameters (momentum) than for one. Cost and gain are smaller than chance on
10 reporting instances, where a share of one half has a standard deviation of 16 %: one sweep of 121 trials may well
solve fewer than one of 25.
"""
PROBLEM, OPTIMIZERS = "cliff", ("sgd", "momentum")
TRIALS = (24, 120)
TUNING = (2, 5, 15)  # instances


def simulate(instances: int = 30, trials: tuple[int, ...] = TRIALS) -> pandas.DataFrame:
    """Return the share of instances that the chosen setting solves, by the numbers of trials and tuning instances."""
    generator = np.random.default_rng(0)
    rows = []
    for name in OPTIMIZERS:
        cost, gap = outcomes(name, max(trials), instances)
        for count in trials:
            found = [shares(cost, gap, count, generator) for _ in range(1000)]
            rows.append({"optimizer": name, "trials": count, **pandas.DataFrame(found).mean()})
    return pandas.DataFrame(rows)


def outcomes(name: str, trials: int, instances: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the cost to the target and log10 of the final gap of each Sobol trial, both (trials, instances)."""
    problem = PROBLEMS[PROBLEM]
    searched = trials * 3 // 2  # two thirds of which are Sobol trials
    size = Protocol(trials=1 + searched, tuning_seeds=1, seeds=instances - 1).settled(problem)
    runs = pandas.DataFrame(run_cell(problem, contender(name), size).runs)
    runs = runs[runs["search"] == "sobol"]
    axes = [(np.unique(runs[each]), runs[each].to_numpy()) for each in ("trial", "seed")]
    return grid(costs(runs), *axes), grid(log_gaps(runs), *axes)


def shares(
    cost: np.ndarray, gap: np.ndarray, count: int, generator: np.random.Generator
) -> dict[str, float]:
    """Return the share that the chosen of `count` trials solves of half of the instances, by those it is chosen on."""
    trials, order = (generator.permutation(size) for size in cost.shape)
    trials, half = trials[:count], len(order) // 2
    solved = np.isfinite(cost[np.ix_(trials, order[half:])]).mean(axis=1)
    found = {}
    for number in TUNING:
        on = np.ix_(trials, order[: min(number, half)])
        chosen = best(np.ones(count, dtype=bool), *keys(cost[on], gap[on]))
        found[f"chosen on {number} instances"] = solved[chosen]
    return {**found, "chosen in hindsight": solved.max()}
