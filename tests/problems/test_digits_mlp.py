"""What is known about a small network on digits, beside the claims."""

from __future__ import annotations

import pytest
import torch

from benchmarks.checks.contracts import has_the_stated_critical_points
from problems.saddles.digits_mlp import DigitsMlp


def test_the_network_is_the_one_that_is_written():
    problem = DigitsMlp(hidden=3)
    data = problem.example()
    x = 0.5 * torch.randn(problem.dim, generator=torch.Generator().manual_seed(0))
    inner, outer = x[:51].view(3, 17), x[51:].view(10, 4)
    logits = (data["inputs"] @ inner.T).tanh() @ outer[:, :3].T + outer[:, 3]
    expected = torch.nn.functional.cross_entropy(logits, data["wanted"].argmax(-1))
    torch.testing.assert_close(problem.loss(x, data), expected)
    assert problem.shapes == ((3, 17), (10, 4))


def test_one_unit_has_the_stated_saddle_too():
    has_the_stated_critical_points(DigitsMlp(hidden=1))


def test_instances_are_500_different_digits_each_and_weights_of_the_stated_size():
    problem = DigitsMlp()
    one, other = problem.example(0), problem.example(1)
    assert one["inputs"].shape == (500, 17)
    assert (one["wanted"].sum(-1) == 1).all()
    assert (one["inputs"][:, -1] == 1).all()
    assert len(one["inputs"].unique(dim=0)) == 500
    assert not torch.equal(one["inputs"], other["inputs"])
    assert one["start"].std().item() == pytest.approx(problem.start, rel=0.2)
