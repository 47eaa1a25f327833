"""What every registered problem promises, from its name to its Hessian.

The tests are a ladder: the first red one says what is wrong. Registering is being tested; promises
that a problem does not keep stand on its card, with the reason.
"""

from __future__ import annotations

import dataclasses
import math
import re
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
import torch

from optimizers import OPTIMIZERS
from problems import PROBLEMS, Problem
from ravine import Refused

PROTOTYPES = [pytest.param(problem, id=name) for name, problem in PROBLEMS.items()]
RUNGS = [
    pytest.param(problem.at_dial(rung), id=f"{name}-{rung:g}")
    for name, problem in PROBLEMS.items()
    for rung in problem.card.ladder
]
PROMISES = {"random_search", "reference", "start_gradient", "smooth", "ranked"}
SEEDS = (0, 1, 2)
SMALL = 200  # dimensions up to which a dense Hessian is compared


def generator(seed):
    return torch.Generator().manual_seed(seed)


@lru_cache(maxsize=16)
def draw(problem, seed):
    return problem.instance(generator(seed))


def leaves(tree):
    for leaf in tree.values():
        yield from leaves(leaf) if isinstance(leaf, dict) else [torch.as_tensor(leaf)]


def mapped(change, *trees):
    """A tree of the same names, whose leaves are what `change` makes of the trees' leaves."""
    return {
        name: mapped(change, *(tree[name] for tree in trees))
        if isinstance(leaf, dict)
        else change(*(torch.as_tensor(tree[name]) for tree in trees))
        for name, leaf in trees[0].items()
    }


def stack(trees):
    """Leaves with leading dimensions (instances, 1), as whoever runs many instances stacks them."""
    return mapped(lambda *leaves: torch.stack(leaves).unsqueeze(1), *trees)


def in_its_dtype(problem, tree) -> Any:
    dtype = getattr(torch, problem.card.cell.dtype)
    return mapped(lambda leaf: leaf.to(dtype) if leaf.is_floating_point() else leaf, tree)


def scales(problem, data):
    """The start's height over the floor, its gradient's norm, and the length they make."""
    value, gradient = problem.value_and_gradient(data["start"], data)
    height, slope = float(value - problem.floor(data)), float(gradient.norm())
    return height, slope, 2 * height / slope if slope > 0 else float(data["start"].norm())


def around(problem, data, center, lengths, seed):
    """A point at each of these lengths from `center`, in random directions."""
    directions = torch.randn(len(lengths), center.shape[-1], generator=generator(seed))
    points = center + lengths[:, None] * directions / directions.norm(dim=-1, keepdim=True)
    return torch.stack([problem.project(point, data) for point in points])


def some_points(problem, data, seed=0):
    """The start, and points within a length of it."""
    *_, length = scales(problem, data)
    near = around(problem, data, data["start"], length * torch.tensor([0.03, 0.3, 1.0]), seed)
    return [data["start"], *near]


def assert_close(actual, expected, tolerance):
    """Equal up to `tolerance` of the largest entry."""
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    scale = float(expected.abs().max()) if expected.numel() else 0.0
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance * scale)


# The name, the fields and the card.


@pytest.mark.parametrize("problem", PROTOTYPES)
def test_one_name(problem, request):
    name = request.node.callspec.id
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z0-9]*|[0-9]+", type(problem).__name__)
    assert name == "_".join(words).lower()
    assert type(problem).__module__.endswith(f".{name}")


@pytest.mark.parametrize("problem", PROTOTYPES)
def test_card_is_complete(problem):
    card = problem.card
    for text in (card.signature, card.truth, card.source, *card.exceptions.values()):
        assert text.strip()
    assert set(card.exceptions) <= PROMISES
    assert card.scale in ("log", "linear", "list")
    assert 0 < card.target < 1
    assert problem.budget > 0
    assert math.isfinite(card.threshold)
    assert (type(problem).__doc__ or "").strip()


@pytest.mark.parametrize("problem", PROTOTYPES)
def test_card_names_optimizers_that_exist(problem):
    name, values = problem.card.reference
    OPTIMIZERS.find(name).replace(**values)
    for name, breaking_point in problem.card.theory.items():
        OPTIMIZERS.find(name)
        assert breaking_point(problem, problem.budget) > -math.inf


@pytest.mark.parametrize("problem", PROTOTYPES)
def test_ladder_goes_from_harmless_to_extreme(problem):
    ladder = problem.card.ladder
    steps = [after - before for before, after in pairwise(ladder)]
    assert steps
    assert all(step > 0 for step in steps) or all(step < 0 for step in steps)
    assert problem.card.scale != "log" or min(ladder) > 0
    for rung in ladder:
        assert problem.at_dial(rung).dial == rung


