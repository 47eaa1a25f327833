"""The presets of other people's optimizers: what they are, what they cost, and that they are theirs."""

from __future__ import annotations

import functools
import math
import sys

import pandas
import pytest
import torch

from benchmarks import sweep
from benchmarks.catalog import loading
from benchmarks.checks.walks import draw, smooth_valley, walk
from benchmarks.cli.show import card
from optimizers import OPTIMIZERS, NotApplicable, log
from optimizers.adopted import shaped

theirs = pytest.importorskip("pytorch_optimizer", reason="needs the extra zoo")

SHAPES = ((3, 2), (3,), (2, 3))  # 15 numbers: a layer with biases, and one without
PRICES = {"zoo_sam": [2.0] * 12, "zoo_sophia": [3.0] + [1.0] * 9 + [3.0, 1.0]}
NAMES = list(loading.presets())
# 12 steps in float64 of the same operations on gradients from another order of operations. SOAP divides by eps =
# 1e-8 what its first basis leaves of a gradient in directions that the first gradient did not have: rounding.
# Shampoo takes roots of matrices whose eigenvalues begin at 1e-6.
assert_close = functools.partial(torch.testing.assert_close, rtol=1e-9, atol=1e-11)
TOLERANCE = {"zoo_soap": 1e-8, "zoo_shampoo": 1e-10}


def preset(name):
    loading.load(name, "optimizer")
    return OPTIMIZERS[name]


@pytest.fixture(autouse=True)
def forgetful(files):
    """What is loaded is forgotten."""


def plain(method, data, steps=12, **values):
    """What the package does with a model that has these parameters, one run: (steps + 1, dim)."""
    sizes = [math.prod(shape) for shape in SHAPES]
    parameters = [
        torch.nn.Parameter(each.clone().view(shape))
        for each, shape in zip(data["start"][0, 0].split(sizes), SHAPES, strict=True)
    ]
    optimizer = method(parameters, **values)

    def loss():
        optimizer.zero_grad()
        x = torch.cat([each.flatten() for each in parameters]).view(1, 1, -1)
        smooth_valley(x, data).sum().backward()

    def here():
        return torch.cat([each.detach().flatten() for each in parameters])

    points = [here()]
    for _ in range(steps):
        loss()
        optimizer.step(*([loss] if method is sam else []))
        two_points = hasattr(optimizer, "eval")
        if two_points:
            optimizer.eval()
        points.append(here())
        if two_points:
            optimizer.train()
    return torch.stack(points)


def muon(parameters, **values):
    """As in its documentation."""
    first, biases, second = parameters
    groups = [
        {"params": [first, second], "use_muon": True},
        {"params": [biases], "use_muon": False},
    ]
    return theirs.Muon(groups, **values)


def sam(parameters, **values):
    return theirs.SAM(parameters, torch.optim.SGD, momentum=0.9, **values)


@pytest.mark.parametrize(
    ("name", "method", "values"),
    [
        ("zoo_soap", theirs.SOAP, {}),
        ("zoo_shampoo", theirs.Shampoo, {}),
        ("zoo_prodigy", theirs.Prodigy, {}),
        ("zoo_schedule_free_adamw", theirs.ScheduleFreeAdamW, {}),
        ("zoo_adafactor", torch.optim.Adafactor, {}),
        ("zoo_nadam", torch.optim.NAdam, {}),
        ("zoo_radam", torch.optim.RAdam, {}),
        ("zoo_ademamix", theirs.AdEMAMix, {}),
        ("zoo_adopt", theirs.ADOPT, {}),
        ("zoo_sam", sam, {}),
    ],
)
@pytest.mark.parametrize("lr", [None, 0.02])
def test_a_preset_steps_as_the_package_does(name, method, values, lr):
    data, optimizer = draw(instances=2, dim=15), shaped(preset(name), SHAPES)
    given = {} if lr is None else {"lr": lr}
    ours = walk(optimizer.replace(**given), smooth_valley, data, trials=2, steps=12).points
    for instance in range(2):
        own = {field: each[[instance]] for field, each in data.items()}
        path = plain(method, own, **values, **given)
        for trial in range(2):
            close = functools.partial(assert_close, rtol=0, atol=TOLERANCE.get(name, 1e-11))
            close(ours[:, instance, trial], path)


