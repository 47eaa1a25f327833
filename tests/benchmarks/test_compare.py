"""Two sweeps side by side: what is found, what is said, and which folders are refused."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas
import pytest

from benchmarks import assert_no_regression, compare_sweeps, read_table, sweep
from benchmarks.analysis import tables
from benchmarks.analysis.chosen_runs import with_variant
from benchmarks.cli.main import main
from benchmarks.store.sweep_folder import BEFORE, MARKERS
from problems.inexact_gradients.noisy_quadratic import NoisyQuadratic
from ravine import Refused
from tests.benchmarks.problems_for_tests import Bowl, NoisyBowl

SIZE: dict[str, Any] = {"trials": 9, "tuning_seeds": 2, "seeds": 6, "budget": 60}
PROBLEM, OPTIMIZERS = Bowl(dim=2), ["sgd", "newton"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The folder of a small sweep of two optimizers."""
    folder = tmp_path_factory.mktemp("sweeps") / "whole"
    sweep(PROBLEM, OPTIMIZERS, out=folder, **SIZE)
    return folder


@pytest.fixture
def copy(whole, tmp_path) -> Path:
    """The same, to be spoilt."""
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def edit(folder, table, change):
    frame = pandas.read_csv(folder / f"{table}.csv")
    change(frame).to_csv(folder / f"{table}.csv", index=False)


def state(folder, **changed):
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, **changed}))


def rewritten(folder, change):
    """As if the sweep had found other numbers: runs changed, and the summary made from them."""
    edit(folder, "runs", change)
    runs = pandas.read_csv(folder / "runs.csv")
    reporting = runs[runs["role"] == "reporting"]

    def numbers(row):
        chosen = reporting[
            (reporting["cell"] == row["cell"]) & (reporting["trial"] == row["trial"])
        ]
        cost = chosen["cost_to_target"].where(chosen["status"] == "solved", math.inf)
        row["solved"] = (chosen["status"] == "solved").sum()
        row["cost_to_target"] = cost.median()
        return row

    edit(folder, "summary", lambda summary: summary.apply(numbers, axis=1))


def dearer(factor, optimizer="newton", role="reporting"):
    """Runs whose solved instances cost `factor` times as much."""

    def change(runs):
        rows = (runs["optimizer"] == optimizer) & (runs["role"] == role)
        runs.loc[rows, "cost_to_target"] *= factor
        return runs

    return change


def test_a_sweep_is_like_itself(whole):
    for one, other in ((whole, whole), (sweep(PROBLEM, OPTIMIZERS, **SIZE), whole)):
        found = compare_sweeps(one, other)
        assert set(found.differences["judgement"]) == {"not told apart"}
        assert (found.differences["ties"] == 6).all() and len(found.differences) == 6
        assert found.regressions.empty and found.new.empty and found.missing.empty
        assert found.warnings == ()
    assert repr(compare_sweeps(whole, str(whole))) == (
        f"{whole} → {whole}: 6 cells in both, 0 better, 0 worse, 0 error, 6 not told apart"
    )


def test_what_is_worse_is_a_regression_and_what_is_better_is_none(whole, copy):
    rewritten(copy, dearer(2.0))
    worse = compare_sweeps(whole, copy)
    solving = worse.differences.query("optimizer == 'newton' and losses > 0")
    assert len(solving) and (solving["losses"] == 6).all()
    assert solving["effect"].tolist() == pytest.approx([math.log10(2)] * len(solving))
    assert solving["p"].tolist() == [2 / 2**6] * len(solving)
    # Holm: only those that differ count, and each could attain no less
    assert solving["p_holm"].tolist() == [len(solving) * 2 / 2**6] * len(solving)
    assert len(solving) > 1 and worse.regressions.empty
    assert "6 paired instances are too few" in repr(worse)


@pytest.fixture
def ten(tmp_path):
    """Two sweeps of ten instances; in the second, Newton's method costs twice as much."""
    for name in ("before", "after"):
        sweep(PROBLEM, OPTIMIZERS, out=tmp_path / name, **{**SIZE, "seeds": 10})
    rewritten(tmp_path / "after", dearer(2.0))
    return tmp_path / "before", tmp_path / "after"


