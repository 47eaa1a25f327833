"""Parts of the page that were added when the outcomes were known: what each task is near, the verdicts, the spaces."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import pandas

from benchmarks.catalog.contenders import contender
from benchmarks.pages.markdown import markdown_cell, markdown_table
from benchmarks.study.conclusions import PRIMARY, PROFILES, Conclusions, Tables, outcome
from benchmarks.study.hypotheses import taus
from benchmarks.study.plan import COMMIT, Plan
from benchmarks.study.predictors import by_nearest, distances, nearest_rungs
from benchmarks.study.profile import ordering
from benchmarks.study.verdicts import VERDICTS

BEST = 3  # optimizers of a task
COMMON = 5  # problems that are near most tasks


def table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table.

    Args:
        names: Of the columns.
        rows: The texts of the cells.
    """
    return markdown_table(names, (map(markdown_cell, row) for row in rows))


def near(tables: Tables, plan: Plan) -> dict[str, list[tuple[str, float]]]:
    """Return by task the nearest rungs, nearest first: problem and dial.

    Args:
        tables: The tables.
        plan: The plan.
    """
    rungs = ordering(tables.profiles[PROFILES[0]], plan).index
    distance = distances(tables.tasks, tables.rungs)
    chosen = nearest_rungs(rungs, distance, plan.nearest)
    return {
        str(task): [(str(problem), float(dial)) for problem, dial in rungs[each]]
        for task, each in zip(distance.index, chosen, strict=True)
    }


def alike(orders: pandas.DataFrame) -> float:
    """Return the mean τ of the orders of two tasks.

    Args:
        orders: Tasks × optimizers, the places.
    """
    pairs = [*itertools.combinations(range(len(orders)), 2)]
    one, other = (orders.iloc[[*each]].reset_index(drop=True) for each in zip(*pairs, strict=True))
    return float(taus(one, other).mean())


def of_tasks(found: Conclusions, tables: Tables, plan: Plan) -> Iterator[str]:
    """Yield the lines about each task: τ of the nearest rungs, these rungs, and the best optimizers.

    Args:
        found: The conclusions.
        tables: The tables.
        plan: The plan.
    """
    ranks, nearest = outcome(tables.rows, plan), near(tables, plan)
    profile = ordering(tables.profiles[PROFILES[0]], plan)
    foretold = by_nearest(profile, distances(tables.tasks, tables.rungs), plan.nearest)
    tau = found.tau[PRIMARY]
    times = Counter(problem for rungs in nearest.values() for problem, _ in rungs)
    common = times.most_common(COMMON)
    share = sum(count for _, count in common) / times.total()
    yield (
        f"Added afterwards. τ of `nearest` is from {tau.min():.2f} to {tau.max():.2f}. The same few problems are near "
        f"most tasks: {COMMON} take {share:.0%} of the {times.total()} places among the nearest rungs, "
        f"{', '.join(f'`{problem}` on {count} tasks' for problem, count in common)}. Averaged over all pairs of tasks, "
        f"the predicted orders of two tasks agree with τ = {alike(foretold):.2f}, the measured ones with "
        f"{alike(ranks):.2f}: `nearest` tells tasks apart less than they differ.\n"
    )
    yield table(
        [
            "task",
            "τ",
            f"the {plan.nearest} nearest rungs, nearest first",
            f"the {BEST} best optimizers",
        ],
        (
            [
                f"`{task}`",
                f"{tau[task]:.2f}",
                ", ".join(f"{problem} {dial:g}" for problem, dial in rungs),
                ", ".join(name.partition("+")[0] for name in ranks.T[task].nsmallest(BEST).index),
            ]
            for task, rungs in nearest.items()
        ),
    )


def of_verdicts(simulated: pandas.DataFrame, plan: Plan) -> Iterator[str]:
    """Yield the lines about the verdicts in simulated studies.

    Args:
        simulated: The rows of `verdicts`.
        plan: The plan.
    """
    kind = simulated["profile"].str.partition(" (")[0]
    unrelated, rows = simulated[kind == "unrelated"], simulated.set_index(kind)
    undecided, least = rows["undecided"], plan.foretells["tau"]
    yield (
        "The plan has the power of each test at its critical p, before Holm's correction, and not how often each "
        f"verdict comes out. That was simulated when the outcomes were known, with {simulated['studies'].iloc[0]} "
        "studies of each kind. In brackets are the shares of an outcome's variance that are general strength and a "
        "response to the task's pathologies, as in the plan's table of power.\n"
    )
    yield table(
        [
            "simulated profile", "mean τ", *(f"`{each}`" for each in VERDICTS), "adds (H2 holds)",
            "interval has the mean τ",
        ],
        (
            [row["profile"], f"{row['tau']:.2f}", *(f"{row[each]:.0%}" for each in (*VERDICTS, "adds", "contains"))]
            for _, row in simulated.iterrows()
        ),
    )  # fmt: skip
    no = unrelated["does not foretell"]
    yield (
        f"\nIf a profile is unrelated, the rules say so in {no.min():.0%} to {no.max():.0%} of the studies. With a "
        f"weak, moderate or large effect, `undecided` was the likely verdict: it comes out in {undecided['weak']:.0%}, "
        f"{undecided['moderate']:.0%} and {undecided['large']:.0%} of the studies. The larger of the two effects in "
        f"the plan's table of power has a mean τ of {rows['tau']['large']:.2f}, and `foretells` asks for {least:g}. So "
        "the study could tell no effect and a very large one, and hardly anything between. If the true τ is between "
        f"{plan.null:g} and {least:g}, more optimizers and tasks only make `undecided` more certain, so no number that "
        "would be enough is given here."
    )
    yield (
        f"\nThe intervals of 95 % have the mean τ in {simulated['contains'].min():.0%} to "
        f"{simulated['contains'].max():.0%} of the studies only: each study has other optimizers, and the bootstrap "
        "keeps those that there are. Read all intervals of this page as too narrow."
    )


def of_spaces(plan: Plan) -> Iterator[str]:
    """Yield the lines about the ranges in which the hyperparameters of the plan's optimizers were searched.

    Args:
        plan: The plan.
    """
    yield "## Spaces\n"
    yield (
        "Added afterwards: plan.json does not have the ranges in which hyperparameters were searched. They were those "
        f"of the code in the commit of the plan, `{COMMIT}`, and have not changed since. The [units](protocol.md) are "
        "those of the engine; `log` spaces values evenly in their logarithm, and `complement` does so with 1 − value; "
        "for `complement`, the table gives the range of 1 − value.\n"
    )
    words: dict[tuple[str, ...], list[str]] = {}
    for word in plan.kind:
        for name, within in contender(word).space.items():
            unit = (
                within.unit
                if within.discount is None
                else f"{within.unit} × (1 − {within.discount})"
            )
            row = (f"`{name}`", f"{within.low:g}", f"{within.high:g}", within.scale, unit)
            words.setdefault(row, []).append(word)
    yield table(
        ["hyperparameter", "from", "to", "spacing", "unit", "optimizers"],
        ([*row, ", ".join(each)] for row, each in words.items()),
    )