@pytest.mark.parametrize("problem", PROTOTYPES)
def test_bad_fields_are_refused_in_one_line(problem):
    for name, kind in get_type_hints(type(problem)).items():
        if name not in {field.name for field in dataclasses.fields(problem)}:
            continue
        if kind is float:
            bad = [math.nan, math.inf, "much"]
        elif kind is int:
            bad = [0.5, -1, math.nan, "many"]
        elif get_origin(kind) is Literal:
            bad = [f"{get_args(kind)[0]}x"]
        else:
            continue
        for value in bad:
            with pytest.raises(Refused) as refused:
                dataclasses.replace(problem, **{name: value})
            assert name in str(refused.value)
            assert "\n" not in str(refused.value)
            if get_origin(kind) is Literal:
                assert get_args(kind)[0] in str(refused.value)


# The start.


@pytest.mark.parametrize("problem", RUNGS)
def test_same_seed_same_instance_in_any_order(problem):
    before = torch.get_rng_state()
    first = [problem.instance(generator(seed)) for seed in (0, 1)]
    second = [problem.instance(generator(seed)) for seed in (1, 0)]
    assert torch.equal(torch.get_rng_state(), before)
    for one, same in zip(first, reversed(second), strict=True):
        for leaf, other in zip(leaves(one), leaves(same), strict=True):
            assert torch.equal(leaf, other)
    assert not torch.equal(first[0]["start"], first[1]["start"])


@pytest.mark.parametrize("problem", RUNGS)
def test_start_has_something_to_do(problem):
    for seed in SEEDS:
        data = in_its_dtype(problem, draw(problem, seed))
        start = data["start"]
        value, gradient = problem.value_and_gradient(start, data)
        assert torch.isfinite(start).all()
        assert value.isfinite()
        assert value > problem.floor(data)
        assert gradient.isfinite().all()
        assert bool(gradient.any()) != ("start_gradient" in problem.card.exceptions)
        assert not problem.solved(start, torch.ones_like(value), gradient, data)


@pytest.mark.parametrize("problem", RUNGS)
def test_draws_repeat(problem):
    data = draw(problem, 0)
    streams = [problem.draws(data, generator(seed)) for seed in (0, 0, 1)]
    if streams[0] is None:
        assert type(problem).sampled_loss is Problem.sampled_loss
        return
    items = [[list(leaves(next(stream))) for _ in range(3)] for stream in streams]
    same, other = zip(*items[:2], strict=True), zip(items[0], items[2], strict=True)
    assert all(torch.equal(a, b) for pair in same for a, b in zip(*pair, strict=True))
    assert any(not torch.equal(a, b) for pair in other for a, b in zip(*pair, strict=True))


# The value.


@pytest.mark.parametrize("problem", RUNGS)
def test_minimizers_are_minimizers(problem):
    data = draw(problem, 0)
    minimizers = problem.minimizers(data)
    if minimizers is None:
        return
    height, slope, _ = scales(problem, data)
    assert minimizers.shape[1:] == data["start"].shape
    for point in minimizers:
        value, gradient = problem.value_and_gradient(point, data)
        # What is written and what is computed agree to rounding; what is left of the gradient is
        # the minimizer's own rounding times the curvature.
        assert abs(float(value - problem.floor(data))) <= 1e-12 * height
        assert float(gradient.norm()) <= 1e-7 * (slope or 1)
        torch.testing.assert_close(problem.project(point, data), point)
        distance = problem.distance(point, data)
        assert distance is None or float(distance) <= 1e-12 * (1 + float(point.norm()))


@pytest.mark.parametrize("problem", RUNGS)
def test_nothing_lies_below_the_floor(problem):
    data = draw(problem, 0)
    if not problem.card.floor_is_minimum:
        return
    height, _, length = scales(problem, data)
    lengths = length * torch.logspace(-3, 1, 200)
    minimizers = problem.minimizers(data)
    centers = [data["start"], *([] if minimizers is None else minimizers[:4])]
    for seed, center in enumerate(centers):
        values = problem.loss(around(problem, data, center, lengths, seed), data)
        assert values.shape == (200,)
        lowest = problem.floor(data) - 1e-12 * height  # rounding
        assert not (values < lowest).any()


# The gradient and the Hessian.


@pytest.mark.parametrize("problem", RUNGS)
def test_loss_has_the_gradient_that_differences_see(problem):
    if "smooth" in problem.card.exceptions:
        return
    data = draw(problem, 0)
    height, _, length = scales(problem, data)

    def scaled(units):
        """The relative gap as a function of lengths: both near 1 whatever the units are."""
        return (problem.loss(data["start"] + length * units, data) - problem.floor(data)) / height

    for point in some_points(problem, data):
        units = ((point - data["start"]) / length).requires_grad_()
        assert torch.autograd.gradcheck(scaled, units, fast_mode=len(units) > SMALL)


