"""What every registered optimizer promises."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import pytest
import torch

from benchmarks.engine.instances import Instances
from benchmarks.engine.loop import run
from optimizers import OPTIMIZERS, NotApplicable
from optimizers.learning_rate_unit import measured_unit
from ravine import Refused
from ravine.fields import BOUNDS
from tests.benchmarks.problems_for_tests import Bowl


@dataclass(frozen=True)
class Poisoned(Bowl):
    """A bowl that for one instance in two has no gradient at the start."""

    def instance(self, generator):
        return {**super().instance(generator), "bad": torch.rand((), generator=generator).round()}

    def loss(self, x, data):
        return super().loss(x, data) + data["bad"] * (x - data["start"]).square().sum(-1).sqrt()

    def residuals(self, x, data):
        return self.steepness**0.5 * (x - data["minimizer"])


@pytest.fixture
def walk(walk):
    """A walk, or a skipped test where the loss has not what a method needs."""

    def applicable(*given, **more):
        try:
            return walk(*given, **more)
        except NotApplicable as reason:
            pytest.skip(str(reason))

    return applicable


every = pytest.mark.parametrize("name", list(OPTIMIZERS))


def three_values(optimizer, name):
    """The default and a value on each side of it."""
    value = optimizer.hyperparameters[name]
    if optimizer.space[name].scale == "complement":
        return [1 - 2 * (1 - value), value, 1 - (1 - value) / 2]
    return [value / 2, value, 1.5 * value]


@every
def test_a_batch_is_its_runs_one_by_one(walk, draw, valley, name):
    optimizer, data = OPTIMIZERS[name], draw()
    values = {each: three_values(optimizer, each) for each in optimizer.space}
    tensors = {
        each: torch.tensor(given, dtype=torch.float64).unsqueeze(-1)
        for each, given in values.items()
    }
    together = walk(optimizer.batched(tensors), valley, data, trials=3, steps=20)
    for trial in range(3):
        alone = optimizer.replace(**{each: given[trial] for each, given in values.items()})
        for instance in range(3):
            own = {each: given[instance : instance + 1] for each, given in data.items()}
            single = walk(alone, valley, own, steps=20)
            # BLAS sums in another order in a batch, and the Hessians' condition enlarges that.
            torch.testing.assert_close(
                together.points[:, instance, trial], single.points[:, 0, 0], rtol=1e-8, atol=1e-10
            )
            torch.testing.assert_close(
                together.prices[:, instance, trial], single.prices[:, 0, 0], check_dtype=False
            )


@every
def test_stays_where_nothing_leads_away(walk, draw, name):
    data = draw()
    points = walk(OPTIMIZERS[name], lambda x, data: (0 * x).sum(-1), data, steps=10).points
    moved = not torch.equal(points, points[:1].expand_as(points))
    assert moved == OPTIMIZERS[name].moves_at_rest


@every
@pytest.mark.parametrize("dim", [1, 3])
def test_survives_a_linear_loss(walk, draw, name, dim):
    data = draw(dim=dim)
    points = walk(OPTIMIZERS[name], lambda x, data: x.sum(-1), data, steps=10).points
    assert points.isfinite().all()


@every
@pytest.mark.parametrize("direction", [(1.0, 1.0, 1.0), (0.3, -1.7, 0.9)])
def test_survives_a_singular_hessian(walk, draw, name, direction):
    normal = torch.tensor(direction, dtype=torch.float64)
    data = draw()

    def trough(x, data):
        return 0.5 * (x * normal).sum(-1) ** 2

    points = walk(OPTIMIZERS[name], trough, data, steps=20).points
    assert points.isfinite().all()
    assert (trough(points[-1], data) <= trough(points[0], data)).all()


@every
def test_a_gradient_that_is_nan_ends_its_run_and_no_other(name):
    problem = Poisoned()
    instances = Instances(problem, tuple("abcdef"))
    bad = instances.data["bad"].flatten().bool()
    assert bad.any()
    assert not bad.all()
    sound = Instances(problem, tuple(c for c, lost in zip("abcdef", bad, strict=True) if not lost))
    mixed, alone = (
        run(OPTIMIZERS[name], each, trials=1, budget=60, record=False)
        for each in (instances, sound)
    )
    status = [row[0] for row in mixed.status]
    if (mixed.numbers["gradients"] > 0).all():
        assert [each == "diverged" for each in status] == bad.tolist()
    assert [each for each, lost in zip(status, bad, strict=True) if not lost] == [
        row[0] for row in alone.status
    ]
    for number in ("gap_final", "cost"):
        torch.testing.assert_close(
            mixed.numbers[number][~bad], alone.numbers[number], rtol=1e-8, atol=1e-12
        )


@every
def test_the_step_is_a_function_of_its_arguments(walk, draw, valley, name):
    data = draw()
    first, second = (walk(OPTIMIZERS[name], valley, data, steps=20) for _ in range(2))
    assert torch.equal(first.points, second.points)


@every
def test_every_number_has_its_bounds_and_is_held_to_them(name):
    optimizer = OPTIMIZERS[name]
    parts = (getattr(optimizer, "inner", optimizer), optimizer)
    fields = {each.name: each for part in parts for each in dataclasses.fields(part)}
    numbers = [
        each for each, value in optimizer.hyperparameters.items() if isinstance(value, float)
    ]
    for each in numbers:
        limits = fields[each].metadata[BOUNDS]
        outside = [math.nan, math.inf, -math.inf, "fast", None, True]
        outside += [limits["low"] - 1] + ([limits["low"]] if limits["open_low"] else [])
        outside += [limits["high"]] if limits["open_high"] else []
        for value in outside:
            with pytest.raises(Refused) as refusal:
                optimizer.replace(**{each: value})
            assert each in str(refusal.value)
            assert "\n" not in str(refusal.value)


@every
def test_the_unit_of_the_learning_rate_is_the_measured_one(name):
    optimizer = OPTIMIZERS[name]
    if "lr" in optimizer.space:
        assert measured_unit(optimizer) == optimizer.space["lr"].unit


@every
def test_searches_at_most_two_of_its_hyperparameters(name):
    optimizer = OPTIMIZERS[name]
    assert len(optimizer.space) <= 2
    assert set(optimizer.space) <= set(optimizer.hyperparameters)
    discounts = {each.discount for each in optimizer.space.values()} - {None}
    assert discounts <= set(optimizer.hyperparameters)


@every
def test_says_whether_it_asks_for_hessians(walk, draw, valley, name):
    optimizer, data = OPTIMIZERS[name], draw()
    asked = walk(optimizer, valley, data, steps=3).hessians
    assert optimizer.uses_hessian == (asked > 0)
