"""Make the certificates: published claims about each problem, checked by measurement.

`python -m benchmarks.docgen.certificates` measures every claim, also the slow ones, and writes docs/certificates.csv
and docs/certificates.md. With names of problems, it measures only theirs; with `--page`, none. Whether each ranked
problem proves its name is read off docs/explained.csv, and written to docs/names.csv.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Collection, Iterable
from dataclasses import replace

import pandas
import torch

from benchmarks.analysis.causes import too_few
from benchmarks.catalog.subsections import by_subsection
from benchmarks.catalog.suites import suites
from benchmarks.checks.claims import OF_FORMULA, measured, spelled
from benchmarks.display.breaking_table import FALLING, dial_of
from benchmarks.display.explained import named, why
from benchmarks.docgen.explained import EXPLAINED
from benchmarks.docgen.paths import DOCS, NAMES_FILE
from benchmarks.explain.certificate import NOT_MEASURED, certificate
from benchmarks.pages.markdown import markdown_cell, markdown_row
from problems import PROBLEMS
from ravine import Refused

FILE = DOCS / "certificates.csv"
PAGE_ONLY = "--page"
HEAD = f"""# Certificates

This page checks claims, from the literature or derived from the formulas, by measurement. Most are measured on our
problems. Those marked *{OF_FORMULA}* check the mathematics behind a problem: they call none of its methods, and
would miss a fault in its code. A claim **holds** if the measured figure lies in the accepted range; the function of
that name gives the reason for the range.
`ravine check --slow NAME` measures again. Claims that fail are listed, too. `python -m benchmarks.docgen.certificates`
writes this page; the same rows are in [certificates.csv](certificates.csv).
"""
NAMES = f"""## Does each ranked problem break what it says, and why it says?

A ranked problem states an optimizer and the cause that breaks it, such as sgd and the cliff on `cliff`. The stated
cause is removed, and so is each other cause, one at a time; the optimizer is tuned again each time. The problem's name
**holds** if

- the problem breaks the optimizer,
- without the stated cause, the optimizer solves more instances than chance explains, and
- removing any one rival cause shifts the breaking point less than half as far.

All other causes are rivals, except those *counted as one* with the stated cause. The book treats these as the same
thing, such as a cliff and the exploding gradient that makes it. A removal that changes the problem itself, such as
`steps=5`, takes all causes away. So it is never a rival, and it counts for the stated cause only if that has no other
removal.

If a problem states two causes, it must have both: the removal of each must help, and each is compared with the rivals,
but not with the other. If neither helps alone, removing both together must help.

{FALLING.strip()}: the problem gets harder as this dial falls, so that > and < change places. The number in parentheses
behind a breaking point, as in (+1.39 rungs), is its shift. The measurements are those of the standard suite in
[explained.csv](explained.csv). The same rows are in [names.csv](names.csv): `holds_first_cause` says whether the name
still holds if the second stated cause is a rival, and `holds_first_cause_strictly` whether it does if, besides, no
causes are counted as one.

