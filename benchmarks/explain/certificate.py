"""Whether a problem proves its name: what its card says breaks an optimizer is what does, as measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas

from benchmarks.explain.removals import Fields
from problems import Card

RIVAL = 0.5  # share of the shift without the stated cause that the shift without any other must stay below


@dataclass(frozen=True)
class Certificate:
    """Whether a problem proves its name.

    Attributes:
        why_not: Why it does not, in words; empty if it does.
        rows: The rows of the stated optimizer.
        own: That of the best removal of the stated cause; None if there is none.
        rival: That of the best removal of another cause; None if none shifts the breaking point.
    """

    why_not: str
    rows: pandas.DataFrame
    own: pandas.Series | None = None
    rival: pandas.Series | None = None

    @property
    def holds(self) -> bool:
        """True if the problem proves its name."""
        return not self.why_not


def certificate(card: Card, rows: pandas.DataFrame) -> Certificate:
    """Return whether taking the stated cause away helps the stated optimizer most.

    A removal of the cause in `card.breaks` must hold, and each removal of another cause must shift the breaking point
    less than half as far, in rungs; on a ladder of one rung, solve less than half as many more instances. Removals
    that change the problem's fields take everything away: they count for the stated cause only if it has no other
    removal, and are no rivals; nor are removals of the causes in `card.same`, or of two causes at once.

    Args:
        card: Of a problem that states `breaks`.
        rows: The rows of `explained.csv` for the problem.
    """
    assert card.breaks is not None
    optimizer, cause = card.breaks
    rows = rows[rows["optimizer"] == optimizer]
    if rows.empty:
        return Certificate(f"{optimizer} does not break", rows)
    one_rung = (rows["first_rung"] == rows["last_rung"]).all()
    shift = rows["solved_without"] - rows["solved"] if one_rung else rows["shift_rungs"]
    alone = rows.assign(shift=shift.fillna(0.0))[~rows["cause"].str.contains("+", regex=False)]
    alone = alone.sort_values(["shift", "holds"], ascending=False, kind="stable")
    causes = [each.split("/") for each in alone["cause"]]
    stated = np.array([cause in each for each in causes])
    one_thing = np.array([not {cause, *card.same}.isdisjoint(each) for each in causes])
    fields = alone["removal"].isin([Fields(each, "").name for each in card.removes.values()])
    others = alone[~fields & ~one_thing & (alone["shift"] > 0)]
    rival = None if others.empty else others.iloc[0]
    removals = alone[stated & ~fields] if (stated & ~fields).any() else alone[stated]
    if removals.empty:
        return Certificate("no removal of this cause applies", rows, None, rival)
    holding = removals[removals["holds"]]
    own = removals.iloc[0] if holding.empty else holding.iloc[0]
    why_not = ""
    if not own["holds"]:
        why_not = f"taking the cause away: {own['note']}"
    elif own["shift"] <= 0:
        why_not = "the breaking point does not shift"
    elif rival is not None and rival["shift"] >= RIVAL * own["shift"]:
        why_not = "another removal shifts the breaking point at least half as far"
    return Certificate(why_not, rows, own, rival)
