"""Random geometry that several problems use."""

from __future__ import annotations

import torch


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
