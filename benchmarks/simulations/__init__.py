"""Simulations that the statistical rules rest on: a module for each rule, with its text and `simulate`.

`python -m benchmarks.docgen.statistics` writes docs/statistics.md from them, and with names prints only theirs.
"""

RULES: tuple[str, ...] = ("carryover",)  # modules, in the order of the page
