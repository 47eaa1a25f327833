"""`python -m benchmarks.docgen.publish_verdicts` measures how often diagnoses are right, and writes docs/verdicts.md.

The optional argument is the folder that caches the true causes of the runs (default: results/verdicts).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pandas
import torch

from benchmarks.diagnosis.thresholds import Thresholds
from benchmarks.docgen.paths import DIGEST, DOCS, DOTS
from benchmarks.docgen.verdicts import drawn, text
from benchmarks.store.provenance import provenance
from benchmarks.validation.calibration import MOVED, Result, calibrate
from benchmarks.validation.cases import Case, cases, cells

FOLDER = Path("results/verdicts")
TABLE = DOCS / "verdicts.csv"
THRESHOLDS = DOCS / "verdicts.json"
PICTURES = DOCS / "verdicts"


def main(arguments: Sequence[str]) -> int:
    """Run the cases or read them from the cache, judge the verdicts, and write the page."""
    torch.set_num_threads(1)
    folder = Path(arguments[0]) if arguments else FOLDER
    began, runs = time.perf_counter(), []
    planned = list(cells())
    for number, cell in enumerate(planned, 1):
        runs += cases(cell, folder)
        seconds = time.perf_counter() - began
        print(
            f"{number}/{len(planned)} {cell.family} {cell.rung} {cell.method}: {seconds:.0f} s",
            flush=True,
        )
    result = calibrate(runs, Thresholds())
    write(result, runs)
    return 0


def write(result: Result, runs: Sequence[Case]) -> None:
    """Write the table, the thresholds, the page and its pictures."""
    result.table.to_csv(TABLE, index=False)
    said = {
        "commit": provenance()["git"]["commit"],
        "fitted": result.fitted,
        "tried": len(MOVED),
        "theory": dataclasses.asdict(Thresholds()),
        "thresholds": dataclasses.asdict(result.thresholds),
    }
    THRESHOLDS.write_text(json.dumps(said, indent=1) + "\n")
    table = pandas.read_csv(TABLE, keep_default_na=False)
    TABLE.with_suffix(".md").write_text(text(table, said))
    PICTURES.mkdir(exist_ok=True)
    for name, picture in drawn(table, runs).items():
        picture.savefig(PICTURES / f"{name}.png", dpi=DOTS, metadata={DIGEST: digest()})


def digest() -> str:
    """Return a digest of the table, from which the pictures are drawn."""
    return hashlib.sha256(TABLE.read_bytes()).hexdigest()[:16]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
