"""Run a model without side effects: parameters, buffers and random states are restored bitwise."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.random import mtrand
from torch.nn.parameter import is_lazy

TWISTER = 625 * 4  # bytes of the state of a Mersenne Twister: 624 words and the place among them


@dataclass(frozen=True)
class NumpyState:
    """The state of numpy's global random generator.

    numpy reads and sets it word by word, which takes as long as a small layer. So this happens only if the generator
    has been used: a Mersenne Twister's memory is compared instead. It does not show whether the second of a pair of
    normal numbers is still to be handed out, so the comparison counts only where none was.

    full: the state as numpy hands it out; memory: that of the Mersenne Twister, None where it cannot be compared.
    last: the state that was read or set last.
    """

    full: dict[str, Any]
    memory: bytes | None
    last: ClassVar[NumpyState | None] = None

    @classmethod
    def now(cls) -> NumpyState:
        """Return the current state."""
        if cls.last is None or cls._used():
            full = np.random.get_state(legacy=False)  # noqa: NPY002
            cls.last = cls(full, None if full["has_gauss"] else _twister_memory())
        return cls.last

    def restore(self) -> None:
        """Set the generator to this state."""
        if self is not NumpyState.last or self._used():
            np.random.set_state(self.full)  # noqa: NPY002
            NumpyState.last = self

    @classmethod
    def _used(cls) -> bool:
        """True unless the generator surely is in the state that was read or set last."""
        known = None if cls.last is None else cls.last.memory
        return known is None or known != _twister_memory()


def _twister_memory() -> bytes | None:
    """Return the memory of numpy's global generator; None if it is no Mersenne Twister."""
    generator = mtrand.get_bit_generator()
    if type(generator) is not np.random.MT19937:
        return None
    return ctypes.string_at(generator.ctypes.state_address, TWISTER)


@dataclass(frozen=True)
class RandomState:
    """The states of the global random generators: torch's on each device, numpy's and Python's."""

    cpu: torch.Tensor
    devices: dict[torch.device, torch.Tensor]
    python: tuple[Any, ...]
    numpy: NumpyState

    @classmethod
    def now(cls, devices: Sequence[torch.device]) -> RandomState:
        """Return the current states; `devices` are those besides the CPU."""
        return cls(
            torch.get_rng_state(),
            {each: _module(each).get_rng_state(*_index(each)) for each in devices},
            random.getstate(),
            NumpyState.now(),
        )

    def restore(self) -> None:
        """Set all generators to these states."""
        torch.set_rng_state(self.cpu)
        for device, state in self.devices.items():
            _module(device).set_rng_state(state, *_index(device))
        random.setstate(self.python)
        self.numpy.restore()


def _module(device: torch.device) -> Any:
    return getattr(torch, device.type)


def _index(device: torch.device) -> tuple[torch.device, ...]:
    return () if device.type == "mps" else (device,)


@contextmanager
def randomness_restored(
    devices: Sequence[torch.device], beginning: RandomState | None = None
) -> Iterator[RandomState]:
    """Restore the random states behind the context, which begins with `beginning` if it is given; yield its states."""
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
