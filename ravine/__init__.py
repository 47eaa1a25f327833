"""Shared by problems, optimizers and benchmarks: a registry of names, fields with bounds, refusals in one line."""

from ravine.fields import bounded, check_fields
from ravine.left_out import LeftOut, left_out
from ravine.outdated import warn_outdated
from ravine.refusal import Refused, nearest, printable, require
from ravine.registry import Registry, registered_name

__all__ = [
    "LeftOut",
    "Refused",
    "Registry",
    "bounded",
    "check_fields",
    "left_out",
    "nearest",
    "printable",
    "registered_name",
    "require",
    "warn_outdated",
]
