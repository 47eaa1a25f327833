"""Set splitting as a network's training set: colourings are weights without error, and conversely."""

from __future__ import annotations

import itertools

import pytest
import torch

from problems.limits._certificates import blum_rivest as evidence
from problems.limits.blum_rivest import BlumRivest
from problems.limits.set_splitting import colorings
from ravine import Refused


def triples_of(problem, data):
    return data["inputs"][problem.elements + 1 :].bool()


def test_the_examples_are_the_reduction():
    problem = BlumRivest(elements=12, ratio=2.5)
    data = problem.example()
    assert data["inputs"].shape == (1 + 12 + 30, 12)
    assert not data["inputs"][0].any()
    assert torch.equal(data["inputs"][1:13], torch.eye(12))
    assert (triples_of(problem, data).sum(-1) == 3).all()
    assert data["positive"].tolist() == [True] + 12 * [False] + 30 * [True]


def test_colorings_are_found_by_trying_all():
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        sets = torch.rand(6, 6, generator=generator) < 0.5
        sets = sets[sets.sum(-1) >= 2]
        found = set()
        for bits in itertools.product((False, True), repeat=5):
            colors = torch.tensor([*bits, False])
            if all(0 < colors[each].sum() < each.sum() for each in sets):
                found.add(sum(1 << k for k, color in enumerate(colors.tolist()) if color))
        assert set(colorings(sets, 6).tolist()) == found
    assert len(colorings(torch.zeros(0, 6, dtype=torch.bool), 6)) == 32


def test_the_planted_colouring_is_among_those_found():
    problem = BlumRivest(elements=9)
    for seed in range(5):
        data = problem.example(seed)
        colors = data["colors"] ^ data["colors"][-1]  # the last has colour 0
        bits = (colors.long() << torch.arange(9)).sum()
        assert (colorings(triples_of(problem, data), 9) == bits).any()


def test_every_colouring_is_weights_without_error_and_no_other_is():
    problem = BlumRivest(elements=6)
    data = problem.example()
    good = set(colorings(triples_of(problem, data), 6).tolist())
    assert good
    for bits in range(1, 32):
        colors = (torch.tensor(bits) >> torch.arange(6)) % 2 == 1
        errors = problem.errors(evidence.planted(problem, {**data, "colors": colors}), data)
        assert (errors == 0) == (bits in good)


def test_weights_without_error_are_a_colouring():
    """The other half of the theorem, on random weights that make no error on four elements."""
    problem = BlumRivest(elements=4, ratio=1.0)
    data = problem.example()
    x = torch.randn(400_000, 10, generator=torch.Generator().manual_seed(0))
    x = x[problem.errors(x, data) == 0]
    assert len(x) > 10
    good = set(colorings(triples_of(problem, data), 4).tolist())
    below = (x[:, 0:1] + x[:, 1:5]) <= 0  # the first plane cuts this element's vector off
    below = below ^ below[:, 3:]
    found = (below.long() << torch.arange(4)).sum(-1)
    assert set(found.tolist()) <= good


def test_the_loss_is_cross_entropy_and_keeps_its_digits():
    problem = BlumRivest(elements=5)
    data = problem.example()
    a, b = problem._fields(data["start"], data).unbind(-1)
    p = a.sigmoid() * b.sigmoid()
    expected = torch.nn.functional.binary_cross_entropy(p, data["positive"].double())
    assert problem.loss(data["start"], data).item() == pytest.approx(expected.item())
    for scale in (1e2, 1e3, 1e6):
        value, gradient = problem.value_and_gradient(scale * data["start"], data)
        assert value.isfinite()
        assert gradient.isfinite().all()
        assert problem.loss(scale * evidence.planted(problem, data), data) < 1e-20


def test_one_plane_gets_all_but_the_origin():
    for elements in (4, 10, 20):
        problem = BlumRivest(elements=elements)
        data = problem.example()
        x = evidence.one_plane(problem)
        assert problem.errors(x, data) == 1
        fields = problem._fields(x, data)
        assert (fields[0] < 0).all()


def test_solved_is_no_error():
    problem = BlumRivest()
    data = problem.example()
    x = torch.stack([evidence.planted(problem, data), evidence.one_plane(problem), data["start"]])
    gap = torch.tensor([1.0, 0.0, 0.0])
    assert problem.solved(x, gap, None, data).tolist() == [True, False, False]
    assert problem.at_end(x, gap, data)["errors"].tolist()[:2] == [0, 1]


def test_refuses_too_many_to_try():
    with pytest.raises(Refused, match=r"blum_rivest.elements is 25, but must be a whole number"):
        BlumRivest(elements=25)
