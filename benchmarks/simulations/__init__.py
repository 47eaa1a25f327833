"""Simulations that the statistical rules rest on: a module for each rule, with its text and `simulate`.

`python -m benchmarks.docgen.statistics` writes docs/statistics.md from them, and with names prints only theirs.
"""

# Modules, in the order of the page.
RULES = (
    "ranks",
    "noisy_runs",
    "breaking_points",
    "ranges",
    "choice_noise",
    "carryover",
    "groups",
    "causes",
)
