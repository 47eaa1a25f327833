"""Ranks from the tables of others."""

from __future__ import annotations

import pandas
import pytest

from benchmarks.study import external
from benchmarks.study.plan import ROOT, Plan
from ravine import Refused


def test_algoperf_ranks_the_best_trial_of_the_median_study():
    def trial(workload, submission, study, seconds, version="algoperf_v05"):
        return {
            "version": version, "ruleset": "external_tuning", "submission": submission, "study": study,
            "workload": workload, "seconds_to_target": seconds,
        }  # fmt: skip

    trials = [
        trial("wmt", "a", 1, 9.0), trial("wmt", "a", 1, 3.0), trial("wmt", "a", 2, 4.0), trial("wmt", "a", 3, None),
        trial("wmt", "b", 1, 5.0), trial("wmt", "b", 2, 1.0), trial("wmt", "b", 3, 5.0),
        trial("wmt", "c", 1, None), trial("wmt", "d", 1, None),
        trial("ogbg", "a", 1, 1.0), trial("ogbg", "b", 1, None),
        trial("wmt", "a", 1, 0.0, version="algoperf_v06"),
    ]  # fmt: skip
    found = external.algoperf(pandas.DataFrame(trials))
    assert found.index.tolist() == ["wmt"]  # one submission alone reaches the target of ogbg
    assert found.loc["wmt"].to_dict() == {"a": 1, "b": 2, "c": 3.5, "d": 3.5}


def test_every_optimizer_of_the_table_is_one_of_the_plan():
    table = pandas.read_csv(ROOT / external.EXTERNAL)
    assert table.columns.tolist() == external.COLUMNS
    assert set(table["optimizer"].dropna()) <= set(Plan.read().kind)
    algoperf = table[table["source"] == "AlgoPerf v0.5"]
    assert (algoperf["entry"].nunique(), algoperf["workload"].nunique()) == (11, 13)


def test_wrong_files_are_refused():
    with pytest.raises(Refused, match=r"algoperf_trials\.csv"):
        external.main(["nothing.csv"])
