"""Every registered optimizer keeps every contract: registering is being tested."""

from __future__ import annotations

import pytest
import torch

from benchmarks.checks.contract import NothingStated
from benchmarks.checks.optimizer_contracts import CONTRACTS
from optimizers import OPTIMIZERS
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
