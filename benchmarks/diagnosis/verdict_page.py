"""docs/verdicts.md and its pictures, from the table of the calibration."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas

from benchmarks.diagnosis.calibration import COVERAGE, FACTORS, FEW, SICK, UNSURE, explained, scored
from benchmarks.diagnosis.cases import DIM, METHODS, RATES, SEEDS, STEPS, STEPS_OF_CURVATURE, Case
from benchmarks.diagnosis.evidence import diagnose
from benchmarks.diagnosis.interventions import CHEAPER, KICK, LEASH, NEAR
from benchmarks.diagnosis.thresholds import Thresholds
from benchmarks.diagnosis.verdict import CAUSES
from benchmarks.figures import COLOURS, LOOK, Picture

WHO = {
    "theory": "thresholds of theory",
    "fitted": "thresholds fitted on the other families",
    "curve": "random forest on the loss curve",
    "majority": "always the commonest cause",
}
AIM = 0.9  # of macro recall
EXAMPLES = ("ill_conditioning", "saddle", "noise", "step_too_large")
SHOWN = 12  # confusions that are listed

HEAD = """# Verdicts

How often Ravine is right about what is wrong with a run. Written by `python -m benchmarks.diagnosis.calibration`; the
runs are in [verdicts.csv](verdicts.csv), one a row. Figures that miss what was aimed at stand here as they are.

## What is true of a run

No problem's name decides, for Newton's method on an ill-conditioned bowl is not ill-conditioned. A cause **holds** for
a run if the paired run without it (same instance, setting and draws of the noise) gets to the target at least
{cheaper:g} times cheaper, or gets there at all where the run does not. What is taken away:

| cause | the paired run |
|---|---|
| step too large, step too small | has a tenth of the rate, ten times the rate |
| noise | sees the exact loss, through the same bias |
| wrong direction | sees the exact gradient, where the absence of noise alone does not help |
| ill-conditioning | sees its gradients and Hessians multiplied so that all that curves upwards curves as the steepest does; what curves downwards is left alone |
| saddle | is put {kick:g} of the way to the solutions off each ridge that it comes near, to one side or the other: both have to help, for on a slope only one does. A Hessian is seen with the sizes of its negative curvatures, or Newton's method would go back |
| plateau | sees no gradient shorter than the mean slope to the solutions (on a convex loss none is), where a kick does not help; or starts near a solution, where it had ended on flat ground |
| no signal | has other fields, as the problem's card says, or starts near a solution, where it had ended on flat ground with a gradient of exactly 0 |
| cliff | takes no step longer than {leash:g} of the way to the solutions, or clips its gradients at the norm at the start, or at the running median |
| sharpening | takes steps that shrink as the largest curvature grows beyond that at the start; or has other fields |
| local minimum | has other fields, or starts {near:g} of the way from a known solution; only where Newton's flow from its end leads into a minimum that is not good enough |
| vanishing and exploding gradient, long path, no critical point | has other fields (`Card.removes`), at the same rate in the problem's units; exploding where the run was thrown above its start, vanishing where not |

Interventions happen behind the method's back and are not charged. Several causes may hold; what gains most comes first.
A run that is not solved and that no single removal helps has two causes at least, and **no truth here**: such runs are
counted below, and in no figure.
"""


def text(table: pandas.DataFrame, said: Mapping[str, Any]) -> str:
    """The page, from the table as it is in the file, and from the thresholds."""
    parts = [
        HEAD.format(cheaper=CHEAPER, kick=KICK, leash=LEASH, near=NEAR).rstrip(),
        _runs(table),
        _scores(table),
        _thresholds(said),
        _recalls(table),
        _confusions(table),
        _failures(table),
        _unexplained(table),
        _examples(table),
        _looked(),
    ]
    return "\n\n".join(parts) + "\n"


def _runs(table: pandas.DataFrame) -> str:
    known = explained(table)
    healthy = int((known["truth"] == "healthy").sum())
    methods = ", ".join(METHODS)
    return f"""## The runs

{len(table)} runs of {table["family"].nunique()} problems: all those of at most {DIM} dimensions whose minimum is known, at
their control, as they are, and at the last rung of their ladder, by {methods} (not all of them at each), with the rate of
a half-decade grid that suits the problem, a tenth of that and ten times that ({len(RATES)} rates, {len(SEEDS)} seeds each), for
{STEPS} steps, or {STEPS_OF_CURVATURE} where each asks for a Hessian. Of these, {len(known)} have a truth: {healthy} are
healthy, that is, solved and not to be made {CHEAPER:g} times cheaper by any removal, and in {len(known) - healthy} something is wrong;
{len(table) - len(known)} are not solved and not explained by one cause.

