"""Run a network in double precision, whatever precision its weights and inputs have."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

LESS = (torch.float32, torch.float16, torch.bfloat16)
CASTS = (torch.Tensor.float, torch.Tensor.half, torch.Tensor.bfloat16)


def _double(value: Any) -> Any:
    """Return a tensor of less precision, or the name of such a precision, as double; others as they are."""
    if isinstance(value, torch.Tensor):
        return value.double() if value.dtype in LESS else value
    return torch.float64 if isinstance(value, torch.dtype) and value in LESS else value


class _Doubled(TorchFunctionMode):
    """Call each of torch's functions with doubles; autocast leaves those alone."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func in CASTS:
            func = torch.Tensor.double
        return tree_map(_double, func(*tree_map(_double, args), **tree_map(_double, kwargs or {})))


@contextmanager
def double_precision(parameters: Sequence[torch.nn.Parameter]) -> Iterator[None]:
    """Let the parameters be doubles inside the context, and all that torch computes from them.

    Afterwards they are the same tensors in memory as before. In-place changes of float32 tensors, such as the
    statistics of batch norm, act on copies.
    """
    kept = [each.data for each in parameters]
    try:
        for each in parameters:
            each.data = each.data.double()
        with _Doubled():
            yield
    finally:
        for each, data in zip(parameters, kept, strict=True):
            each.data = data
