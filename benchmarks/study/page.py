"""Write the page of the study, docs/validity.md, and its figure from what is there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas

from benchmarks.pages.markdown import markdown_cell, markdown_table
from benchmarks.plots.style import COLOURS, LOOK, Picture, save
from benchmarks.study.conclusions import (
    OF_HYPOTHESES,
    PRIMARY,
    RACE,
    Conclusions,
    Tables,
    conclude,
    read_tables,
)
from benchmarks.study.external import EXTERNAL
from benchmarks.study.hypotheses import taus
from benchmarks.study.levels import LEVEL
from benchmarks.study.plan import Plan
from benchmarks.study.predictors import by_mean

PAGE, PICTURE = Path("docs/validity.md"), "validity.svg"
PREREGISTRATION = Path("docs/validity/preregistration.md")
DEVIATIONS = "## Deviations"
DISCUSSION = Path(__file__).with_name("discussion.md")  # written when the outcomes were known
FEWEST = 3  # optimizers of which a rank correlation says anything

# The predictions as they are drawn and listed: name, what it is, whether it reads outcomes of real tasks.
PREDICTIONS = {
    "mean": ("mean rank over all problems", "no"),
    "farthest": ("mean rank on the rungs farthest in signature", "no"),
    PRIMARY: ("mean rank on the rungs nearest in signature", "no"),
    "kind": ("kind of the optimizer", "other tasks"),
    "other tasks": ("mean rank on other task families", "other tasks"),
    "matched": ("the same, corrected by profile × signature", "other tasks"),
    RACE: ("rank after 5 % of the steps", "this task"),
}
PILOT = (
    "What is known is from published tables: on Ravine's own problems, solved shares of ten optimizers foretell the "
    "order on a problem that is left out with τ = .35, and on AlgoPerf's workloads the mean rank on other families "
    "does with τ = .31, where .83 could be reached."
)


def write(plan: Plan, root: Path, missing: Sequence[str]) -> None:
    """Write the page, and the figure if all parts exist.

    Args:
        plan: The plan.
        root: The folder of the checkout.
        missing: A line for each part that is not whole.
    """
    planned = (root / PREREGISTRATION).read_text()
    if missing:
        text = "\n".join(without_outcomes(plan, missing))
    else:
        tables = read_tables(plan, root)
        found = conclude(tables, plan)
        save(figure(found), root / PAGE.parent / PICTURE)
        external = pandas.read_csv(root / EXTERNAL, keep_default_na=False)
        text = "\n".join(with_outcomes(found, tables, external, plan))
    deviations = planned[planned.index(DEVIATIONS) :].rstrip()
    (root / PAGE).write_text(f"{text}\n\n{deviations}\n")


def without_outcomes(plan: Plan, missing: Sequence[str]) -> Iterator[str]:
    """Yield the lines of the page before all parts exist.

    Args:
        plan: The plan.
        missing: A line for each part that is not whole.
    """
    yield "# Does a profile foretell real ranks?\n"
    yield (
        "**That is not known yet: the outcomes are not complete, and none is read before they are.** The study asks "
        "whether an optimizer's profile on Ravine's problems foretells its rank on sixteen small real tasks. "
        f"{PILOT}\n"
    )
    yield from _of_plan(plan)
    yield "\n## What is missing\n"
    yield from (f"- {line}" for line in missing)
    yield "\n`python -m benchmarks.study` says it again; `--page` writes this page."


def with_outcomes(
    found: Conclusions, tables: Tables, external: pandas.DataFrame, plan: Plan
) -> Iterator[str]:
    """Yield the lines of the page.

    Args:
        found: The conclusions.
        tables: What they were drawn from.
        external: The ranks from elsewhere.
        plan: The plan.
    """
    mean, (low, high) = found.tau[PRIMARY].mean(), found.interval[PRIMARY]
    yield "# Does a profile foretell real ranks?\n"
    verdict = {
        "foretells": "Yes: an optimizer's profile foretells its rank on small real tasks",
        "does not foretell": "No: an optimizer's profile does not foretell its rank on small real tasks",
        "undecided": "Weakly at most: the plan's rules leave it undecided whether an optimizer's profile foretells its "
        "rank on small real tasks"
        if high < plan.foretells["tau"]
        else "That is undecided",
    }[found.foretells]
    adds = "adds" if found.adds else "was not shown to add"
    yield (
        f"**{verdict} (τ = {mean:.2f} [{low:.2f}, {high:.2f}] for the rungs that are nearest in signature).** "
        f"Two halves of the seeds agree with τ = {found.ceiling:.2f}; the mean rank on other task families "
        f"has {found.tau['other tasks'].mean():.2f}, and a race over 5 % of the steps {found.tau[RACE].mean():.2f}. "
        f"The profile {adds} to what other tasks say.\n"
    )
    yield f"![How well each prediction orders the optimizers, with intervals]({PICTURE})\n"
    yield (
        "*Kendall's τ of the predicted order with the measured one, the mean over sixteen tasks, with 95 % intervals "
        "by bootstrap over task families. Dashed: two halves of the seeds. Right: the nearest "
        "rungs in all analyses.*\n"
    )
    yield from _of_plan(plan)
    rungs = next(iter(tables.profiles.values()))
    yield (
        f"\nThe profile has {len(rungs)} rungs of {rungs.index.get_level_values(0).nunique()} problems, at which at "
        f"least {plan.least_optimizers} of {len(plan.kind)} optimizers can be used, and not all do equally well."
    )
    yield f"\n## What it means\n\n{DISCUSSION.read_text().rstrip()}"
    yield "\n## Predictions\n"
    rows = []
    for name, (said, reads) in PREDICTIONS.items():
        low, high = found.interval[name]
        value = found.tau[name].mean()
        rows.append([f"`{name}`", said, reads, f"{value:.2f}", f"[{low:.2f}, {high:.2f}]",
                     f"{value / found.ceiling:.0%}"])  # fmt: skip
    yield _table(
        ["prediction", "what it is", "reads outcomes of", "τ", "interval", "of the ceiling"], rows
    )
    yield (
        f"\nThe ceiling is {found.ceiling:.2f}: the τ of the ranks from half of the seeds with those from the other "
        "half. A random order has 0."
    )
    yield "\n## Hypotheses\n"
    rows = [
        [name, said, f"{found.p[name]:.4f}", f"{plan.critical[name]:.4f}" if plan.critical[name] else "none",
         f"{found.adjusted[name]:.3f}",
         "holds" if found.adjusted[name] <= LEVEL else "not shown" if plan.critical[name] else "not tested"]
        for name, said in OF_HYPOTHESES.items()
    ]  # fmt: skip
    yield _table(["", "says", "p", "critical p", "after calibration and Holm", "at 5 %"], rows)
    yield (
        "\nOf p below its critical value alone, Holm's correction asks for more, as several hypotheses are tested. The "
        "intervals above are no such test: they draw task families anew, and the test of H1 permutes optimizers."
    )
    (low, high), beyond = found.over_kind, found.tau[PRIMARY] - found.tau["kind"]
    yield (
        f"\nChance reaches the smallest p that H4 can have too often, so it is not tested: τ of the nearest rungs is "
        f"{beyond.mean():+.2f} [{low:+.2f}, {high:+.2f}] above that of the kind."
    )
    low, high = found.interval[PRIMARY]
    yield (
        f"\nEquivalence: the profile is said not to foretell if the interval ends below {plan.null:g}. It ends at "
        f"{high:.2f}."
    )
    yield "\n## All analyses\n"
    others = found.multiverse["tau"]
    yield (
        f"τ of the nearest rungs in {len(others)} analyses is from {others.min():.2f} to {others.max():.2f}, with "
        f"median {others.median():.2f}; the figure has them in order. By outcome, over numbers of rungs and profiles:\n"
    )
    by = found.multiverse.groupby("outcome", sort=False)["tau"].agg(["min", "median", "max"])
    rows = [[str(row[0]), *(f"{each:.2f}" for each in row[1:])] for row in by.itertuples()]
    yield _table(["outcome", "least", "median", "largest"], rows)
    yield "\n## Results from elsewhere\n"
    yield (
        "τ of the mean rank over all problems with the mean rank in public tables, over the optimizers that both have "
        f"([the ranks](validity/external.csv)). Of fewer than {FEWEST} it says nothing.\n"
    )
    yield _table(["source", "optimizers in both", "τ", "seen before"], _external(tables, external))  # fmt: skip


def _external(tables: Tables, external: pandas.DataFrame) -> Iterator[list[str]]:
    profile = next(iter(tables.profiles.values()))
    ours = by_mean(profile, pandas.Index([0]))
    for source, rows in external[external["optimizer"] != ""].groupby("source", sort=False):
        theirs = rows.groupby("optimizer")["rank"].mean().to_frame().T.set_axis([0])
        value = taus(ours, theirs).iloc[0]
        enough = theirs.shape[1] >= FEWEST
        said = f"{value:.2f}" if enough else ""
        yield [str(source), ", ".join(map(str, theirs)), said, rows["seen"].iloc[0]]


def _of_plan(plan: Plan) -> Iterator[str]:
    yield (
        f"[The plan](validity/preregistration.md) was committed before any outcome; its hash is `{plan.digest}`, and "
        "all results carry it."
    )


def _table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return markdown_table(names, (map(markdown_cell, row) for row in rows))


def figure(found: Conclusions) -> Picture:
    """Return the figure: τ of each prediction with its interval, the ceiling, and the nearest rungs in all analyses.

    Args:
        found: The conclusions.
    """
    with mpl.rc_context(LOOK):
        picture = Picture(figsize=(7.6, 2.9), layout="constrained")
        axes, beside = picture.subplots(1, 2, width_ratios=(3, 1.3))
        names = [*PREDICTIONS]
        for y, name in enumerate(names):
            low, high = found.interval[name]
            colour = COLOURS[1] if name == PRIMARY else COLOURS[0]
            axes.plot([low, high], [y, y], color=colour, linewidth=1.5)
            axes.plot(found.tau[name].mean(), y, "o", color=colour, markersize=5)
        axes.axvline(0, color="#888888", linewidth=0.8)
        axes.axvline(found.ceiling, color="#888888", linewidth=1, linestyle="--")
        axes.text(found.ceiling, -0.6, "ceiling ", ha="right", color="#555555")
        axes.set_yticks(range(len(names)), [PREDICTIONS[name][0] for name in names])
        axes.set_ylim(len(names) - 0.5, -1)
        axes.set_xlabel("Kendall's τ with the measured order")
        others = np.sort(found.multiverse["tau"])
        beside.plot(np.arange(1, len(others) + 1), others, ".", color=COLOURS[1], markersize=4)
        beside.axhline(0, color="#888888", linewidth=0.8)
        beside.axhline(found.tau[PRIMARY].mean(), color=COLOURS[1], linewidth=0.8)
        beside.set_xlabel(f"{len(others)} analyses,\nin order")
        beside.set_ylabel("τ of the nearest rungs")
    return picture
