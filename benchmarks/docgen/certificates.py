"""Make the certificates: published claims about each problem, checked by measurement.

`python -m benchmarks.docgen.certificates` measures every claim, also the slow ones, and writes docs/certificates.csv
and docs/certificates.md. With names of problems, it measures only theirs.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Collection

import pandas
import torch

from benchmarks.catalog.subsections import by_subsection
from benchmarks.checks.claims import measured, spelled
from benchmarks.docgen.markdown import markdown_cell
from benchmarks.docgen.paths import DOCS
from problems import PROBLEMS
from ravine import Refused

FILE = DOCS / "certificates.csv"
HEAD = """# Certificates

Claims from the literature, or derived from the formulas, checked by measurements on our problems. A claim **holds**
if the measured figure lies in the accepted range; the function of that name gives the reason for the range.
`ravine check --slow NAME` measures again. Claims that fail are listed, too. Written by
`python -m benchmarks.docgen.certificates`; the same rows are in [certificates.csv](certificates.csv).
"""


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


def text(table: pandas.DataFrame) -> str:
    """Return the certificates as Markdown, by subsection."""
    total = f"{int(table['holds'].sum())} of {len(table)} claims hold."
    lines = [HEAD, total]
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
            lines.append("| " + " | ".join(markdown_cell(str(each)) for each in cells) + " |")
    return "\n".join(lines) + "\n"


def _verdict(row) -> str:
    if row.holds:
        return "holds"
    return f"FAILS: {PROBLEMS[row.problem].claims[row.claim].fails or 'no reason is known'}"


def main(names: list[str]) -> int:
    """Measure the claims, and write table and page."""
    torch.set_num_threads(1)
    try:
        for name in names:
            PROBLEMS.find(name)
    except Refused as refusal:
        print(refusal, file=sys.stderr)
        return 2
    known = (
        pandas.read_csv(FILE, dtype={"stated": str})
        if FILE.is_file()
        else pandas.DataFrame(columns=["problem", "claim", "measured", "seconds"])
    )
    table = certificates(names or list(PROBLEMS), known)
    FILE.parent.mkdir(exist_ok=True)
    table.to_csv(FILE, index=False)
    FILE.with_suffix(".md").write_text(text(table))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
