"""Orders of examples are orders, and the variances that they lead to are the exact ones."""

from __future__ import annotations

import itertools

import pytest
import torch

from problems.inexact_gradients._certificates.ordering import cyclic_variance, reshuffled_variance
from problems.inexact_gradients.constant_rates import correlated_variance
from problems.inexact_gradients.ordering import Ordering
from problems.inexact_gradients.sampled import first_draws
from ravine import Refused


def errors(problem, steps):
    data = problem.example()
    return first_draws(problem, data, steps)["example"] - data["means"]


def in_order(order, **fields):
    return Ordering(order=order, correlation=0.0, **fields)


# The orders.


@pytest.mark.parametrize("order", ["reshuffled", "cyclic", "sorted"])
def test_an_epoch_is_the_data_set(order):
    problem = in_order(order, examples=7, dim=3)
    epochs = errors(problem, 28).unflatten(0, (4, 7))
    expected = problem.quantiles()[:, None].expand(4, 7, 3)
    torch.testing.assert_close(epochs.sort(1).values, expected)
    again = (epochs[0] == epochs[1]).all()
    assert again == (order != "reshuffled")
    assert not torch.equal(epochs[:, :, 0], epochs[:, :, 1]) or order == "sorted"


def test_sorted_examples_rise_or_fall():
    epoch = errors(in_order("sorted", examples=9, dim=12), 9)
    steps = epoch.diff(dim=0).sign()
    assert (steps == steps[0]).all()
    assert set(steps[0].tolist()) == {-1.0, 1.0}


def test_a_data_set_has_mean_0_and_variance_1():
    quantiles = Ordering(examples=100).quantiles()
    assert quantiles.mean().abs() < 1e-14
    assert quantiles.square().mean() == pytest.approx(1)
    assert (quantiles.diff() > 0).all()


# The variances.


def test_correlated_variance_is_the_sum_over_pairs_of_steps():
    for lr, rho, a in [(0.1, 0.9, 0.9), (1.5, 0.5, -0.5), (0.1, -0.9, 0.9)]:
        lags = torch.arange(600)
        weights = lr * a**lags
        pairs = weights[:, None] * weights * rho ** (lags[:, None] - lags).abs()
        assert correlated_variance(lr, rho) == pytest.approx(pairs.sum().item(), rel=1e-9)


@pytest.mark.parametrize("examples", [2, 3, 5])
def test_variances_of_orders_are_the_means_over_all_of_them(examples):
    """Over every permutation: reshuffled, x² is left² of what it was and the square of the sum."""
    lr, z = 0.3, in_order("cyclic", examples=examples).quantiles()
    weights = lr * (1 - lr) ** torch.arange(examples - 1, -1, -1)
    orders = torch.tensor(list(itertools.permutations(range(examples))))
    square = (z[orders] @ weights).square().mean().item()
    left = (1 - lr) ** examples
    assert reshuffled_variance(lr, examples) == pytest.approx(square / (1 - left**2))
    assert cyclic_variance(lr, examples) == pytest.approx(square / (1 - left) ** 2)


def test_only_a_sorted_data_set_has_the_signature():
    for order in ("reshuffled", "cyclic", "sorted"):
        signature = in_order(order).signature(in_order(order).example())
        assert signature > 3 if order == "sorted" else signature < 1


# The rungs.


def test_the_reference_comes_to_rest_within_half_the_target():
    card = Ordering.card
    assert card.target >= 2 * correlated_variance(card.reference[1]["lr"], card.ladder[1])


def test_theory_breaks_between_the_rungs():
    problem = Ordering()
    _, middle, last = problem.card.ladder
    assert middle < problem.card.theory["sgd"](problem, 1000) < last
    assert problem.card.theory["sgd"](problem, 300) < problem.card.theory["sgd"](problem, 1000)


def test_a_thousand_examples_at_the_last_rung_are_six():
    """The variance of the best linear estimate of their mean is 1/(1ᵀ R⁻¹ 1)."""
    lags = torch.arange(1000.0)
    alike = Ordering.card.ladder[-1] ** (lags[:, None] - lags).abs()
    variance = 1 / torch.linalg.solve(alike, torch.ones(1000, 1)).sum()
    assert variance.sqrt() == pytest.approx(0.41, abs=0.005)
    assert 1 / variance == pytest.approx(6, abs=0.05)
    assert variance > Ordering.card.target


def test_bad_fields_are_refused():
    for fields, message in [
        ({"correlation": 1.0}, "ordering.correlation"),
        ({"examples": 1}, "ordering.examples"),
        ({"order": "random"}, "ordering.order is 'random'"),
        ({"order": "sorted", "correlation": 0.5}, "must be 0 where order is sorted"),
    ]:
        with pytest.raises(Refused, match=message):
            Ordering(**fields)
