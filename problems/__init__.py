"""Optimization pathologies, one file each, in one folder per subsection of Deep Learning, section 8.2."""

from problems.claims import Claim, about
from problems.portrait import Curves, Plane
from problems.problem import Card, Cell, CriticalPoint, Problem, Tree
from problems.registry import PROBLEMS, register

__all__ = [
    "PROBLEMS",
    "Card",
    "Cell",
    "Claim",
    "CriticalPoint",
    "Curves",
    "Plane",
    "Problem",
    "Tree",
    "about",
    "register",
]
