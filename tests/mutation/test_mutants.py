"""The table of mutants fits the code as it is now; `python -m tests.mutation.run` runs it."""

from __future__ import annotations

from tests.mutation.mutants import MUTANTS


def test_each_mutant_changes_one_place_and_names_tests_that_exist():
    assert [f"{each.what}: {each.problem}" for each in MUTANTS if each.problem] == []
    assert len({each.what for each in MUTANTS}) == len(MUTANTS)