The verdict does not know whether a run was solved: it is asked what is wrong while the run goes on. Right is a verdict
whose first cause is among the true ones, or which says healthy of a healthy run; *not sure* is never right."""


def _scores(table: pandas.DataFrame) -> str:
    rows = [
        "| | macro recall | among those with a verdict | coverage | right | healthy called sick |",
        "|---|---|---|---|---|---|",
    ]
    for name, words in WHO.items():
        found = scored(table, name)
        rows.append(
            f"| {words} | {found.macro:.2f} | {found.covered:.2f} | {found.coverage:.2f} | {found.accuracy:.2f} "
            f"| {found.sick:.1%} |"
        )
    mine = scored(table, "theory"), scored(table, "fitted")
    best = max(mine, key=lambda each: each.worth)
    met = [
        _met("macro recall", best.macro, AIM, best.macro >= AIM),
        _met("coverage", best.coverage, COVERAGE, best.coverage >= COVERAGE),
        _met("healthy runs called sick", best.sick, SICK, best.sick <= SICK),
    ]
    return "\n".join(
        [
            "## How often it is right", "", *rows, "",
            f"Macro recall is the mean over the causes with at least {FEW} runs, healthy among them, of the share of their "
            "runs with a right verdict. All but the first row are left-one-family-out: nothing was fitted on the family "
            f"that is judged. Of the better of the first two: {'; '.join(met)}.",
            "", "![Share of wrong verdicts by the share of runs that get one](verdicts/risk.png)",
        ]
    )  # fmt: skip


def _met(what: str, value: float, aim: float, met: bool) -> str:
    return f"{what} {value:.2f} (aimed at {aim:g}: {'met' if met else '**missed**'})"


def _thresholds(said: Mapping[str, Any]) -> str:
    moved = {
        name: (value, said["thresholds"][name])
        for name, value in said["theory"].items()
        if said["thresholds"][name] != value
    }
    if not said["fitted"]:
        return (
            "The thresholds are those of theory (`benchmarks/diagnosis/thresholds.py` says where each is from): the fit, "
            f"which tries each of {said['tried']} of them at {', '.join(f'{each:.2g}' for each in FACTORS)} times its value "
            "and moves those that gain, does worse on families that it has not seen."
        )
    rows = [f"| {name} | {value:g} | {now:g} |" for name, (value, now) in moved.items()]
    return "\n".join(
        [
            "The thresholds are those that the fit chooses on all families (`verdicts.json`); it does better on families "
            "that it has not seen than those of theory. What it moved:", "",
            "| threshold | theory | fitted |", "|---|---|---|", *rows,
        ]
    )  # fmt: skip


def _recalls(table: pandas.DataFrame) -> str:
    known = explained(table)
    scores = {name: scored(table, name) for name in WHO}
    rows = [
        "| true | runs | families | theory | fitted | named at all | loss curve |",
        "|---|---|---|---|---|---|---|",
    ]
    for cause in ("healthy", *CAUSES):
        of = known[[cause in each.split() for each in known["truth"]]]
        if not len(of):
            rows.append(f"| {_words(cause)} | 0 | 0 | – | – | – | – |")
            continue
        named = [cause in each.split() for each in of["causes"]]
        third = "–" if cause == "healthy" else f"{np.mean(named):.2f}"
        few = "" if len(of) >= FEW else " (few)"
        rows.append(
            f"| {_words(cause)}{few} | {len(of)} | {of['family'].nunique()} | {scores['theory'].recall[cause]:.2f} "
            f"| {scores['fitted'].recall[cause]:.2f} | {third} | {scores['curve'].recall[cause]:.2f} |"
        )
    sick = known[known["truth"] != "healthy"]
    first = [
        said == each.split()[0] for each, said in zip(sick["truth"], sick["theory"], strict=True)
    ]
    overlap = [
        bool(set(each.split()) & set(causes.split()))
        for each, causes in zip(sick["truth"], sick["causes"], strict=True)
    ]
    exact = [
        set(a.split()) == set(b.split()) for a, b in zip(sick["truth"], sick["causes"], strict=True)
    ]
    return "\n".join(
        [
            "## By cause", "",
            "Share of the runs for which a cause holds that get a right verdict; *named at all*: that name this very cause, "
            "first or not (theory).", "", *rows, "",
            f"Stricter, on the {len(sick)} runs with something wrong, with the thresholds of theory: the first cause is the one "
            f"whose removal gains most in {np.mean(first):.2f}; the causes that are named are exactly the true ones in "
            f"{np.mean(exact):.2f}. Laxer: at least one of those named is true in {np.mean(overlap):.2f}.",
        ]
    )  # fmt: skip


def pairs(table: pandas.DataFrame, name: str) -> pandas.DataFrame:
    """What is true and what was said of each run that has a truth: the true cause that was said, or else the first."""
    known = explained(table)
    said = known[name].replace("solved", "healthy")
    true = [
        each if each in truth.split() else truth.split()[0]
        for truth, each in zip(known["truth"], said, strict=True)
    ]
    return pandas.DataFrame({"true": true, "said": said.to_numpy()}, index=known.index)


def _confusions(table: pandas.DataFrame) -> str:
    both = pairs(table, "theory")
    counts = pandas.crosstab(both["true"], both["said"])
    order = [each for each in ("healthy", *CAUSES, UNSURE)]
    rows = [each for each in order if each in counts.index]
    columns = [each for each in order if each in counts.columns]
    lines = [
        "| true \\ said | " + " | ".join(map(_words, columns)) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for row in rows:
        cells = [
            f"**{counts.loc[row, each]}**" if each == row else str(counts.loc[row, each] or "")
            for each in columns
        ]
        lines.append(f"| {_words(row)} | " + " | ".join(cells) + " |")
    return "\n".join(
        [
            "## What is taken for what", "",
            "With the thresholds of theory. A run stands in the row of the true cause that was said, and where none was, in "
            "that of the cause whose removal gains most.", "", *lines, "",
            "![The same as a picture, in shares of each row](verdicts/confusion.png)",
        ]
    )  # fmt: skip


def _failures(table: pandas.DataFrame) -> str:
    both = pairs(table, "theory").join(table[["problem", "optimizer", "rate"]])
    wrong = both[both["true"] != both["said"]]
    lines = ["| true | said | runs | most of them on |", "|---|---|---|---|"]
    counts = wrong.groupby(["true", "said"]).size().sort_values(ascending=False, kind="stable")
    for (true, said), count in counts.head(SHOWN).items():  # type: ignore[misc]
        of = wrong[(wrong["true"] == true) & (wrong["said"] == said)]
        where = of["problem"].value_counts(sort=False).sort_values(ascending=False, kind="stable")
        names = ", ".join(f"{name} ({n})" for name, n in where.head(3).items())
        lines.append(f"| {_words(true)} | {_words(said)} | {count} | {names} |")
    return "\n".join(
        ["## Where it fails", "", f"{len(wrong)} of {len(both)} verdicts are wrong or missing. The commonest:", "", *lines]
    )  # fmt: skip


def _unexplained(table: pandas.DataFrame) -> str:
    rest = table[table["truth"] == ""]
    said = rest["theory"].value_counts(sort=False).sort_values(ascending=False, kind="stable")
    words = ", ".join(f"{_words(name)} {count}" for name, count in said.items())
    return f"""## Runs without a truth

