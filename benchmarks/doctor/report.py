"""The doctor's report for terminal, notebook and browser: verdict, evidence, layers, and what to try."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.diagnosis import Evidence, Record, Verdict
from benchmarks.doctor.advice import Chart, advice
from benchmarks.doctor.judge import Judgement, Run, judge
from benchmarks.doctor.trials import HELPS, Tried
from benchmarks.doctor.words import MEANINGS, listed, position, spelled, words
from ravine.terminal import PROSE, columns
from ravine.whole_file import write_whole

if TYPE_CHECKING:
    import pandas

SHOWN = 12  # layers in the text
SEEN = 6  # tests in the text
SAID = (
    "the program",
    "tried on this run",
)  # sources of evidence that other parts of the report show


@dataclass(frozen=True)
class Report:
    """The diagnosis of a run so far; `print` it, or let a notebook show it.

    Attributes:
        run: What was known when it was made: the record, the losses, what was tried.
        verdict: The causes, what is ruled out, and the evidence.
        why: What was seen, with numbers: two sentences, at most three.
        to_try: Advice, the strongest cause first.
        remarks: Lines about the measuring.
    """

    run: Run
    verdict: Verdict
    why: tuple[str, ...]
    to_try: tuple[str, ...]
    remarks: tuple[str, ...]

    @classmethod
    def of(cls, run: Run, remarks: Iterable[str]) -> Report:
        """Judge a run.

        Args:
            run: What is known about it.
            remarks: Lines about the measuring, shown at the end.

        Returns:
            The report: verdict, evidence, what to try, layers.
        """
        found = judge(run)
        to_try = tuple(advice(found, Chart(run.record, run.measured, run.usual_norm, run.tried)))
        return cls(run, found.verdict, tuple(_why(found)), to_try, tuple(remarks))

    @property
    def record(self) -> Record:
        """Return all measurements, one row each."""
        return self.run.record

    @property
    def by_layer(self) -> dict[str, dict[str, float]]:
        """Return norms and the share of dead units, by parameter; `layers` is the same as a table."""
        return self.run.measured[-1].layers if self.run.measured else {}

    @property
    def frame(self) -> pandas.DataFrame:
        """Return the evidence as a table, one row per test."""
        return self.verdict.frame

    @cached_property
    def layers(self) -> pandas.DataFrame:
        """Return, by parameter, the norms of weight, gradient and step, and the share of units without gradient."""
        import pandas

        return pandas.DataFrame.from_dict(self.by_layer, orient="index")

    @property
    def chain(self) -> pandas.Series | None:
        """Return the last measured gradient norm at each layer, or at each time; None if there is none."""
        import pandas

        if self.record.chain is None:
            return None
        known = pandas.DataFrame(self.record.chain, columns=list(self.record.layers)).dropna()
        return known.iloc[-1] if len(known) else None

    @property
    def held(self) -> list[Evidence]:
        """Return the measured tests that hold for the causes of the verdict, its own first."""
        order = [name for name, _ in self.verdict.causes]
        held = [each for each in self.verdict.evidence if each.holds and each.source not in SAID]
        known = [each for each in held if each.cause in order and not math.isnan(each.value)]
        return sorted(known, key=lambda each: order.index(each.cause))

    @property
    def vain(self) -> list[Tried]:
        """Return what was tried and did not help, nor is advised: of each change the last trial."""
        helped = {each.change.cause for each in self.run.tried if each.helps}
        last = {
            each.change.name: each for each in self.run.tried if each.change.cause not in helped
        }
        return [
            each for each in last.values() if not any(each.sentence in text for text in self.to_try)
        ]

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what is not the cause, what could not be told apart, unless all is well, and the remarks."""
        out = self.verdict.ruled_out
        others = [f"Not the cause, as far as was measured: {listed(out)}."] if out else []
        unresolved = () if self.verdict.cause == "healthy" else self.verdict.unresolved
        return (*others, *unresolved, *self.remarks)

    def __str__(self) -> str:
        cause = self.verdict.cause
        head = [_wrapped(f"Verdict: {words(cause)} ({MEANINGS[cause]})")]
        if self.verdict.also:
            head.append(_wrapped(f"Also: {listed(self.verdict.also)}"))
        parts = ["\n".join(head), _titled("Why", [_wrapped(" ".join(self.why), "  ")])]
        if self.to_try:
            parts.append(_titled("What to try", [_item(each) for each in self.to_try]))
        if self.by_layer:
            rows = _shortened(_layer_rows(self.by_layer), SHOWN)
            chain = _chain_text(self.chain)
            parts.append(
                _titled(
                    "Layers, when last measured",
                    [_aligned(rows), *(_wrapped(each, "  ") for each in chain)],
                )
            )
        if self.held:
            found = [_item(_test_text(each)) for each in self.held[:SEEN]]
            parts.append(_titled("Evidence (all of it in .frame)", found))
        if self.vain:
            parts.append(_titled("Also tried", [_item(_tried_text(each)) for each in self.vain]))
        parts.append("\n".join(_wrapped(each) for each in self.notes))
        return "\n\n".join(filter(None, parts))

    def plain(self) -> dict[str, Any]:
        """Return the report as plain values and a table of the evidence, for JSON."""
        return {
            "verdict": self.verdict.cause,
            "also": list(self.verdict.also),
            "ruled_out": list(self.verdict.ruled_out),
            "why": list(self.why),
            "to_try": list(self.to_try),
            "remarks": list(self.notes),
            "evidence": self.frame,
            "layers": self.by_layer,
        }

    def _repr_html_(self) -> str:
        """Return the page in a frame of its own for a notebook, whose style stays as it is."""
        from html import escape

        return (
            f'<iframe srcdoc="{escape(self._page(), quote=True)}" title="Verdict: {words(self.verdict.cause)}" '
            'style="width: 100%; height: 640px; border: 0"></iframe>'
        )

    def html(self, path: str | Path) -> Path:
        """Write the report as one self-contained HTML page.

        Args:
            path: Where to write it.

        Returns:
            The path.
        """
        path = Path(path)
        write_whole(self._page(), path)
        return path

    def _page(self) -> str:
        from benchmarks.doctor.page import composed, html

        return html(composed(self.run, self.verdict, self.why, self.to_try, self.notes))


