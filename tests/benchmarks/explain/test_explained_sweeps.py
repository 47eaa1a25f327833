"""`explain=true` as its user gives it: the table, its file, and the command for a sweep that has ended."""

from __future__ import annotations

import errno
import io
import itertools
import os
import signal
from contextlib import suppress
from dataclasses import dataclass, replace
from types import SimpleNamespace

import pandas
import pytest

from benchmarks.analysis.causes import COLUMNS, Removed
from benchmarks.catalog.contenders import contender
from benchmarks.cli import explaining as cli
from benchmarks.cli.after_a_sweep import Ended
from benchmarks.engine.cell import run_cell
from benchmarks.engine.protocol import Protocol
from benchmarks.explain.removals import Cause, Conditioned, Held, control
from benchmarks.runner import explain as explaining
from benchmarks.runner.job import Job, run_job, run_rung
from benchmarks.runner.progress import JobsProgress
from benchmarks.store.cells import Store
from benchmarks.store.code import _reached
from benchmarks.store.key import cell_key
from benchmarks.store.sweep_folder import SweepFolder
from problems import PROBLEMS
from problems.cliffs.cliff import Cliff
from problems.ill_conditioning.quadratic import Quadratic
from ravine import Refused
from tests.benchmarks.terminal import Terminal

SWEEP = "+problem=cliff problem.steps=30 ladder=[6,14] rungs=2 optimizer=sgd budget=300 trials=8 seeds=8 out=swept"

BAD = """
import torch
class Bad(torch.optim.SGD):
    def step(self, closure=None):
        self.count = getattr(self, "count", 0) + 1
        if self.count > 50:
            raise RuntimeError("broken")
        return super().step(closure)
"""


def test_a_cliff_is_what_breaks_descent_on_cliffs(ravine, files):
    code, out, err = ravine(f"{SWEEP} explain=true")
    assert code == 0, err
    table = pandas.read_csv(files / "swept" / "explained.csv")
    best = table[table["holds"]]
    assert "cliff" in set(best["cause"]) and "ill_conditioning" not in set(best["cause"])
    assert "cliff: gradients clipped." in out and "explained.csv" in out


def test_a_sweep_is_explained_afterwards_for_some_of_its_optimizers(ravine, files, monkeypatch):
    monkeypatch.setattr(cli, "cores", lambda: 1)  # a worker's lines are not captured
    ravine(SWEEP)
    code, out, err = ravine("explain swept --optimizer sgd")
    assert code == 0, err
    assert "why it breaks" in out
    assert "solved by default" not in out  # that table was printed by the sweep
    assert "explaining cliff · sgd" in err and "explained 1/1\n" in err
    assert set(pandas.read_csv(files / "swept" / "explained.csv")["optimizer"]) == {"sgd"}


def test_two_cores_explain_one_job_as_one_does(ravine, files, monkeypatch):
    """Each runs the removals of every other cause ahead; the explanation then finds their cells."""
    tables = []
    for cores in (1, 2):
        monkeypatch.setattr(cli, "cores", lambda cores=cores: cores)
        code, _, err = ravine(f"{SWEEP}{cores} cells=cells{cores} explain=true")
        assert code == 0, err
        tables.append((files / f"swept{cores}" / "explained.csv").read_bytes())
    assert tables[0] == tables[1]
    found = [{info.optimizer for _, info in Store(files / f"cells{k}").infos()} for k in (1, 2)]
    assert found[0] == found[1] and len(found[0]) > 3


def test_what_runs_ahead_runs_the_removals_of_its_causes_alone(tmp_path, monkeypatch):
    job, size = (
        Job("cliff", Cliff(units=14, steps=30), contender("sgd")),
        Protocol(trials=8, seeds=8, budget=300),
    )
    store = Store(tmp_path)
    explanation = explaining._explanation(
        job, run_job(job, size, store, lambda done: None), size, store
    )
    assert explanation is not None
    causes = list(dict.fromkeys(each.cause for each, _ in explanation._removals()))
    asked: list[str] = []
    monkeypatch.setattr(
        explaining._Explanation,
        "_removed",
        lambda self, removal, before: asked.append(removal.cause),
    )
    for share in range(3):
        asked.clear()
        explanation.run_ahead(share, 3)
        assert list(dict.fromkeys(asked)) == causes[share::3]


