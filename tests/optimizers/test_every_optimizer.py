"""Every registered optimizer keeps every contract: registering is being tested."""

from __future__ import annotations

import pytest
import torch

from benchmarks.checks.contract import NothingStated
from benchmarks.checks.optimizer_contracts import CONTRACTS
from benchmarks.checks.walks import draw, walk
from optimizers import OPTIMIZERS, NotApplicable
from problems.precision import default_dtype

EACH = [
    pytest.param(contract, name, id=f"{name}-{contract.name}")
    for name in OPTIMIZERS
    for contract in CONTRACTS
    if contract.name
    != "does_not_depend_on_units"  # in tests/benchmarks/test_search.py, more strictly
]


@pytest.mark.parametrize(("contract", "name"), EACH)
def test_contract(contract, name):
    with default_dtype(torch.float64):
        try:
            contract.holds(OPTIMIZERS[name])
        except NothingStated as nothing:
            pytest.skip(str(nothing))


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("normal", [(1.0, 1.0, 1.0), (0.3, -1.7, 0.9)])
def test_does_not_climb_at_its_defaults_where_the_hessian_is_singular(name, normal):
    """The contract also accepts small steps; what is built in has to pass with its own."""

    def trough(x, data):
        return 0.5 * (x * torch.tensor(normal, dtype=x.dtype)).sum(-1) ** 2

    try:
        points = walk(OPTIMIZERS[name], trough, draw(), steps=20).points
    except NotApplicable as reason:
        pytest.skip(str(reason))
    assert points.isfinite().all()
    assert (trough(points[-1], {}) <= trough(points[0], {})).all()