def test_the_direction_and_the_exit_code(ten, capsys):
    before, after = map(str, ten)
    found = compare_sweeps(before, after)
    assert set(found.regressions["optimizer"]) == {"newton"}
    assert set(found.regressions["judgement"]) == {"worse"} and not found.warnings
    assert (compare_sweeps(after, before).differences["judgement"] != "worse").all()
    assert "better" in set(compare_sweeps(after, before).differences["judgement"])

    assert main(["compare", before, after]) == 0
    assert main(["compare", before, after, "--fail-on-regression"]) == 1
    shown = capsys.readouterr().out
    assert "bowl 1" in shown.lower() and "0 : 10 : 0" in shown and "2 [2, 2]" in shown
    assert main(["compare", "--fail-on-regression", after, before]) == 0
    assert "0.5 [0.5, 0.5]" in capsys.readouterr().out


def test_misses_are_said_as_such(ten):
    before, after = ten

    def lost(runs):
        rows = (runs["optimizer"] == "newton") & (runs["role"] == "reporting")
        runs.loc[rows, ["status", "cost_to_target"]] = ["missed", math.nan]
        return runs

    rewritten(after, lost)
    found = compare_sweeps(before, after)
    assert (found.regressions["effect"] == math.inf).all() and len(found.regressions)
    assert "∞ [∞, ∞]" in repr(found)


TWISTED = """
import torch
class Twisted(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p -= group["lr"] * p.grad * FACTOR
"""


@pytest.fixture
def versions(ravine, files):
    """Folders of one file's optimizer, by the factor in its step; no version solves any instance."""

    def run(name, factor, seeds=8):
        (files / "twisted.py").write_text(TWISTED.replace("FACTOR", factor))
        os.utime(files / "twisted.py", ns=(0, len(list(files.iterdir()))))
        size = f"trials=3 tuning_seeds=2 seeds={seeds} budget=12"
        code, out, _ = ravine(f"+problem=rosenbrock optimizer=twisted.py:Twisted {size} out={name}")
        assert code == 0 and f"0 of {seeds}" in out
        return name

    return run


def test_a_bug_is_seen_where_neither_version_solves_anything(versions, ravine):
    sound, broken = versions("sound", "0.01"), versions("broken", "-0.01")
    code, out, _ = ravine(f"compare {sound} {broken} --fail-on-regression")
    assert code == 1 and "0 better, 3 worse" in out
    assert code == 1 and "0 better, 3 worse" in out
    # Its smallest rate changes one of the eight by 0.2 %, which is a tie.
    assert re.search(r"rosenbrock 100 +Twisted +tuned +0 : 7 : 1 +gap .* worse$", out, re.MULTILINE)
    code, out, _ = ravine(f"compare {broken} {sound} --fail-on-regression")
    assert code == 0 and "3 better, 0 worse" in out
    with pytest.raises(AssertionError) as raised:
        assert_no_regression(sound, broken)
    assert str(raised.value).splitlines() == [
        "sound → broken:",
        "worse: Twisted (default): rosenbrock 100",
        "worse: Twisted (one_setting): rosenbrock 100",
        "worse: Twisted (tuned): rosenbrock 100",
    ]
    assert_no_regression(broken, sound)
    found = compare_sweeps(broken, sound)
    assert len(found.improvements) == 3 and found.regressions.empty and found.undecided == ""


def test_what_rounds_differently_is_the_same(versions, ravine):
    """A change of the last digits has the same sign on all instances, which a sign test alone would call one."""
    before, after = versions("before", "0.01"), versions("after", "0.01 * (1 - 1e-6)")
    found = compare_sweeps(before, after)
    assert (found.differences["ties"] == 8).all() and found.warnings[0].startswith(
        "the code differs"
    )
    assert ravine(f"compare {before} {after} --fail-on-regression").code == 0


