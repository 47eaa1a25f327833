"""Modifiers: the same problem in other coordinates, or seen through noise."""

from problems.modifiers.noises import NOISES, Noise, Noisy, noisy
from problems.modifiers.transforms import TRANSFORMS, Transform, Transformed, transformed
from problems.modifiers.wrapper import Wrapper

__all__ = [
    "NOISES",
    "TRANSFORMS",
    "Noise",
    "Noisy",
    "Transform",
    "Transformed",
    "Wrapper",
    "noisy",
    "transformed",
]
