"""Combine the findings of the rules into a verdict: discount consequences, and name the strongest cause."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from benchmarks.diagnosis.record import Record
from benchmarks.diagnosis.rules.cliffs_and_chains import chains, cliff
from benchmarks.diagnosis.rules.critical_points import critical_points
from benchmarks.diagnosis.rules.finding import (
    WEAK,
    Finding,
    progressing,
)
from benchmarks.diagnosis.rules.long_ways import long_path, no_critical_point
from benchmarks.diagnosis.rules.noise import noise, wrong_direction
from benchmarks.diagnosis.rules.step_and_curvature import (
    ill_conditioning,
    sharpening,
    step_too_large,
)
from benchmarks.diagnosis.run_features import SET_BACK, RunFeatures
from benchmarks.diagnosis.thresholds import Thresholds
from benchmarks.diagnosis.verdict import DERIVATIVE_NOT_FINITE, STEP_NOT_FINITE, Evidence, Verdict

CONSEQUENCES = {
    "sharpening", "saddle", "plateau", "local_minimum", "no_signal", "vanishing_gradient", "step_too_small",
    "ill_conditioning",
}  # fmt: skip
OF_A_THROW = {"cliff", "exploding_gradient", "plateau", "saddle", "sharpening"}
OF_THE_STEP = {"ill_conditioning", "sharpening", "step_too_large", "step_too_small"}
CHOSEN = Thresholds()


def diagnose(record: Record, thresholds: Thresholds = CHOSEN) -> Verdict:
    """Diagnose a run: which causes hold, on what evidence, and what is ruled out.

    Args:
        record: The measurements along the run. With the status "solved" the verdict is "solved"; to learn
            what slowed such a run, pass the status "running".
        thresholds: The numbers that the evidence is compared with.

    Returns:
        The verdict; its cause is "not_sure" if no cause holds, and "healthy" if the run also makes progress. It is
        "derivative_not_finite" or "step_not_finite" if a derivative that the optimizer asks for, or its own step, was
        the first number not to be finite, unless the run had been thrown far up before.
    """
    if record.status == "solved" or not len(record.step):
        return Verdict("solved" if record.status == "solved" else "not_sure", (), (), (), ())
    with np.errstate(all="ignore"):  # missing measurements are NaN and stay NaN
        features = RunFeatures(record, thresholds)
        findings = [finding for test in TESTS for finding in test(features)]
        findings = _in_a_basin(_after_a_throw(findings))
        findings = _too_large_from_the_start(findings, features)
        thrown = features.highest > SET_BACK
    # A weak finding (a proxy, or a downstream effect) never overrides steady progress.
    least = WEAK if progressing(features) else 0.0
    holding = sorted((f for f in findings if f.strength > least), key=lambda f: -f.strength)
    causes = tuple((each.cause, each.strength) for each in holding)
    progresses = record.status == "running" and features.progress > thresholds.stalled
    cause = causes[0][0] if causes else "healthy" if progresses else "not_sure"
    broken = _broken(record)
    if broken and not (thrown and causes):
        cause = broken[0].cause
    return Verdict(
        cause=cause,
        causes=causes,
        ruled_out=tuple(each.cause for each in findings if each.ruled_out and not each.strength),
        unresolved=tuple(dict.fromkeys(text for each in findings for text in each.unresolved)),
        evidence=(*broken, *(row for each in findings for row in each.evidence)),
    )


def _broken(record: Record) -> tuple[Evidence, ...]:
    """Return the evidence that a derivative or a step was the first number not to be finite; none if it was not."""
    what, step = record.not_finite or ("loss", 0)
    if what == "loss":  # if it overflows, the step before is to blame
        return ()
    cause, own, before, size = (
        (STEP_NOT_FINITE, "optimizer's own ", "gradient", "|s|")
        if what == "step"
        else (DERIVATIVE_NOT_FINITE, "", "loss", "largest |entry|")
    )
    test = f"the {own}{what} was not finite (step {step}) where the {before} was"
    largest, why = sys.float_info.max, "a run ends where a loss, derivative or step is not finite"
    return (Evidence(cause, test, f"{size} (inf for NaN)", math.inf, largest, True, why),)


def _after_a_throw(findings: list[Finding]) -> list[Finding]:
    """Discount findings at the place to which a cliff has thrown the run: they are its consequences."""
    thrown = any(each.cause == "cliff" and each.strength > WEAK for each in findings)
    if not thrown:
        return findings
    return [
        replace(each, strength=WEAK * each.strength) if each.cause in CONSEQUENCES else each
        for each in findings
    ]


def _too_large_from_the_start(findings: list[Finding], features: RunFeatures) -> list[Finding]:
    """Discount findings at the place to which too large a first step has led: they are its consequences."""
    large = any(each.cause == "step_too_large" and each.strength > 0 for each in findings)
    if not (large and features.begins_too_large):
        return findings
    return [
        replace(each, strength=WEAK * each.strength) if each.cause in OF_A_THROW else each
        for each in findings
    ]


def _in_a_basin(findings: list[Finding]) -> list[Finding]:
    """Discount findings about the step in a bad local minimum: changing the step alone does not lead out."""
    if not any(each.cause == "local_minimum" and each.strength > 0 for each in findings):
        return findings
    return [
        replace(each, strength=WEAK * each.strength) if each.cause in OF_THE_STEP else each
        for each in findings
    ]


# Of causes that are equally strong the earlier is named first. A chain comes before noise and the step, because it
# makes a gradient so small that noise drowns it, and curvatures so different that no step suits them.
TESTS: tuple[Callable[[RunFeatures], Iterator[Finding]], ...] = (
    chains, ill_conditioning, sharpening, step_too_large, noise, wrong_direction, critical_points, cliff,
    no_critical_point, long_path,
)  # fmt: skip
