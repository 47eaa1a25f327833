"""What is known about Rastrigin's ripples, beside the claims."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from problems.local_minima._certificates.rastrigin import SINGLE
from problems.local_minima.rastrigin import Rastrigin
from ravine import Refused


def pairs_by_roots(amplitude):
    """How many roots u of tan u = u with sin u < 0 have √(1 + u²) ≤ 2π²A: on each branch, by bisection."""
    count = 0
    while True:
        low, high = (2 * count + 1) * math.pi, (2 * count + 1.5) * math.pi - 1e-12
        for _ in range(80):
            middle = (low + high) / 2
            low, high = (middle, high) if math.tan(middle) < middle else (low, middle)
        if math.sqrt(1 + low**2) > 2 * math.pi**2 * amplitude:
            return count
        count += 1


@pytest.mark.parametrize("amplitude", [0.0, 0.05, 0.23, 0.24, 0.5, 0.6, 1.0, 3.0, 10.0])
def test_traps_appear_where_the_condition_says(amplitude):
    assert len(Rastrigin(amplitude=amplitude).traps()) == pairs_by_roots(amplitude)


def test_one_trap_at_the_default_and_thirty_one_at_the_classical_amplitude():
    assert [len(Rastrigin(amplitude=a).traps()) for a in (0.05, 0.3, 1.0, 10.0)] == [0, 1, 3, 31]
    below, above = SINGLE * (1 - 1e-6), SINGLE * (1 + 1e-6)
    assert [len(Rastrigin(amplitude=a).traps()) for a in (below, above)] == [0, 1]


def test_walls_and_traps_alternate_and_are_stationary():
    problem = Rastrigin(dim=1, amplitude=10.0)
    z = torch.tensor([0.0, *(each for pair in problem.traps() for each in pair)])
    assert (z.diff() > 0).all()
    slope = 2 * z + 20 * math.pi * (2 * math.pi * z).sin()
    curvature = 2 + 40 * math.pi**2 * (2 * math.pi * z).cos()
    assert slope.abs().max() < 1e-9
    assert (curvature[::2] > 0).all()
    assert (curvature[1::2] < 0).all()


def test_the_function_is_rastrigins():
    """10 n + Σ (z² − 10 cos 2πz), at a whole and a half number."""
    problem = Rastrigin(dim=2, amplitude=10.0)
    values = problem.landscape(torch.tensor([[1.0, 2.0], [0.5, 1.5]]))
    torch.testing.assert_close(values, torch.tensor([5.0, 0.25 + 2.25 + 40]))


def test_ripples_couple_no_coordinates_and_their_height_is_the_amplitudes():
    z = torch.randn(20, 3)
    low, high = (replace(Rastrigin(dim=3), amplitude=a).landscape(z) for a in (1.0, 3.0))
    torch.testing.assert_close(high - low, 2 * (1 - (2 * math.pi * z).cos()).sum(-1))
    single = Rastrigin(dim=1, amplitude=1.0).landscape(z[..., None]).sum(-1)
    torch.testing.assert_close(low, single)


def test_refuses_what_would_make_the_truth_false():
    for fields in ({"dim": 0}, {"amplitude": -0.1}):
        with pytest.raises(Refused, match=r"rastrigin\."):
            Rastrigin(**fields)