def test_prodigy_is_the_package_s():
    """The package sums in float32, where a term may be 1e-7 off, and a step divides by what is left."""
    data = draw(instances=2, dim=15)
    ours = walk(OPTIMIZERS["prodigy"], smooth_valley, data, steps=200).points
    for instance in range(2):
        own = {field: each[[instance]] for field, each in data.items()}
        path = plain(theirs.Prodigy, own, steps=200)
        torch.testing.assert_close(ours[:, instance, 0], path, rtol=0, atol=1e-4)
        assert (path[-1] - path[0]).norm() > 0.1


def test_muon_steps_as_the_package_does_where_it_is_told_what_is_a_matrix():
    """Up to bfloat16, in which it orthogonalizes: a last digit may flip, and is 2⁻⁸ of a step of lr."""
    data, optimizer = draw(instances=1, dim=15), shaped(preset("zoo_muon"), SHAPES)
    for given in ({}, {"lr": 0.1, "adamw_lr": 0.05}):
        ours = walk(optimizer.replace(**given), smooth_valley, data, steps=12).points[:, 0, 0]
        path = plain(muon, data, **given)
        biases = slice(6, 9)
        lr = given.get("lr", 0.02)
        torch.testing.assert_close(ours, path, rtol=0, atol=12 * lr * 2**-8)
        assert ((ours[-1] - path[0]).abs() > lr).any()
        if not given:  # AdamW knows of the matrices by its gradients alone
            assert (ours[1] - ours[0])[biases].abs().max() == pytest.approx(3e-4, rel=1e-6)


def test_muon_gives_vectors_to_adamw_and_needs_a_matrix():
    from optimizers._zoo import Muon

    matrix, vector = (torch.nn.Parameter(torch.ones(shape)) for shape in ((2, 3), (3,)))
    groups = Muon([vector, matrix]).param_groups
    assert [(each["use_muon"], each["lr"]) for each in groups] == [(True, 0.02), (False, 3e-4)]
    assert [each["params"][0] is of for each, of in zip(groups, (matrix, vector), strict=True)]
    assert len(Muon([matrix]).param_groups) == 1
    with pytest.raises(NotApplicable, match="Muon needs a matrix"):
        Muon([vector])


def test_sophia_is_told_curvatures_by_the_oracle():
    """On a bowl ½ Σ h x²: z ⊙ Hz = z² h where all h are alike within a run's estimate, by hand.

    With p large nothing is clipped, and the tenth part of a percent of h is in the first mean.
    """
    data = {"start": torch.tensor([[[1.0, -2.0]]]).double()}
    data["normal"] = torch.tensor([2.0]).view(1, 1, 1, 1).double()
    curvatures = torch.tensor([1.0, 3.0]).double()
    optimizer = preset("zoo_sophia").replace(lr=0.001, p=1e9)
    path = walk(
        optimizer, lambda x, data: 0.5 * (curvatures * x.square()).sum(-1), data, steps=1
    ).points
    gradient, estimate = curvatures * data["start"], 2.0**2 * curvatures
    step = -0.001 * (1 - 0.96) * gradient / ((1 - 0.99) * estimate)
    assert_close(path[1] - path[0], step)


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_is_shown_runs_on_networks_and_costs_what_it_asks(name):
    optimizer = preset(name)
    assert f"optimizers.{name}.lr" in card(name)
    assert list(optimizer.space) == ["lr"]
    data = draw(instances=2, dim=15)
    found = walk(shaped(optimizer, SHAPES), smooth_valley, data, trials=2, steps=12)
    assert (found.prices == torch.tensor(PRICES.get(name, [1.0] * 12)).view(-1, 1, 1)).all()
    assert found.points.isfinite().all()
    assert (found.points[-1] != found.points[0]).any(-1).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_is_its_singles(name):
    """Nothing of one run is in another: each has its own instance. Muon's bfloat16 is explained above."""
    data, optimizer = draw(instances=3, dim=15), shaped(preset(name), SHAPES)
    rates = torch.tensor([[0.003], [0.01], [0.03]], dtype=torch.float64)
    batch = walk(optimizer.batched({"lr": rates}), smooth_valley, data, trials=3, steps=12).points
    tolerance = 12 * 0.03 * 2**-8 if name == "zoo_muon" else TOLERANCE.get(name, 1e-11)
    for instance in range(3):
        own = {field: each[[instance]] for field, each in data.items()}
        for trial in range(3):
            alone = walk(optimizer.batched({"lr": rates[[trial]]}), smooth_valley, own, steps=12)
            one = batch[:, [instance]][:, :, [trial]]
            torch.testing.assert_close(one, alone.points, rtol=0, atol=tolerance)


