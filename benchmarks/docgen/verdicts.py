"""docs/verdicts.md and its pictures, from the table of the calibration."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas

from benchmarks.diagnosis.combine import diagnose
from benchmarks.diagnosis.thresholds import Thresholds
from benchmarks.diagnosis.verdict import CAUSES
from benchmarks.plots.style import COLOURS, LOOK, Picture
from benchmarks.validation.calibration import (
    COVERAGE,
    FACTORS,
    FEW,
    HALVES,
    SICK,
    UNSURE,
    WORTH,
    explained,
    scored,
)
from benchmarks.validation.cases import DIM, METHODS, RATES, SEEDS, STEPS, STEPS_OF_CURVATURE, Case
from benchmarks.validation.interventions import BACK, CHEAPER, KICK, LEASH, NEAR

WHO = {
    "theory": "thresholds of theory",
    "fitted": "thresholds fitted on the other families",
    "evidence": "random forest on the values of the evidence",
    "curve": "random forest on the loss curve",
    "majority": "always the commonest cause",
}
AIM = 0.9  # of macro recall
EXAMPLES = ("ill_conditioning", "saddle", "noise", "step_too_large")
SHOWN = 12  # confusions that are listed
ORDER = ("healthy", *CAUSES, UNSURE)
REMOVALS = {
    "step too large, step too small": "has a tenth of the rate, ten times the rate",
    "noise": "sees the exact loss, through the same bias",
    "wrong direction": "sees the exact gradient, where the absence of noise alone does not help",
    "ill-conditioning": "sees gradients and Hessians multiplied so that all that curves upwards "
    "curves as the steepest does (or as much as its rate bears), and what curves downwards is left "
    "alone; its steps are on the leash below, so that it does not hold where that alone helps",
    "saddle": f"is put {KICK:g} of the way to the solutions off each ridge that it comes near, to "
    "one side or to the other: both have to help, for on a slope only one does. A Hessian is seen "
    "with the sizes of its negative curvatures, or Newton's method would go back",
    "plateau": "sees no gradient shorter than the mean slope to the solutions (on a convex loss "
    "none is), where a kick does not help; or starts near a solution, where it had ended on flat "
    "ground",
    "no signal": "has other fields, as the problem's card says, or starts near a solution, where it "
    "had ended on flat ground with a gradient of exactly 0",
    "cliff": f"takes no step longer than {LEASH:g} of the way to the solutions, or clips its "
    "gradients at the norm at the start or at the running median, where it had been thrown",
    "sharpening": "takes steps that shrink as the largest curvature grows beyond that at the start; "
    "or has other fields",
    "local minimum": f"has other fields, or starts {NEAR:g} of the way from a known solution; only "
    "where Newton's flow from its end leads into a minimum that is not good enough",
    "vanishing and exploding gradient, long path, no critical point": "has other fields "
    "(`Card.removes`), at the same rate in the problem's units; exploding where the run was thrown "
    f"{BACK:g} times above its start, vanishing where not",
}
HEAD = f"""# Verdicts

How often Ravine is right about what is wrong with a run. Written by
`python -m benchmarks.docgen.publish_verdicts`; the runs are in [verdicts.csv](verdicts.csv), one a row.
Figures that miss what was aimed at stand here as they are.

## What is true of a run

No problem's name decides, for Newton's method on an ill-conditioned bowl is not ill-conditioned. A cause
**holds** for a run if the paired run without it (same instance, setting and draws of the noise) gets to the
target at least {CHEAPER:g} times cheaper, or gets there at all where the run does not. What is taken away:
"""
AFTER = """Interventions happen behind the method's back and are not charged. Several causes may hold; what gains
most comes first. A run that is not solved and that no single removal helps has two causes at least, or would need
longer without the one, and has **no truth here**: such runs are counted below, and in no figure."""
LOOKED = """## What was looked at

