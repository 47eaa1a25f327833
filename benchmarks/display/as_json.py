"""One JSON document of a result, for programs: numbers are numbers, NaN is null, infinity "inf" or "-inf"."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def as_json(result: Mapping[str, Any]) -> str:
    """Return a result as JSON.

    Args:
        result: Plain values, numbers of numpy, paths and frames, also in tables and lists; a frame is a list of
            rows.
    """
    return json.dumps(_plain(result), ensure_ascii=False, allow_nan=False, indent=1)


def _plain(value: Any) -> Any:
    if hasattr(value, "to_dict"):
        value = value.astype(object).where(value.notna(), None).to_dict("records")
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "inf" if value > 0 else "-inf"
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)