def test_too_few_instances_are_no_all_clear(versions, ravine):
    sound, broken = versions("sound", "0.01", 5), versions("broken", "-0.01", 5)
    code, out, _ = ravine(f"compare {sound} {broken} --fail-on-regression")
    said = "5 paired instances are too few for a sign test of 3 differences: it takes 7 (seeds=7)"
    assert code == 4 and f"Nothing can be told: {said}." in out
    assert ravine(f"compare {sound} {broken}").code == 0
    with pytest.raises(Refused, match=re.escape(f"nothing can be told: {said}")):
        assert_no_regression(sound, broken)
    assert ravine(f"compare {sound} {sound} --fail-on-regression").code == 0  # nothing differs


def test_what_has_nothing_in_common_is_no_all_clear(capsys):
    one, other = (sweep(PROBLEM, name, **SIZE) for name in ("sgd", "newton"))
    assert compare_sweeps(one, other).undecided == "no optimizer has run the same instances in both"
    with pytest.raises(Refused, match="nothing can be told: no optimizer has run"):
        assert_no_regression(one, other)


class TestManyRungs:
    """Of a hundred comparisons no single one of ten instances can be significant for all at once."""

    DIALS = [float(10**k) for k in range(30)]

    def side(self, factor, dials=DIALS, optimizers=("sgd", "adam")):
        """A sweep's tables, with costs that a factor makes dearer on these rungs."""
        base = {
            "problem": "bowl",
            "role": "reporting",
            "trial": 0,
            "search": "default",
            "budget": 1e3,
        }
        rows = [
            {**base, "dial": dial, "optimizer": name, "seed": 1000 + k, "status": "solved",
             "cell": f"{dial} {name}", "cost": 99.0, "gap_final": 1e-6, "grad_sq_initial": 1.0,
             "cost_to_target": (10.0 + k) * (factor if dial in dials and name == "sgd" else 1)}
            for name in optimizers for dial in self.DIALS for k in range(10)
        ]  # fmt: skip
        runs = pandas.DataFrame(rows)
        cells = runs.drop_duplicates("cell")
        choices = [
            cells[["cell", "optimizer", "dial", "problem"]].assign(choice=each, trial=0)
            for each in ("default", "tuned", "one_setting")
        ]
        return SimpleNamespace(
            tables=SimpleNamespace(runs=runs, summary=pandas.concat(choices), cells={})
        )

    def test_all_that_are_worse_are_seen_together(self):
        found = compare_sweeps(self.side(1), self.side(2))
        assert found.differences["p_holm"].min() > 0.05  # 90 that differ, of ten instances each
        rows = found.together.set_index(["optimizer", "choice"])
        assert rows.loc[("sgd", "tuned"), ["rungs", "instances", "worse"]].tolist() == [30, 10, 10]
        assert rows["judgement"].to_dict()["sgd", "tuned"] == "worse"
        assert rows["judgement"].to_dict()["adam", "tuned"] == "not told apart"
        assert len(found.regressions) == 90 and set(found.regressions["optimizer"]) == {"sgd"}
        assert found.undecided == ""
        assert compare_sweeps(self.side(2), self.side(1)).regressions.empty

    def test_a_long_list_is_folded_and_says_which(self):
        text = str(compare_sweeps(self.side(1), self.side(2)))
        assert "70 more rows are in `compare_sweeps(A, B).differences`." in text
        assert "Worse: sgd (tuned): bowl 1, 10, 100, 1000, 1e4" in text
        assert "30 rungs together: worse on 10 of 10 instances" in text
        assert sum(line.startswith("bowl") for line in text.splitlines()) == 20

    def test_only_the_rungs_that_are_worse_are_said(self):
        dials = self.DIALS[3:12]
        found = compare_sweeps(self.side(1), self.side(2, dials))
        assert sorted(found.regressions["dial"].unique()) == dials
        with pytest.raises(AssertionError, match=r"worse: sgd \(tuned\): bowl 1000, 1e4, 1e5, "):
            assert_no_regression(self.side(1), self.side(2, dials))

    def test_what_only_one_side_has_is_one_short_line(self):
        names = ["sgd", *(f"a_long_name_of_an_optimizer_{k}" for k in range(9))]
        text = str(compare_sweeps(self.side(1, optimizers=names), self.side(1)))
        (line,) = [line for line in text.splitlines() if line.startswith("Only in A")]
        assert line == "Only in A: 9 optimizers on 1 problem (see `.missing`)."