The tests of the evidence and the thresholds of theory were written from analysis and from runs on problems of
this suite, before this table was there; so the first row of the scores is not free of these problems, although
nothing was fitted. The removals were tried on some dozen problems whose truth is plain (bowls, saddles, shelves,
cliffs) until they said what analysis says. After a first comparison with verdicts, on 62 of the cells, three
things were changed: ill-conditioning is not asked about where a run was thrown, for a step that knows all
curvatures is never too large; a cliff is what a tenth of the rate does not cure; and solved runs are shown up to
their target only, for at rest in the solution each of them had looked stuck. After the first whole table one more:
thrown is ten times above the start, where it had been above it at all, which a step of Adam's often is.

With the first rules macro recall was 0.50 in all, with 4 % of the healthy runs called sick. Then the families
were split by their names, and what the rules ask was changed on the developed half alone, whose runs were looked
at one by one. The others' were not, but this page had shown recalls and confusions of all families before, and so
it was known which causes were missed most. What changed: a step is too small also in a run that gets on well, but
only if ten times as many steps would have arrived; noise is seen in steps that go up within the limit of stability
or that turn off the gradient; who has nothing left to gain to second order is in a minimum though he bounces, and
there what a step alone changes counts less; who was seen above the start and once stepped too far had too large
a step, unless its rate was small where it began, which is a cliff; ill-conditioning and vanishing gradients throw
no run, exploding ones do; and runs of a few steps that gain are healthy. The held-out half was judged when that
was done: macro recall 0.66 (before: 0.51), 6.6 % called sick; the developed half: 0.73 (before: 0.58), 3.3 %. For
the share called sick, 5.1 % in all, one rule was added then: no substitute for a measurement makes a run sick that
halves what is left. It was not found by looking at any held-out run, but strictly that
half was judged twice, and once more below.

The demonstration networks of the doctor are not here. One finding on them was known when the rules were changed:
with the first rules a rate ten times too small was called healthy in 10 of 10 runs, and one ten times too large
sharpening in 7 of 10. When the rules were done they were run: 9 of 10 healthy networks were called noisy, so that the
two new signs of noise ask for an exact loss since, which changes no verdict here, where all are; and run again: 6 of
10 were called ill-conditioned, at shares of stability between a tenth and a fifth, so that a fifth is asked for again,
as the first rules had it. That changed the figures of both halves a little, and the table has the last. So the
demonstrations are no longer what nobody has looked at, and the held-out half was judged three times.

