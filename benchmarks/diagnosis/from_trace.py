"""Turn the trace of each run of a sweep into its record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, get_args

import numpy as np

from benchmarks.diagnosis.record import Quantity, Record, Status

MEASURED = (
    "step", "loss", "change", "grad_sq", "g_h_g", "g_s", "s_h_s", "step_norm", "distance_start",
    "lambda_min", "lambda_max", "decrease", "decrease_negative", "stability", "noise_sq", "noise_h", "bias",
)  # fmt: skip
OTHERS = ("bias_sq", "grad_leap", "loss_highest")  # None if they were not measured
SETTINGS = "hp."  # prefix of the columns with hyperparameters
CHAIN = "chain."  # prefix of chain.0, chain.1, …: by position, from the output's end


class Known(NamedTuple):
    """What is known of all runs of a cell: see `Record` for `target` and `floor_attained`."""

    noisy: bool
    target: float | None = None
    floor_attained: bool | None = None


def traced_record(
    trace: Mapping[str, np.ndarray],
    status: Status,
    known: Known,
    settings: Mapping[str, Any] | None = None,
    not_finite: tuple[Quantity, int] | None = None,
) -> Record:
    """Return the record of a run: `trace` has its rows by column, `known` is what is known of its cell.

    `not_finite` says which quantity was first not finite, and in which step: see `Record`.

    Columns that the trace lacks are NaN. Spectra are computed densely, so that their residual is 0. If the
    optimizer sees the exact gradient, noise is 0.
    """
    rows = len(trace["step"])
    unknown = np.full(rows, np.nan)
    columns: dict[str, Any] = {
        name: np.asarray(trace.get(name, unknown), dtype=float) for name in MEASURED
    }
    others: dict[str, Any] = {
        name: np.asarray(trace[name], dtype=float) for name in OTHERS if name in trace
    }
    if not known.noisy:
        columns |= {"noise_sq": np.zeros(rows), "noise_h": np.zeros(rows)}
    positions = sorted(
        (name for name in trace if name.startswith(CHAIN)), key=lambda name: int(name[len(CHAIN) :])
    )
    chain = np.stack([trace[name] for name in positions], axis=1) if positions else None
    if chain is not None:
        chain = chain[:, ~np.isnan(chain).all(0)]
    distance = np.asarray(trace["distance"], dtype=float)
    excess = trace.get("excess", unknown)[-1]
    return Record(
        status=status,
        residual=np.zeros(rows),
        **columns,
        chain=chain if chain is not None and chain.size else None,
        gap=float(trace["gap"][-1]),
        target=known.target,
        floor_attained=known.floor_attained,
        settings=settings or {},
        excess=None if np.isnan(excess) else float(excess),
        distance=distance,
        not_finite=not_finite,
        **others,
    )


def traced_records(
    runs: Mapping[str, np.ndarray], traces: Mapping[str, np.ndarray], known: Known
) -> Iterator[tuple[int, Record]]:
    """Yield, for each traced run of a cell that was judged, its row in `runs` and its record."""
    if not traces:
        return
    derivative = asked_for(runs)
    trial, seed = traces["trial"], traces["seed"]
    begins = np.flatnonzero(
        np.concatenate([[True], (trial[1:] != trial[:-1]) | (seed[1:] != seed[:-1])])
    )
    rows = {pair: k for k, pair in enumerate(zip(runs["trial"], runs["seed"], strict=True))}
    for first, end in zip(begins, [*begins[1:], len(trial)], strict=True):
        row = rows[trial[first], seed[first]]
        status = runs["status"][row]
        if status not in get_args(Status):
            continue
        settings = {
            name.removeprefix(SETTINGS): runs[name][row]
            for name in runs
            if name.startswith(SETTINGS)
        }
        trace = {name: column[first:end] for name, column in traces.items()}
        what = runs["not_finite"][row] if "not_finite" in runs else ""
        what = derivative if what == "gradient" else what
        not_finite = (what, int(runs["not_finite_at"][row])) if what else None
        yield row, traced_record(trace, status, known, settings, not_finite)


def asked_for(runs: Mapping[str, Any]) -> Quantity:
    """Return what the optimizer of these runs asks for beside the loss, by their counts.

    "gradient or curvature" also if all runs fail in their first step, which is not counted.
    """
    gradients, hvps, hessians = (
        (runs[name] > 0).any() for name in ("gradients", "hvps", "hessians")
    )
    return "gradient" if gradients and not (hvps or hessians) else "gradient or curvature"
