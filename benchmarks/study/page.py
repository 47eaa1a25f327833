"""Write the page of the study, docs/validity.md, and its figure from what is there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas

from benchmarks.plots.style import COLOURS, LOOK, Picture, save
from benchmarks.study.afterwards import BEST, of_spaces, of_tasks, of_verdicts, table
from benchmarks.study.conclusions import (
    OF_HYPOTHESES,
    PRIMARY,
    PROFILES,
    RACE,
    Conclusions,
    Tables,
    conclude,
    outcome,
    read_tables,
)
from benchmarks.study.external import EXTERNAL, SOURCES
from benchmarks.study.hypotheses import taus
from benchmarks.study.levels import LEVEL
from benchmarks.study.not_planned import SHOWN, Analysis, not_planned
from benchmarks.study.plan import COMMIT, Plan
from benchmarks.study.predictors import by_mean
from benchmarks.study.profile import all_alike, ordering, too_few
from benchmarks.study.results import VERDICTS, read

PAGE, PICTURE = Path("docs/validity.md"), "validity.svg"
PREREGISTRATION = Path("docs/validity/preregistration.md")
DEVIATIONS = "## Deviations"
TABLES = Path(__file__).with_name("tables.md")
DISCUSSION = Path(__file__).with_name(
    "discussion.md"
)  # written when the outcomes were known, without the numbers
FEWEST = 3  # optimizers of which a rank correlation says anything

# The predictions as they are drawn and listed: name, what it is, whether it reads outcomes of real tasks.
PREDICTIONS = {
    "mean": ("mean rank over all problems", "none"),
    "farthest": ("mean rank on the rungs farthest in signature", "none"),
    PRIMARY: ("mean rank on the rungs nearest in signature", "none"),
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
    planned, appendix = (root / PREREGISTRATION).read_text(), ""
    if missing:
        text = "\n".join(without_outcomes(plan, missing))
    else:
        tables = read_tables(plan, root)
        found = conclude(tables, plan)
        save(figure(found), root / PAGE.parent / PICTURE)
        external = pandas.read_csv(root / EXTERNAL, keep_default_na=False)
        simulated = read(root / VERDICTS, plan.digest)
        lines = with_outcomes(
            found, tables, external, [*not_planned(tables, plan)], simulated, plan
        )
        text, appendix = "\n".join(lines), "\n".join(of_spaces(plan))
    deviations = planned[planned.index(DEVIATIONS) :].rstrip()
    parts = [text, deviations, *filter(None, [appendix])]
    (root / PAGE).write_text("\n\n".join(parts) + "\n")


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
    found: Conclusions,
    tables: Tables,
    external: pandas.DataFrame,
    exploratory: Sequence[Analysis],
    simulated: pandas.DataFrame,
    plan: Plan,
) -> Iterator[str]:
    """Yield the lines of the page.

    Args:
        found: The conclusions.
        tables: What they were drawn from.
        external: The ranks from elsewhere.
        exploratory: The analyses that were not planned.
        simulated: How often each verdict is said in simulated studies; empty if that was not simulated.
        plan: The plan.
    """
    yield "# Does a profile foretell real ranks?\n"
    adds = "adds" if found.adds else "was not shown to add"
    yield (
        f"**{verdict(found, plan)}** "
        "For comparison: the mean rank on other task families reaches "
        f"τ = {found.tau['other tasks'].mean():.2f}, and a race over 5 % of the steps {found.tau[RACE].mean():.2f}. "
        f"Two halves of the seeds agree with τ = {found.ceiling:.2f}, about the most that any prediction can reach. "
        f"The profile {adds} to what other tasks say.\n"
    )
    yield f"![How well each prediction orders the optimizers, with intervals]({PICTURE})\n"
    yield (
        f"*Kendall's τ between the predicted and the measured order, averaged over {len(plan.family)} tasks, with 95 % "
        "intervals by bootstrap over task families. Dashed: two halves of the seeds. Below: the nearest rungs in all "
        "planned analyses, in order; the line marks that of the hypotheses.*\n"
    )
    yield from _of_plan(plan)
    yield (
        "\nThe *profile* of an optimizer is the share of the instances that it solves at each rung (a problem at one "
        f"value of its dial). The *signature* of a task or a rung is {tables.tasks.shape[1]} numbers, measured in the "
        f"same way on both. The nearest rungs of a task are the {plan.nearest} with the most similar signature, each "
        "from another problem."
    )
    yield f"\n{_rungs(tables, plan)}"
    yield f"\n## What it means\n\n{_discussion(found, tables, plan)}"
    yield "\n## Predictions\n"
    rows = []
    for name, (said, reads) in PREDICTIONS.items():
        value = found.tau[name].mean()
        tau = _in_table((value, *found.interval[name]))
        rows.append([f"`{name}`", said, reads, tau, f"{value / found.ceiling:.0%}"])
    rows.append(["`chance`", "a random order", "none", "0, by construction", "0%"])
    yield table(["prediction", "what it is", "reads outcomes of", "τ", "of the ceiling"], rows)
    yield (
        f"\nThe ceiling is {found.ceiling:.2f}: the τ of the ranks from half of the seeds with those from the other "
        "half. Ranks from all seeds are more reliable, so the shares in the last column are somewhat too large. Both "
        f"halves have the same setting, tuned on {plan.tuning_seeds} seeds: the noise of tuning is not in the ceiling, "
        "and with it the ceiling would be lower."
    )
    yield "\nDifferences of τ, with intervals made in the same way:\n"
    yield table(
        ["difference", "τ", "interval"],
        [
            [f"`{one}` − `{other}`", f"{mean:+.2f}", f"[{low:+.2f}, {high:+.2f}]"]
            for (one, other), (mean, low, high) in found.above.items()
        ],
    )
    yield (
        f"\nThe intervals say how much the mean depends on which {len(plan.tasks)} task families were chosen. The "
        f"{len(plan.kind)} optimizers are the same in all of them, so what other optimizers would do is not in the "
        "intervals."
    )
    yield "\n## Hypotheses\n"
    rows = [
        [name, said, f"{found.p[name]:.4f}", f"{plan.critical[name]:g}" if plan.critical[name] else "none",
         f"{found.adjusted[name]:.3f}" if plan.critical[name] else "",
         "holds" if found.adjusted[name] <= LEVEL else "not shown" if plan.critical[name] else "not tested"]
        for name, said in OF_HYPOTHESES.items()
    ]  # fmt: skip
    yield table(["", "says", "p", "critical p", "after calibration and Holm", "at 5 %"], rows)
    yield (
        "\nA p below its critical value is not enough: several hypotheses are tested, and Holm's correction asks for "
        "more. Nor is an interval of τ above 0 a test of H1: it draws task families and keeps the optimizers, and the "
        "test of H1 permutes the optimizers."
    )
    yield (
        f"\nThe smallest p that {len(plan.tasks)} families allow is 1/{2 ** len(plan.tasks)}. {_least_of_h2(plan)}In "
        "simulated studies of H4, chance reaches it too often, so H4 is not tested. Not planned: the lower end of "
        f"the interval of `nearest` − `kind` is {found.above[PRIMARY, 'kind'][1]:+.2f}; if it were not below 0, it "
        "would say that `nearest` is at least as good as `kind`."
    )
    high = found.interval[PRIMARY][1]
    yield (
        "\nBy the plan, the profile is shown *not* to foretell ranks if the interval of the nearest rungs ends "
        f"below {plan.null:g}. It ends at {high:.2f}, so this {'is' if high < plan.null else 'is not'} shown."
    )
    if not simulated.empty:
        yield "\n## How likely each verdict was\n"
        yield from of_verdicts(simulated, plan)
    yield "\n## All analyses\n"
    others = found.multiverse["tau"]
    yield (
        f"τ of the nearest rungs in the {len(others)} planned analyses is from {others.min():.2f} to "
        f"{others.max():.2f}, with median {others.median():.2f}; the figure has them in order. Each outcome below "
        f"has {len(others) // found.multiverse['outcome'].nunique()} of them, which differ in the number of rungs and "
        "in the profile:\n"
    )
    by = found.multiverse.groupby("outcome", sort=False)["tau"].agg(["min", "median", "max"])
    rows = [[str(row[0]), *(f"{each:.2f}" for each in row[1:])] for row in by.itertuples()]
    yield table(["outcome", "least", "median", "largest"], rows)
    yield "\n## Tasks\n"
    yield from of_tasks(found, tables, plan)
    yield "\n## Not planned\n"
    yield (
        "These analyses were chosen when the outcomes were known, so they are hints, and none is a test. Each repeats "
        "the planned analysis with one change: without one kind of optimizer; with those rungs alone at which all "
        f"{len(plan.kind)} optimizers can be used ({_for_all(tables, plan)}); or with a profile by cost, in which "
        "an optimizer is placed at a rung by the gradients that it needs (and last if it does not solve the rung). "
        "`other tasks` reads no profile.\n"
    )
    planned = {name: (found.tau[name].mean(), *found.interval[name]) for name in SHOWN}
    yield table(
        ["change", "optimizers", *(f"`{name}`" for name in SHOWN)],
        (
            [
                each.name,
                str(each.optimizers),
                *(_in_table(each.tau[name]) if name in each.tau else "" for name in SHOWN),
            ]
            for each in [Analysis("none: as planned", len(plan.kind), planned), *exploratory]
        ),
    )
    fewer = [each.tau for each in exploratory if each.optimizers < len(plan.kind)]
    ranges = (
        f"{min(tau[name][0] for tau in fewer):.2f} to {max(tau[name][0] for tau in fewer):.2f} for `{name}`"
        for name in SHOWN
    )
    yield f"\nWhichever kind is left out, τ is {_listed(ranges)}."
    yield "\n## Results from elsewhere\n"
    yield (
        "AlgoPerf, the one table that the plan names, could not be compared: only one optimizer is in both; the "
        "plan says ten. So nothing here is a test. The table below has it beside two other public tables, with "
        "τ between the mean rank over all problems and the mean rank in the table ([the "
        f"ranks](validity/external.csv)). Fewer than {FEWEST} optimizers have no τ. The only τ is hardly evidence: "
        "half of all orders of three reach 0.33, and it rests on the mean place of `zoo/muon+decay`, which is not "
        "comparable, as said above. All three tables were read in the pilot, before the plan was made.\n"
    )
    yield table(
        ["source", "licence", "optimizers in both", "τ"],
        _external(ordering(tables.profiles[PROFILES[0]], plan), external),
    )
    yield f"\n{TABLES.read_text().rstrip()}"


def verdict(found: Conclusions, plan: Plan) -> str:
    """Return the answer of the study in one sentence.

    Args:
        found: The conclusions.
        plan: The plan.
    """
    mean, (low, high) = found.tau[PRIMARY].mean(), found.interval[PRIMARY]
    said = {
        "foretells": "Yes: an optimizer's profile foretells its rank on small real tasks",
        "does not foretell": "No: an optimizer's profile does not foretell its rank on small real tasks",
        "undecided": "It is undecided whether an optimizer's profile foretells its rank on small real tasks: the "
        "plan's conditions for yes and for no are both unmet",
    }[found.foretells]
    weak = found.foretells == "undecided" and high < plan.foretells["tau"]
    return (
        f"{said}. By the rungs that are nearest in signature it reaches τ = {_with_interval(mean, low, high)}"
        f"{', so the relation is weak if there is one' if weak else ''}."
    )


def _least_of_h2(plan: Plan) -> str:
    """Return what Holm's correction makes of the smallest p of H2, if it is too large."""
    tests = sum(critical > 0 for critical in plan.critical.values())
    least = LEVEL / plan.critical["H2"] / 2 ** len(plan.tasks)
    if tests * least <= LEVEL:
        return ""
    return (
        f"For H2 that is {least:.3f} after calibration, and times {tests}, by Holm, {tests * least:.3f}, so H2 can "
        "hold only if another hypothesis has a smaller calibrated p and holds. "
    )