Last, traces got two columns that see what happens between recorded steps, the largest leap of the gradient and the
highest loss, for on the problem `cliff` itself the throws fall between them, and verdicts named the flat land that they
led to. Three rules for a throw were tried on all families at once, so that no half is held out for this choice: any
step ten times as long as usual, and any tenfold leap of the gradient, both of which called noise, Newton's steps and
hops among minima cliffs (macro recall 0.64 each); and a tenfold leap where steps are proportional to gradients, which
costs nothing (0.65 as before) and is kept. It finds the throws of plain gradient descent, not those of momentum."""


def text(table: pandas.DataFrame, said: Mapping[str, Any]) -> str:
    """The page, from the table as it is in the file, and from the thresholds."""
    removals = [f"| {cause} | {what} |" for cause, what in REMOVALS.items()]
    parts = [
        HEAD.rstrip(),
        _lines("| cause | the paired run |", "|---|---|", *removals),
        AFTER,
        _runs(table),
        f"They were measured at commit {said['commit'][:12]}.",
        _scores(table),
        _halves(table),
        _thresholds(said),
        _recalls(table),
        _confusions(table),
        _failures(table),
        _unexplained(table),
        _examples(table),
        LOOKED,
    ]
    return "\n\n".join(parts) + "\n"


def _lines(*lines: str) -> str:
    return "\n".join(lines)


def _runs(table: pandas.DataFrame) -> str:
    known = explained(table)
    healthy, families = int((known["truth"] == "healthy").sum()), table["family"].nunique()
    rest, steps = len(table) - len(known), f"{STEPS} steps, or {STEPS_OF_CURVATURE}"
    return _lines(
        "## The runs",
        "",
        f"{len(table)} runs of {families} problems: all those of at most {DIM} dimensions whose minimum is known,",
        "at their control, as they are, and at the last rung of their ladder, by",
        f"{', '.join(METHODS)} (not all of them at each), with the rate of a half-decade",
        "grid that suits the problem, a tenth of that and ten times that",
        f"({len(RATES)} rates, {len(SEEDS)} seeds each),",
        f"for {steps} where each asks for a Hessian. Of these, {len(known)} have a truth:",
        f"{healthy} are healthy, that is, solved and not to be made {CHEAPER:g} times cheaper by any removal, and in",
        f"{len(known) - healthy} something is wrong; {rest} are not solved and not explained by one cause.",
        "",
        "The verdict knows of a run what a table knows: whether it diverged or missed its target. Of one that was",
        "solved it sees only the way there, as of a run that still goes on, and is asked what slows it. Right is a",
        "verdict whose first cause is among the true ones, or which says healthy of a healthy run; *not sure* is",
        "never right.",
    )


def _scores(table: pandas.DataFrame) -> str:
    rows = []
    for name, words in WHO.items():
        found = scored(table, name)
        rows.append(
            f"| {words} | {found.macro:.2f} | {found.covered:.2f} | {found.coverage:.2f} "
            f"| {found.accuracy:.2f} | {found.sick:.1%} |"
        )
    best = max((scored(table, "theory"), scored(table, "fitted")), key=lambda each: each.worth)
    met = [
        _met("macro recall", best.macro, AIM, best.macro >= AIM),
        _met("coverage", best.coverage, COVERAGE, best.coverage >= COVERAGE),
        _met("share of healthy runs called sick", best.sick, SICK, best.sick <= SICK),
    ]
    return _lines(
        "## How often it is right",
        "",
        "| | macro recall | of those with a verdict | coverage | right in all | healthy called sick |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
        f"Macro recall is the mean over the causes with at least {FEW} runs, healthy among them, of the",
        "share of their runs with a right verdict. All but the first row leave one family out: nothing was",
        "fitted on the family that is judged. Of the better of the first two:",
        "; ".join(met) + ".",
        "",
        f"Of the verdicts with the greatest strength, so many are wrong: {_risks(table)} of all runs.",
        "",
        "![Share of wrong verdicts by the share of runs that get one](verdicts/risk.png)",
    )


def _risks(table: pandas.DataFrame) -> str:
    coverage, wrong = risk(table, "theory")
    shares = [each for each in (0.1, 0.3, 0.5, 0.8) if each <= coverage[-1]]
    found = [wrong[np.searchsorted(coverage, share)] for share in shares]
    return ", ".join(
        f"{value:.0%} at {share:.0%}" for share, value in zip(shares, found, strict=True)
    )


def _halves(table: pandas.DataFrame) -> str:
    rows, counts = [], []
    for half in HALVES:
        of = table[table["half"] == half]
        known = explained(of)
        counts.append(f"{of['family'].nunique()} families, {len(known)} runs with a truth")
        for name in ("theory", "evidence", "curve"):
            found = scored(of, name)
            among = sum(runs >= FEW for runs in found.runs.values())
            rows.append(
                f"| {half} | {WHO[name]} | {found.macro:.2f} ({among} causes) | {found.covered:.2f} "
                f"| {found.coverage:.2f} | {found.accuracy:.2f} | {found.sick:.1%} |"
            )
    scores = [scored(table[table["half"] == half], "theory") for half in HALVES]
    causes = []
    for cause in ("healthy", *CAUSES):
        cells = [f"{each.recall[cause]:.2f} ({each.runs[cause]})" for each in scores]
        cells = [
            cell if each.runs[cause] else "– (0)" for cell, each in zip(cells, scores, strict=True)
        ]
        causes.append(f"| {_words(cause)} | {' | '.join(cells)} |")
    return _lines(
        "### Families that were not looked at",
        "",
        "The rules were made on the runs of half of the families, which a hash of their names chose (*developed*:",
        f"{counts[0]}), and judged when they were done on the others (*held out*:",
        f"{counts[1]}). A macro recall is of the causes with at least {FEW} runs in",
        "the half, and as a half has few families of most causes, a rough figure.",
        "",
        "| half | | macro recall | of those with a verdict | coverage | right in all | healthy called sick |",
        "|---|---|---|---|---|---|---|",
        *rows,
        "",
        "Recall by cause, with the number of runs:",
        "",
        f"| true | {HALVES[0]} | {HALVES[1]} |",
        "|---|---|---|",
        *causes,
    )


def _met(what: str, value: float, aim: float, met: bool) -> str:
    return f"{what} {value:.2f} (aimed at {aim:g}: {'met' if met else '**missed**'})"


def _thresholds(said: Mapping[str, Any]) -> str:
    tried = ", ".join(f"{each:.2g}" for each in FACTORS)
    if not said["fitted"]:
        return _lines(
            "The thresholds are those of theory (`benchmarks/diagnosis/thresholds.py` says where each is",
            f"from): the fit, which tries each of {said['tried']} of them at {tried} times its value and moves",
            f"those that gain {WORTH:g} of macro recall, does not gain as much on families that it has not seen.",
        )
    rows = [
        f"| {name} | {value:.3g} | {said['thresholds'][name]:.3g} |"
        for name, value in said["theory"].items()
        if said["thresholds"][name] != value
    ]
    return _lines(
        "The thresholds are those that the fit chooses on all families (`verdicts.json`). It tries each of",
        f"{said['tried']} of them at {tried} times its value and moves those that gain, and does better on",
        "families that it has not seen than theory does. What it moved:",
        "",
        "| threshold | theory | fitted |",
        "|---|---|---|",
        *rows,
    )


def _recalls(table: pandas.DataFrame) -> str:
    known = explained(table)
    scores = {name: scored(table, name) for name in WHO}
    rows = []
    for cause in ("healthy", *CAUSES):
        of = known[[cause in each.split() for each in known["truth"]]]
        if not len(of):
            rows.append(f"| {_words(cause)} | 0 | 0 | – | – | – | – |")
            continue
        named = np.mean([cause in each.split() for each in of["causes"]])
        rows.append(
            f"| {_words(cause)}{'' if len(of) >= FEW else ' (few)'} | {len(of)} "
            f"| {of['family'].nunique()} | {scores['theory'].recall[cause]:.2f} "
            f"| {scores['fitted'].recall[cause]:.2f} "
            f"| {'–' if cause == 'healthy' else f'{named:.2f}'} | {scores['curve'].recall[cause]:.2f} |"
        )
    sick = known[known["truth"] != "healthy"]
    true = [each.split() for each in sick["truth"]]
    named = [each.split() for each in sick["causes"]]
    first = np.mean([said == each[0] for each, said in zip(true, sick["theory"], strict=True)])
    exact = np.mean([set(a) == set(b) for a, b in zip(true, named, strict=True)])
    some = np.mean([bool(set(a) & set(b)) for a, b in zip(true, named, strict=True)])
    return _lines(
        "## By cause",
        "",
        "Share of the runs for which a cause holds that get a right verdict; *named at all*: that name this very",
        "cause, first or not, with the thresholds of theory.",
        "",
        "| true | runs | families | theory | fitted | named at all | loss curve |",
        "|---|---|---|---|---|---|---|",
        *rows,
        "",
        f"Stricter, on the {len(sick)} runs with something wrong, with the thresholds of theory: the first cause",
        f"is the one whose removal gains most in {first:.2f} of them; the causes that are named are exactly the",
        f"true ones in {exact:.2f}. Laxer: at least one of those named is true in {some:.2f}.",
    )


def pairs(table: pandas.DataFrame, name: str) -> pandas.DataFrame:
    """What is true and what was said of each run with a truth: the true cause that was said, or else the first."""
    known = explained(table)
    said = known[name].replace("solved", "healthy")
    true = [
        each if each in truth.split() else truth.split()[0]
        for truth, each in zip(known["truth"], said, strict=True)
    ]
    return pandas.DataFrame({"true": true, "said": said.to_numpy()}, index=known.index)


def _counts(table: pandas.DataFrame) -> pandas.DataFrame:
    both = pairs(table, "theory")
    counts = pandas.crosstab(both["true"], both["said"])
    rows = [each for each in ORDER if each in counts.index]
    return counts.loc[rows, [each for each in ORDER if each in counts.columns]]


def _confusions(table: pandas.DataFrame) -> str:
    counts = _counts(table)
    lines = []
    for row, cells in zip(counts.index, counts.to_numpy(), strict=True):
        shown = [
            f"**{cell}**" if name == row else str(cell or "")
            for name, cell in zip(counts.columns, cells, strict=True)
        ]
        lines.append(f"| {_words(row)} | " + " | ".join(shown) + " |")
    return _lines(
        "## What is taken for what",
        "",
        "With the thresholds of theory. A run stands in the row of the true cause that was said, and where none",
        "was, in that of the cause whose removal gains most.",
        "",
        "| true \\ said | " + " | ".join(map(_words, counts.columns)) + " |",
        "|---" * (len(counts.columns) + 1) + "|",
        *lines,
        "",
        "![The same as a picture, in shares of each row](verdicts/confusion.png)",
    )


def _ranked(values: Sequence[Any]) -> list[tuple[Any, int]]:
    """How often each occurs, the commonest first, and of equals the one that came first."""
    counts = dict.fromkeys(values, 0)
    for each in values:
        counts[each] += 1
    return sorted(counts.items(), key=lambda item: -item[1])


def _failures(table: pandas.DataFrame) -> str:
    both = pairs(table, "theory").join(table["problem"])
    wrong = both[both["true"] != both["said"]]
    lines = []
    for (true, said), count in _ranked(list(zip(wrong["true"], wrong["said"], strict=True)))[
        :SHOWN
    ]:
        of = wrong[(wrong["true"] == true) & (wrong["said"] == said)]
        names = ", ".join(f"{name} ({n})" for name, n in _ranked(list(of["problem"]))[:3])
        lines.append(f"| {_words(true)} | {_words(said)} | {count} | {names} |")
    return _lines(
        "## Where it fails",
        "",
        f"{len(wrong)} of {len(both)} verdicts are wrong or missing. The commonest:",
        "",
        "| true | said | runs | most of them on |",
        "|---|---|---|---|",
        *lines,
    )


def _unexplained(table: pandas.DataFrame) -> str:
    rest = table[table["truth"] == ""]
    said = ", ".join(f"{_words(name)} {count}" for name, count in _ranked(list(rest["theory"])))
    return _lines(
        "## Runs without a truth",
        "",
        f"Of the {len(rest)} runs that no single removal saves, verdicts say: {said}.",
        "Whether they are right cannot be said in this way: on a winding ravine, say, with a tenth of the rate",
        "that suits it, both the rate and the ravine have to go. The octopus is among them at some rates: a kick to",
        "the other side of one of its saddles leads to where the next kick leads back.",
    )


def chosen(table: pandas.DataFrame) -> dict[str, int]:
    """The places of the runs that are shown: the surest right verdict of some causes, and the surest wrong one."""
    both = pairs(table, "theory")
    right = both["true"] == both["said"]
    found = {cause: both.index[right & (both["said"] == cause)] for cause in EXAMPLES}
    found["mistaken"] = both.index[~right & (both["said"] != UNSURE)]
    strength = table["theory_strength"].to_numpy(float)
    places = {name: of.to_numpy(int) for name, of in found.items() if len(of)}
    return {name: int(of[strength[of].argmax()]) for name, of in places.items()}


def _examples(table: pandas.DataFrame) -> str:
    lines = ["## Examples"]
    for name, at in chosen(table).items():
        row = {key: str(value) for key, value in table.loc[at].items()}
        true = ", ".join(map(_words, row["truth"].split()))
        what = "The surest of the wrong verdicts" if name == "mistaken" else "A right one"
        lines += [
            "",
            f"{what}: {row['optimizer']} on {row['problem']} ({row['rung']}) at {row['rate']} times the rate",
            f"that suits it. Said: {_words(row['theory'])}. True: {true}.",
            "",
            f"![Loss, squared gradient and step of that run](verdicts/{name}.png)",
        ]
    return _lines(*lines)


def _words(name: str) -> str:
    return name.replace("_", " ")


# Pictures.


def drawn(table: pandas.DataFrame, runs: Sequence[Case]) -> dict[str, Picture]:
    """All of them, by name."""
    with mpl.rc_context(LOOK):
        found = {"risk": _risk(table), "confusion": _matrix(table)}
        return found | {name: _course(runs[at]) for name, at in chosen(table).items()}


def risk(table: pandas.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Coverage and the share of wrong verdicts, of the surest 1, 2, 3, … runs."""
    both = pairs(table, name)
    strength = table.loc[both.index, f"{name}_strength"].to_numpy(float)
    said = (both["said"] != UNSURE).to_numpy()
    order = np.argsort(-strength[said], kind="stable")
    wrong = (both["true"] != both["said"]).to_numpy()[said][order]
    count = np.arange(1, len(wrong) + 1)
    return count / len(both), np.cumsum(wrong) / count


