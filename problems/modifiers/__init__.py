"""Modifiers: the same problem in other coordinates, or seen through noise."""

from problems.modifiers.modifier import ProblemModifier
from problems.modifiers.noises import NOISES, Noise, Noisy, noisy
from problems.modifiers.transforms import TRANSFORMS, Transform, Transformed, transformed

__all__ = [
    "NOISES",
    "TRANSFORMS",
    "Noise",
    "Noisy",
    "ProblemModifier",
    "Transform",
    "Transformed",
    "noisy",
    "transformed",
]