def _for_all(tables: Tables, plan: Plan) -> str:
    """Return how many rungs and problems all optimizers can be used at."""
    every = replace(plan, least_optimizers=len(plan.kind))
    problems = ordering(tables.profiles[PROFILES[0]], every).index.get_level_values("problem")
    return f"{len(problems)} rungs of {problems.nunique()} problems"


def _with_interval(mean: float, low: float, high: float) -> str:
    return f"{mean:.2f} [{low:.2f}, {high:.2f}]"


def _in_table(numbers: tuple[float, float, float]) -> str:
    """Return the same, with the interval on one line."""
    return _with_interval(*numbers).replace(", ", ",\N{NO-BREAK SPACE}")


def _rungs(tables: Tables, plan: Plan) -> str:
    """Return how many signatures there are, and which rungs are not in the profile."""
    whole = tables.profiles[PROFILES[0]]
    kept, few = ordering(whole, plan), too_few(whole, plan)
    return (
        f"There are {len(tables.tasks) + len(tables.rungs)} signatures: {len(tables.tasks)} of tasks and "
        f"{len(tables.rungs)} of rungs of the standard suite's ladders. (Those that a bisection adds differ by "
        f"optimizer and have none.) {len(kept)} of these rungs, of "
        f"{kept.index.get_level_values('problem').nunique()} problems, order the optimizers. The others are left out, "
        f"as planned: {(all_alike(whole) & ~few).sum()} at which all optimizers solve the same share, and {few.sum()} "
        f"at which fewer than {plan.least_optimizers} of the {len(plan.kind)} optimizers can be used."
    )