def test_after_what_runs_ahead_no_single_removal_is_run(tmp_path, monkeypatch):
    job, size = (
        Job("cliff", Cliff(units=14, steps=30), contender("sgd")),
        Protocol(trials=8, seeds=8, budget=300),
    )
    store = Store(tmp_path / "cells")
    keys = list(run_job(job, size, store, lambda done: None))
    built = SimpleNamespace(job=job, protocol=size, store=store)
    monkeypatch.setattr(explaining.RunningAhead, "setup", lambda self, number: built)
    config = {"problem": {"name": "cliff"}, "optimizer": {"name": "sgd"}}
    ahead = explaining.RunningAhead(
        SweepFolder(tmp_path, store), [config], {}, None, [keys], tmp_path, shares=2
    )
    found = []
    for step in (
        lambda: ahead(0),
        lambda: ahead(1),
        lambda: explaining.explain(job, keys, size, store),
    ):
        step()
        found.append({key for key, info in store.infos() if " and " not in info.optimizer})
    assert set(keys) < found[0] < found[1] == found[2]


def test_every_core_runs_ahead_where_jobs_are_fewer(ravine, files, monkeypatch):
    counts = []

    def launched(n_jobs):
        def launch(task, count, watch, say):
            counts.append((type(task), n_jobs, count))
            return []

        return launch

    ravine(SWEEP.replace("optimizer=sgd", "optimizer=sgd,momentum"))
    monkeypatch.setattr(cli, "cores", lambda: 3)
    monkeypatch.setattr(cli, "Processes", launched)
    ravine("explain swept")
    assert counts == [(explaining.RunningAhead, 3, 4), (explaining.Explaining, 3, 2)]


def test_what_cannot_be_explained_is_refused_in_a_line(ravine, files):
    ravine(SWEEP)
    for words, said in [
        ("explain swept --optimizer sdg", "unknown optimizer 'sdg': did you mean sgd"),
        ("explain swept --problem clif", "unknown problem 'clif': did you mean cliff"),
        ("explain", "the following arguments are required: FOLDER: "),
        (
            "explain swept --speed",
            "unknown flag --speed: (allowed: --help, --json, --optimizer, --problem, --trust)",
        ),
        ("explain nowhere", "nowhere does not exist, but must be the folder of a sweep"),
        ("explain swept/runs.csv", "swept/runs.csv is a file, but must be the folder of a sweep"),
    ]:
        code, out, err = ravine(words)
        assert code == 2 and out == "" and said in err and err.count("\n") == 1


def test_a_key_depends_on_what_is_taken_away_and_on_its_code():
    quadratic, settled = PROBLEMS["quadratic"], Protocol().settled(PROBLEMS["quadratic"])
    sgd = contender("sgd")
    without = [replace(sgd, removal=each) for each in (Conditioned(), Held())]
    keys = {cell_key("quadratic", quadratic, each, settled) for each in (sgd, *without)}
    assert len(keys) == 3
    assert "benchmarks.explain.curvature" in _reached((run_cell, Conditioned)).sources


def test_one_explanation_that_fails_is_named_and_the_others_are_kept(ravine, files, monkeypatch):
    ravine(SWEEP.replace("optimizer=sgd", "optimizer=sgd,momentum"))
    explain = explaining.explain

    def fails(job, *given):
        if job.contender.name == "sgd":
            raise ValueError("no way")
        return explain(job, *given)

    monkeypatch.setattr(explaining, "explain", fails)
    monkeypatch.setattr(
        "benchmarks.cli.explaining.cores", lambda: 1
    )  # what workers say is not captured
    code, _, err = ravine("explain swept")
    assert code == 0, err
    assert "ravine: the explanation of cliff · sgd is left out: ValueError: no way" in err
    assert set(pandas.read_csv(files / "swept" / "explained.csv")["optimizer"]) == {"momentum"}


CHEAP = "+problem=quadratic problem.dim=2 optimizer=momentum,sgd trials=1 seeds=2 tuning_seeds=1 budget=5 out=swept"
ROW = {
    "removal": "one", "cause": "noise", "holds": False, "instances": 2, "solved": 0, "text": "< 1",
}  # fmt: skip


def dies():
    os.kill(os.getpid(), signal.SIGKILL)


def is_full():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def is_refused():
    raise Refused("another user's")


def is_broken():
    raise ValueError("no way")


def terminates():
    signal.raise_signal(signal.SIGTERM)


KEPT = "finished cells are kept; the same command runs the rest"


