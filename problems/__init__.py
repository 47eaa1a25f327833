"""Optimization pathologies, one file each, in one folder per subsection of Deep Learning, section 8.2."""

from problems.claims import Claim, about, claim
from problems.portrait import Curves, Plane
from problems.problem import Card, CriticalPoint, Problem, SampleSizes, Tree, dial
from problems.registry import PROBLEMS, register
from ravine import bounded

__all__ = [
    "PROBLEMS",
    "Card",
    "Claim",
    "CriticalPoint",
    "Curves",
    "Plane",
    "Problem",
    "SampleSizes",
    "Tree",
    "about",
    "bounded",
    "claim",
    "dial",
    "register",
]
