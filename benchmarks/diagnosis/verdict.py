"""What a verdict is: causes by strength, what is ruled out, and the table of evidence for both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas

CAUSES = (
    "ill_conditioning", "sharpening", "step_too_large", "step_too_small", "noise", "wrong_direction",
    "local_minimum", "saddle", "plateau", "no_signal", "cliff", "exploding_gradient",
    "vanishing_gradient", "no_critical_point", "long_path",
)  # fmt: skip
OUTCOMES = ("solved", "healthy", "not_sure")  # what is said where no cause holds


@dataclass(frozen=True)
class Evidence:
    """One test: what it asks, in words and as a formula, what was measured, and whether it holds.

    cause: the cause that it speaks for where it holds.
    value, threshold: NaN where it could not be measured; holds is None there.
    source: where the test is from.
    """

    cause: str
    test: str
    formula: str
    value: float
    threshold: float
    holds: bool | None
    source: str


@dataclass(frozen=True)
class Verdict:
    """What is wrong with a run.

    cause: the strongest cause, or one of OUTCOMES where none holds.
    causes: all that hold, by strength, strongest first, each with its strength in (0, 1].
    ruled_out: causes that the evidence speaks against; unresolved: what cannot be told apart at this
        resolution, in words.
    """

    cause: str
    causes: tuple[tuple[str, float], ...]
    ruled_out: tuple[str, ...]
    unresolved: tuple[str, ...]
    evidence: tuple[Evidence, ...]

    @property
    def frame(self) -> pandas.DataFrame:
        """The table of evidence."""
        import pandas

        return pandas.DataFrame([vars(each) for each in self.evidence])

    def text(self) -> str:
        """For a terminal."""
        lines = [f"Verdict: {_words(self.cause)}"]
        for row in self.evidence:
            if row.cause == self.cause and row.holds:
                lines.append(
                    f"  {row.test}: {row.formula} = {row.value:.3g} (against {row.threshold:.3g})"
                )
        if len(self.causes) > 1:
            lines.append(f"Also: {_listed([name for name, _ in self.causes[1:]])}")
        if self.ruled_out:
            lines.append(f"Ruled out: {_listed(self.ruled_out)}")
        return "\n".join([*lines, *self.unresolved])


def _words(name: str) -> str:
    return name.replace("_", " ")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(_words, names))
