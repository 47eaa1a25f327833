"""Other prices: what runs asked for, the order that follows, and what a step costs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas
import pytest

from benchmarks import read_table, sweep
from benchmarks.analysis.folder import read_results
from benchmarks.analysis.ranking import moved, standings
from benchmarks.catalog.defaults import CLASSICS
from benchmarks.docgen import prices
from problems import PROBLEMS
from problems.ill_conditioning.quadratic import Quadratic
from ravine import Refused

REFERENCE = Path(__file__).parents[2] / "results" / "reference"
FEW = ("cliff", "mountain")  # one with skipped rungs, one whose dial falls


@pytest.fixture(scope="module")
def tuned():
    """The tuned runs of a few problems of the published reference."""
    results = read_results(REFERENCE)
    few = {name: getattr(results, name).query(f"problem in {FEW}") for name in ("runs", "summary")}
    return prices.tuned_runs(dataclasses.replace(results, **few))


def test_today_s_prices_give_the_published_order(tuned):
    found = prices.order(tuned, np.ones(len(tuned))).set_index(["problem", "optimizer"])
    among = f"problem in {FEW} and optimizer in {CLASSICS}"
    points = read_table(REFERENCE, "breaking_points").query(among)
    stated = standings(points).set_index(["problem", "optimizer"]).loc[found.index]
    assert set(found.index.unique("optimizer")) == set(CLASSICS)
    pandas.testing.assert_frame_equal(found[["text", "place"]], stated[["text", "place"]])


@pytest.mark.parametrize("problem", ["rosenbrock", "newton_noise"])
def test_what_a_run_asked_for_follows_from_its_cost(problem):
    """Damped Newton has steps that are refused on the one, and on the other no step that is free."""
    size = {"trials": 3, "tuning_seeds": 1, "seeds": 2, "budget": 300}
    runs = sweep(PROBLEMS[problem], ["sgd", "newton", "damped_newton"], **size).tables.runs
    dim = PROBLEMS[problem].example()["start"].shape[-1]
    found = prices.counts(runs.assign(dim=dim))
    for kind in found:
        np.testing.assert_allclose(found[kind], runs[kind].astype(float), atol=1e-6)


def test_a_dearer_hessian_costs_those_who_ask_for_it(tuned):
    ratios = prices._ratios(tuned, steps_of(tuned, seconds=1.0))
    newton, sgd = ((tuned["optimizer"] == name) & (tuned["cost"] > 0) for name in ("newton", "sgd"))
    dim = tuned.loc[newton, "dim"]
    for name, factor in prices.HESSIAN_AT.items():
        np.testing.assert_allclose(ratios[name][newton], (1 + factor * 2 * dim) / (1 + 2 * dim))
        assert (ratios[name][sgd] == 1).all()
    np.testing.assert_allclose(ratios[prices.SECONDS][newton], 1 / (1 + 2 * dim))


def steps_of(tuned: pandas.DataFrame, seconds: float) -> pandas.DataFrame:
    """Return a table of steps that all take one second, but those with a Hessian."""
    sizes = tuned[["problem", "dim"]].drop_duplicates()
    table = sizes.merge(pandas.DataFrame({"optimizer": CLASSICS}), how="cross")
    slow = table["optimizer"].str.contains("newton")
    return table.assign(in_sgd_steps=np.where(slow, seconds, 1.0))


def test_the_flips_are_those_that_are_counted(tuned):
    """Where every step takes a second, those with a Hessian pass others."""
    orders, flips = prices.at_other_prices(tuned, steps_of(tuned, seconds=1.0))
    assert orders["prices"].tolist() == [prices.TODAY, *prices.HESSIAN_AT, prices.SECONDS]
    assert orders["flips"].tolist() == [
        0,
        *flips["prices"].value_counts().reindex(orders["prices"][1:], fill_value=0),
    ]
    by_name = orders.set_index("prices")
    assert by_name.loc["a Hessian at 2.5 times", ["budget", "alone"]].tolist() == [1, 0]
    assert by_name.loc["a Hessian at ½", "budget"] < 1
    seconds = flips[flips["prices"] == prices.SECONDS]
    assert len(seconds) and seconds["behind"].str.contains("newton").all()


def test_flips_by_hand():
    def table(**places):
        rows = [("p", name, float(far), f"{far}") for name, far in places.items()]
        return pandas.DataFrame(rows, columns=["problem", "optimizer", "further", "text"])

    before, after = table(a=3, b=2, c=1, d=1), table(a=1, b=2, c=2, d=0)
    found = prices.flips(before, after)
    pairs = list(zip(found["ahead"], found["behind"], strict=True))
    assert pairs == [("a", "b"), ("a", "c")]
    assert found.loc[0, ["ahead_before", "behind_before", "ahead_after", "behind_after"]].tolist() == [
        "3", "2", "1", "2",
    ]  # fmt: skip
    assert moved(before, after, {})["flips"] == len(found)


def test_a_step_is_measured_in_both_currencies(tuned, monkeypatch):
    """On the quadratic, and where the reference ran; who cannot afford a step has none."""
    monkeypatch.setattr(prices, "WARM_UP", 2)
    monkeypatch.setattr(prices, "TIMED", 3)
    table = prices.measured(
        tuned[(tuned["problem"] == "mountain") & (tuned["dim"] == 2)]
    ).set_index(["problem", "dim"])
    assert set(table.index.unique("problem")) == {"quadratic", "mountain"}
    for dim in (10, 100):
        rows = table.loc[("quadratic", dim)].set_index("optimizer")
        assert rows["price"]["sgd"] == rows["price"]["adam"] == 1
        assert rows["price"]["newton"] == rows["price"]["damped_newton"] == 1 + 2 * dim
        assert rows["hessians"].sum() == 3 and (rows["seconds"] > 0).all()
        assert rows["in_sgd_steps"]["sgd"] == 1
    monkeypatch.setattr(prices, "STEPPING", (Quadratic(dim=100),))
    monkeypatch.setattr(Quadratic, "budget", 100)
    rows = prices.measured(tuned.iloc[:0])
    assert "newton" not in set(rows["optimizer"]) and "sgd" in set(rows["optimizer"])


@pytest.mark.parametrize(
    ("word", "said"), [("foldr=x", "did you mean folder"), ("folder=/nowhere", "/nowhere")]
)
def test_bad_input_is_refused(word, said):
    with pytest.raises(Refused, match=said):
        prices.main([word])
