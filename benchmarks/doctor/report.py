"""The doctor's report for terminal, notebook and browser: verdict, evidence, layers, and what to try."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.diagnosis import Record, Verdict, diagnose
from benchmarks.doctor.advice import Chart, advice

if TYPE_CHECKING:
    import pandas

    from benchmarks.doctor.measurement import Measured

SHOWN = 12  # layers on the terminal


@dataclass(frozen=True)
class Report:
    """The diagnosis of a run so far; `print` it, or let a notebook show it.

    Attributes:
        verdict: The causes, what is ruled out, and the evidence.
        record: All measurements, one row each.
        to_try: Advice, the strongest cause first.
        remarks: Lines about the measuring.
        by_layer: Norms and the share of dead units, by parameter; `layers` is the same as a table.
    """

    verdict: Verdict
    record: Record
    to_try: tuple[str, ...]
    remarks: tuple[str, ...]
    by_layer: dict[str, dict[str, float]]

    @classmethod
    def of(
        cls,
        record: Record,
        measured: list[Measured],
        usual_norm: float,
        remarks: Iterable[str],
    ) -> Report:
        """Diagnose a run.

        Args:
            record: What was measured, a row per measurement.
            measured: The measurements themselves; the last one has the layers.
            usual_norm: The median norm of the gradient along the run.
            remarks: Lines about the measuring, shown at the end.

        Returns:
            The report: verdict, evidence, what to try, layers.
        """
        verdict = diagnose(record)
        chart = Chart(record, measured, usual_norm)
        return cls(
            verdict,
            record,
            tuple(advice(verdict, chart)),
            tuple(remarks),
            measured[-1].layers if measured else {},
        )

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
        return pandas.DataFrame(self.record.chain, columns=list(self.record.layers)).dropna().iloc[-1]  # fmt: skip

    def __str__(self) -> str:
        parts = [self.verdict.text()]
        if self.to_try:
            parts.append("What to try\n" + "\n".join(f"  {each}" for each in self.to_try))
        if self.verdict.evidence:
            parts.append("Evidence (all of it in .frame)\n" + _aligned(self._evidence(short=True)))
        if self.by_layer:
            parts.append(
                "Layers, when last measured\n" + _aligned(_shortened(self._layer_rows(), SHOWN))
            )
        if self.chain is not None:
            parts.append(
                "Gradients on their way back\n" + _aligned(_shortened(self._chain_rows(), SHOWN))
            )
        return "\n\n".join([*parts, "\n".join(self.remarks)])

    def _repr_html_(self) -> str:
        """Return the report as HTML for a notebook."""
        return f"<style>{_STYLE}</style><div class='doctor'>{self._body()}</div>"

    def html(self, path: str | Path) -> Path:
        """Write the report as one self-contained HTML page.

        Args:
            path: Where to write it.

        Returns:
            The path.
        """
        path = Path(path)
        title = html.escape(f"Verdict: {_words(self.verdict.cause)}")
        path.write_text(
            f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{title}</title>"
            "<meta name='viewport' content='width=device-width'>"
            f"<style>{_PAGE}{_STYLE}</style></head><body class='doctor'>{self._body()}</body></html>\n",
            encoding="utf-8",
        )
        return path

    def _body(self) -> str:
        headline, *rest = self.verdict.text().splitlines()
        parts = [f"<h1>{html.escape(headline)}</h1>", *(f"<p>{html.escape(each)}</p>" for each in rest)]  # fmt: skip
        if self.to_try:
            tried = "".join(f"<li>{html.escape(each)}</li>" for each in self.to_try)
            parts.append(f"<h2>What to try</h2><ul>{tried}</ul>")
        if self.verdict.evidence:
            parts.append(f"<h2>Evidence</h2>{_table(self._evidence())}")
        if self.by_layer:
            parts.append(f"<h2>Layers, when last measured</h2>{_table(self._layer_rows())}")
        if self.chain is not None:
            parts.append(f"<h2>Gradients on their way back</h2>{_table(self._chain_rows())}")
        parts += [f"<p>{html.escape(each)}</p>" for each in self.remarks]
        return "".join(parts)

    def _evidence(self, short: bool = False) -> list[list[str]]:
        """Return a head and rows of text, causes that hold first; if `short`, only these causes if there are any."""
        strength = dict(self.verdict.causes)
        rows = sorted(self.verdict.evidence, key=lambda each: -strength.get(each.cause, 0.0))
        if short and strength:
            rows = [each for each in rows if each.cause in strength]
        elif short:
            rows = [each for each in rows if each.holds is not None]
        head = ["cause", "test", "formula", "measured", "threshold", "holds"]
        table = [head + ["source"] * (not short)]
        for each in rows:
            holds = {True: "yes", False: "no", None: "not measured"}[each.holds]
            numbers = [_spelled(each.value), _spelled(each.threshold)]
            cells = [_words(each.cause), each.test, each.formula, *numbers, holds]
            table.append(cells + [each.source] * (not short))
        return table

    def _chain_rows(self) -> list[list[str]]:
        norms = {} if self.chain is None else self.chain.to_dict()
        return [["gradient at", "norm"], *([str(name), _spelled(norm)] for name, norm in norms.items())]  # fmt: skip

    def _layer_rows(self) -> list[list[str]]:
        columns = list(next(iter(self.by_layer.values())))
        rows = [[name, *(_spelled(row[each]) for each in columns)] for name, row in self.by_layer.items()]  # fmt: skip
        return [["layer", *columns], *rows]


def _words(name: str) -> str:
    return name.replace("_", " ")


def _spelled(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3g}"


def _shortened(rows: list[list[str]], most: int) -> list[list[str]]:
    """Return the head and at most `most` rows: the first and the last, with an ellipsis between them."""
    if len(rows) <= most + 1:
        return rows
    half = most // 2
    left_out = ["…", *[""] * (len(rows[0]) - 1)]
    return [*rows[: half + 1], left_out, *rows[-half:]]


def _aligned(rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  "
        + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _table(rows: list[list[str]]) -> str:
    head, *body = ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows]
    head = head.replace("<td>", "<th>").replace("</td>", "</th>")
    inner = "".join(f"<tr>{row}</tr>" for row in body)
    return f"<div><table><thead><tr>{head}</tr></thead><tbody>{inner}</tbody></table></div>"


_PAGE = (
    ":root{color-scheme:light dark}body{margin:2rem auto;max-width:75rem;padding:0 1rem;"
    "background:light-dark(#fff,#16181c);color:light-dark(#1b1d21,#e4e6ea)}"
)
_STYLE = (
    ".doctor{font:15px/1.5 system-ui,sans-serif}.doctor h1{font-size:1.5em}.doctor h2{font-size:1.15em}"
    ".doctor div{overflow-x:auto}.doctor table{border-collapse:collapse}"
    ".doctor th,.doctor td{text-align:left;padding:.25em .7em;border-bottom:1px solid #8884}"
)
