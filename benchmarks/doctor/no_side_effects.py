"""Run a model without side effects: parameters, buffers and random states are restored bitwise."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.parameter import is_lazy


@dataclass(frozen=True)
class RandomState:
    """The states of the global random generators: torch's on each device, numpy's and Python's."""

    cpu: torch.Tensor
    devices: dict[torch.device, torch.Tensor]
    python: tuple[Any, ...]
    numpy: dict[str, Any] | tuple[Any, ...]

    @classmethod
    def now(cls, devices: Sequence[torch.device]) -> RandomState:
        """Return the current states; `devices` are those besides the CPU."""
        return cls(
            torch.get_rng_state(),
            {each: _module(each).get_rng_state(*_index(each)) for each in devices},
            random.getstate(),
            np.random.get_state(),  # noqa: NPY002
        )

    def restore(self) -> None:
        """Set all generators to these states."""
        torch.set_rng_state(self.cpu)
        for device, state in self.devices.items():
            _module(device).set_rng_state(state, *_index(device))
        random.setstate(self.python)
        np.random.set_state(self.numpy)  # noqa: NPY002


def _module(device: torch.device) -> Any:
    return getattr(torch, device.type)


def _index(device: torch.device) -> tuple[torch.device, ...]:
    return () if device.type == "mps" else (device,)


@contextmanager
def randomness_restored(
    devices: Sequence[torch.device], beginning: RandomState | None = None
) -> Iterator[RandomState]:
    """Restore the random states behind the context, which begins with `beginning` if it is given, and yields its own.

    A state of numpy's generator takes as long to read or set as a small layer, so that what runs several models in a
    row does it once.
    """
    outside = RandomState.now(devices)
    if beginning is not None:
        beginning.restore()
    try:
        yield outside if beginning is None else beginning
    finally:
        outside.restore()


@dataclass(frozen=True)
class Buffers:
    """The buffers of a model, both as tensors and as values.

    Batch norm updates them in place, and other modules assign new ones.
    """

    kept: list[tuple[dict[str, torch.Tensor | None], str, torch.Tensor, torch.Tensor]]

    @classmethod
    def now(cls, model: torch.nn.Module) -> Buffers:
        """Return the present ones; a lazy module has none before its first call."""
        return cls(
            [
                (module._buffers, name, buffer, buffer.clone())
                for module in model.modules()
                for name, buffer in module._buffers.items()
                if buffer is not None and not is_lazy(buffer)
            ]
        )

    def restore(self) -> None:
        """Give the model these tensors with these values."""
        with torch.no_grad():
            for owner, name, buffer, value in self.kept:
                buffer.copy_(value)
                owner[name] = buffer


@contextmanager
def aside(
    model: torch.nn.Module, parameters: Sequence[torch.Tensor], beginning: Buffers | None = None
) -> Iterator[Buffers]:
    """Let the model be moved and run inside the context.

    The context begins with the buffers `beginning`, by default the present ones, and yields those that it begins with.
    Parameters are restored in place, because an optimizer or a compiled graph may hold them by address.
    """
    outside = Buffers.now(model)
    weights = [each.detach().clone() for each in parameters]
    try:
        if beginning is not None:
            beginning.restore()
        yield outside if beginning is None else beginning
    finally:
        with torch.no_grad():
            for parameter, weight in zip(parameters, weights, strict=True):
                parameter.copy_(weight)
        outside.restore()
