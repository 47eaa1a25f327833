"""Each ranked problem states which optimizer it breaks and why, and the measured causes say whether it does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas
import pytest

from benchmarks.analysis.causes import EXPLAINED, ordered
from benchmarks.catalog.contenders import contender
from benchmarks.catalog.suites import suites
from benchmarks.cli import show
from benchmarks.cli.show import card as shown
from benchmarks.docgen import certificates
from benchmarks.docgen.paths import NAMES_FILE
from benchmarks.engine.protocol import Protocol
from benchmarks.explain.certificate import certificate
from benchmarks.runner.explain import explain
from benchmarks.runner.job import Job, run_job
from benchmarks.store.cells import Store
from benchmarks.store.key import cell_key
from optimizers import OPTIMIZERS
from problems import PROBLEMS
from problems.modifiers import noisy, transformed

RANKED = suites()["standard"].problems
CLIFF, MOUNTAIN = PROBLEMS["cliff"].card, PROBLEMS["mountain"].card
CLIPPED = {"removal": "gradients clipped", "cause": "cliff", "holds": True, "shift_rungs": 1.0}
CONDITIONED = {
    "removal": "curvatures made alike", "cause": "ill_conditioning", "holds": False, "shift_rungs": 0.4,
}  # fmt: skip
STEPS = {
    "removal": "steps=5", "cause": "vanishing_gradient/exploding_gradient", "holds": True, "shift_rungs": 1.5,
}  # fmt: skip
NO_MOUNTAIN = {
    "removal": "height=0.0", "cause": "misleading_slope", "holds": True, "shift_rungs": 0.5,
}  # fmt: skip


def rows(*removals, optimizer="sgd"):
    """Return rows of explained.csv."""
    made = {
        "optimizer": optimizer,
        "first_rung": 1,
        "last_rung": 32,
        "solved": 0,
        "solved_without": 10,
    }
    return pandas.DataFrame([made | each for each in removals], columns=EXPLAINED)


@pytest.mark.parametrize("name", RANKED)
def test_every_ranked_problem_says_what_it_breaks(name):
    """The contract `says_what_it_breaks` checks the names."""
    optimizer, _ = PROBLEMS[name].card.breaks
    assert OPTIMIZERS[optimizer].role == "ranked"


def test_a_name_holds_if_no_other_removal_shifts_the_breaking_point_half_as_far():
    found = certificate(CLIFF, rows(STEPS, CLIPPED, CONDITIONED))
    assert found.holds and found.own["removal"] == "gradients clipped"
    assert found.rival["removal"] == "curvatures made alike"


@pytest.mark.parametrize("shift", [0.5, 1.0, 2.0])
def test_a_rival_need_not_hold_itself(shift):
    found = certificate(CLIFF, rows(CLIPPED, CONDITIONED | {"shift_rungs": shift}))
    assert "another removal shifts" in found.why_not and found.rival["shift_rungs"] == shift


def test_causes_that_are_one_thing_are_no_rivals():
    same = CONDITIONED | {"cause": "exploding_gradient", "shift_rungs": 2.0}
    assert certificate(CLIFF, rows(CLIPPED, same)).holds
    assert not certificate(replace(CLIFF, same=()), rows(CLIPPED, same)).holds


def test_what_is_counted_as_one_is_told_with_its_shift():
    found = certificate(
        replace(CLIFF, same=("exploding_gradient", "plateau")), rows(STEPS, CLIPPED)
    )
    assert found.holds and found.unit == "rungs"
    assert found.same["exploding_gradient"]["shift"] == 1.5 and found.same["plateau"] is None
    table = pandas.read_csv(NAMES_FILE, keep_default_na=False).set_index("problem")
    assert table.loc["cliff", "same"] == "exploding gradient by steps=5: > 32 (+1.39 rungs)"
    page = certificates.FILE.with_suffix(".md").read_text()
    assert all(each.replace("<", "&lt;") in page for each in table["same"])
    assert (table["holds_first_cause"] | ~table["holds_first_cause_strictly"]).all()
    assert f"{table['holds_first_cause'].sum()} if the second stated cause is a rival" in page
    assert (
        f"{table['holds_first_cause_strictly'].sum()} if, besides, no two causes are counted"
        in page
    )


def test_a_dial_that_makes_a_problem_harder_as_it_falls_is_marked():
    page = certificates.FILE.with_suffix(".md").read_text()
    for name in RANKED:
        card = PROBLEMS[name].card
        falls = card.ladder[0] > card.ladder[-1]
        (line,) = [each for each in page.splitlines() if each.startswith(f"| `{name}`: ")]
        assert line.split(" | ")[0].endswith(f"{card.dial} ↓" if falls else f": {card.dial}")


def test_the_page_names_the_problems_that_cannot_be_certified():
    page = certificates.FILE.with_suffix(".md").read_text()
    assert "`digits_mlp` (3), `adding` (3), `copy_memory` (3) cannot be judged" in page


def test_other_fields_count_where_nothing_else_takes_the_cause_away():
    assert certificate(MOUNTAIN, rows(NO_MOUNTAIN, CLIPPED | {"shift_rungs": 0.2})).holds
    assert not certificate(MOUNTAIN, rows(NO_MOUNTAIN, CLIPPED)).holds
    failing = rows(NO_MOUNTAIN | {"holds": False, "note": "too few instances"})
    assert "too few instances" in certificate(MOUNTAIN, failing).why_not
    only_fields = certificate(CLIFF, rows(STEPS, CONDITIONED))
    assert only_fields.why_not == "no removal of this cause applies"


def test_other_fields_do_not_stand_in_for_a_removal_that_fails():
    card = replace(CLIFF, removes={"cliff": {"steps": 5}})
    fails = CLIPPED | {
        "holds": False,
        "note": "helped at none of the settings tried",
        "shift_rungs": float("nan"),
    }
    found = certificate(card, rows(STEPS | {"cause": "cliff"}, fails))
    assert "helped at none of the settings tried" in found.why_not


def test_the_best_removal_of_the_cause_counts():
    fails = CLIPPED | {
        "removal": "long steps shortened",
        "holds": False,
        "note": "helped at none of the settings tried",
    }
    assert certificate(CLIFF, rows(fails, CLIPPED, CONDITIONED)).holds


def test_two_causes_that_hold_only_together_prove_no_name():
    both = CLIPPED | {"removal": "both", "cause": "cliff+ill_conditioning"}
    alone = CLIPPED | {"holds": False, "note": "not told apart from chance"}
    assert "not told apart" in certificate(CLIFF, rows(both, alone)).why_not


def test_of_two_stated_causes_the_removal_of_each_must_help():
    card = replace(CLIFF, also="ill_conditioning")
    second = CONDITIONED | {"holds": True, "shift_rungs": 2.0}
    found = certificate(card, rows(CLIPPED, second))
    assert found.holds and found.own["cause"] == "cliff" and found.rival is None
    assert not certificate(replace(card, also=""), rows(CLIPPED, second)).holds
    assert found.second["cause"] == "ill_conditioning"
    fails = rows(CLIPPED, CONDITIONED | {"note": "helped at none of the settings tried"})
    assert (
        certificate(card, fails).why_not
        == "taking the second cause away: helped at none of the settings tried"
    )
    only = certificate(card, rows(CLIPPED))
    assert only.why_not == "no removal of the second cause applies"
    saddle = CONDITIONED | {"cause": "saddle", "removal": "kicked", "shift_rungs": 0.5}
    assert "another removal" in certificate(card, rows(CLIPPED, second, saddle)).why_not
    weaker = second | {"shift_rungs": 0.5}
    rival = saddle | {"shift_rungs": 0.25}
    found = certificate(card, rows(CLIPPED, weaker, rival))
    assert found.why_not.endswith("at least half as far as that of the second cause")
    assert certificate(card, rows(CLIPPED, weaker, rival | {"shift_rungs": 0.2})).holds


def test_of_two_stated_causes_that_help_only_together_both_are_taken_away():
    card = replace(CLIFF, also="ill_conditioning")
    fails = [
        each | {"holds": False, "note": "helped at none of the settings tried"}
        for each in (CLIPPED, CONDITIONED)
    ]
    alone = [each | {"shift_rungs": 0.0} for each in fails]
    both = CLIPPED | {"removal": "both", "cause": "ill_conditioning+cliff"}
    found = certificate(card, rows(both, *alone))
    assert found.holds and found.own["removal"] == found.second["removal"] == "both"
    assert "helped at none of the settings tried" in certificate(card, rows(*alone)).why_not
    other = both | {"cause": "cliff+saddle"}
    assert "helped at none of the settings tried" in certificate(card, rows(other, *alone)).why_not


def test_an_optimizer_without_rows_was_not_measured_and_may_break_or_not():
    others = rows(CLIPPED, optimizer="momentum")
    for table in (others, others[:0]):
        assert certificate(CLIFF, table).why_not == "not measured for sgd"


def test_on_one_rung_the_solved_instances_are_compared():
    one = {"last_rung": 1, "shift_rungs": 0.0, "solved": 1}
    for without, holds in [(5, True), (6, False)]:
        rival = CONDITIONED | one | {"solved_without": without}
        assert certificate(CLIFF, rows(CLIPPED | one, rival)).holds == holds


def test_a_breaking_point_must_shift():
    assert "does not shift" in certificate(CLIFF, rows(CLIPPED | {"shift_rungs": 0.0})).why_not


def test_the_published_causes_are_in_the_order_of_the_code():
    table = pandas.read_csv(certificates.EXPLAINED)
    for _, rows in table.groupby(["problem", "optimizer"], sort=False):
        assert list(ordered(rows)["removal"]) == list(rows["removal"])


def test_the_published_shifts_of_what_solves_nothing_are_not_positive():
    table = pandas.read_csv(certificates.EXPLAINED)
    easier = np.where(table["first_rung"] > table["last_rung"], ">", "<")
    nothing = (table["censored_without"] == easier) & (table["solved_without"] == 0)
    assert nothing.sum() > 5 and (table.loc[nothing, "shift_rungs"] <= 0).all()


def test_the_page_and_its_table_agree_with_the_published_causes():
    explained = pandas.read_csv(certificates.EXPLAINED)
    assert list(explained) == EXPLAINED
    found = certificates.names(explained)
    assert found.to_csv(index=False) == NAMES_FILE.read_text()
    page = certificates.FILE.with_suffix(".md").read_text()
    assert f"The names of {found['holds'].sum()} of {len(found)} ranked problems hold," in page
    two = sum(bool(PROBLEMS[name].card.also) for name in found.loc[found["holds"], "problem"])
    assert f"{two} of those that hold state two causes." in page
    section = page.split("## Does each")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    assert [line.split("`")[1] for line in lines] == list(RANKED)
    assert [line.endswith("| holds |") for line in lines] == list(found["holds"])
    missing = [why_not == "not measured for adam" for why_not in found["why_not"]]
    assert [line.endswith("| not measured for adam |") for line in lines] == missing
    few = found["problem"].isin(["digits_mlp", "adding", "copy_memory"]) & ~np.array(missing)
    fails = ~found["holds"] & ~few & ~np.array(missing)
    assert ["| FAILS: " in line for line in lines] == list(fails)
    assert ["| cannot be judged: " in line for line in lines] == list(few)
    assert (
        f"{fails.sum()} fail, {few.sum()} cannot be judged, and {sum(missing)} are not measured."
        in page
    )


def test_the_card_says_whether_the_name_is_certified(monkeypatch, tmp_path):
    assert "sgd by cliff; counted as one with exploding gradient (certified)" in shown("cliff")
    assert "sgd by ill conditioning (certified)" in shown("quadratic")
    file = tmp_path / "names.csv"
    monkeypatch.setattr(show, "NAMES_FILE", file)
    assert "sgd by ill conditioning\n" in shown("quadratic")
    certificates.names(rows()[:0]).to_csv(file, index=False)
    assert "sgd by ill conditioning (not certified: not measured for sgd)" in shown("quadratic")


def test_what_a_problem_is_said_to_break_changes_no_number(monkeypatch):
    cliff = PROBLEMS["cliff"]

    def keys():
        seen = cliff, noisy(cliff, "gaussian"), transformed(cliff, ["rotate"])
        sgd = contender("sgd")
        return [cell_key("cliff", each, sgd, Protocol().settled(each)) for each in seen]

    before = keys()
    monkeypatch.setattr(type(cliff), "card", replace(CLIFF, breaks=("adam", "plateau"), same=()))
    assert keys() == before
    monkeypatch.setattr(type(cliff), "card", replace(CLIFF, target=0.5))
    assert not set(keys()) & set(before)


@pytest.mark.slow
def test_measured_anew_the_same_name_holds(tmp_path):
    explained = pandas.read_csv(certificates.EXPLAINED)
    published = certificate(PROBLEMS["hilbert"].card, explained[explained["problem"] == "hilbert"])
    size = Protocol(**suites()["standard"].options)
    hilbert, store = PROBLEMS["hilbert"], Store(tmp_path)
    job = Job("hilbert", hilbert, contender("sgd"), ())
    keys = list(run_job(job, size, store, lambda done: None, skips=True))
    table = explain(job, keys, size, store).assign(problem="hilbert", optimizer="sgd")
    again = certificate(hilbert.card, table)
    assert again.holds == published.holds
    for column in ("removal", "solved_without", "text_without"):
        assert again.own[column] == published.own[column]
