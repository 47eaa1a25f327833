"""What is known about remembering ten symbols, measured on ours by plain loops."""

from __future__ import annotations

import math

import pytest
import torch

from problems.long_term_dependencies._certificates import copy_memory as evidence
from problems.long_term_dependencies.copy_memory import CopyMemory
from ravine import Refused


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def tensors(problem, x):
    parts = x.split([math.prod(shape) for shape in problem.shapes])
    return [part.view(shape) for part, shape in zip(parts, problem.shapes, strict=True)]


def one_by_one(problem, x, symbols):
    """The mean loss, a sequence at a time, in the words of the task."""
    recurrent, inward, bias, outward, answer = tensors(problem, x)
    losses = []
    for sequence in symbols.T.tolist():
        state, loss = torch.zeros(problem.hidden), torch.zeros(())
        for step in range(problem.delay + 20):
            state = state @ recurrent + bias
            if step < 10:
                state = state + inward[sequence[step]]
            if step >= problem.delay + 10:
                logits = state @ outward + answer
                loss = loss - logits.log_softmax(-1)[sequence[step - problem.delay - 10]]
        losses.append(loss / (problem.delay + 20))
    return torch.stack(losses).mean()


@pytest.mark.parametrize("delay", [1, 7])
def test_loss_and_gradient_are_those_of_the_task(delay):
    problem = CopyMemory(delay=delay)
    data = problem.instance(generator())
    x = data["start"] + 0.05 * torch.randn(data["start"].shape, generator=generator(1))
    x.requires_grad_()
    value = one_by_one(problem, x, data["probe"]["symbols"])
    (expected,) = torch.autograd.grad(value, x)
    measured, gradient = problem.value_and_gradient(x.detach(), data)
    torch.testing.assert_close(measured, value.detach())
    torch.testing.assert_close(gradient, expected)
    draw = next(problem.draws(data, generator(2)))
    sampled, _ = problem.sampled_value_and_gradient(x.detach(), data, draw)
    torch.testing.assert_close(sampled, one_by_one(problem, x.detach(), draw["symbols"]))


@pytest.mark.parametrize("delay", [1, 9, 10, 23])
def test_shift_register_solves_every_delay(delay):
    """Read from another slot, or one step shorter, it says other symbols and is worse than a guess."""
    problem = CopyMemory(delay=delay)
    data = problem.instance(generator())
    x = evidence.planted(problem)
    assert problem.loss(x, data) < 1e-12
    other = evidence.planted(CopyMemory(delay=delay + 1))
    assert problem.loss(other, data) > evidence.baseline(problem)


def test_gradients_fade_by_the_radius_at_each_step():
    for radius, delay in [(0.9, 10), (0.9, 100), (0.5, 10), (1.0, 100)]:
        problem = CopyMemory(radius=radius, delay=delay)
        signature = problem.signature(problem.instance(generator()))
        assert signature == pytest.approx(radius ** -(delay + 19), rel=1e-9)


def test_what_is_remembered_reaches_the_answers_faded():
    """The states at the answers of two sequences differ by radius^(T + 10) at most, times the inputs."""
    problem = CopyMemory(delay=50)
    data = problem.instance(generator())
    recurrent, inward, *_ = tensors(problem, data["start"])
    symbol = inward[0] - inward[1]
    left = symbol @ torch.linalg.matrix_power(recurrent, 60)
    assert left.norm() / symbol.norm() == pytest.approx(0.9**60, rel=1e-9)


def descend(problem, steps, rate):
    """The relative gap after so many steps of Adam's update from its formula."""
    data = problem.instance(generator())
    x, first, second = data["start"], 0.0, 0.0
    stream = problem.draws(data, generator(1))
    for step in range(1, steps + 1):
        _, gradient = problem.sampled_value_and_gradient(x, data, next(stream))
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient.square()
        root = (second / (1 - 0.999**step)).sqrt() + 1e-8
        x = x - rate * first / (1 - 0.9**step) / root
    return (problem.loss(x, data) / problem.loss(data["start"], data)).item()


@pytest.mark.slow
def test_reference_remembers_ten_steps_and_what_does_not_fade():
    rate = CopyMemory.card.reference[1]["lr"]
    assert descend(CopyMemory(), 300, rate) < 0.1
    faded = descend(CopyMemory(delay=50), 300, rate)
    assert faded > 0.5
    assert descend(CopyMemory(delay=50).control(), 300, rate) < 0.5 * faded


def test_refuses_what_would_make_the_truth_false():
    for fields, message in [
        ({"delay": 0}, "copy_memory.delay is 0, but must be a whole number, at least 1"),
        ({"hidden": 29}, "copy_memory.hidden is 29, but must be a whole number, at least 30"),
        ({"radius": 2.0, "delay": 200}, "copy_memory.radius is 2.0, but must be at most 1.389"),
    ]:
        with pytest.raises(Refused) as refused:
            CopyMemory(**fields)
        assert message in str(refused.value)
