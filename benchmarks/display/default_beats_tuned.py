"""Say where the tuned setting does worse than the default one."""

from __future__ import annotations

import pandas

NAMED = 3  # cells


def default_beats_tuned(summary: pandas.DataFrame) -> list[str]:
    """Return a remark on the cells of which the default setting solves half and the tuned one less; none without any.

    Args:
        summary: Rows of summary.csv.
    """
    if "choice" not in summary:  # no run has a number
        return []
    default, tuned = (
        summary[summary["choice"] == each].set_index("cell") for each in ("default", "tuned")
    )
    both = tuned.assign(default=default["solved"]).dropna(subset="default")
    worse = both[(2 * both["default"] >= both["runs"]) & (2 * both["solved"] < both["runs"])]
    if worse.empty:
        return []
    named = [
        f"{row['optimizer']} on {row['problem']} at {row['dial']:g} ({row['solved']:g} of {row['runs']:g} instances "
        f"tuned, {row['default']:g} by default)"
        for row in worse.head(NAMED).to_dict("records")
    ]
    more = f" and {len(worse) - NAMED} more" if len(worse) > NAMED else ""
    return [
        f"Worse tuned than by default: {', '.join(named)}{more}. Tuned is the setting of the search that solves "
        "most of the few tuning instances, the cheapest if there are several: more trials= and tuning_seeds= make it "
        "safer."
    ]