def test_what_only_one_has_is_new_or_missing():
    both = sweep(PROBLEM, OPTIMIZERS, **SIZE)
    one = sweep(PROBLEM, "sgd", **SIZE)
    found = compare_sweeps(one, both)
    assert set(found.new["optimizer"]) == {"newton"} and found.missing.empty
    assert set(found.new["choice"]) == {"default", "tuned", "one_setting"}
    assert "Only in B: newton on Bowl." in repr(found)
    back = compare_sweeps(both, one)
    assert set(back.missing["optimizer"]) == {"newton"} and back.new.empty
    assert set(back.differences["optimizer"]) == {"sgd"}


def test_another_variant_of_a_problem_is_another(whole):
    other = sweep(Bowl(dim=3), OPTIMIZERS, **SIZE)
    found = compare_sweeps(whole, other)
    assert found.differences.empty and len(found.new) == len(found.missing) == 6
    assert set(found.new["variant"]) == {"dim 3, steepness 1"}


def test_an_error_is_a_regression(whole, copy):
    runs = pandas.read_csv(copy / "runs.csv")
    cell = runs.loc[runs["optimizer"] == "newton", "cell"].iloc[0]

    def failed(frame):
        rows = frame["cell"] == cell
        row = frame[rows].iloc[:1].assign(status="error", error="ValueError: no")
        row[[name for name in ("choice", "trial", "seed", "role") if name in row]] = None
        return pandas.concat([frame[~rows], row])

    for table in ("runs", "summary"):
        edit(copy, table, failed)
    found = compare_sweeps(whole, copy)
    assert set(found.regressions["judgement"]) == {"error"} and found.missing.empty
    assert "ValueError: no" in repr(found)
    assert main(["compare", str(whole), str(copy), "--fail-on-regression"]) == 1
    assert len(compare_sweeps(copy, whole).new) == 3


def test_a_skipped_rung_counts_as_misses(tmp_path):
    before, after = tmp_path / "before", tmp_path / "after"
    sweep(PROBLEM, "newton", rungs=3, out=before, **SIZE)
    shutil.copytree(before, after)

    def skipped(frame):
        rows = frame["dial"] == 100
        row = frame[rows].iloc[:1].assign(status="skipped", error="no trial solves 10")
        row[[name for name in ("choice", "trial", "seed", "role") if name in row]] = None
        return pandas.concat([frame[~rows], row])

    for table in ("runs", "summary"):
        edit(after, table, skipped)
    solved = (
        pandas.read_csv(before / "summary.csv").query("dial == 100").set_index("choice")["solved"]
    )
    assert solved["tuned"] == 6
    found = compare_sweeps(before, after)
    hardest = found.differences.query("dial == 100").set_index("choice")
    assert hardest["losses"].to_dict() == solved.to_dict()
    assert found.missing.empty and compare_sweeps(after, before).new.empty
    assert (found.differences.query("dial < 100")["ties"] == 6).all()


def test_noisy_problems_are_compared_by_gap(tmp_path):
    size: dict[str, Any] = {"trials": 2, "tuning_seeds": 1, "seeds": 2, "budget": 20}
    in_memory = sweep(NoisyBowl(noise=0.3), "adam", **size)
    sweep(NoisyQuadratic(dim=2), "adam", out=tmp_path / "noisy", **size)
    for each in (in_memory, tmp_path / "noisy"):
        assert set(compare_sweeps(each, each).differences["measure"]) == {"gap"}


