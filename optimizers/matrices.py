"""Methods that step on a matrix otherwise than on a vector: they are told the shapes of the parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import torch

from optimizers.failure import Shapes
from optimizers.optimizer import NotApplicable, Optimizer

# The longest side of a parameter that has a dense factor, n × n numbers per run. The
# published codes put the limit at 8192 or 10000 for a single run on a GPU; batches of runs have to fit into memory.
LARGEST = 512


class MatrixOptimizer(Optimizer):
    """A method that uses the shapes of the parameters that x concatenates.

    Attributes:
        shapes: The shapes in order; None for one vector.
    """

    shapes: ClassVar[Shapes | None] = None  # of an object, once `on` has set it

    def on(self, shapes: Shapes | None) -> Self:
        """Return the same method for an x that concatenates parameters of these shapes; None for one vector."""
        return self._changed(shapes=shapes)

    def replace(self, **values: Any) -> Self:
        """Return the same method with other hyperparameters, for the same shapes."""
        return super().replace(**values).on(self.shapes)

    def shapes_in(self, dim: int) -> Shapes:
        """Return the shapes of the parameters in an x of `dim` coordinates; a scalar is a vector of one."""
        return tuple(shape or (1,) for shape in self.shapes or ((dim,),))

    def parameters(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return the parameters in x (*runs, dim), each (*runs, *shape)."""
        shapes = self.shapes_in(x.shape[-1])
        parts = x.split([math.prod(shape) for shape in shapes], -1)
        return [
            part.reshape(*x.shape[:-1], *shape) for part, shape in zip(parts, shapes, strict=True)
        ]


class KroneckerOptimizer(MatrixOptimizer):
    """A method with a factor for each side of a matrix, its rows and its columns; a vector has one side.

    A factor is a matrix (*runs, n, n). Where a side is longer than LARGEST, Shampoo and Kron keep a diagonal one
    (*runs, n), and SOAP none. A kernel of more than two dimensions is a matrix with a row for each of the first.

    Attributes:
        on_vectors: What the method is where no parameter is a matrix: it is not applicable there.
    """

    on_vectors: ClassVar[str]

    def vectors(self, dim: int) -> int:
        """Return how many numbers per coordinate of x all factors have."""
        numbers = sum(n**2 if is_dense(n) else n for sides in self.sides(dim) for n in sides)
        return max(1, math.ceil(numbers / dim))

    def sides(self, dim: int) -> list[tuple[int, ...]]:
        """Return rows and columns of each matrix, and the length of each vector.

        Args:
            dim: The number of coordinates.
        """
        return [
            (shape[0], math.prod(shape[1:])) if len(shape) > 1 else shape
            for shape in self.shapes_in(dim)
        ]

    def blocks(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return the parameters in x (*runs, dim) as matrices (*runs, rows, columns); a vector is one column."""
        sides = self.sides(x.shape[-1])
        parts = x.split([math.prod(each) for each in sides], -1)
        return [
            part.reshape(*x.shape[:-1], each[0], -1)
            for part, each in zip(parts, sides, strict=True)
        ]

    def need_a_matrix(self, x: torch.Tensor) -> None:
        """Raise NotApplicable if no parameter in x (*runs, dim) is a matrix."""
        if all(len(sides) == 1 for sides in self.sides(x.shape[-1])):
            raise NotApplicable(
                f"{type(self).__name__} needs a matrix among the parameters: without one it is {self.on_vectors}"
            )


def is_dense(side: int) -> bool:
    """True if a side of this length has a dense factor."""
    return side <= LARGEST


def joined(parameters: Sequence[torch.Tensor], like: torch.Tensor) -> torch.Tensor:
    """Return parameters (*runs, …) as one x, of the shape of `like` (*runs, dim)."""
    return torch.cat([each.reshape(*like.shape[:-1], -1) for each in parameters], -1)


def beside(value: Any, parameter: torch.Tensor, x: torch.Tensor) -> Any:
    """Return a hyperparameter that broadcasts against a parameter (*runs, …) as it did against x (*runs, dim)."""
    if not isinstance(value, torch.Tensor):
        return value
    return value.reshape(*value.shape, *(1,) * (parameter.dim() - x.dim()))


def along(factor: torch.Tensor, block: torch.Tensor, side: int) -> torch.Tensor:
    """Return a factor times a matrix (*runs, rows, columns): F G along its rows (side 0), G Fᵀ along its columns."""
    turned = block if side == 0 else block.mT
    turned = factor @ turned if factor.dim() == block.dim() else factor.unsqueeze(-1) * turned
    return turned if side == 0 else turned.mT


def covariance(block: torch.Tensor, side: int, dense: bool) -> torch.Tensor:
    """Return G Gᵀ of a matrix (*runs, rows, columns) for its rows (side 0), Gᵀ G for its columns, or the diagonal."""
    turned = block if side == 0 else block.mT
    return turned @ turned.mT if dense else turned.square().sum(-1)


def eigen(matrices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the eigenvalues (…, n), rising, and the eigenvectors (…, n, n) of symmetric matrices (…, n, n).

    `torch.linalg.eigh` raises for a whole batch if it fails on one matrix. Here a run whose matrix is not finite, or on
    which LAPACK fails, gets zeros and the identity, and the others get what they get alone.
    """
    sound = matrices.isfinite().all(-1).all(-1)[..., None, None]
    matrices = torch.where(sound, matrices, 0.0)
    try:
        return torch.linalg.eigh(matrices)
    except RuntimeError:  # a LinAlgError
        if matrices.dim() == 2:
            return torch.zeros_like(matrices[0]), torch.eye(len(matrices)).to(matrices)
        found = [eigen(each) for each in matrices]
        return torch.stack([each for each, _ in found]), torch.stack([each for _, each in found])
