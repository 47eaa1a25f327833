"""Whether a problem proves its name: what its card says breaks an optimizer is what does, as measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas

from benchmarks.explain.removals import Fields
from problems import Card

NOT_MEASURED = "not measured"  # the beginning of why_not if there are no rows: it may break or not
RIVAL = 0.5  # share of the shift without the stated cause that the shift without any other must stay below


@dataclass(frozen=True)
class Certificate:
    """Whether a problem proves its name.

    Attributes:
        why_not: Why it does not, in words; empty if it does.
        rows: The rows of the stated optimizer.
        own: That of the best removal of the stated cause; None if there is none.
        rival: That of the best removal of another cause; None if none shifts the breaking point.
        second: That of the best removal of the second stated cause; that of both at once is `own` and `second`.
        same: By cause that counts as one with the stated one, that of its best removal; None if there is none.
        unit: What `shift` of these rows counts: "rungs", or on a ladder of one rung "instances".
    """

    why_not: str
    rows: pandas.DataFrame
    own: pandas.Series | None = None
    rival: pandas.Series | None = None
    second: pandas.Series | None = None
    same: Mapping[str, pandas.Series | None] = field(default_factory=dict)
    unit: str = "rungs"

    @property
    def holds(self) -> bool:
        """True if the problem proves its name."""
        return not self.why_not


def certificate(card: Card, rows: pandas.DataFrame) -> Certificate:
    """Return whether taking the stated cause away helps the stated optimizer most.

    A removal of the cause in `card.breaks` must hold, and each removal of another cause must shift the breaking point
    less than half as far, in rungs; on a ladder of one rung, solve less than half as many more instances. Removals
    that change the problem's fields take everything away: they count for a stated cause only if it has no other
    removal, and are no rivals; nor are removals of the causes in `card.same`, or of two causes at once.

    A removal of the cause in `card.also` must hold as well and is compared in the same way, but not with that of the
    first cause. If neither of the two holds alone, the removal of both at once must.

    Args:
        card: Of a problem that states `breaks`.
        rows: The rows of `explained.csv` for the problem.
    """
    assert card.breaks is not None
    optimizer, cause = card.breaks
    rows = rows[rows["optimizer"] == optimizer]
    if rows.empty:
        return Certificate(f"{NOT_MEASURED} for {optimizer}", rows)
    one_rung = (rows["first_rung"] == rows["last_rung"]).all()
    shift = rows["solved_without"] - rows["solved"] if one_rung else rows["shift_rungs"]
    ordered = rows.assign(shift=shift.fillna(0.0))
    ordered = ordered.sort_values(["shift", "holds"], ascending=False, kind="stable")
    both = ordered["cause"].str.contains("+", regex=False)
    alone, couples = ordered[~both], ordered[both]
    causes = [each.split("/") for each in alone["cause"]]
    expected = np.array([not {cause, *card.same, card.also}.isdisjoint(each) for each in causes])
    fields = alone["removal"].isin([Fields(each, "").name for each in card.removes.values()])
    others = alone[~fields & ~expected & (alone["shift"] > 0)]
    rival = None if others.empty else others.iloc[0]
    found = Certificate(
        "no removal of this cause applies", rows, rival=rival, unit="instances" if one_rung else "rungs",
        same={each: _furthest(alone, each) for each in card.same},
    )  # fmt: skip
    own = _best(alone, fields, cause)
    if own is None:
        return found
    second = _best(alone, fields, card.also) if card.also else None
    if card.also and not own["holds"] and (second is None or not second["holds"]):
        pair = {cause, card.also}
        of_both = couples[[set(each.split("+")) == pair for each in couples["cause"]]]
        if not of_both.empty:
            own = second = of_both.iloc[0]
    why_not = ""
    if not own["holds"]:
        why_not = f"taking the cause away: {own['note']}"
    elif card.also and second is None:
        why_not = "no removal of the second cause applies"
    elif second is not None and not second["holds"]:
        why_not = f"taking the second cause away: {second['note']}"
    elif own["shift"] <= 0:
        why_not = "the breaking point does not shift"
    elif rival is not None and rival["shift"] >= RIVAL * own["shift"]:
        why_not = "another removal shifts the breaking point at least half as far"
    elif second is not None and rival is not None and rival["shift"] >= RIVAL * second["shift"]:
        why_not = "another removal shifts the breaking point at least half as far as that of the second cause"
    return replace(found, why_not=why_not, own=own, second=second)


def _furthest(alone: pandas.DataFrame, cause: str) -> pandas.Series | None:
    """Return the removal of a cause, of any kind, that shifts the breaking point farthest; None if there is none."""
    of_cause = alone[[cause in each.split("/") for each in alone["cause"]]]
    return None if of_cause.empty else of_cause.iloc[0]


def _best(alone: pandas.DataFrame, fields: pandas.Series, cause: str) -> pandas.Series | None:
    """Return the best removal of a cause: one that holds, if any, and other fields only if there is no other."""
    of_cause = np.array([cause in each.split("/") for each in alone["cause"]])
    removals = alone[of_cause & ~fields] if (of_cause & ~fields).any() else alone[of_cause]
    holding = removals[removals["holds"]]
    found = removals if holding.empty else holding
    return None if found.empty else found.iloc[0]
