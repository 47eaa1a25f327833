"""Random geometry that several problems use."""

from __future__ import annotations

import torch

LAYERS = 3  # of a rotation by signs


def random_rotation(dim: int, generator: torch.Generator) -> torch.Tensor:
    """Return an orthogonal matrix, uniform (Haar) over all of them, reflections included.

    It is Q of a Gaussian matrix's QR factorization, its columns multiplied by the signs of R's diagonal: without the
    signs Q is not uniform. Mezzadri 2007, arXiv:math-ph/0609050.

    Args:
        dim: The number of rows and columns.
        generator: The only source of randomness.

    Returns:
        The matrix, (dim, dim).
    """
    basis, triangle = torch.linalg.qr(torch.randn(dim, dim, generator=generator))
    return basis * triangle.diagonal().sign()


def random_signs(dim: int, generator: torch.Generator) -> torch.Tensor:
    """Return the signs of a rotation for `rotated`, ±1 with equal chance: (layers, dim)."""
    return 2.0 * torch.randint(2, (LAYERS, dim), generator=generator) - 1


def rotated(vector: torch.Tensor, signs: torch.Tensor, back: bool = False) -> torch.Tensor:
    """Return Qv, or Qᵀv, for the orthogonal matrix Q = T S₃ T S₂ T S₁: S are diagonal, with signs; T is Hartley's.

    T is a real Fourier transform that is its own inverse: it takes dim log dim operations, a dense matrix dim².
    Q is not uniform over all rotations, but each entry of Qv depends on all of v. Yu et al. 2016,
    arXiv:1610.09072, with Hadamard's matrix as T, which needs a power of two.

    Args:
        vector: The vectors v, (*runs, dim).
        signs: The signs, (*runs or 1, layers, dim).
        back: True for Qᵀv.

    Returns:
        The rotated vectors, (*runs, dim).
    """
    for layer in reversed(signs.unbind(-2)) if back else signs.unbind(-2):
        vector = _hartley(vector) * layer if back else _hartley(vector * layer)
    return vector


def _hartley(vector: torch.Tensor) -> torch.Tensor:
    spectrum = torch.fft.fft(vector, norm="ortho")
    return spectrum.real - spectrum.imag
