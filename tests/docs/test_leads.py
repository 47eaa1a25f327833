"""The published leads are those of all problems that predict one, and the page is written from them."""

from __future__ import annotations

import pandas
import pytest

from benchmarks.docgen.leads import FILE, PAGE, known, main, picture, text
from problems import PROBLEMS
from problems.theory import Leads
from ravine import Refused

TABLE = pandas.read_csv(FILE)


def test_a_prediction_is_near_within_a_factor_of_two_either_way():
    leads = Leads.of("adam", (1.0, 2.0, 3.0, 4.0), [(8, 2)] * 4, [(8, 1), (9, 1), (8, 4), (7, 4)])
    assert leads.predicted == (4.0,) * 4
    assert leads.measured == (8.0, 9.0, 2.0, 1.75)
    assert leads.near == (True, False, True, False)
    assert leads.share_near == 0.5


def test_each_problem_that_predicts_a_lead_is_published():
    assert set(TABLE["problem"]) == set(known()) >= {"block_hessian", "scale_invariant"}
    for name, rows in TABLE.groupby("problem"):
        ladder = PROBLEMS.find(str(name)).card.ladder
        for _, leads in rows.groupby("leader"):
            assert len(leads) >= 8  # the ladder and at least five rungs between
            assert {*ladder} <= {*leads["rung"]}


def test_page_is_written_from_its_table():
    assert PAGE.read_text("utf-8") == text(TABLE)


def test_a_prediction_that_is_far_off_is_shown_as_missed():
    far = TABLE.assign(measured=TABLE["predicted"] * 3, near=False)
    assert text(far).count("MISSED") == text(TABLE).count("holds |")
    assert "MISSED" not in text(TABLE)


def test_picture_has_a_panel_for_each_problem():
    assert [axes.get_title() for axes in picture(TABLE).axes] == list(known())


@pytest.mark.parametrize("count", [1, 3])
def test_picture_of_fewer_problems(count):
    few = TABLE[TABLE["problem"].isin(list(known())[:count])]
    assert [axes.get_title() for axes in picture(few).axes] == list(known())[:count]


def test_an_unknown_problem_is_refused():
    with pytest.raises(Refused, match="no lead is predicted on quadratic"):
        main(["quadratic"])
