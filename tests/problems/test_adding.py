"""What is known about adding marked numbers, measured on ours by plain loops."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from problems.long_term_dependencies._certificates import adding as evidence
from problems.long_term_dependencies.adding import Adding
from ravine import Refused


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def tensors(problem, x):
    parts = x.split([math.prod(shape) for shape in problem.shapes])
    return [part.view(shape) for part, shape in zip(parts, problem.shapes, strict=True)]


def one_by_one(problem, x, examples):
    """The mean loss, a sequence at a time, in the words of the task."""
    recurrent, inward, bias, outward, answer = tensors(problem, x)
    losses = []
    for k in range(examples["values"].shape[1]):
        state = torch.zeros(problem.hidden)
        marked = examples["marked"][:, k].tolist()
        values = examples["values"][:, k]
        for step, value in enumerate(values):
            shown = torch.stack([value, torch.tensor(float(step in marked))])
            state = (state @ recurrent + shown @ inward + bias).tanh()
        losses.append(((state @ outward + answer)[0] - values[marked].sum()).square())
    return torch.stack(losses).mean()


@pytest.mark.parametrize("length", [2, 7])
def test_loss_and_gradient_are_those_of_the_task(length):
    problem = Adding(length=length)
    data = problem.instance(generator())
    x = data["start"] + 0.1 * torch.randn(data["start"].shape, generator=generator(1))
    x.requires_grad_()
    value = one_by_one(problem, x, data["probe"])
    (expected,) = torch.autograd.grad(value, x)
    measured, gradient = problem.value_and_gradient(x.detach(), data)
    torch.testing.assert_close(measured, value.detach())
    torch.testing.assert_close(gradient, expected)
    draw = next(problem.draws(data, generator(2)))
    sampled, _ = problem.sampled_value_and_gradient(x.detach(), data, draw)
    torch.testing.assert_close(sampled, one_by_one(problem, x.detach(), draw))


def test_one_mark_is_in_each_half():
    for length in (2, 9, 10):
        examples = Adding(length=length).examples(500, generator())
        first, second = examples["marked"]
        assert first.min() == 0
        assert first.max() == length // 2 - 1
        assert second.min() == length // 2
        assert second.max() == length - 1


def test_start_answers_one():
    problem = Adding()
    data = problem.instance(generator())
    examples = problem.examples(1000, generator(1))
    expected = problem.score(torch.ones(1, 1000, 1), examples)
    assert problem.sampled_loss(data["start"], data, examples) == expected


def test_backward_gain_is_the_norm_of_the_jacobian():
    problem = Adding(length=6, hidden=5)
    data = problem.instance(generator())
    recurrent, inward, bias, *_ = tensors(problem, data["start"])
    shown = problem.encoded(data["probe"], torch.float64)[:, 0]

    def last(first):
        state = first
        for each in shown[1:]:
            state = (state @ recurrent + each @ inward + bias).tanh()
        return state

    first = (shown[0] @ inward + bias).tanh()
    jacobian = torch.autograd.functional.jacobian(last, first)
    expected = torch.linalg.matrix_norm(jacobian, 2).item()
    assert problem.backward_gain(data) == pytest.approx(expected)


def test_gradients_vanish_with_the_length_and_not_without_steps():
    factors = [
        problem.signature(problem.instance(generator()))
        for problem in (Adding(length=length) for length in (2, 10, 50))
    ]
    assert factors[0] < 1.5
    assert factors[1] > 3
    assert factors[2] > 100


def test_planted_weights_forget_where_they_would_not_add():
    """Without the third state the first marked number is lost, and the loss is that of a guess."""
    problem = Adding()
    data = problem.instance(generator())
    x = evidence.planted(problem)
    recurrent = tensors(problem, x.clone())[0]
    assert problem.loss(x, data) < 1e-9
    recurrent[2, 2] = 0.0
    broken = torch.cat([recurrent.flatten(), x[recurrent.numel() :]])
    assert problem.loss(broken, data) > 0.1


def test_reference_solves_the_first_rung_with_plain_adam():
    problem, rate = Adding(), Adding.card.reference[1]["lr"]
    data = problem.instance(generator())
    x, first, second = data["start"], 0.0, 0.0
    stream, late = problem.draws(data, generator(1)), []
    for step in range(1, 501):
        _, gradient = problem.sampled_value_and_gradient(x, data, next(stream))
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient.square()
        root = (second / (1 - 0.999**step)).sqrt() + 1e-8
        x = x - rate * first / (1 - 0.9**step) / root
        if step > 450:
            late.append(problem.loss(x, data))
    assert torch.stack(late).mean() < problem.card.target * problem.loss(data["start"], data)


def test_rungs_differ_in_length_alone():
    short, long = (replace(Adding(), length=length).instance(generator()) for length in (10, 50))
    assert torch.equal(short["start"], long["start"])


def test_refuses_what_would_make_the_truth_false():
    for fields, message in [
        ({"length": 1}, "adding.length is 1, but must be a whole number, at least 2"),
        ({"hidden": 2}, "adding.hidden is 2, but must be a whole number, at least 3"),
        ({"radius": 0.0}, "adding.radius is 0.0, but must be a number, above 0"),
    ]:
        with pytest.raises(Refused, match=message):
            Adding(**fields)
