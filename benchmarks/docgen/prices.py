"""Measure how far the reference's order depends on prices: what a step costs, and who changes places at other prices.

`python -m benchmarks.docgen.prices` measures the steps of the classic optimizers at the reference's dimensions, and
writes steps.csv, prices.csv and flips.csv into results/reference, from which `docgen.reference` makes its section.
`folder=FOLDER` replaces the folder; `steps=keep` does not measure the steps again.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas
import torch

from benchmarks.analysis.breaking_points import breaking_points
from benchmarks.analysis.folder import Results, read_results, read_table
from benchmarks.analysis.ranking import mean_places, moved, standings
from benchmarks.analysis.saved_sweep import rebuilt
from benchmarks.analysis.tables import filled
from benchmarks.catalog.contenders import contender
from benchmarks.catalog.defaults import CLASSICS
from benchmarks.catalog.subsections import families
from benchmarks.engine.instances import Instances
from benchmarks.engine.protocol import FIRST_REPORTING_SEED, ROUNDING, stream
from benchmarks.engine.trial_choice import costs
from benchmarks.store.cell_info import SKIPPED, CellInfo
from optimizers import OPTIMIZERS
from optimizers.oracle import GRADIENT, HVP, LOSS, Count, CountingOracle, cost
from problems import Problem
from problems.ill_conditioning.quadratic import Quadratic
from ravine import Refused, nearest

TODAY, SECONDS = "today's", "measured seconds"
HESSIAN_AT = {"a Hessian at ½": 0.5, "a Hessian at 2.5 times": 2.5}  # multiples of today's price
STEPPING = Quadratic(dim=10), Quadratic(dim=100)  # on which a step's price is told
WARM_UP, TIMED = 20, 100  # steps
INSTANCES = 10
WITH_HESSIAN = [name for name in CLASSICS if OPTIMIZERS[name].uses_hessian]
RATE = 1e-3  # of optimizers without a default: what a step costs does not depend on it


def main(words: Sequence[str]) -> int:
    """Write the tables of prices into a folder.

    Raises:
        Refused: If an option is unknown, or the folder cannot be read.
    """
    torch.set_num_threads(1)
    given = {name: value for name, _, value in (word.partition("=") for word in words)}
    for name in given.keys() - {"folder", "steps"}:
        raise Refused(f"unknown option {name!r}: {nearest(name, ['folder', 'steps'])}")
    folder = Path(given.get("folder", "results/reference"))
    write(folder, keep=given.get("steps") == "keep")
    print(f"{folder}: steps.csv, prices.csv, flips.csv")
    return 0


def write(folder: Path, keep: bool = False) -> None:
    """Measure steps, unless those of the folder are to be kept, and write the tables of prices."""
    tuned = tuned_runs(read_results(folder))
    if not keep:
        measured(tuned).to_csv(folder / "steps.csv", index=False, float_format="%.4g")
    prices, flips = at_other_prices(tuned, read_table(folder, "steps"))
    prices.to_csv(folder / "prices.csv", index=False)
    flips.to_csv(folder / "flips.csv", index=False)


def tuned_runs(results: Results) -> pandas.DataFrame:
    """Return the reporting runs of the classic optimizers' tuned trials, each with its cell's `info` and `dim`."""
    choices = results.summary.query("choice == 'tuned'")[["cell", "trial"]].astype(
        {"trial": "Int64"}
    )
    runs = results.runs[results.runs["optimizer"].isin(CLASSICS)]
    tuned = runs[runs["role"] == "reporting"].merge(choices, on=["cell", "trial"])
    every = pandas.concat([tuned, runs[runs["status"] == "skipped"]], ignore_index=True)
    falling = {info.job: info.falling for info in results.cells.values()}
    job = every["cell"].map({key: info.job for key, info in results.cells.items()})
    table = pandas.concat(
        [filled(rows, falling[name]) for name, rows in every.groupby(job, sort=False)],
        ignore_index=True,
    )
    table.loc[table["cell"].str.endswith(SKIPPED), ["steps", "cost"]] = 0  # those of another rung
    infos = table["cell"].map(results.cells)
    rungs = {(info.problem, info.dial): info for info in infos}
    dims = {rung: _dim(info) for rung, info in rungs.items()}
    return table.assign(info=infos, dim=[dims[info.problem, info.dial] for info in infos])


def _problem(info: CellInfo) -> Problem:
    """Return the problem of a cell. Raises Refused if it has changed since."""
    problem = rebuilt(info)
    if isinstance(problem, str):
        raise Refused(problem)
    return problem


def _dim(info: CellInfo) -> int:
    return _problem(info).example()["start"].shape[-1]


def counts(runs: pandas.DataFrame) -> pandas.DataFrame:
    """Return how many losses, gradients and Hessians each run asked for, inferred from its cost and steps.

    The classic optimizers ask for a gradient a step, or for a gradient with a Hessian at each new point. A step of
    damped Newton that is refused costs a loss and no more, and a loss at a point that is taken is part of the gradient
    there, without noise: cost = H (1 + 2 dim) + (steps + 1 − H)/3. The others with a Hessian have H = steps.
    """
    with_hessian = runs["optimizer"].isin(WITH_HESSIAN).to_numpy()
    spent, taken, dim = (runs[name].to_numpy(dtype=float) for name in ("cost", "steps", "dim"))
    at_a_point = GRADIENT + HVP * dim
    points = np.round((spent - LOSS * (taken + 1)) / (at_a_point - LOSS))
    paid = np.floor(
        spent / at_a_point + ROUNDING
    )  # not more than that, where a loss was not asked for
    points = np.minimum(np.minimum(points, paid), taken).clip(min=0)
    gradients, hessians = np.where(with_hessian, points, taken), np.where(with_hessian, points, 0)
    losses = (spent - GRADIENT * gradients - HVP * dim * hessians) / LOSS
    return pandas.DataFrame(
        {"losses": losses, "gradients": gradients, "hessians": hessians}, index=runs.index
    )


def at_other_prices(
    tuned: pandas.DataFrame, measured_steps: pandas.DataFrame
) -> tuple[pandas.DataFrame, pandas.DataFrame]:
    """Compare the order of the optimizers at today's prices with that at others: one row per list, and every flip.

    A run cannot be made longer afterwards. So the prices on a problem are scaled until no run costs less than today,
    which keeps their ratios and makes the budget smaller: `budget` is the median over problems of the share that is
    left. Both orders are at these budgets; `alone` counts the flips that smaller budgets make at today's prices. The
    cost up to the target is scaled like the whole cost, and the trials are those that were tuned at today's prices.
    """
    today = order(tuned, np.ones(len(tuned)))
    rows = [{"prices": TODAY, "budget": 1.0, "alone": 0, **_compared(today, today)}]
    changed = []
    for name, ratio in _ratios(tuned, measured_steps).items():
        least = (
            pandas.Series(ratio, index=tuned.index).groupby(tuned["problem"]).min().clip(upper=1)
        )
        scale = 1 / tuned["problem"].map(least).to_numpy(dtype=float)
        before, after = order(tuned, scale), order(tuned, ratio * scale)
        alone = len(flips(today, before))
        rows.append(
            {"prices": name, "budget": least.median(), "alone": alone, **_compared(before, after)}
        )
        changed.append(flips(before, after).assign(prices=name))
    return pandas.DataFrame(rows), pandas.concat(changed, ignore_index=True)


def _ratios(tuned: pandas.DataFrame, measured_steps: pandas.DataFrame) -> dict[str, np.ndarray]:
    """Return by price list what each run costs, in gradients, over what it costs today; 1 for a run without a step."""
    asked, spent = counts(tuned), tuned["cost"].to_numpy(dtype=float)
    hessians = HVP * (tuned["dim"] * asked["hessians"]).to_numpy(dtype=float)
    by = ["problem", "dim", "optimizer"]
    times = measured_steps.set_index(by)["in_sgd_steps"]
    paid = {name: spent + (factor - 1) * hessians for name, factor in HESSIAN_AT.items()}
    each = times.reindex(pandas.MultiIndex.from_frame(tuned[by])).to_numpy()
    paid[SECONDS] = each * tuned["steps"].to_numpy(dtype=float)
    return {
        name: np.divide(new, spent, out=np.ones_like(spent), where=spent > 0)
        for name, new in paid.items()
    }


def order(tuned: pandas.DataFrame, ratio: np.ndarray) -> pandas.DataFrame:
    """Return the `standings` if each run costs `ratio` times as much; one that exceeds its budget is not solved."""
    paid = costs(tuned) * ratio
    solved = paid <= tuned["budget"].to_numpy(dtype=float) * (1 + ROUNDING)
    runs = tuned.assign(
        trial=0,
        status=np.where(solved, "solved", "missed"),
        cost_to_target=np.where(solved, paid, np.nan),
    )
    infos = {info.problem: info for info in tuned["info"]}
    points = breaking_points(
        runs,
        {name: info.scale for name, info in infos.items()},
        falling=[name for name, info in infos.items() if info.falling],
        fractions=(1,),
        replicates=0,
    )
    return standings(points.assign(theory=np.nan))


def _compared(before: pandas.DataFrame, after: pandas.DataFrame) -> dict[str, object]:
    """Return what `moved` finds, and the optimizers by mean rank afterwards."""
    names = map(str, mean_places(after, families()).index)
    return {**moved(before, after, families()), "order": ", ".join(names)}


def flips(before: pandas.DataFrame, after: pandas.DataFrame) -> pandas.DataFrame:
    """Return the pairs that change places on a problem: who was ahead, who was behind, and where each broke."""
    key, shown = ["problem", "optimizer"], ["problem", "optimizer", "further", "text"]
    each = before[shown].merge(after[shown], on=key, suffixes=("_before", "_after"))
    pairs = each.merge(each, on="problem", suffixes=("", "_2"))
    first = pairs["further_before"] > pairs["further_before_2"]
    last = pairs["further_after"] < pairs["further_after_2"]
    names = {
        "problem": "problem", "optimizer": "ahead", "optimizer_2": "behind",
        "text_before": "ahead_before", "text_before_2": "behind_before",
        "text_after": "ahead_after", "text_after_2": "behind_after",
    }  # fmt: skip
    return pairs[first & last].rename(columns=names)[list(names.values())].reset_index(drop=True)


def measured(tuned: pandas.DataFrame) -> pandas.DataFrame:
    """Return what a step of each optimizer costs on each problem, at each of its dimensions.

    `gradients` and `hessians` are those of the second step, `price` is its cost in gradients; `seconds` is the median
    CPU time of a step on all instances, and `in_sgd_steps` the same over that of gradient
    descent. The optimizers take turns, so that whatever slows the machine slows all.
    """
    found = {
        (info.problem, dim): info for info, dim in zip(tuned["info"], tuned["dim"], strict=True)
    }
    problems = {("quadratic", each.dim): each for each in STEPPING}
    problems |= {key: _problem(info) for key, info in found.items()}
    rows = []
    for (name, dim), problem in problems.items():
        able = [
            each
            for each in CLASSICS
            if each not in WITH_HESSIAN or GRADIENT + HVP * dim <= problem.budget
        ]
        turns = zip(*(steps(problem, each, WARM_UP + TIMED) for each in able), strict=True)
        taken = list(turns)
        for k, optimizer in enumerate(able):
            asked: dict[str, Count] = {
                kind: float(torch.as_tensor(n).mean()) for kind, n in taken[1][k][1].items()
            }
            rows.append({
                "problem": name, "dim": dim, "optimizer": optimizer, "gradients": asked["gradients"],
                "hessians": asked["hessians"], "price": cost(asked, dim),
                "seconds": float(np.median([turn[k][0] for turn in taken[WARM_UP:]])),
            })  # fmt: skip
    table = pandas.DataFrame(rows)
    of_sgd = table.groupby(["problem", "dim"])["seconds"].transform("first")  # of CLASSICS
    return table.assign(in_sgd_steps=table["seconds"] / of_sgd)


def steps(problem: Problem, name: str, count: int) -> Iterator[tuple[float, Mapping[str, Count]]]:
    """Yield the CPU seconds of each step on the reporting instances, run as one batch, and its evaluations."""
    seeds = range(FIRST_REPORTING_SEED, FIRST_REPORTING_SEED + INSTANCES)
    instances = Instances(problem, tuple(map(stream, seeds)))
    optimizer = contender(name).optimizer
    optimizer = optimizer.replace(**dict.fromkeys(optimizer.missing_defaults, RATE))
    data = instances.data
    x = data["start"]
    oracle = CountingOracle(problem, data, x.shape[:2], instances.normals(), x.device)
    state = optimizer.init(x)
    for draw in itertools.islice(instances.draws(), count):
        began = time.process_time()
        oracle.move(x, draw)
        step, state = optimizer.update(oracle, state)
        x = problem.project(x + step, data)
        yield time.process_time() - began, dict(oracle.counts)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Refused as refusal:
        print(f"prices: {refusal}", file=sys.stderr)
        sys.exit(2)