def test_a_schedule_reaches_every_group():
    data, optimizer = draw(instances=1, dim=15), preset("zoo_muon")
    for name in ("zoo_muon+decay", "zoo_soap+decay", "zoo_sam+decay+clip"):
        loading.find(name, "optimizer")
        walk(shaped(OPTIMIZERS[name], SHAPES), smooth_valley, data, steps=3)
    decayed = shaped(OPTIMIZERS["zoo_muon+decay"], SHAPES)
    runs, *_ = walk(decayed, smooth_valley, data, steps=4).state
    assert [each["lr"] for each in runs.instances[0].param_groups] == pytest.approx(
        [0.25 * 0.02, 0.25 * 3e-4]
    )
    assert optimizer.hyperparameters["lr"] == 0.02


def test_the_class_itself_is_not_the_preset():
    """In either order: what the preset says is said of the preset alone."""
    ranges = {"zoo_prodigy": (1e-3, 2.0, "none"), "Prodigy": (1e-5, 1e1, "length")}
    for words in (["zoo/prodigy", "pytorch_optimizer.Prodigy"], ["pytorch_optimizer.Prodigy"]):
        assert [loading.load(word, "optimizer")[0] for word in words] == [*ranges][-len(words) :]
    assert loading.load("zoo_prodigy", "optimizer") == ("zoo_prodigy", "zoo_prodigy")
    for name, (low, high, unit) in ranges.items():
        assert OPTIMIZERS[name].space == {"lr": log(low, high, unit)}
        wrapped = OPTIMIZERS[f"{name}+decay"]
        assert wrapped.space["lr"] == log(low, high, unit)


def test_presets_in_a_sweep(ravine, files):
    given = "+problem=linear_autoencoder optimizer=zoo/muon,zoo/soap+decay,adam trials=2 tuning_seeds=1 seeds=1"
    code, out, err = ravine(f"{given} budget=5 optimizers.zoo/muon.lr=0.1 out=swept")
    assert code == 0, err
    summary = pandas.read_csv(files / "swept" / "summary.csv")
    assert set(summary.optimizer) == {"zoo_muon(lr=0.1)", "zoo_soap+decay", "adam"}
    code, out, err = ravine("+problem=cliff optimizer=zoo/muon,adam trials=1 seeds=1 budget=5")
    assert code == 0, err
    assert "Muon needs a matrix among the parameters" in out


def test_presets_in_python():
    found = sweep(
        "linear_autoencoder",
        ["zoo/sam", "zoo/shampoo"],
        trials=2,
        tuning_seeds=1,
        seeds=1,
        budget=6,
    )
    assert found.summary["optimizer"].unique().tolist() == ["zoo_sam", "zoo_shampoo"]
    assert found.runs.query("optimizer == 'zoo_sam'")["steps"].max() == 3


def test_presets_in_worker_processes(files):
    from tests.benchmarks.test_command import start

    given = "+problem=quadratic optimizer=zoo/sam+clip trials=2 seeds=1 budget=4 out=swept"
    done = start("-m", "benchmarks", *given.split(), "hydra/launcher=joblib", folder=files)
    _, err = done.communicate(timeout=120)
    assert done.returncode == 0, err
    summary = pandas.read_csv(files / "swept" / "summary.csv")
    assert set(summary.optimizer) == {"zoo_sam+clip"}


def test_help_needs_no_package(ravine, monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_optimizer", None)
    assert "zoo/soap" in ravine("--help").out
