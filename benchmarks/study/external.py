"""Ranks of optimizers in public results that nobody here made, derived from their tables.

`python -m benchmarks.study.external algoperf_trials.csv marin_phase2.csv` writes docs/validity/external.csv from the
tables of the trials and of the losses, which are not in the repository. `SOURCES` says where they are from.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas

from benchmarks.study.plan import ROOT
from ravine import Refused

EXTERNAL = Path("docs/validity/external.csv")
COLUMNS = ["source", "workload", "entry", "optimizer", "rank"]


class Source(NamedTuple):
    """Where a public table is from.

    Attributes:
        name: As in the column `source`.
        link: Where it is.
        licence: Of the table.
    """

    name: str
    link: str
    licence: str


SOURCES = (
    Source("AlgoPerf v0.5", "https://github.com/mlcommons/submissions_algorithms", "Apache 2.0"),
    Source(
        "Marin, phase II",
        "https://github.com/marin-community/marin/tree/main/experiments/optimizer_sweep/Analysis/PhaseII",
        "not verified, so figures are only cited",
    ),
    Source(
        "modded-nanogpt, track 3",
        "https://github.com/KellerJordan/modded-nanogpt/tree/master/records/track_3_optimization",
        "MIT",
    ),
)

# By entry, the optimizer of the plan that is the same method; all other entries are other methods.
ALGOPERF = {"schedule_free_adamw": "zoo/schedule_free_adamw"}
MARIN = {
    "adamw": "adamw+decay",
    "lion": "lion+decay",
    "muon": "zoo/muon+decay",
}
# Steps to the target loss of the first valid entry of each method without additions. SOAP and PSGD-Kron have valid
# entries with the hyperball constraint only. Adam's only entry (2) is marked as invalid, and left out.
TRACK_3 = {
    "Muon (6)": ("zoo/muon+decay", 3375),
    "SOAP, hyperball (27)": ("", 3125),
    "PSGD-Kron, hyperball (33)": ("", 3375),
    "Shampoo (21)": ("", 4100),
}


def algoperf(trials: pandas.DataFrame) -> pandas.DataFrame:
    """Return ranks, workloads × submissions, of the time to the target.

    The time of a submission is the median over its studies of that of the best trial, infinite where none reaches the
    target; those that never reach it are tied in the last place. Workloads whose target fewer than two submissions
    reach are left out, for they order nobody.

    Args:
        trials: The rows of version 0.5 and other versions, a trial each.
    """
    rows = trials[(trials["version"] == "algoperf_v05") & (trials["ruleset"] == "external_tuning")]
    of_trial = rows.assign(seconds=rows["seconds_to_target"].fillna(float("inf")))
    of_study = of_trial.groupby(["workload", "submission", "study"])["seconds"].min()
    times = of_study.groupby(["workload", "submission"]).median().unstack().fillna(float("inf"))
    reached = (times < float("inf")).sum(axis=1)
    return times[reached >= 2].rank(axis=1)


def derived(trials: pandas.DataFrame, marin: pandas.DataFrame) -> pandas.DataFrame:
    """Return all ranks, one a row.

    Args:
        trials: AlgoPerf's.
        marin: Losses, regimes × optimizers.
    """
    track = {name: steps for name, (_, steps) in TRACK_3.items()}
    named = {name: word for name, (word, _) in TRACK_3.items()}
    steps = pandas.DataFrame([track], ["GPT-2 small"])
    names = [source.name for source in SOURCES]
    rows = [
        *_rows(names[0], algoperf(trials), ALGOPERF),
        *_rows(names[1], marin.rank(axis=1), MARIN),
        *_rows(names[2], steps.rank(axis=1), named),
    ]
    return pandas.DataFrame(rows, columns=COLUMNS)


def _rows(source: str, ranks: pandas.DataFrame, named: Mapping[str, str]) -> Iterator[list[object]]:
    for workload, row in ranks.iterrows():
        for entry, rank in row.items():
            yield [source, workload, entry, named.get(str(entry), ""), rank]


def main(files: Sequence[str]) -> int:
    """Write the ranks from the files of AlgoPerf and of Marin."""
    if len(files) != 2 or not all(Path(file).is_file() for file in files):
        raise Refused(
            f"given {list(files)}: give the files algoperf_trials.csv and marin_phase2.csv"
        )
    trials, marin = pandas.read_csv(files[0]), pandas.read_csv(files[1], index_col=0)
    derived(trials, marin).to_csv(ROOT / EXTERNAL, index=False, lineterminator="\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Refused as refusal:
        sys.exit(f"external: {refusal}")