class TestWarnings:
    def test_of_versions(self, whole, copy):
        packages = json.loads((copy / "manifest.json").read_text())["packages"]
        state(copy, packages={**packages, "torch": "9.9"})
        (warning,) = compare_sweeps(whole, copy).warnings
        assert warning == f"the versions differ: torch is {packages['torch']} and 9.9"
        found = compare_sweeps(whole, copy)
        assert repr(found).startswith(f"Warning: {warning}.\n")
        assert found._repr_html_().startswith(f"<p>Warning: {warning}.</p><p><b>")

    def test_of_the_protocol(self, whole):
        other = sweep(PROBLEM, OPTIMIZERS, **{**SIZE, "seeds": 8, "budget": 70})
        found = compare_sweeps(whole, other)
        assert found.warnings[0] == "the protocols differ: seeds 6 and 8, budget 60 and 70"
        assert (found.differences["pairs"] == 6).all()

    def test_of_code(self, whole, copy):
        jobs = json.dumps(json.loads((copy / "manifest.json").read_text())["jobs"])
        runs = pandas.read_csv(copy / "runs.csv")
        mine = runs.loc[runs["optimizer"] == "sgd", "cell"].iloc[0]
        for table in ("runs", "summary"):
            edit(copy, table, lambda frame: frame.replace({"cell": {mine: "0123"}}))
        state(copy, jobs=json.loads(jobs.replace(mine, "0123")))
        assert compare_sweeps(whole, copy).warnings == ("the code differs of optimizer sgd",)

    def test_of_instances(self, whole, copy):
        edit(copy, "runs", lambda runs: runs.assign(grad_sq_initial=runs["grad_sq_initial"] * 1.01))
        assert compare_sweeps(whole, copy).warnings == (
            "the instances differ and cannot be paired: Bowl",
        )


def test_a_folder_without_the_columns_that_came_later_is_read(whole, copy):
    edit(copy, "runs", lambda runs: runs.drop(columns=["not_finite", "not_finite_at"]))
    assert compare_sweeps(whole, copy).warnings == ()


def drop(name):
    return lambda folder: (folder / name).unlink()


def lines(folder, name, change):
    file = folder / name
    file.write_text(change(file.read_text()))


def of_cells(name, value):
    """Return a change of a folder: a field of all its cells, or of their protocol, in the manifest."""

    def change(folder):
        file = folder / "manifest.json"
        manifest = json.loads(file.read_text())
        for job in manifest["jobs"]:
            for own in job["cells"].values():
                owner, _, field = name.rpartition(".")
                table = own.setdefault(owner, dict(job[owner])) if owner else own
                table[field] = value
        file.write_text(json.dumps(manifest))

    return change


