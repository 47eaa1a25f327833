"""The old form of an optimizer, with `space` and `bounds` beside the fields, which the next release does not read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from optimizers.hyperparameter import Range, ranges
from ravine import require, warn_outdated


def announce(kind: type) -> None:
    """Warn if a class is in the old form, in one line that says how to write its fields now."""
    stated = {
        name: given
        for name in ("space", "own_space", "bounds")
        if isinstance(given := vars(kind).get(name), Mapping)
    }
    if not stated:
        return
    searched = {**stated.get("space", {}), **stated.get("own_space", {})}
    limits = {"lr": {"low": 0}, **stated.get("bounds", {})}
    inherited = ranges(kind) if dataclasses.is_dataclass(kind) else {}
    fields = [
        _field(name, getattr(kind, name, ...), searched.get(name), limits.get(name, {}))
        for name in {**searched, **stated.get("bounds", {})}
        if name in stated.get("bounds", {}) or searched[name] != inherited.get(name)
    ]
    old = " and ".join(stated)
    warn_outdated(kind, f"write {'; '.join(fields)}, not {old}" if fields else f"leave out {old}")


def check(optimizer: Any) -> None:
    """Check the fields against `bounds`, and that an undeclared `lr` is at least 0; raise Refused otherwise."""
    for each in dataclasses.fields(optimizer):
        limits: dict[str, Any] | None = optimizer.bounds.get(each.name)
        if limits is None and each.name == "lr" and not each.metadata:
            limits = {"low": 0.0}
        if limits is not None:
            require(type(optimizer).__name__, each.name, getattr(optimizer, each.name), **limits)


def _field(name: str, default: Any, searched: Range | None, limits: Mapping[str, Any]) -> str:
    arguments = [repr(default)]
    if searched is not None:
        unit = "" if searched.unit == "none" else f', unit="{searched.unit}"'
        discount = "" if searched.discount is None else f', discount="{searched.discount}"'
        ends = f"{searched.low:g}, {searched.high:g}"
        arguments.append(f"search={searched.scale}({ends}{unit}{discount})")
    for end, opened in (("low", "above"), ("high", "below")):
        if end in limits:
            arguments.append(f"{opened if limits.get(f'open_{end}') else end}={limits[end]:g}")
    kind = "int" if limits.get("whole") else "float"
    return f"{name}: {kind} = hyper({', '.join(arguments)})"
