"""Draw instances of a problem from seeds, and stack them so that they run as one batch."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch

from problems import Problem, Tree
from problems.precision import default_dtype


def generator(*purpose: object) -> torch.Generator:
    """Return the random generator of a purpose; it is the same in every process."""
    digest = hashlib.sha256("|".join(map(str, purpose)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def draw_instance(problem: Problem, seed: str) -> Tree:
    """Return the instance of a seed, in float64 on the CPU."""
    with default_dtype(torch.float64):
        return problem.instance(generator(seed, "instance"))


def stack(trees: Sequence[Tree], dtype: torch.dtype, device: torch.device | str = "cpu") -> Tree:
    """Stack instances: each tensor gets the leading dimensions (instances, 1)."""
    stacked: Tree = {}
    for name, leaf in trees[0].items():
        if isinstance(leaf, dict):
            stacked[name] = stack([tree[name] for tree in trees], dtype, device)
        else:
            leaves = torch.stack([torch.as_tensor(tree[name]) for tree in trees]).unsqueeze(1)
            stacked[name] = leaves.to(device, dtype if leaves.is_floating_point() else None)
    return stacked


@dataclass(frozen=True)
class Instances:
    """The instances that these seeds draw from a problem."""

    problem: Problem
    seeds: tuple[str, ...]
    dtype: torch.dtype = torch.float64
    device: str = "cpu"
    trees: tuple[Tree, ...] = field(init=False, repr=False)
    data: Tree = field(init=False, repr=False)

    def __post_init__(self) -> None:
        trees = tuple(draw_instance(self.problem, seed) for seed in self.seeds)
        object.__setattr__(self, "trees", trees)
        object.__setattr__(self, "data", stack(trees, self.dtype, self.device))

    def draws(self, purpose: str = "draws"):
        """Yield the noise of each step, stacked, or None if the problem has none. Purposes have separate streams."""
        streams = [
            self.problem.draws(tree, generator(seed, purpose))
            for tree, seed in zip(self.trees, self.seeds, strict=True)
        ]
        noisy = [each for each in streams if each is not None]
        while noisy:
            with default_dtype(torch.float64):
                items = [next(stream) for stream in noisy]
            yield stack(items, self.dtype, self.device)
        yield from itertools.repeat(None)

    def normals(self):
        """Return a function that draws standard normal numbers (instances, 1, dim), new ones at each call."""
        generators = [generator(seed, "optimizer") for seed in self.seeds]
        dim = self.data["start"].shape[-1]

        def draw() -> torch.Tensor:
            rows = [torch.randn(dim, generator=each, dtype=torch.float64) for each in generators]
            return torch.stack(rows).unsqueeze(1).to(self.device, self.dtype)

        return draw


class Parts:
    """The instances of a cell in parts of at most `size`; only the part that was used last is in memory."""

    def __init__(
        self, problem: Problem, seeds: tuple[str, ...], dtype: torch.dtype, device: str, size: int
    ):
        self.problem, self.seeds, self.size = problem, seeds, size
        self.starts = range(0, len(seeds), size)
        self._kind = (dtype, device)
        self._last: tuple[int, Instances] | None = None

    def __getitem__(self, start: int) -> Instances:
        """Return the part that begins with the instance at this position."""
        if self._last is None or self._last[0] != start:
            self._last = None  # two parts need not fit into memory
            seeds = self.seeds[start : start + self.size]
            self._last = start, Instances(self.problem, seeds, *self._kind)
        return self._last[1]

    def first(self, count: int) -> Instances:
        """Return the first instances, `count` of them or more."""
        if self.size >= count:
            return self[0]
        return Instances(self.problem, self.seeds[:count], *self._kind)

    def __iter__(self) -> Iterator[tuple[int, Instances]]:
        """Yield the position of the first instance of each part, and the part."""
        return ((start, self[start]) for start in self.starts)