def _discussion(found: Conclusions, tables: Tables, plan: Plan) -> str:
    """Return the discussion with its numbers, and its comparisons in the words that their intervals allow."""
    profile = ordering(tables.profiles[PROFILES[0]], plan)
    on_tasks = outcome(tables.rows, plan).mean().sort_values()
    by_profile = by_mean(profile, pandas.Index([0])).loc[0].rank(method="min").astype(int)
    problems = profile.groupby(level="problem").count().gt(0).sum()
    best, rarest = on_tasks.index[:BEST], str(problems.idxmin())
    text = DISCUSSION.read_text().format(
        **{name: f"{found.tau[name].mean():.2f}" for name in (PRIMARY, "farthest", "mean")},
        nearest_against_farthest=_against(found, PRIMARY, "farthest"),
        others_against_nearest=_against(found, "other tasks", PRIMARY),
        race_against_nearest=_against(found, RACE, PRIMARY),
        best=_listed(f"`{name}`" for name in best),
        places_of_best=_listed(f"{by_profile[name]:.0f}" for name in best),
        optimizers=len(plan.kind),
        rarest=rarest,
        problems_of_rarest=problems[rarest],
        problems=problems.max(),
    )
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def _against(found: Conclusions, one: str, other: str) -> str:
    """Return how the first prediction compares with the second, in the words that the interval allows."""
    mean, low, high = found.above[one, other]
    said = (
        "orders better than"
        if low > 0
        else "orders worse than"
        if high < 0
        else "is not shown to differ from"
    )
    return f"{said} `{other}` (by {mean:+.2f} [{low:+.2f}, {high:+.2f}] in τ)"


