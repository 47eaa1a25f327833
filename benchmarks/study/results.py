"""Tables of results that carry the plan's hash, and are continued where they were interrupted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas

from ravine import Refused

SIGNATURES = Path("results/study/signatures.csv")
OUTCOMES = Path("results/study/outcomes")
VERDICTS = Path("results/study/verdicts.csv")
DIGITS = "%.6g"
MARK = "# plan "


def read(file: Path, digest: str) -> pandas.DataFrame:
    """Return the rows of a file; none if it does not exist.

    Args:
        file: The file.
        digest: The hash of the plan.

    Raises:
        Refused: If the file was made by another plan.
    """
    if not file.exists():
        return pandas.DataFrame()
    with file.open() as lines:
        first = lines.readline().strip()
    if first != f"{MARK}{digest}":
        made = first.removeprefix(MARK) if first.startswith(MARK) else "none"
        raise Refused(f"{file} was made by plan {made}, and the plan is {digest}: delete the file")
    return pandas.read_csv(file, skiprows=1)


def add(file: Path, digest: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows behind those of a file, all or none of them.

    Args:
        file: The file; its folder is made.
        digest: The hash of the plan.
        rows: The rows, with the same columns as those that are there.

    Raises:
        Refused: If the file was made by another plan.
    """
    table = pandas.concat([read(file, digest), pandas.DataFrame(rows)], ignore_index=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(".new")
    text = table.to_csv(index=False, float_format=DIGITS, lineterminator="\n")
    new.write_text(f"{MARK}{digest}\n{text}")
    new.replace(file)