def _why(found: Judgement) -> Iterator[str]:
    """Yield the sentences of a judgement; where it has the loss alone, the first test that holds comes before it."""
    cause = found.verdict.cause
    held = [each for each in found.verdict.evidence if each.holds and each.cause == cause]
    if len(found.why) == 1 and held:
        test = held[0]
        numbers = f"{spelled(test.value)}, against a limit of {spelled(test.threshold)}"
        yield f"{test.test[0].upper()}{test.test[1:]}: {numbers}."
    yield from found.why


def _test_text(test: Evidence) -> str:
    """Return a test with its numbers: "noise: the noise outweighs the mean, tr S/|m|² = 30 (against 1)"."""
    numbers = f"{test.formula} = {spelled(test.value)} (against {spelled(test.threshold)})"
    return f"{words(test.cause)}: {test.test}, {numbers}"


def _tried_text(tried: Tried) -> str:
    """Return a trial as one line."""
    where = "the start" if tried.began == 0 else f"step {tried.began}"
    losses = f"loss {spelled(tried.loss)}, this run {spelled(tried.run)}"
    came = f"lower, but not {HELPS:.0f} times sooner" if tried.lower else "not clearly lower"
    return f"{tried.change.name}, {tried.steps} steps from {where} on: {losses} ({came})"


def _chain_text(chain: pandas.Series | None) -> Iterator[str]:
    """Yield a sentence on how the gradient grows or fades on its way back, if that was measured."""
    if chain is not None and chain.iloc[0] > 0:
        first, last = chain.iloc[0], chain.iloc[-1]
        yield (
            f"Gradient from {position(chain.index[0])} back to {position(chain.index[-1])}: {spelled(first)} to "
            f"{spelled(last)}, a factor of {spelled(last / first)} over {len(chain)} places."
        )


def _layer_rows(by_layer: dict[str, dict[str, float]]) -> list[list[str]]:
    """Return a head and one row per parameter."""
    columns = list(next(iter(by_layer.values())))
    rows = [[name, *(spelled(row[each]) for each in columns)] for name, row in by_layer.items()]
    return [["parameter", *columns], *rows]


def _wrapped(text: str, first: str = "", later: str | None = None) -> str:
    later = first if later is None else later
    return textwrap.fill(
        text, columns(PROSE), initial_indent=first, subsequent_indent=later, break_on_hyphens=False
    )


def _item(text: str) -> str:
    return _wrapped(text, "  - ", "    ")


def _titled(title: str, lines: Sequence[str]) -> str:
    return "\n".join([title, *lines])


def _shortened(rows: list[list[str]], most: int) -> list[list[str]]:
    """Return the head and at most `most` rows: the first and the last, with an ellipsis between them."""
    if len(rows) <= most + 1:
        return rows
    half = most // 2
    left_out = ["…", *[""] * (len(rows[0]) - 1)]
    return [*rows[: half + 1], left_out, *rows[-half:]]


def _aligned(rows: list[list[str]]) -> str:
    """Return rows as lines; names that are too long for the width lose their beginning."""
    names, *numbers = zip(*rows, strict=True)
    widths = [max(map(len, column)) for column in numbers]
    room = columns(PROSE) - 2 - sum(width + 2 for width in widths)
    names = [name if len(name) <= room else f"…{name[1 - room :]}" for name in names]
    widths = [max(map(len, names)), *widths]
    return "\n".join(
        "  "
        + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in zip(names, *numbers, strict=True)
    )