@pytest.mark.usefixtures("heeded")
@pytest.mark.parametrize(
    ("ends", "cores", "code", "said"),
    [
        (dies, 2, 3, "quadratic · sgd: its process died (signal 9) for the second time, and it is left out; the same "
                     "command runs it"),
        (is_full, 1, 2, f"the disk is full: {KEPT}, once there is room"),
        (is_refused, 1, 2, "another user's"),
        (is_broken, 1, 0, "the explanation of quadratic · sgd is left out: ValueError: no way"),
        (terminates, 1, 143, f"terminated: {KEPT}"),
    ],
)  # fmt: skip
def test_whatever_ends_an_explanation_its_rows_of_before_and_those_of_others_are_kept(
    ends, cores, code, said, ravine, files, monkeypatch
):
    assert ravine(CHEAP).code == 0
    file, note = files / "swept" / "explained.csv", "of before"

    def explain(job, *given):
        if note != "of before" and job.contender.name == "sgd":
            ends()
        return pandas.DataFrame([dict.fromkeys(COLUMNS) | ROW | {"note": note}])

    monkeypatch.setattr(explaining, "explain", explain)
    monkeypatch.setattr(cli, "cores", lambda: 1)
    monkeypatch.setattr(Ended, "print_explained", lambda self: None)
    assert ravine("explain swept").code == 0
    note = "new"
    monkeypatch.setattr(cli, "cores", lambda: cores)
    found = ravine("explain swept")
    assert found.code == code and f"ravine: {said}\n" in found.err
    assert "Traceback" not in found.err
    table = pandas.read_csv(file)
    old = table["note"] == "of before"
    assert set(table[old]["optimizer"]) == {"sgd"} and set(table[~old]["optimizer"]) == {"momentum"}
    assert not list(files.glob("swept/.explained*"))


def test_no_pair_is_tried_where_no_outcome_could_be_told(ravine, files):
    ravine(f"{SWEEP.replace('seeds=8', 'seeds=2')} explain=true")
    table = pandas.read_csv(files / "swept" / "explained.csv")
    assert set(table.dropna(subset="p")["note"]) == {"too few instances"}
    assert not table["cause"].str.contains("+", regex=False).any()


def test_where_nothing_helps_all_pairs_of_six_causes_are_combined():
    @dataclass(frozen=True)
    class Named(Cause):
        cause: str = ""

    removed = [Removed(Named(name), 0, 0.0) for name in "aabcdefg"]
    pairs = [
        first.removal.cause + second.removal.cause for first, second in explaining._couples(removed)
    ]
    assert pairs == [*map("".join, itertools.combinations("abcdef", 2))] and len(pairs) == 15
    searched = [replace(removed[0], runs=pandas.DataFrame()), *removed[2:]]
    pairs = [
        first.removal.cause + second.removal.cause
        for first, second in explaining._couples(searched)
    ]
    assert pairs == ["ab", "ac", "ad", "ae", "af", "ag", "bc"]
    assert not explaining._couples(removed[:1])


def test_where_nothing_breaks_it_says_what_breaking_is_and_who_is_nearest_to_it(ravine, files):
    near = "+problem=cliff problem.steps=30 problem.units=2 budget=300 trials=8 seeds=8 out=near"
    code, out, err = ravine(f"{near} optimizer=sgd explain=true")
    assert code == 0, err
    said = " ".join(out.split())
    assert "no optimizer solves fewer than half of the instances at any rung" in said
    assert "Fewest: sgd on cliff solves 5 of 8 at units 2." in said
    # Another optimizer breaks, but was not asked about.
    ravine(
        "+problem=quadratic problem.dim=3 optimizer=sgd,newton trials=9 seeds=4 budget=200 out=two"
    )
    code, out, err = ravine("explain two --optimizer newton")
    said = " ".join(out.split())
    assert code == 0 and "no optimizer solves fewer than half" in said and "sgd" not in said


def test_what_ended_in_an_error_is_not_said_to_hold(ravine, files):
    (files / "bad.py").write_text(BAD)
    given = "+problem=quadratic optimizer=bad.py:Bad trials=2 seeds=2 tuning_seeds=1 explain=true"
    code, out, _ = ravine(given)
    assert code == 3 and "Nothing to explain: no optimizer without an error" in " ".join(
        out.split()
    )


def test_a_removal_whose_runs_end_in_an_error_is_named(ravine, files):
    """This optimizer cannot be clipped at a quantile, because both have a hyperparameter `quantile`."""
    (files / "mine.py").write_text(
        "import torch\n"
        "class Odd(torch.optim.SGD):\n"
        "    def __init__(self, params, lr=0.01, quantile=0.5):\n"
        "        super().__init__(params, lr)\n"
    )
    code, out, err = ravine(f"{SWEEP.replace('sgd', 'mine.py:Odd')} explain=true")
    assert code == 0, err
    rows = pandas.read_csv(files / "swept" / "explained.csv").set_index("removal")
    note = rows.loc["gradients clipped", "note"]
    assert note.startswith("failed: ") and note.endswith("both have a quantile")
    assert f"Odd with gradients clipped {note}" in " ".join(out.split())


