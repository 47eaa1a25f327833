"""Norms of the gradient along depth or time, against autograd of the chain written out."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from problems import PROBLEMS
from problems.modifiers.transforms import transformed


def norms(loss: torch.Tensor, states: list[torch.Tensor]) -> torch.Tensor:
    """Of the loss's gradient with respect to the states, the last one first."""
    found = torch.autograd.grad(loss, states)
    return torch.stack([each.norm() for each in reversed(found)])


def of_matrix_power(problem, x, data):
    """States h_s = Wˢ Uᵀ (x − m), s = 0 … t."""
    state = (data["inputs"].T @ (x - data["minimizer"])).requires_grad_()
    states = [state]
    for _ in range(problem.steps):
        states.append(data["weights"] @ states[-1])
    return norms(0.5 * states[-1].square().sum(), states)


def of_cliff(problem, x, data):
    w, b = x.unflatten(-1, (problem.units, 2)).unbind(-1)
    states = [torch.full_like(w, 0.5).requires_grad_()]
    for _ in range(problem.steps):
        states.append(w * states[-1].sigmoid() + b)
    return norms((states[-1].sigmoid() - 0.7).square().mean(), states)[:-1]


def of_deep_linear(problem, x, data):
    layers = x.unflatten(-1, (problem.depth, 3, 3)).clone().requires_grad_()
    products = [layers[0] @ torch.eye(3, dtype=x.dtype)]
    for layer in layers[1:]:
        products.append(layer @ products[-1])
    return norms(0.5 * (data["target"] - products[-1]).square().sum(), products)


def of_recurrent_network(problem, x, data):
    """States before φ, at the first answer and earlier."""
    sizes = [int(torch.tensor(shape).prod()) for shape in problem.shapes]
    recurrent, inward, bias, outward, answer = (
        part.view(shape) for part, shape in zip(x.split(sizes), problem.shapes, strict=True)
    )
    inputs = problem.encoded(data["probe"], x.dtype)
    state, driven, outputs = torch.zeros(inputs.shape[1], problem.hidden, dtype=x.dtype), [], []
    for step, each in enumerate(inputs):
        before = state @ recurrent + each @ inward + bias
        driven.append(before if before.requires_grad else before.requires_grad_())
        state = driven[-1] if problem.linear else driven[-1].tanh()
        if step >= len(inputs) - problem.answers:
            outputs.append(state @ outward + answer)
    loss = problem.score(torch.stack(outputs), data["probe"])
    return norms(loss, driven[: len(inputs) - problem.answers + 1])


@pytest.mark.parametrize(
    ("name", "fields", "written_out"),
    [
        ("matrix_power", {"dim": 5, "steps": 12, "kind": "non_normal"}, of_matrix_power),
        ("matrix_power", {"dim": 5, "steps": 12, "kind": "orthogonal"}, of_matrix_power),
        ("cliff", {"units": 3, "steps": 20}, of_cliff),
        ("deep_linear", {"depth": 4, "start": 0.1}, of_deep_linear),
        ("adding", {"length": 12, "hidden": 6}, of_recurrent_network),
        ("copy_memory", {"delay": 4, "hidden": 30}, of_recurrent_network),
    ],
)
def test_chain_is_that_of_autograd(name, fields, written_out):
    problem = replace(PROBLEMS[name], **fields)
    data = problem.example()
    generator = torch.Generator().manual_seed(5)
    start = data["start"]
    x = start + 0.1 * torch.randn(start.shape, generator=generator, dtype=start.dtype)
    found = problem.chain(torch.stack([x, start]), data)
    assert found.shape[0] == 2 and found.shape[1] > 2
    # 20 products in a row lose a digit or two of float64.
    torch.testing.assert_close(found[0], written_out(problem, x, data), rtol=1e-9, atol=0.0)


def test_a_problem_without_depth_or_time_has_none_and_a_rotated_one_has_its_own():
    quadratic = PROBLEMS["quadratic"]
    data = quadratic.example()
    assert quadratic.chain(data["start"], data) is None
    inner = replace(PROBLEMS["deep_linear"], start=0.1)
    rotated = transformed(inner, ["rotate"])
    data = rotated.example()
    at = rotated.inside(data["start"], data)
    torch.testing.assert_close(rotated.chain(data["start"], data), inner.chain(at, data["inner"]))
