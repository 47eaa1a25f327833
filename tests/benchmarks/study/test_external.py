"""Ranks from the tables of others."""

from __future__ import annotations

import pandas
import pytest

from benchmarks.study import external
from benchmarks.study.plan import ROOT, Plan
from ravine import Refused


def trial(workload, submission, study, seconds, version="algoperf_v05"):
    return {
        "version": version, "ruleset": "external_tuning", "submission": submission, "study": study,
        "workload": workload, "seconds_to_target": seconds,
    }  # fmt: skip


def test_algoperf_ranks_the_best_trial_of_the_median_study():
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


def test_the_page_says_what_can_be_compared():
    """Its sentences count the optimizers in both: one of AlgoPerf, and three of Marin, Muon among them."""
    table = pandas.read_csv(ROOT / external.EXTERNAL)
    shared = table.dropna(subset=["optimizer"]).groupby("source")["optimizer"].unique().map(set)
    assert shared.to_dict() == {
        "AlgoPerf v0.5": {"zoo/schedule_free_adamw"},
        "Marin, phase II": {"adamw+decay", "lion+decay", "zoo/muon+decay"},
        "modded-nanogpt, track 3": {"zoo/muon+decay"},
    }


def test_the_table_has_the_ranks_that_are_derived():
    """Those of track 3, whose figures are in the code."""
    losses = pandas.DataFrame([[1.0]], ["300m_2x"], ["adamw"])
    trials = pandas.DataFrame([trial("wmt", name, 1, 1.0) for name in "ab"])
    again = external.derived(trials, losses)
    table = pandas.read_csv(ROOT / external.EXTERNAL, keep_default_na=False)
    (name,) = {each.name for each in external.SOURCES} - {"AlgoPerf v0.5", "Marin, phase II"}
    first, second = (each[each["source"] == name].reset_index(drop=True) for each in (table, again))
    pandas.testing.assert_frame_equal(first, second)
    assert dict(zip(first["entry"], first["rank"], strict=True))["Muon (6)"] == 2.5


def test_wrong_files_are_refused():
    with pytest.raises(Refused, match=r"algoperf_trials\.csv"):
        external.main(["nothing.csv"])