def _risk(table: pandas.DataFrame) -> Picture:
    figure = Picture(figsize=(5.2, 3.4), layout="constrained")
    axes = figure.subplots()
    for place, (name, words) in enumerate(WHO.items()):
        axes.plot(*risk(table, name), color=COLOURS[place], label=words, linewidth=1.4)
    axes.axvline(COVERAGE, color="0.8", linewidth=0.8, zorder=0)
    axes.set(xlim=(0, 1), ylim=(0, 1), ylabel="share of these that is wrong")
    axes.set_xlabel("share of the runs that get a verdict, the surest first")
    axes.legend(loc="upper left", fontsize=7)
    return figure


def _matrix(table: pandas.DataFrame) -> Picture:
    counts = _counts(table)
    numbers = counts.to_numpy()
    shares = numbers / numbers.sum(1, keepdims=True)
    figure = Picture(figsize=(6.4, 5.2), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i, j in np.ndindex(*shares.shape):
        if numbers[i, j]:
            colour = "white" if shares[i, j] > 0.6 else "black"
            axes.text(j, i, str(numbers[i, j]), ha="center", va="center", fontsize=7, color=colour)
    axes.set_xticks(
        range(len(counts.columns)), list(map(_words, counts.columns)), rotation=60, ha="right"
    )
    axes.set_yticks(range(len(counts.index)), list(map(_words, counts.index)))
    axes.set(xlabel="said", ylabel="true")
    return figure


def _course(case: Case) -> Picture:
    record = case.record
    verdict = diagnose(record, Thresholds())
    figure = Picture(figsize=(6.4, 3.2), layout="constrained")
    axes = figure.subplots()
    above = record.loss - np.nanmin(record.loss)
    curves = {"loss above its lowest": above, "|g|²": record.grad_sq, "|step|": record.step_norm}
    for place, (name, values) in enumerate(curves.items()):
        known = np.isfinite(values) & (values > 0) & (values < 1e30)
        axes.plot(
            1 + record.step[known], values[known], color=COLOURS[place], label=name, linewidth=1.2
        )
    axes.set(xscale="log", yscale="log", xlabel="step + 1")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    tests = [
        f"{each.test}: {each.formula} = {each.value:.3g} (threshold {each.threshold:.3g})"
        for each in verdict.evidence
        if each.cause == verdict.cause and math.isfinite(each.value)
    ]
    caption = "\n".join(textwrap.fill(line, 100) for line in tests[:3])
    figure.supxlabel(caption, fontsize=8, x=0.01, ha="left")
    return figure
