"""Random geometry that problems share."""

from __future__ import annotations

import torch


def random_rotation(dim: int, generator: torch.Generator) -> torch.Tensor:
    """An orthogonal matrix (dim, dim), uniform (Haar) over all of them, reflections included.

    Q of a Gaussian matrix's QR factorization, its columns multiplied by the signs of R's diagonal:
    without the signs Q is not uniform. Mezzadri 2007, arXiv:math-ph/0609050.
    """
    basis, triangle = torch.linalg.qr(torch.randn(dim, dim, generator=generator))
    return basis * triangle.diagonal().sign()
