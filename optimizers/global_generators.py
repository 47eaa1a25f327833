"""The global random generators, from which anyone's optimizer may draw: torch's, numpy's and Python's.

A class that draws from them has a stream of its own for each run, and the user's generators stay as they were.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch


class Generators(NamedTuple):
    """Which generators are watched: torch's always, those of its GPU if the run is there, the others by need."""

    device: torch.device
    others: bool  # numpy's and Python's, whose states take long to read

    def state(self) -> tuple[Any, ...]:
        """Return the states of all of them."""
        import numpy as np  # slow to import

        on_gpu = torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None
        others = (random.getstate(), np.random.get_state()) if self.others else None  # noqa: NPY002
        return torch.get_rng_state(), on_gpu, others

    def restore(self, state: tuple[Any, ...]) -> None:
        """Set them to the states that `state` returned."""
        import numpy as np  # slow to import

        own, on_gpu, others = state
        torch.set_rng_state(own)
        if on_gpu is not None:
            torch.cuda.set_rng_state(on_gpu, self.device)
        if others is not None:
            random.setstate(others[0])
            np.random.set_state(others[1])  # noqa: NPY002

    def moved_since(self, state: tuple[Any, ...]) -> bool:
        """True if anything has been drawn since `state`."""
        import numpy as np  # slow to import

        own, on_gpu, others = state
        if not torch.equal(own, torch.get_rng_state()):
            return True
        if on_gpu is not None and not torch.equal(on_gpu, torch.cuda.get_rng_state(self.device)):
            return True
        if others is None:
            return False
        now = np.random.get_state()  # noqa: NPY002
        same = all(np.array_equal(one, other) for one, other in zip(now, others[1], strict=True))  # type: ignore[arg-type]
        return not same or random.getstate() != others[0]

    def seeded(self, seed: int) -> tuple[Any, ...]:
        """Return the states after seeding all of them, and leave them as they are."""
        import numpy as np  # slow to import

        before = self.state()
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            with torch.cuda.device(self.device):
                torch.cuda.manual_seed(seed)
        if self.others:
            random.seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
        after = self.state()
        self.restore(before)
        return after


def watched(method: type, device: torch.device) -> Generators:
    """Return the generators that a class may draw from."""
    return Generators(device, _names_random(method))


def seed_of(numbers: torch.Tensor) -> int:
    """Return a seed that depends on these numbers alone."""
    digest = hashlib.sha256(numbers.detach().cpu().double().numpy().tobytes()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@contextmanager
def undisturbed() -> Iterator[None]:
    """Leave the global generators as they are, whatever is drawn inside."""
    generators = Generators(torch.device("cpu"), True)
    before = generators.state()
    try:
        yield
    finally:
        generators.restore(before)


@functools.cache
def _names_random(method: type) -> bool:
    """True if the source of a class or of one of its bases has the word `random`."""
    for each in method.__mro__:
        if each.__module__.partition(".")[0] in ("torch", "builtins", "typing", "abc"):
            continue
        try:
            source = inspect.getsource(sys.modules[each.__module__])
        except (OSError, TypeError, KeyError):
            return True  # typed in a notebook
        if "random" in source:
            return True
    return False