Seven problems' causes were restated after they had been measured: `shelf`, `narrowing_valley`, `product_cliff`,
`meander`, `separable_logistic`, `winding_ravine` and `mountain` (see CHANGELOG.md). With the causes stated before, the
names of 27 of 40 problems held (this page in commit 7a3a602).
"""
HEADER = """\
| problem: dial | breaks | cause | breaking point | without the cause | counted as one | strongest rival | |
|---|---|---|---|---|---|---|---|"""


def stated() -> pandas.DataFrame:
    """Return one row per claim of each registered problem, without measurements."""
    rows = [
        {
            "problem": name,
            "claim": each,
            "statement": claim.statement,
            "stated": spelled(claim.stated),
            "low": claim.within[0],
            "high": claim.within[1],
            "source": claim.source,
            "formula": claim.formula,
        }
        for problems in by_subsection().values()
        for name, problem in problems.items()
        for each, claim in problem.claims.items()
    ]
    return pandas.DataFrame(rows)


def certificates(names: Collection[str], known: pandas.DataFrame) -> pandas.DataFrame:
    """Return the claims with their measurements: new ones for these problems, known ones for the others."""
    rows = stated()
    before = known.set_index(["problem", "claim"])[["measured", "seconds"]].to_dict("index")
    found = []
    for row in rows.itertuples():
        problem, claim = str(row.problem), str(row.claim)
        if problem in names:
            began = time.perf_counter()
            value = measured(PROBLEMS[problem], claim)
            seconds = round(time.perf_counter() - began, 1)
            before[problem, claim] = {"measured": value, "seconds": seconds}
            print(f"{problem}.{claim}: {value:.6g} ({seconds} s)", flush=True)
        found.append(before.get((problem, claim), {"measured": math.nan, "seconds": math.nan}))
    rows = rows.join(pandas.DataFrame(found))
    return rows.assign(holds=(rows["low"] <= rows["measured"]) & (rows["measured"] <= rows["high"]))


def names(explained: pandas.DataFrame) -> pandas.DataFrame:
    """Return one row per ranked problem: what it states that it breaks, what is measured, and whether its name holds.

    Args:
        explained: The rows of `explained.csv`, of the standard suite.
    """
    rows = []
    for name in suites()["standard"].problems:
        card = PROBLEMS[name].card
        assert card.breaks is not None
        optimizer, cause = card.breaks
        found = certificate(card, explained[explained["problem"] == name])
        removals = dict.fromkeys(
            filter(None, (_without(each, found.unit) for each in (found.own, found.second)))
        )
        one = replace(card, also="")
        stricter = [certificate(each, found.rows).holds for each in (one, replace(one, same=()))]
        rows.append(
            {
                "problem": name,
                "optimizer": optimizer,
                "cause": "+".join(filter(None, [cause, card.also])),
                "breaking_point": "" if found.rows.empty else found.rows["text"].iloc[0],
                "without": "; ".join(removals),
                "same": "; ".join(
                    f"{named(name)} by {_without(row, found.unit) or 'no removal'}"
                    for name, row in found.same.items()
                ),
                "rival": _without(found.rival, found.unit),
                "holds": found.holds,
                "holds_first_cause": stricter[0],
                "holds_first_cause_strictly": stricter[1],
                "why_not": found.why_not,
                "measured": "" if found.rows.empty else why(found.rows),
            }
        )
    return pandas.DataFrame(rows)


def _without(row: pandas.Series | None, unit: str) -> str:
    """Return a removal with the breaking point that it leads to, and its shift."""
    if row is None:
        return ""
    if not isinstance(row["text_without"], str):
        return f"{row['removal']}: {row['note']}"
    return f"{row['removal']}: {row['text_without']} ({row['shift']:+.2f} {unit})"


def _uncertified() -> dict[str, int]:
    """Return the ranked problems whose names no outcome could prove, with their reporting instances."""
    sizes = {name: PROBLEMS[name].card.cell.seeds for name in suites()["standard"].problems}
    return {name: seeds for name, seeds in sizes.items() if too_few(seeds, 1)}


def _said_of_uncertified() -> str:
    few = [f"`{name}` ({seeds})" for name, seeds in _uncertified().items()]
    return (
        f"{', '.join(few)} cannot be judged with as few reporting instances as they have (in brackets): not even "
        "the clearest outcome could be told apart from chance."
    )


def _line(cells: Iterable[object]) -> str:
    """Return a row of a table in Markdown."""
    return markdown_row(markdown_cell(str(each)) for each in cells)


def text(table: pandas.DataFrame, of_names: pandas.DataFrame) -> str:
    """Return the certificates as Markdown: the names of the ranked problems, then the claims by subsection."""
    holding = of_names[of_names["holds"]]
    measured = ~of_names["why_not"].fillna("").str.startswith(NOT_MEASURED)
    too_small = measured & ~of_names["holds"] & of_names["problem"].isin(_uncertified())
    total = (
        f"{int(table['holds'].sum())} of {len(table)} claims hold. "
        f"The names of {len(holding)} of {len(of_names)} ranked problems hold, "
        f"{measured.sum() - len(holding) - too_small.sum()} fail, {too_small.sum()} cannot be judged, and "
        f"{(~measured).sum()} are not measured. "
        f"{holding['cause'].str.contains('+', regex=False).sum()} of those that hold state two causes. Under stricter "
        f"rules fewer hold: {of_names['holds_first_cause'].sum()} if the second stated cause is a rival of the first, "
        f"and {of_names['holds_first_cause_strictly'].sum()} if, besides, no two causes are counted as one."
    )
    few = _uncertified()
    lines = [HEAD, total, "", NAMES, _said_of_uncertified(), "", HEADER]
    for row in of_names.fillna("").itertuples():
        how = "cannot be judged" if row.problem in few else "FAILS"
        fails = f"{how}: {row.why_not}; measured: {row.measured}" if row.measured else row.why_not
        problem = f"`{row.problem}`: {dial_of(PROBLEMS[str(row.problem)].card)}"
        lines.append(
            _line((
                problem, row.optimizer, named(str(row.cause)), row.breaking_point, row.without,
                row.same or "–", row.rival or "none", "holds" if row.holds else fails,
            ))
        )  # fmt: skip
    for title, problems in by_subsection().items():
        rows = table[table["problem"].isin(problems)]
        if not len(rows):
            continue
        lines += [
            "",
            f"## {title}",
            "",
            "| claim | | stated | measured | accepted | | source |",
            "|---|---|---|---|---|---|---|",
        ]
        for row in rows.itertuples():
            accepted = f"{row.low:.5g} … {row.high:.5g}"
            cells = (
                f"`{row.problem}.{row.claim}`",
                row.statement,
                row.stated,
                f"{row.measured:.5g}",
                accepted,
                _verdict(row),
                row.source,
            )
            lines.append(_line(cells))
    return "\n".join(lines) + "\n"


def _verdict(row) -> str:
    claim = PROBLEMS[row.problem].claims[row.claim]
    said = "holds" if row.holds else f"FAILS: {claim.fails or 'no reason is known'}"
    return f"{said}, {OF_FORMULA}" if claim.formula else said


def main(words: list[str]) -> int:
    """Measure the claims, and write table and page."""
    torch.set_num_threads(1)
    problems = [word for word in words if word != PAGE_ONLY]
    try:
        for name in problems:
            PROBLEMS.find(name)
    except Refused as refusal:
        print(refusal, file=sys.stderr)
        return 2
    known = (
        pandas.read_csv(FILE, dtype={"stated": str})
        if FILE.is_file()
        else pandas.DataFrame(columns=["problem", "claim", "measured", "seconds"])
    )
    table = certificates(problems if words else list(PROBLEMS), known)
    FILE.parent.mkdir(exist_ok=True)
    table.to_csv(FILE, index=False)
    of_names = names(pandas.read_csv(EXPLAINED))
    of_names.to_csv(NAMES_FILE, index=False)
    FILE.with_suffix(".md").write_text(text(table, of_names))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
