"""The plain loops of the claims take the steps of the optimizers of their names."""

from __future__ import annotations

import itertools

import pytest
import torch

from optimizers import as_torch
from optimizers.adam import Adam
from optimizers.sgd import SGD
from optimizers.sign_sgd import SignSGD
from problems.descent import adam, descent, sign_descent
from problems.ill_conditioning.edge_of_stability import EdgeOfStability

LOOPS = {
    "descent": (descent, SGD(lr=0.01)),
    "sign descent": (sign_descent, SignSGD(lr=0.01)),
    "Adam": (lambda *given: (x for x, _ in adam(*given)), Adam(lr=0.01)),
}


@pytest.mark.parametrize("name", LOOPS)
def test_loop_takes_the_steps_of_the_optimizer(name):
    loop, method = LOOPS[name]
    problem = EdgeOfStability()
    data = problem.example()
    parameter = torch.nn.Parameter(data["start"].clone())
    optimizer = as_torch(method, [parameter])
    for point in itertools.islice(loop(problem, data, data["start"], 0.01), 200):
        # Rounding of 200 steps, on a loss of curvatures up to 2e4.
        torch.testing.assert_close(parameter.detach(), point, rtol=1e-9, atol=1e-9)
        optimizer.step(lambda: problem.loss(parameter, data))