AGAIN = "giving the command of its sweep again writes it"
OF_CELLS = [
    ("settings", 3, "a table"), ("dial", "x", "a number"), ("theory", 5, "a table, each entry a number"),
    ("theory", ["x"], "a table, each entry a number"), ("scale", "zz", "one of log, linear, list"),
    ("dial_column", 3, "a text"), ("target", "x", "a number"), ("problem", None, "a text"), ("optimizer", 3, "a text"),
    ("searched", 3, "a table, each entry a number or null"), ("protocol", 3, "a table"), ("noisy", 1, "true or false"),
    ("predicted_share", "x", "a number or null"), ("role", 3, "a text"),
    ("protocol.trials", 2.5, "a whole number"), ("protocol.tuning_seeds", None, "a whole number"),
    ("protocol.seeds", True, "a whole number"), ("protocol.budget", "x", "a number"),
    ("protocol.dtype", "float16", "one of float32, float64"), ("protocol.device", 0, "a text"),
]  # fmt: skip
SPOILT = {
    **{
        f"{name} {value}": (
            of_cells(name, value), f"{{copy}}/manifest.json cannot be read: {name} is {value!r}, but must be {kind}; "
        )
        for name, value, kind in OF_CELLS
    },
    "no folder": (shutil.rmtree, "{copy} does not exist, but must be the folder of a sweep"),
    "no manifest": (
        drop("manifest.json"), "{copy} is not the folder of a sweep: it has no manifest.json",
    ),
    "no runs": (drop("runs.csv"), "{copy} is half-written: it has no runs.csv; " + AGAIN),
    "no summary": (drop("summary.csv"), "{copy} is half-written: it has no summary.csv; " + AGAIN),
    "killed": (
        lambda folder: (folder / ".cells").mkdir(),
        "{copy} is half-written: its sweep is still running, or was killed; giving the same command "
        "again finishes it",
    ),
    "broken manifest": (
        lambda folder: lines(folder, "manifest.json", lambda text: text[:100]),
        "{copy}/manifest.json cannot be read: ",
    ),
    "another's manifest": (
        lambda folder: (folder / "manifest.json").write_text('{"name": "mine"}'),
        "{copy}/manifest.json is not a sweep's: it has no 'schema'; give another folder, or delete",
    ),
    "a list": (
        lambda folder: (folder / "manifest.json").write_text("[1]"),
        "{copy}/manifest.json cannot be read: ",
    ),
    "an older schema": (
        lambda folder: (folder / "manifest.json").write_text('{"schema": 1, "config": {"protocol": {}}}'),
        "{copy} was written by another version of Ravine (schema 1, this one has 2): "
        "give another folder, or delete {copy} and run its command again",
    ),
    "empty": (
        lambda folder: (folder / "runs.csv").write_text(""), "{copy}/runs.csv cannot be read: ",
    ),
    "cut": (
        lambda folder: lines(folder, "runs.csv", lambda text: text[: len(text) // 2]),
        "{copy}/runs.csv cannot be read: its last line has no end, as if it was cut off; " + AGAIN,
    ),
    "a column": (
        lambda folder: edit(folder, "runs", lambda runs: runs.drop(columns="role")),
        "runs has no column role",
    ),
    "a summary's column": (
        lambda folder: edit(folder, "summary", lambda table: table.drop(columns="choice")),
        "summary has no column choice",
    ),
    "a word": (
        lambda folder: edit(folder, "runs", lambda runs: runs.assign(cost="dear")),
        "cost in runs is 'dear', but must be a number",
    ),
    "a verdict": (
        lambda folder: edit(folder, "runs", lambda runs: runs.assign(verdict="solvd")),
        "verdict in runs is 'solvd': did you mean solved?",
    ),
    "an edge": (
        lambda folder: edit(folder, "runs", lambda runs: runs.assign(edge="maybe")),
        "edge in runs is 'maybe': (allowed: False, True)",
    ),
    "a budget": (
        lambda folder: edit(folder, "runs", lambda runs: runs.assign(budget="lots")),
        "budget in runs is 'lots', but must be a number",
    ),
    "a summary's end": (
        lambda folder: edit(folder, "summary", lambda table: table.drop(columns="cost_to_target_low")),
        "summary has no column cost_to_target_low",
    ),
    "a deep manifest": (
        lambda folder: (folder / "manifest.json").write_text("[" * 100_000),
        "{copy}/manifest.json cannot be read: it is nested too deeply; give another folder, or delete",
    ),
    "a status": (
        lambda folder: edit(folder, "runs", lambda runs: runs.replace({"status": {"missed": "mised"}})),
        "status in runs is 'mised': did you mean missed?",
    ),
    "a cell": (
        lambda folder: edit(folder, "runs", lambda runs: runs[runs["optimizer"] == "sgd"]),
        "runs and manifest.json have different cells",
    ),
    "a run twice": (
        lambda folder: edit(folder, "runs", lambda runs: pandas.concat([runs, runs.iloc[:1]])),
        "runs has a run twice",
    ),
    "a run": (
        lambda folder: edit(folder, "runs", lambda runs: runs[runs["seed"] != 1003]), "runs of cell",
    ),
    "a better cost": (
        lambda folder: edit(folder, "runs", dearer(0.5)), "cost_to_target of cell",
    ),
    "more solved": (
        lambda folder: edit(folder, "summary", lambda table: table.assign(solved=5)),
        "solved of cell",
    ),
    "a smaller gap": (
        lambda folder: edit(folder, "summary", lambda table: table.assign(gap_final=1e-9)),
        "gap_final of cell",
    ),
    "another choice": (
        lambda folder: edit(folder, "runs", lambda runs: runs.assign(
            cost_to_target=np.where(
                runs["role"] == "tuning", 10.0 * (1 + runs["trial"]), runs["cost_to_target"]
            ),
            status=np.where(runs["role"] == "tuning", "solved", runs["status"]),
        )),
        "is not what runs give as tuned",
    ),
}  # fmt: skip


def test_a_name_with_control_characters_is_escaped(whole, copy, capsys):
    for name in ("runs", "summary"):
        edit(copy, name, lambda table: table.replace({"optimizer": {"sgd": "sgd\x1b[31m"}}))
    assert main(["compare", str(whole), str(copy)]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out and "sgd\\x1b[31m" in out


@pytest.mark.parametrize("spoil", SPOILT)
def test_a_spoilt_folder_is_refused_in_a_line(spoil, whole, copy, capsys):
    change, expected = SPOILT[spoil]
    change(copy)
    assert main(["compare", str(whole), str(copy)]) == 2
    out, err = capsys.readouterr()
    assert not out and err.count("\n") == 1
    assert expected.format(copy=copy) in err


def test_what_was_there_before_a_sweep_is_compared_but_is_no_proof_of_no_regression(copy, capsys):
    (copy / MARKERS).mkdir()
    shutil.copy(copy / "manifest.json", copy / MARKERS / BEFORE)
    assert main(["compare", str(copy), str(copy)]) == 0
    assert "these are its results from before" in capsys.readouterr().err
    assert main(["compare", str(copy), str(copy), "--fail-on-regression"]) == 2
    out, err = capsys.readouterr()
    assert not out and err.startswith(f"ravine: {copy} is half-written: ") and err.count("\n") == 1
    with pytest.raises(Refused, match="is half-written"):
        assert_no_regression(copy, copy)


@pytest.mark.parametrize(
    ("words", "expected"),
    {
        "A": "the following arguments are required: B: ",
        "A B C": "unexpected argument 'C': ",
        "A B --fail-on-regresion": "unknown flag --fail-on-regresion: did you mean --fail-on-regression?",
    }.items(),
)
def test_bad_words_are_refused(words, expected, capsys):
    assert main(["compare", *words.split()]) == 2
    assert expected in capsys.readouterr().err


def test_what_is_neither_folder_nor_sweep_is_refused(whole):
    with pytest.raises(Refused, match="3 is neither a folder nor what `sweep` returns"):
        compare_sweeps(whole, 3)  # type: ignore[arg-type]


def test_runs_may_be_parquet(whole, tmp_path, monkeypatch):
    """As those of a large sweep are; a sweep that has grown large leaves no older file of them."""
    folder = tmp_path / "large"
    sweep(PROBLEM, OPTIMIZERS[:1], out=folder, **SIZE)
    assert (folder / "runs.csv").is_file()
    monkeypatch.setattr(tables, "LARGE", 0)
    sweep(PROBLEM, OPTIMIZERS, out=folder, **SIZE)
    names = sorted(each.name for each in folder.iterdir() if each.is_file())
    assert names == ["manifest.json", "runs.parquet", "summary.csv", "traces.parquet"]
    assert (compare_sweeps(whole, folder).differences["ties"] == 6).all()
    one, other = (read_table(each, "runs").drop(columns="seconds") for each in (whole, folder))
    pandas.testing.assert_frame_equal(one, other, check_dtype=False)


def test_a_column_of_several_kinds_is_text_in_parquet(tmp_path):
    mixed = pandas.DataFrame({"hp.x": [1.0, "fast", None, True], "cost": [1.0, 2.0, 3.0, 4.0]})
    tables._of_one_kind(mixed).to_parquet(tmp_path / "runs.parquet")
    assert read_table(tmp_path, "runs")["hp.x"].fillna("").tolist() == ["1.0", "fast", "", "True"]


REFERENCE = Path(__file__).parents[2] / "results/reference"


def test_a_wide_table_is_read_without_the_problems_fields(whole):
    """Of the reference's ninety columns, seventy are fields, and reading them took longer than all the rest."""
    for folder in (whole, REFERENCE):
        every = with_variant(read_table(folder, "runs"))
        few = read_table(folder, "runs", fields=False)
        assert not [name for name in map(str, few) if name.startswith("problem.")]
        pandas.testing.assert_frame_equal(few, every[list(few)])


def test_a_comparison_reads_no_fields(monkeypatch):
    read = []

    def noted(*given, **how):
        read.append(read_table(*given, **how))
        return read[-1]

    monkeypatch.setattr("benchmarks.analysis.folder.read_table", noted)
    compare_sweeps(REFERENCE, REFERENCE)
    runs = [table for table in read if "seed" in table]
    assert len(runs) == 2 and max(map(len, (table.columns for table in runs))) < 25
