"""Fair search: equal for everyone, in the problem's units, and blind to the reporting seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from benchmarks.api import sweep
from benchmarks.catalog.contenders import contender
from benchmarks.engine.instances import Instances
from benchmarks.engine.search_space import Box, measure_units
from optimizers import OPTIMIZERS
from optimizers.matrices import KroneckerOptimizer
from problems import dial
from ravine import Refused
from tests.benchmarks.problems_for_tests import Bowl

SIZE = {"trials": 7, "tuning_seeds": 2, "seeds": 3, "budget": 200}


@dataclass(frozen=True)
class Stretched(Bowl):
    """height · Σ λᵢ ((x − m)/width)ᵢ² / 2: the same problem at any height and width."""

    steepness: float = dial(30.0)
    height: float = 1.0
    width: float = 1.0

    def _curvature(self, x):
        return torch.logspace(0, -np.log10(self.steepness), x.shape[-1], dtype=x.dtype)

    def instance(self, generator):
        return {name: self.width * each for name, each in super().instance(generator).items()}

    def loss(self, x, data):
        error = (x - data["minimizer"]) / self.width
        return 0.5 * self.height * (self._curvature(x) * error.square()).sum(-1)

    def residuals(self, x, data):
        return (self.height * self._curvature(x)).sqrt() * (x - data["minimizer"]) / self.width


@dataclass(frozen=True)
class StretchedMatrix(Stretched):
    """The same of a matrix and of a vector, for methods that need a matrix."""

    dim: int = 6

    @property
    def shapes(self):
        return ((2, 2), (2,))


def test_units_are_the_medians_over_the_tuning_seeds():
    instances = Instances(Bowl(steepness=4.0, dim=9), ("a", "b", "c", "d"))
    units = measure_units(instances, slice(0, 3))
    start, minimizer = (instances.data[name][:3, 0] for name in ("start", "minimizer"))
    length = float((start - minimizer).norm(dim=-1).median())
    assert units["length"] == pytest.approx(length / 3)
    assert units["gradient"] == pytest.approx(4 * length)
    assert units["length/gradient"] == pytest.approx(1 / 4)
    assert units["gradient/length"] == pytest.approx(4)
    assert units["gradient/length^2"] == pytest.approx(4 / length)


@pytest.mark.parametrize("name", [name for name, each in OPTIMIZERS.items() if each.space])
def test_rescaling_the_loss_and_the_space_leaves_the_tuned_row_unchanged(name):
    """Each alone, and both at once: no two units change alike then, and a constant in any of them shows."""
    optimizer = OPTIMIZERS[name]
    kind = StretchedMatrix if isinstance(optimizer, KroneckerOptimizer) else Stretched
    scaled = {"eps", "weight_decay"} & optimizer.hyperparameters.keys()  # not searched
    lengths = {"d0"} & optimizer.hyperparameters.keys()  # which cannot be 0
    found = []
    alone = ((1e-3, 1), (1e3, 1), (1, 1e-3), (1, 1e3))
    for height, width in ((1, 1), *alone, (1e-3, 1e2), (1e3, 1e-2)):
        problem = kind(height=height, width=width)
        values = dict.fromkeys(scaled, 0.0)
        values |= {each: getattr(optimizer, each) * width for each in lengths}
        if name == "soap":  # without eps it divides rounding by rounding
            values["eps"] = optimizer.eps * height / width
        summary = sweep(
            problem, name, settings={name: values} if values else {}, **SIZE
        ).summary.set_index("choice")
        found.append(summary.loc["tuned"])
    for other in found[1:]:
        assert other["trial"] == found[0]["trial"]
        assert other["solved"] == found[0]["solved"]
        assert other["cost_to_target"] == found[0]["cost_to_target"]
        if "u" in other and name != "random_search":
            assert other["u"] == pytest.approx(found[0]["u"], rel=1e-6)


def test_sobol_points_are_the_same_at_every_rung_and_refined_ones_lie_around_the_best():
    found = sweep(
        [Stretched(steepness=2.0), Stretched(steepness=200.0)], "sgd", **(SIZE | {"trials": 13})
    )
    searched = found.runs.drop_duplicates(["dial", "trial"]).pivot(
        index="trial", columns="dial", values="u"
    )
    kinds = found.runs.drop_duplicates("trial").set_index("trial")["search"]
    sobol = searched[kinds == "sobol"]
    assert len(sobol) == 8 and np.allclose(sobol[2.0], sobol[200.0])
    refined = searched[kinds == "refined"]
    assert len(refined) == 4 and not np.allclose(refined[2.0], refined[200.0])
    for rung in (2.0, 200.0):
        nearest = (
            np.log10(refined[rung]).to_numpy()[:, None] - np.log10(sobol[rung]).to_numpy()[None]
        ).__abs__()
        assert nearest.min(1).max() <= 0.6 + 1e-9  # a tenth of six decades


def test_refined_points_are_new_ones_in_a_box_of_a_tenth_around_the_best():
    box = Box(contender("momentum"), {})
    around = torch.tensor([0.5, 0.95], dtype=torch.float64)
    points, first = box.refined(64, around), box.sobol(64)
    assert (first > 0).all() and (first < 1).all()  # the unscrambled sequence begins in the corner
    low, high = points.amin(0), points.amax(0)
    assert low.tolist() == pytest.approx([0.4, 0.85], abs=0.02)
    assert high.tolist() == pytest.approx([0.6, 1.0], abs=0.02) and (high <= 1).all()
    assert not torch.allclose((points[:, 0] - 0.4) / 0.2, first[:, 0], atol=1e-3)


def test_a_sixteenth_of_a_range_at_either_end_is_its_edge():
    box = Box(contender("momentum"), {})
    middle = [0.5, 0.07, 0.93]
    assert not any(box.on_edge(torch.tensor([0.5, each])) for each in middle)
    assert all(box.on_edge(torch.tensor([each, 0.5])) for each in (0.06, 0.94))


def test_only_tuning_seeds_choose():
    few = sweep(Stretched(), "momentum", **SIZE).runs
    many = sweep(Stretched(), "momentum", **(SIZE | {"seeds": 8})).runs
    tuning = [
        runs[runs["role"] == "tuning"].reset_index(drop=True)["hp.lr"] for runs in (few, many)
    ]
    assert tuning[0].equals(tuning[1])  # refined trials included


def test_momentum_is_searched_by_its_effective_rate_and_its_complement():
    box = Box(contender("momentum"), {"none": 1.0, "length/gradient": 2.0})
    values = box.values(torch.tensor([[0.0, 0.0], [0.5, 0.5]], dtype=torch.float64))
    assert values["momentum"][0, 0] == pytest.approx(1 - 1e-3)
    assert values["lr"][0, 0] == pytest.approx(2.0 * 1e-5 * 1e-3)
    assert (values["lr"] / (1 - values["momentum"]))[1, 0] == pytest.approx(2.0 * 1e-2)


def test_a_number_pins_and_a_pair_searches_absolute_values():
    runs = sweep(Stretched(), "sgd", settings={"sgd": {"lr": 0.1}}, **SIZE).runs
    assert set(runs["trial"]) == {0} and set(runs["hp.lr"]) == {0.1}
    runs = sweep(Stretched(), "sgd", settings={"sgd": {"lr": (1e-2, 1e-1)}}, **SIZE).runs
    searched = runs[runs["trial"] > 0]["hp.lr"]
    assert searched.between(1e-2, 1e-1).all() and searched.nunique() == 6
    assert (runs[runs["trial"] == 0]["hp.lr"] == 0.001).all()


def test_more_than_two_are_searched_with_five_trials_a_side():
    settings = {"adam": {"beta1": (0.1, 0.9), "beta2": (0.9, 0.99)}}
    with pytest.raises(
        Refused,
        match=r"adam: lr, beta1, beta2 would .* trials=125 or more \(trials is 124\): pin one",
    ):
        sweep(Stretched(), "adam", settings=settings, **{**SIZE, "trials": 124})
    size = {"trials": 125, "tuning_seeds": 1, "seeds": 1, "budget": 3}
    runs = sweep(Stretched(), "adam", settings=settings, **size).runs
    searched = runs[runs["trial"] > 0]
    assert searched["hp.beta1"].between(0.1, 0.9).all() and searched["hp.beta2"].nunique() == 124


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("sgd", {"learning_rate": 0.1}, "unknown hyperparameter sgd.learning_rate"),
        ("sgd", {"lr": "fast"}, "sgd.lr is 'fast', but must be a number"),
        ("sgd", {"lr": (1, 0.1)}, "low must be below high"),
        ("sgd", {"lr": (1, 2, 3)}, "a pair [low, high]"),
        ("sgd", {"lr": -1}, "at least 0"),
        ("clipped_sgd", {"by": 3}, "clipped_sgd.by is 3, but must be a word"),
        ("sdg", {}, "did you mean sgd?"),
    ],
)
def test_a_bad_hyperparameter_is_refused_in_one_line(name, settings, said):
    with pytest.raises(Refused) as refusal:
        contender(name, settings)
    assert said in str(refusal.value) and "\n" not in str(refusal.value)
