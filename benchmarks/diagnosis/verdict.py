"""A verdict: causes by strength, what is ruled out, and the table of evidence for both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas

STEP_NOT_FINITE = "step_not_finite"  # the optimizer's own fault, whatever it met on its way
DERIVATIVE_NOT_FINITE = "derivative_not_finite"
CAUSES = (
    "ill_conditioning", "sharpening", "step_too_large", "step_too_small", "noise", "wrong_direction",
    "local_minimum", "saddle", "plateau", "no_signal", "cliff", "exploding_gradient",
    "vanishing_gradient", "no_critical_point", "long_path",
)  # fmt: skip
MEASURED = (
    "negative_curvature",
    "misleading_slope",
    "winding_path",
)  # causes that no verdict names
OUTCOMES = (
    "solved", "healthy", "not_sure", STEP_NOT_FINITE, DERIVATIVE_NOT_FINITE,
)  # verdicts that are no cause  # fmt: skip


@dataclass(frozen=True)
class Evidence:
    """One test of a cause.

    Attributes:
        cause: The cause that the test supports if it holds.
        test: The test in words.
        formula: The measured quantity as a formula.
        value: Its value; NaN if it could not be measured, infinite if it is a ratio to 0.
        threshold: The number that the value is compared with.
        holds: The outcome; None if the value could not be measured.
        source: Literature or reason behind the test.
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
    """The diagnosis of a run.

    Attributes:
        cause: The strongest cause, or one of `OUTCOMES`: none holds, or a gradient or step was not finite.
        causes: All causes that hold, strongest first, each with its strength in (0, 1].
        ruled_out: Causes that the evidence speaks against.
        unresolved: Sentences about causes that these measurements cannot tell apart.
        evidence: All tests, whether they hold or not.
    """

    cause: str
    causes: tuple[tuple[str, float], ...]
    ruled_out: tuple[str, ...]
    unresolved: tuple[str, ...]
    evidence: tuple[Evidence, ...]

    @property
    def also(self) -> tuple[str, ...]:
        """Return the causes that hold beside the verdict, strongest first."""
        return tuple(name for name, _ in self.causes if name != self.cause)

    @property
    def frame(self) -> pandas.DataFrame:
        """Return the evidence as a table: one row per test, one column per field of `Evidence`."""
        import pandas

        return pandas.DataFrame([vars(each) for each in self.evidence])

    def text(self) -> str:
        """Return the verdict as lines for a terminal."""
        lines = [f"Verdict: {_words(self.cause)}"]
        for row in self.evidence:
            if row.cause == self.cause and row.holds:
                lines.append(
                    f"  {row.test}: {row.formula} = {row.value:.3g} (against {row.threshold:.3g})"
                )
        if self.also:
            lines.append(f"Also: {_listed(self.also)}")
        if self.ruled_out:
            lines.append(f"Ruled out: {_listed(self.ruled_out)}")
        return "\n".join([*lines, *self.unresolved])


def _words(name: str) -> str:
    return name.replace("_", " ")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(_words, names))