@pytest.mark.parametrize("problem", RUNGS)
def test_closed_forms_are_the_derivatives_of_the_loss(problem):
    data = draw(problem, 0)
    vector = torch.randn(data["start"].shape, generator=generator(0))
    rounding = 1e-10  # closed forms and autograd add in different orders

    def check(loss, point, pair, product, hessian):
        value, gradient = pair
        assert not value.requires_grad
        assert not gradient.requires_grad
        expected, expected_value = torch.func.grad_and_value(loss)(point)
        assert_close(value, expected_value, rounding)
        assert_close(gradient, expected, rounding)
        twice = torch.func.grad(lambda x: torch.func.grad(loss)(x) @ vector)(point)
        assert_close(product, twice, rounding)
        if len(point) <= SMALL:
            assert_close(hessian(), torch.func.hessian(loss)(point), rounding)

    stream = problem.draws(data, generator(0))
    for x in some_points(problem, data):
        pair = torch.stack([vector, x])
        products = torch.stack([problem.hvp(x, data, each) for each in pair])
        assert_close(problem.hvp(x, data, pair), products, rounding)
        check(
            lambda point: problem.loss(point, data),
            x,
            problem.value_and_gradient(x, data),
            problem.hvp(x, data, vector),
            lambda x=x: problem.hessian(x, data),
        )
        if stream is not None:
            noise = next(stream)
            check(
                lambda point, noise=noise: problem.sampled_loss(point, data, noise),
                x,
                problem.sampled_value_and_gradient(x, data, noise),
                problem.sampled_hvp(x, data, noise, vector),
                lambda x=x, noise=noise: problem.sampled_hessian(x, data, noise),
            )


def answers(problem, x, data, noise, vector):
    """Everything that a problem says about points, by name."""
    value, gradient = problem.value_and_gradient(x, data)
    height = problem.loss(data["start"], data) - problem.floor(data)
    gap = (value - problem.floor(data)) / height
    said = {
        "loss": problem.loss(x, data),
        "value": value,
        "gradient": gradient,
        "hvp": problem.hvp(x, data, vector),
        "project": problem.project(x, data),
        "gap": gap,
        "solved": problem.solved(x, gap, gradient, data).double(),
        "seen": problem.seen(gradient, data, noise, None)[0],
    }
    if noise is not None:
        said["sampled_loss"] = problem.sampled_loss(x, data, noise)
        said["sampled_gradient"] = problem.sampled_value_and_gradient(x, data, noise)[1]
        said["sampled_hvp"] = problem.sampled_hvp(x, data, noise, vector)
    if (distance := problem.distance(x, data)) is not None:
        said["distance"] = distance
    if x[..., 0].numel() * x.shape[-1] ** 2 <= 2e6:  # of numbers in the batch of Hessians
        said["hessian"] = problem.hessian(x, data)
    return said


@pytest.mark.parametrize("problem", RUNGS)
def test_batch_is_the_stack_of_its_singles(problem):
    """Also with as many trials and instances as dimensions: a wrong line-up then does not raise."""
    dim = len(draw(problem, 0)["start"])
    for runs in {3, dim if dim <= 100 else 3}:
        trees = [draw(problem, SEEDS[k % len(SEEDS)]) for k in range(runs)]
        streams = [problem.draws(tree, generator(k)) for k, tree in enumerate(trees)]
        noises = [None if stream is None else next(stream) for stream in streams]
        x = torch.stack(
            [
                around(problem, tree, tree["start"], torch.ones(runs), k)
                for k, tree in enumerate(trees)
            ]
        )
        vectors = torch.randn(x.shape, generator=generator(0))
        noise = None if noises[0] is None else stack(noises)
        batch = answers(problem, x, stack(trees), noise, vectors)
        for i, j in {(0, 0), (0, runs - 1), (runs - 1, 0), (runs // 2, runs // 3)}:
            single = answers(problem, x[i, j], trees[i], noises[i], vectors[i, j])
            for name, answer in batch.items():
                # BLAS adds in another order for another shape.
                assert_close(answer[i, j], single[name], 1e-10)


# The pathology.


@pytest.mark.parametrize("problem", PROTOTYPES)
def test_signature_proves_the_pathology_and_fails_on_the_control(problem):
    for rung in (problem, problem.at_dial(problem.card.ladder[-1])):
        assert rung.control() != rung
        for seed in SEEDS:
            assert rung.signature(draw(rung, seed)) >= problem.card.threshold
            assert rung.control().signature(draw(rung.control(), seed)) < problem.card.threshold
