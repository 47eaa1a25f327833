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
    assert out.startswith(f"dead_relus: {short.about}\n\nVerdict: ")


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
    assert one == same != other
    assert torch.equal(before, torch.get_rng_state())
