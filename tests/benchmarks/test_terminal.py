"""Tables as they are read: best first, ties said so, and nothing said that cannot be known."""

from __future__ import annotations

import numpy as np
import yaml

from benchmarks import sweep
from benchmarks.analysis.ranks import ranks
from benchmarks.catalog.loading import CONF
from benchmarks.catalog.suites import suites
from benchmarks.display.sweep_views import views
from optimizers.sgd import SGD
from tests.benchmarks.problems_for_tests import Bowl, NoisyBowl


def test_who_is_alone_or_solves_nothing_has_no_rank():
    size = {"trials": 3, "tuning_seeds": 2, "seeds": 6}
    (alone,) = views(sweep(Bowl(), ["newton", "idle"], budget=100, **size).tables)
    assert list(alone.table[""]) == ["newton", "idle"] and "No ranks" not in alone.text()
    (nobody,) = views(sweep(Bowl(), ["sgd", "adam"], budget=3, **size).tables)
    assert set(nobody.table[""]) == {"sgd", "adam"} and set(nobody.table["tuned"]) == {"0 of 6"}
    assert nobody.remarks[0] == "No ranks: no run reaches the target."


def test_quick_sweeps_have_enough_instances_to_rank_ten_optimizers():
    """Ten that differ on all instances but one have ten ranks."""
    preset = (CONF / "preset" / "quick.yaml").read_text()
    for seeds in (yaml.safe_load(preset)["seeds"], suites()["quick"].options["seeds"]):
        paid = np.repeat(np.arange(10.0)[:, None], seeds, axis=1)
        paid[:, 0] = 1.0
        assert ranks(paid).tolist() == [*range(1, 11)]


def test_the_best_comes_first_and_the_remarks_say_what_the_marks_mean():
    found = sweep(Bowl(), ["sgd", "newton", "idle"], trials=9, tuning_seeds=2, seeds=6, budget=100)
    (view,) = views(found.tables)
    assert [name.split()[-1] for name in view.table[""]][-1] == "idle"
    assert view.table["tuned"].iloc[0] == "6 of 6"
    assert view.remarks[0].startswith("Ranks differ only where the first of one is better than all")
    few = sweep(Bowl(), ["sgd", "idle"], trials=2, tuning_seeds=1, seeds=5, budget=20)
    (view,) = views(few.tables)
    assert not any(name[0].isdigit() for name in view.table[""])
    said = "No ranks: 5 instances are too few to tell optimizers apart: it takes 6 (seeds=6)."
    assert said in view.remarks


def test_what_is_told_the_truth_or_meant_to_fail_has_no_rank():
    found = sweep(Bowl(), ["sgd", "newton", "idle"], trials=9, tuning_seeds=2, seeds=6, budget=100)
    (view,) = views(found.tables)
    names = list(view.table[""])
    assert names[-1] == "idle"
    assert all(name[0].isdigit() for name in names[:-1])
    assert "Not ranked (meant to fail): idle." in view.text()


def test_where_there_is_noise_the_final_gap_is_ranked():
    """Descent at a large rate enters the target first, and shakes farther from the minimum."""
    rates = [SGD(lr=0.1), SGD(lr=0.02)]
    found = sweep(NoisyBowl(noise=0.01), rates, tuning_seeds=2, seeds=8, budget=2000)
    (view,) = views(found.tables)
    assert list(view.table[""]) == ["1 SGD(lr=0.02)", "2 SGD(lr=0.1)"]
    assert set(view.table["tuned"]) == {"8 of 8"}
    costs = found.summary[found.summary["choice"] == "tuned"].set_index("optimizer")[
        "cost_to_target"
    ]
    assert costs["SGD(lr=0.1)"] < costs["SGD(lr=0.02)"]
    assert "Ranked by the final gap" in view.text()
