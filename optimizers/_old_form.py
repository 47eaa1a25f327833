"""The old form of an optimizer, with `space` and `bounds` beside the fields, which works for this release only."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from typing import Any

from optimizers.hyperparameter import Range, ranges
from ravine import require


def announce(kind: type) -> None:
    """Warn of a class in the old form, in one line that says how its fields are written now."""
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
    written = f"write {'; '.join(fields)}" if fields else "leave it out"
    warnings.warn(
        f"{kind.__name__}: {' and '.join(stated)} beside the fields will not work in the next release: {written}",
        FutureWarning,
        stacklevel=3,
    )


def check(optimizer: Any) -> None:
    """Hold the fields to `bounds`, and an `lr` that says nothing about itself to at least 0. Raises Refused."""
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