def _listed(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}"


def _external(profile: pandas.DataFrame, external: pandas.DataFrame) -> Iterator[list[str]]:
    ours = by_mean(profile, pandas.Index([0]))
    for source, rows in external[external["optimizer"] != ""].groupby("source", sort=False):
        theirs = rows.groupby("optimizer")["rank"].mean().to_frame().T.set_axis([0])
        value = taus(ours, theirs).iloc[0]
        enough = theirs.shape[1] >= FEWEST
        said = f"{value:.2f}" if enough else ""
        _, link, licence = next(each for each in SOURCES if each.name == source)
        yield [f"[{source}]({link})", licence, ", ".join(map(str, theirs)), said]


def _of_plan(plan: Plan) -> Iterator[str]:
    yield (
        f"[The plan](validity/preregistration.md) was committed before any outcome, in `{COMMIT}`; its hash is "
        f"`{plan.digest}`, and all results carry it."
    )


def figure(found: Conclusions) -> Picture:
    """Return the figure: τ of each prediction with its interval, the ceiling, and the nearest rungs in all analyses.

    Args:
        found: The conclusions.
    """
    with mpl.rc_context(LOOK):
        picture = Picture(figsize=(5.6, 4.0), layout="constrained")
        axes, below = picture.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        names = [*PREDICTIONS]
        for y, name in enumerate(names):
            low, high = found.interval[name]
            colour = COLOURS[1] if name == PRIMARY else COLOURS[0]
            axes.plot([low, high], [y, y], color=colour, linewidth=1.5)
            axes.plot(found.tau[name].mean(), y, "o", color=colour, markersize=5)
        axes.axvline(found.ceiling, color="#888888", linewidth=1, linestyle="--")
        axes.text(found.ceiling, -0.6, "ceiling ", ha="right", color="#555555")
        axes.set_yticks(range(len(names)), [PREDICTIONS[name][0] for name in names])
        axes.set_ylim(len(names) - 0.5, -1)
        others = np.sort(found.multiverse["tau"])
        below.plot(others, np.arange(len(others)), ".", color=COLOURS[1], markersize=4)
        below.axvline(found.tau[PRIMARY].mean(), color=COLOURS[1], linewidth=0.8)
        below.set_yticks([])
        below.set_ylabel(f"{len(others)} analyses,\nin order", rotation=0, ha="right", va="center")
        below.set_xlabel("Kendall's τ with the measured order")
        for each in (axes, below):
            each.axvline(0, color="#888888", linewidth=0.8)
    return picture
