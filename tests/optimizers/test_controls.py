"""The controls: one does nothing, the other only guesses."""

from __future__ import annotations

import torch

from optimizers import OPTIMIZERS
from optimizers.controls import Idle, RandomSearch


def test_both_are_controls():
    controls = {name for name, each in OPTIMIZERS.items() if each.role == "control"}
    assert controls == {"idle", "random_search"}


def test_idle_stays(walk, draw, valley):
    points = walk(Idle(), valley, draw(), trials=2, steps=5).points
    assert torch.equal(points, points[:1].expand_as(points))


def test_random_search_moves_by_its_radius_and_only_downhill(walk, draw, valley):
    data = draw()
    points = walk(RandomSearch(radius=0.2), valley, data).points
    values = valley(points, data)
    steps, numbers = points.diff(dim=0), data["normal"].movedim(2, 0)
    moved = (steps != 0).any(-1)
    assert (values.diff(dim=0)[moved] < 0).all()
    torch.testing.assert_close(steps[moved], 0.2 * numbers[moved], rtol=1e-9, atol=1e-12)
    tried = valley(points[:-1] + 0.2 * numbers, data)
    assert torch.equal(moved, tried < values[:-1])
    assert 0 < moved.double().mean() < 1
