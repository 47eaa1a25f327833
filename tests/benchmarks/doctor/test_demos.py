"""The small networks that the doctor is tried on."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from benchmarks.diagnosis import CAUSES, OUTCOMES
from benchmarks.doctor import demos
from benchmarks.doctor.demos import DEMOS


def test_each_has_a_verdict_that_there_is():
    assert {demo.expected for demo in DEMOS.values()} <= {*CAUSES, *OUTCOMES}


def test_the_command_lists_them(ravine):
    code, out, err = ravine("doctor")
    assert (code, err) == (0, "")
    for name, demo in DEMOS.items():
        assert f"{name} " in out
        assert demo.about in out


def test_the_command_shows_one(ravine, monkeypatch):
    short = dataclasses.replace(DEMOS["dead_relus"], steps=60)
    monkeypatch.setitem(demos.DEMOS, "dead_relus", short)
    code, out, err = ravine("doctor dead_relus")
    assert (code, err) == (0, "")
    assert "Verdict: no signal" in out
    assert "No gradient reaches 0.weight (100% of its units)" in out


def test_a_name_that_there_is_not(ravine):
    assert ravine("doctor helthy") == (
        2,
        "",
        f"ravine: unknown network 'helthy': did you mean healthy? (allowed: {', '.join(sorted(DEMOS))})\n",
    )


@pytest.mark.parametrize("name", list(DEMOS))
def test_a_seed_decides_the_run(name):
    short = dataclasses.replace(DEMOS[name], steps=1)
    before = torch.get_rng_state()
    one, same, other = (short.train(seed, overhead=0.0, allowance=0.0).loss for seed in (1, 1, 2))
    assert one == same != other or name == "dead_relus"
    assert torch.equal(before, torch.get_rng_state())


def test_the_table_counts_what_is_right():
    import pandas

    rows = pandas.DataFrame([
        {"network": name, "verdict": verdict, "also": also}
        for name, demo in DEMOS.items()
        for verdict, also in ((demo.expected, ""), ("cliff", demo.expected), ("cliff", "saddle"))
    ])  # fmt: skip
    text = demos.table(rows)
    assert text.count("| 1 of 3 | 2 of 3 | cliff 2 |") == len(DEMOS)
    assert text.endswith(f"\n{len(DEMOS)} of {3 * len(DEMOS)} verdicts are the expected one.")


@pytest.mark.slow
def test_most_verdicts_are_right():
    """The figures stand in docs/doctor.md; here the sum, less what time on another machine may change."""
    rows = demos.validate()
    expected = rows["network"].map(lambda name: DEMOS[name].expected)
    assert (rows["verdict"] == expected).mean() >= 0.45