Of the {len(rest)} runs that no single removal saves, verdicts say: {words}. Whether they are right cannot be said in this way:
on a winding ravine, say, with a tenth of the rate that suits it, both the rate and the ravine have to go."""


def example(table: pandas.DataFrame, cause: str) -> int | None:
    """The place of a run for which this cause holds and is found: of the problem that comes first."""
    known = explained(table)
    of = known[[cause in each.split() for each in known["truth"]] & (known["theory"] == cause)]
    return (
        None
        if not len(of)
        else int(of.sort_values("theory_strength", ascending=False, kind="stable").index[0])
    )


def mistaken(table: pandas.DataFrame) -> int | None:
    """The place of the surest of the wrong verdicts."""
    both = pairs(table, "theory")
    wrong = table.loc[both.index[(both["true"] != both["said"]) & (both["said"] != UNSURE)]]
    return None if not len(wrong) else int(wrong["theory_strength"].idxmax())


def chosen(table: pandas.DataFrame) -> dict[str, int]:
    """The runs that are shown, by the name of their picture."""
    found = {cause: example(table, cause) for cause in EXAMPLES} | {"mistaken": mistaken(table)}
    return {name: at for name, at in found.items() if at is not None}


def _examples(table: pandas.DataFrame) -> str:
    lines = ["## Examples"]
    for name, at in chosen(table).items():
        row = table.loc[at]
        true = ", ".join(map(_words, row["truth"].split()))
        what = "The surest of the wrong verdicts" if name == "mistaken" else "A right one"
        lines += [
            "",
            f"{what}: {row['optimizer']} on {row['problem']} ({row['rung']}) at {row['rate']:g} times the rate that suits it. "
            f"Said: {_words(row['theory'])}. True: {true}.",
            "",
            f"![Loss, squared gradient and step of that run](verdicts/{name}.png)",
        ]
    return "\n".join(lines)


def _looked() -> str:
    return """## What was looked at

