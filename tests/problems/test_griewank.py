"""Griewank's bowl and its product of cosines."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch

from problems.local_minima._certificates.griewank import FIRST, SINGLE
from problems.local_minima.griewank import Griewank
from ravine import Refused


def test_the_function_is_griewanks():
    z = torch.tensor([[3.0, -2.0, 5.0]])
    cosines = math.cos(3.0) * math.cos(2 / math.sqrt(2)) * math.cos(5 / math.sqrt(3))
    wanted = 1 + 38 / 4000 - cosines
    assert Griewank(dim=3, ripple=1.0).landscape(z).item() == pytest.approx(wanted)


def test_the_constants_solve_their_equations():
    assert math.tan(FIRST) == pytest.approx(FIRST)
    s = torch.linspace(1e-3, 50, 500_001)
    assert pytest.approx(1 / (2000 * (-s.sin() / s).max().item()), rel=1e-8) == SINGLE


def test_the_product_of_cosines_is_a_mean_over_signs():
    """On which the proof that there is one critical point rests."""
    u = torch.randn(20, 4)
    signs = torch.tensor(list(product((-1.0, 1.0), repeat=4)))
    torch.testing.assert_close(u.cos().prod(-1), (u @ signs.T).cos().mean(-1))


def test_the_ripple_fades_as_dimensions_are_added():
    """The mean of |Π cos| over the box is (2/π)^dim."""
    generator = torch.Generator().manual_seed(0)
    for dim in (2, 5, 10):
        problem = Griewank(dim=dim, ripple=1.0)
        z = problem.first(torch.rand(50_000, dim, generator=generator))
        ripple = 1 + z.square().sum(-1) / 4000 - problem.landscape(z)
        assert ripple.abs().mean().item() == pytest.approx((2 / math.pi) ** dim, rel=0.1)


def test_refuses_what_would_make_the_truth_false():
    for fields in ({"dim": 0}, {"ripple": -0.1}):
        with pytest.raises(Refused, match=r"griewank\."):
            Griewank(**fields)