def test_what_another_removal_of_the_cause_settles_is_not_tried(ravine, files):
    ravine(f"{SWEEP} explain=true")
    table = pandas.read_csv(files / "swept" / "explained.csv").set_index("removal").to_dict("index")
    clipped, skipped = table["gradients clipped"], table["gradients as at the start"]
    assert clipped["solved_without"] == clipped["instances"]
    assert skipped["note"] == "not tried: gradients clipped solves all"
    assert pandas.isna(skipped["tried"]) and not skipped["holds"]


def test_a_removal_is_tried_at_the_tuned_setting_and_towards_the_defaults():
    space = contender("momentum").space
    momentum = next(each for each in space.values() if each.scale == "complement")
    found = explaining._between(momentum, 0.99, 0.9)
    assert found is not None and found.decades == pytest.approx(1.0)
    assert 1 - found.high == pytest.approx(0.9)
    assert (
        explaining._between(momentum, 0.9, 0.9) is explaining._between(momentum, 0.5, None) is None
    )


@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_jobs_that_are_explained_are_counted_and_a_terminal_says_what_runs(monkeypatch, stream):
    shown = stream()
    monkeypatch.setattr("sys.stderr", shown)
    ended = iter([0, 0, 1, 1, 2])
    running = iter([["a: removal 1 of 2"], ["a: removal 2 of 2"], ["b: removal 1 of 1"]] + 2 * [[]])
    progress = JobsProgress("explained", 2, lambda: next(ended), lambda: next(running))
    for _ in range(5):
        progress.watch()
    progress.close()
    text = shown.getvalue()
    live = shown.isatty()
    assert "explained 1/2" in text and "explained 2/2" in text and ("\r" in text) == live
    assert "left" not in text
    for said in ("0/2 · a: removal 1 of 2", "0/2 · a: removal 2 of 2", "1/2 · b: removal 1 of 1"):
        assert (said in text) == live
    if not live:
        assert text == "ravine: explained 1/2\nravine: explained 2/2\n"


def test_an_explanation_says_which_removal_and_which_pair_it_is_at(tmp_path, monkeypatch):
    job, size = (
        Job("quadratic", Quadratic(dim=3, condition=1e5), contender("sgd")),
        Protocol(trials=3, seeds=8, tuning_seeds=1, budget=30),
    )
    store, said = Store(tmp_path), []
    keys = list(run_job(job, size, store, lambda done: None))
    monkeypatch.setattr(
        explaining._Explanation, "_removed", lambda self, removal, before: Removed(removal, 0, 1.0)
    )
    explaining.explain(job, keys, size, store, said.append)
    of = int(said[0].rpartition(" ")[2])
    assert said[:of] == [f"removal {number} of {of}" for number in range(1, of + 1)] and of > 1
    pairs = said[of:]
    expected = [f"pair of removals {k} of {len(pairs)}" for k in range(1, len(pairs) + 1)]
    assert pairs == expected and pairs


def test_what_runs_is_read_from_its_file_until_it_ends(tmp_path):
    config = {"problem": {"name": "quadratic"}, "optimizer": {"name": "momentum"}}
    folder = SweepFolder(tmp_path, Store(tmp_path))
    task = explaining.Explaining(folder, [config], {}, None, [[]], tmp_path)
    with suppress(KeyboardInterrupt), task.saying(0) as say:
        for number in (1, 2):
            say(f"removal {number} of 6")
            assert list(task.running()) == [f"quadratic · momentum: removal {number} of 6"]
        raise KeyboardInterrupt
    assert not list(task.running())


def test_a_control_without_traces_tells_what_a_stored_one_tells(tmp_path):
    problem = Cliff(units=14, steps=30)
    job, size = Job("cliff", problem, contender("sgd")), Protocol(trials=8, seeds=8, budget=300)
    tables = []
    for stored in (True, False):
        store = Store(tmp_path / str(stored))
        keys = list(run_job(job, size, store, lambda done: None))
        if stored:
            run_rung(job, control(problem), size, store, lambda done: None)
        tables.append(explaining.explain(job, keys, size, store))
        named = {info.optimizer for _, info in store.infos()}
        assert "sgd, gradients clipped" in named and ("sgd, nothing" in named) != stored
    pandas.testing.assert_frame_equal(*tables)


def test_a_brief_search_refines_no_trial_once_one_solves_all():
    easy, hard = (Quadratic(dim=3, condition=each) for each in (1.0, 1e6))
    size = Protocol(trials=10, tuning_seeds=2, seeds=1, budget=100)
    for problem, brief, refined in [
        (easy, True, False), (easy, False, True), (hard, True, True),
    ]:  # fmt: skip
        found = run_cell(problem, replace(contender("sgd"), brief=brief), size.settled(problem))
        assert ("refined" in found.runs["search"]) == refined