The tests of the evidence and the thresholds of theory were written from analysis and from runs on the problems of this
suite, before this table was there; so its first row is not free of them, although nothing was fitted. The removals
were tried on some dozen problems whose truth is plain (bowls, saddles, shelves, cliffs) until they said what analysis
says, before any verdict was compared with them. The demonstration networks of the doctor were not looked at, and are
not here."""


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
    strength = table.loc[both.index, f"{name}_strength"].astype(float).to_numpy()
    said = (both["said"] != UNSURE).to_numpy()
    order = np.argsort(-strength[said], kind="stable")
    wrong = (both["true"] != both["said"]).to_numpy()[said][order]
    count = np.arange(1, len(wrong) + 1)
    return count / len(both), np.cumsum(wrong) / count


def _risk(table: pandas.DataFrame) -> Picture:
    figure = Picture(figsize=(5.2, 3.4), layout="constrained")
    axes = figure.subplots()
    for place, (name, words) in enumerate(WHO.items()):
        coverage, wrong = risk(table, name)
        axes.plot(coverage, wrong, color=COLOURS[place], label=words, linewidth=1.4)
    axes.axvline(COVERAGE, color="0.8", linewidth=0.8, zorder=0)
    axes.set(
        xlim=(0, 1), ylim=(0, 1), xlabel="share of the runs that get a verdict, the surest first"
    )
    axes.set_ylabel("share of these that is wrong")
    axes.legend(loc="upper right")
    return figure


def _matrix(table: pandas.DataFrame) -> Picture:
    both = pairs(table, "theory")
    counts = pandas.crosstab(both["true"], both["said"])
    order = ["healthy", *CAUSES, UNSURE]
    rows = [each for each in order if each in counts.index]
    columns = [each for each in order if each in counts.columns]
    counts = counts.loc[rows, columns]
    shares = counts.to_numpy() / counts.to_numpy().sum(1, keepdims=True)
    figure = Picture(figsize=(6.4, 5.2), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i, j in np.ndindex(*shares.shape):
        if counts.iloc[i, j]:
            axes.text(
                j, i, str(counts.iloc[i, j]), ha="center", va="center", fontsize=7,
                color="white" if shares[i, j] > 0.6 else "black",
            )  # fmt: skip
    axes.set_xticks(range(len(columns)), list(map(_words, columns)), rotation=60, ha="right")
    axes.set_yticks(range(len(rows)), list(map(_words, rows)))
    axes.set_xlabel("said")
    axes.set_ylabel("true")
    return figure


def _course(case: Case) -> Picture:
    record = case.record
    verdict = diagnose(record, Thresholds())
    figure = Picture(figsize=(6.4, 3.2), layout="constrained")
    axes = figure.subplots()
    loss = record.loss - np.nanmin(record.loss)
    curves = {"loss above its lowest": loss, "|g|²": record.grad_sq, "|step|": record.step_norm}
    for place, (name, values) in enumerate(curves.items()):
        known = np.isfinite(values) & (values > 0) & (values < 1e30)
        axes.plot(
            1 + record.step[known], values[known], color=COLOURS[place], label=name, linewidth=1.2
        )
    axes.set(xscale="log", yscale="log", xlabel="step + 1")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    lines = [
        f"{each.test}: {each.formula} = {each.value:.3g} (threshold {each.threshold:.3g})"
        for each in verdict.evidence
        if each.cause == verdict.cause and math.isfinite(each.value)
    ]
    caption = "\n".join(textwrap.fill(line, 96) for line in lines[:3])
    figure.supxlabel(caption, fontsize=8, x=0.01, ha="left")
    return figure
