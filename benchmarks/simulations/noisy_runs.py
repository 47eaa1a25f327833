"""A noisy run is judged by the mean gap of its last steps, at most half of all."""

from __future__ import annotations

import numpy as np
import pandas

TITLE = "Noisy runs"
RULE = """
With noisy gradients a run never comes to rest, and one lucky step is no solution. Therefore a run is judged at the end
of its budget only, by the mean of the exact gap over its last steps: 20 of them, or a tenth of all if that is more, but
at most half of all. It is solved if this mean is at most the target. A run of fewer than four steps is not judged
(`too_few_steps`), nor is a run without any step (`no_step`). `cost_to_target` is the cost after which the run would
always have been judged solved: for a run that leaves the target and comes back, it is the cost of its last entry.

The mean takes at most half of the steps, because a step of Newton's method costs 1 + 2·dim gradients: in 100 dimensions
a budget of 1000 affords four, and with a mean over at least 20 steps none of these runs could be solved. If there are
many steps, it takes no more than a tenth, because a decaying learning rate calms a run only at its end. The last gap
alone would be below the target by chance more often.

The table has the share of runs that are called solved if the mean gap at rest is half of the target (1 would be right)
or 1.5, 2 or 3 times the target (0 would be right). The runs fluctuate around the minimum of a noisy quadratic, at the
smallest learning rate that leaves 1 % of the gap at the start after half of the steps; at larger rates the gaps are
less correlated and errors are rarer. Newton's method fluctuates equally in all directions, SGD on the curvatures 1, ½,
⅓, … more in the steep ones. In one or two dimensions a mean gap within three times the target is often called solved,
but there a step is cheap. The last rows are real runs on `noisy_quadratic` at noise 0.0001, whose budget affords four
steps.
"""

STEPS = (4, 10, 20, 100, 1000)
RATIOS = (0.5, 1.5, 2.0, 3.0)  # of the mean gap to the target
FORGOTTEN = 0.01  # share of the gap at the start that is left after half of the steps
METHODS = (("Newton", 1), ("Newton", 2), ("Newton", 20), ("Newton", 100), ("SGD", 20), ("SGD", 100))
REAL: dict[str, dict[str, float]] = {"newton": {}, "saddle_free_newton": {"damping": 1e-3}}


def simulate(runs: int = 2000) -> pandas.DataFrame:
    """Return the share of runs that are called solved, by method, dimensions and mean gap over the target.

    Args:
        runs: Runs of each kind; as many instances of the real methods, but at most 50.
    """
    rows = []
    for method, dim in METHODS:
        after = {steps: judged_gaps(method, dim, steps, runs) for steps in STEPS}
        for ratio in RATIOS:
            solved = {_column(steps): _share(mean * ratio) for steps, (mean, _) in after.items()}
            alone = _share(after[STEPS[-1]][1] * ratio)
            rows.append(_row(method, dim, ratio) | solved | {"by the last gap alone": alone})
    return pandas.DataFrame([*rows, *_real(min(runs, 50))]).astype(object).fillna("")


def judged_gaps(method: str, dim: int, steps: int, runs: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean gap over the steps that are judged, and the last gap, over the gap's mean: (runs) each.

    The error along direction i is multiplied by 1 − rate·hᵢ per step, and the noise has the variance hᵢ there; for
    Newton's method, which divides by hᵢ, all directions are alike.
    """
    from problems.noisy_runs import steps_judged

    generator = np.random.default_rng(0)
    rate = 1 - FORGOTTEN ** (1 / steps)
    h = 1 / np.arange(1, dim + 1) if method == "SGD" else np.ones(dim)
    kept = 1 - rate * h
    weights = h / (2 - rate * h)  # of the gap: h times the variance at rest
    error = generator.standard_normal((runs, dim))
    gaps = []
    for _ in range(steps_judged(steps)):
        error = kept * error + np.sqrt(1 - kept**2) * generator.standard_normal((runs, dim))
        gaps.append(error**2 @ weights / weights.sum())
    return np.mean(gaps, axis=0), gaps[-1]


def _real(instances: int) -> list[dict[str, object]]:
    """Return a row for each of the real methods, which take four steps: all that their budget affords."""
    from benchmarks.engine.instances import Instances
    from benchmarks.engine.loop import run
    from benchmarks.engine.status import SOLVED
    from optimizers import OPTIMIZERS
    from problems import PROBLEMS

    problem = PROBLEMS["noisy_quadratic"].at_dial(1e-4)
    drawn = Instances(problem, tuple(map(str, range(instances))))
    rows = []
    for name, values in REAL.items():
        method = OPTIMIZERS[name].replace(**values)
        outcome = run(method, drawn, 1, problem.budget, record=False)
        gap = outcome.numbers["gap_final"] / problem.card.target
        solved = np.mean([status == [SOLVED] for status in outcome.status])
        steps = int(outcome.numbers["steps"].max())
        row = _row(name, problem.settings["problem.dim"], float(gap.mean()))
        rows.append(row | {_column(steps): solved, "by the last gap alone": _share(gap.numpy())})
    return rows


def _row(method: str, dim: int, ratio: float) -> dict[str, object]:
    return {"method": method, "dimensions": dim, "mean gap over the target": ratio}


def _column(steps: int) -> str:
    return f"solved after {steps} steps" if steps == STEPS[0] else f"{steps} steps"


def _share(relative: np.ndarray) -> float:
    return float((relative <= 1).mean())
