"""Optimization pathologies, one file each, in one folder per subsection of Deep Learning, section 8.2."""

from problems.problem import Card, Cell, Problem, Tree
from problems.registry import PROBLEMS, register

__all__ = ["PROBLEMS", "Card", "Cell", "Problem", "Tree", "register"]
