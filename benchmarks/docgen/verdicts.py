"""Make docs/verdicts.md: how often readings of single runs agree with measured causes, and how many pairs have which.

`python -m benchmarks.docgen.verdicts` writes it from the tables of `python -m benchmarks.docgen.explained FOLDER …`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator

import numpy as np
import pandas

from benchmarks.analysis.agreement import (
    CANNOT_BE_JUDGED,
    FEW,
    HALVES,
    NOT_MEASURED,
    ONE,
    OUTCOMES,
    SEVERAL,
    TOGETHER,
    UNBROKEN,
    Agreement,
    Share,
    half,
)
from benchmarks.diagnosis.verdict import CAUSES
from benchmarks.display.explained import named
from benchmarks.docgen import explained
from benchmarks.docgen.paths import DOCS
from benchmarks.pages.markdown import markdown_table

PAGE = DOCS / "verdicts.md"
OF_THE_RATE = ("step_too_large", "step_too_small")
HEAD = """# Verdicts

A verdict is a *reading*: a guess about one run, from its trace. What makes an optimizer break on a problem is
*measured*: one cause after another is removed, and the search is repeated. This page says how often readings agree with
measured causes, and what was measured. The runs are in [readings.csv](readings.csv), the measured causes in
[explained.csv](explained.csv), the explanation of each optimizer × problem in [outcomes.csv](outcomes.csv).
`python -m benchmarks.docgen.explained FOLDER …` writes these tables from the folders of sweeps such as
`+suite=standard optimizer=sgd explain=true`, and `python -m benchmarks.docgen.verdicts` writes the page. Low figures
are published, too.
"""
TERMS = f"""*First*: the verdict itself. *Any*: the verdict or another cause that holds by the same trace.
*Mean recall*: the mean over causes of the share of a cause's runs whose reading names it. *Chance*: the
same readings, dealt out to the runs at random. *Commonest*: a reading that always names the commonest cause of the
other problems. A pair of causes that help only together counts as two causes. A removal of two causes, such as
*vanishing gradient or exploding gradient*, counts as one cause, which either reading names. Brackets are 95 % intervals
from a bootstrap over problems, because the runs of a problem are not independent. There is no interval where fewer than
{FEW} problems have a cause, nor for a mean that includes such a cause. The rules were *developed* on half of the
problems, and nothing is tuned on the *held out* half; [the last section](#what-was-looked-at-before) says what was seen
of it."""
BY_CAUSE = """## By cause

Of the runs for which a cause holds, the share whose reading names this very cause (recall). No verdict is called
negative curvature, misleading slope or winding path, so these causes are always missed."""
BY_READING = """## By reading

Of the runs with this verdict, the share for which it is right (precision), and in how many its cause was taken away."""
CONFUSIONS = """## Confusions

A run is in the row of the measured cause that its verdict names; if it names none, in the row of the cause whose
removal shifts the breaking point most."""
HOW = """## How the measured causes are made

Where an optimizer is clearly broken, each cause that can matter is removed: the optimizer gets the exact loss, clipped
gradients, curvatures made alike, other fields of the problem, and so on. Without the cause, it is searched like any
other optimizer, with the same trials on the same instances. A cause holds if more instances are then solved than chance
explains, compared instance by instance, with Holm's correction over the removals; what a removal gains where the
pathology is absent does not count. If no cause holds alone, the best removal is combined with each of the others.
The published table has only the pairs with the best removal.
[How Ravine explains](explain.md) has the removals and the rules.

To try removals at the one setting of a run would not be enough, because a removal may need another learning rate:
clipping does not help gradient descent on `cliff` at the rate at which the cliff throws it away, but cures it at
another rate."""
LOOKED = """## What was looked at before

The rules of the readings and their thresholds come from analysis and from runs on problems of this suite. They were
developed on half of the problems, chosen by a hash of their names. At that time, the true cause of a run was sought by
removals at its one setting, and by that standard the held-out half was judged three times. One rule, that a leap of the
gradient from one step to the next is a cliff, was chosen on all problems at once. Since causes have been measured by a
search, no rule was changed because of a figure on this page. Two rules follow from theory alone: where all curvatures
are equal, nothing is ill-conditioned; and of equally strong causes, a chain of gradients is named before noise and the
step. Nothing is fitted."""


def text(read: pandas.DataFrame, causes: pandas.DataFrame, outcomes: pandas.DataFrame) -> str:
    """Return the page.

    Args:
        read: `readings.csv`, without missing values.
        causes: `explained.csv`.
        outcomes: `outcomes.csv`.
    """
    agreement = Agreement.of(read, causes)
    parts = [
        HEAD,
        *_how_often(agreement, len(read)),
        *_what_cannot_be_right(agreement),
        BY_CAUSE,
        _by_cause(agreement),
        BY_READING,
        _by_reading(agreement),
        CONFUSIONS,
        _confusion(agreement),
        HOW,
        _outcomes(outcomes),
        LOOKED,
    ]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _how_often(agreement: Agreement, runs: int) -> Iterator[str]:
    known = len(agreement.problem)
    yield "## How often readings agree with measured causes"
    yield (
        f"{runs} tuned runs are not solved at the rung at which their optimizer is explained, the first where it is "
        f"clearly broken. {known} of them, on {len(set(agreement.problem))} problems, have a measured cause; the other "
        f"{runs - known} are not counted, because nothing is known to be right for them. A reading is right if it "
        "names a measured cause of its optimizer × problem."
    )
    halves = np.array([half(problem) for problem in agreement.problem])
    parts = {"all": agreement} | {each: agreement.where(halves == each) for each in HALVES}
    rows = [
        [f"{name}: {len(part.problem)} runs, {len(set(part.problem))} problems", *figures]
        for name, part in parts.items()
        for figures in (_figures(part) if len(part.problem) else ())
    ]
    yield markdown_table(
        ["runs", "", "first is right", "any is right", "mean recall, first", "mean recall, any"],
        rows,
    )
    yield TERMS


def _figures(part: Agreement) -> Iterator[list[str]]:
    """Yield the figures of the readings, of chance, and of the commonest cause."""
    both, constant = (part.first, part.named), part.commonest()
    right, recall = [part.right(said) for said in both], [part.recall(said)[1] for said in both]
    chance = zip(*(part.dealt(said) for said in both), strict=True)
    always = part.right(constant).value, part.recall(constant)[1].value
    yield ["readings", *map(_share, [*right, *recall])]
    yield ["chance", *(f"{value:.2f}" for figures in chance for value in figures)]
    yield ["commonest", *(cell for value in always for cell in (f"{value:.2f}", ""))]


def _what_cannot_be_right(agreement: Agreement) -> Iterator[str]:
    """Yield how many readings no removal could confirm."""
    of_the_rate = agreement.first[:, np.isin(agreement.readings, OF_THE_RATE)].sum()
    of_no_cause = agreement.first[:, ~np.isin(agreement.readings, CAUSES)].sum()
    asked = np.asarray((agreement.first & agreement.asked).any(1))
    others = len(asked) - of_the_rate - of_no_cause - asked.sum()
    yield (
        "*Step too large* and *step too small* have no removal, because the learning rate is searched: an unsuitable "
        f"rate is not what breaks a tuned optimizer. So the {of_the_rate} runs with such a verdict count as wrong, as "
        f"do {of_no_cause} whose verdict names no cause. In {others} more, the cause was not "
        "removed, because it cannot matter there or because no removal of it is known for the problem; these count "
        f"as wrong, too. Of the other {asked.sum()}, the share that is right is "
        f"{_share(agreement.where(asked).right(agreement.first[asked]))}."
    )


def _by_cause(agreement: Agreement) -> str:
    first, any_of_them = (agreement.recall(said)[0] for said in (agreement.first, agreement.named))
    rows = [
        [named(cause), str(one.runs), str(one.problems), _share(one), _share(other)]
        for cause, one, other in sorted(
            zip(agreement.causes, first, any_of_them, strict=True), key=lambda row: -row[1].runs
        )
        if one.runs
    ]
    return markdown_table(["measured", "runs", "problems", "first", "any"], rows)


def _by_reading(agreement: Agreement) -> str:
    taken = (agreement.first & agreement.asked).sum(0)
    found = zip(agreement.readings, taken, agreement.precision(), strict=True)
    rows = [
        [_reading(name), str(each.runs), str(each.problems), str(asked), _share(each)]
        for name, asked, each in sorted(found, key=lambda row: -row[2].runs)
        if each.runs
    ]
    return markdown_table(["verdict", "runs", "problems", "cause taken away", "right"], rows)


def _confusion(agreement: Agreement) -> str:
    counts = agreement.confusion()
    rows = [
        [named(str(cause)), *(str(number or "") for number in row), str(row.sum())]
        for cause, row in zip(counts.index, counts.to_numpy(), strict=True)
    ]
    return markdown_table(["measured \\ verdict", *map(_reading, counts.columns), "all"], rows)


def _outcomes(table: pandas.DataFrame) -> str:
    optimizers = sorted(table["optimizer"].unique())
    of = {name: table.loc[table["optimizer"] == name, "outcome"] for name in optimizers}
    rows = [
        [name, *(f"{(each == name).sum()}" for each in of.values()), f"{(table['outcome'] == name).sum()}",
         f"{(table['outcome'] == name).mean():.0%}"]
        for name in OUTCOMES
    ]  # fmt: skip
    broken = ~table["outcome"].isin([UNBROKEN, CANNOT_BE_JUDGED])
    measured = broken & (table["outcome"] != NOT_MEASURED)
    found = table["outcome"].isin([ONE, SEVERAL, TOGETHER])
    return (
        f"Of {len(table)} pairs of an optimizer and a problem, {broken.sum()} break within the ladder. "
        f"The causes of {measured.sum()} of these were measured, and {found.sum()} are explained:\n\n"
        + markdown_table(["explained by", *optimizers, "all", "share"], rows)
        + "\n\n*Too few instances*: even the clearest outcome could not be told from chance. *Does not break*: at "
        "least half of the instances are solved even at the hardest rung. *Cannot be judged*: one step costs more "
        "than the budget, or fewer steps can be made than a noisy run is judged by. *Not measured*: it breaks, but "
        "explained.csv has no removals for it."
    )


def _share(share: Share) -> str:
    if not share.runs:
        return "–"
    if math.isnan(share.low):
        return f"{share.value:.2f}"
    return f"{share.value:.2f} [{share.low:.2f}, {share.high:.2f}]"


def _reading(name: object) -> str:
    return named(str(name)) or "none"


def tables() -> tuple[pandas.DataFrame, pandas.DataFrame, pandas.DataFrame]:
    """Return readings.csv, explained.csv and outcomes.csv as they are published."""
    read = pandas.read_csv(explained.READINGS, keep_default_na=False)
    return read, pandas.read_csv(explained.EXPLAINED), pandas.read_csv(explained.OUTCOMES)


def main() -> int:
    """Write the page from its tables."""
    PAGE.write_text(text(*tables()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
