"""The page on statistics has each rule's text, and the figures that its simulation gives."""

from __future__ import annotations

import importlib

import pytest

from benchmarks.docgen.statistics import FILE, main, section
from benchmarks.simulations import RULES

AGAIN = "python -m benchmarks.docgen.statistics writes it anew"


@pytest.mark.parametrize("name", RULES)
def test_the_page_has_the_text_of_each_rule(name):
    rule = importlib.import_module(f"benchmarks.simulations.{name}")
    assert f"## {rule.TITLE}\n\n{rule.RULE.strip()}\n" in FILE.read_text(), AGAIN


@pytest.mark.slow
@pytest.mark.parametrize("name", RULES)
def test_the_page_has_the_figures_of_each_simulation(name):
    assert section(name) in FILE.read_text(), AGAIN


def test_an_unknown_rule_is_refused_in_one_line(capsys):
    assert main(["rank"]) == 2
    assert capsys.readouterr().err.startswith("unknown rule 'rank': did you mean ranks?")
