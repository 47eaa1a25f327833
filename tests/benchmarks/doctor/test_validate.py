"""How often the doctor is right, and how that is counted."""

from __future__ import annotations

import math

import pandas
import pytest

from benchmarks.diagnosis import CAUSES, OUTCOMES
from benchmarks.doctor import rivals, validate
from benchmarks.doctor.cases import CASES
from benchmarks.doctor.demos import DEMOS
from benchmarks.doctor.validate import Job, outcome, says


def _row(name="lr_raw", repaired=False, **more):
    verdict = more.pop("verdict", "healthy")
    return {
        "name": name, "repaired": repaired, "seed": 0, "verdict": verdict, "also": "", "advice": False,
        "outcome": outcome(CASES[name], repaired, {verdict}), "error": 1.0, "trained": repaired, **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("repaired", "verdicts", "expected"),
    [
        (False, "step_too_small", "root"),
        (False, "long_path", "consequence"),
        (False, "noise", "other"),
        (False, "noise step_too_small", "root"),
        (False, "healthy", "silent"),
        (False, "nothing_found", "silent"),
        (True, "not_sure", "silent"),
        (True, "step_too_small", "alarm"),
        (True, "step_not_finite", "alarm"),
        (True, "derivative_not_finite", "alarm"),
    ],
)
def test_what_a_verdict_is(repaired, verdicts, expected):
    assert outcome(CASES["rmsprop_small"], repaired, {*verdicts.split()}) == expected


@pytest.mark.parametrize(
    ("name", "text", "right"),
    [
        ("frozen", "Give the optimizer all parameters.", True),
        ("frozen", "Try another start.", False),
        ("lr_raw", "Try a learning rate of 0.014 (why; now 0.1).", True),
        ("lr_raw", "Try a learning rate of 0.14 (why; now 0.1).", False),
        ("lr_raw", "Tried: learning rate 1e-2 for 0.1 from step 3 on: loss 0.2.", True),
        ("lr_raw", "Try another learning rate: a tenth of it.", True),
        ("lr_raw", "another learning rate: a tenth of it, and ten times as much", False),
        ("lr_raw", "Reduce the learning rate from 1.00e-01 to ~3.00e-02", True),
        ("lr_raw", "A larger rate does not help.", False),
        ("adam_small", "Try ten times as much.", True),
        ("adam_small", "Increase learning rate from 1.00e-05 to ~3.00e-05", True),
        ("adam_small", "Try a learning rate of 1e-6.", False),
    ],
)
def test_which_advice_is_right(name, text, right):
    rate = {"lr_raw": 0.1, "adam_small": 1e-5}.get(name, math.nan)
    assert says(CASES[name], ["Train longer.", text], rate) == right


def test_a_case_is_a_row():
    row = validate.run(Job("nan_input", 0, False))
    assert (row["name"], row["repaired"], row["trained"]) == ("nan_input", False, False)
    assert row["outcome"] == outcome(CASES["nan_input"], False, {row["verdict"]})


@pytest.mark.slow
def test_processes_return_rows_in_order_and_a_failure_is_one(capfd, monkeypatch):
    monkeypatch.setattr("ravine.processes.os.cpu_count", lambda: 1)  # each imports torch anew
    jobs = [Job("lr_rw", 0, False), Job("nan_input", 0, False)]
    failed, done = validate.in_processes(validate.run, jobs)
    assert (failed["verdict"], failed["outcome"], failed["also"]) == (
        "failed", "failed", "KeyError: 'lr_rw'",
    )  # fmt: skip
    assert done["name"] == "nan_input"
    out = capfd.readouterr().out
    assert "/2 lr_rw, faulty, seed 0: failed (KeyError: 'lr_rw')\n" in out
    assert "/2 nan_input, faulty, seed 0: " in out


def test_all_networks_are_run_in_all_their_forms():
    jobs = validate.jobs_of(2)
    assert {job.name for job in jobs} == {*DEMOS, *CASES}
    assert Job("healthy", 1) in jobs and Job("lr_raw", 0, False) in jobs
    assert Job("noise_floor", 0, True) in jobs and Job("noise_floor", 0, False) not in jobs


def test_a_name_that_there_is_not(capsys):
    assert validate.main(["--only", "lr_rw"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("ravine: unknown network 'lr_rw': did you mean lr_raw? (allowed: ")


def test_no_seed_at_all(capsys):
    assert validate.main(["--seeds", "0"]) == 2
    assert (
        capsys.readouterr().err == "ravine: validate.seeds is 0, but must be a number, at least 1\n"
    )


def test_the_table_of_demos_counts_what_is_right():
    rows = pandas.DataFrame([
        {"name": name, "verdict": verdict, "also": also}
        for name, demo in DEMOS.items()
        for verdict, also in ((demo.expected, ""), ("cliff", demo.expected), ("cliff", "saddle"))
    ])  # fmt: skip
    text = validate.demo_table(rows)
    assert text.count("| 1 of 3 | 2 of 3 | cliff 2 |") == len(DEMOS)
    assert text.endswith(f"\n{len(DEMOS)} of {3 * len(DEMOS)} verdicts are the expected one.")


def test_the_table_of_cases_counts_root_causes_consequences_advice_and_alarms():
    rows = pandas.DataFrame([
        _row(verdict="step_too_large", advice=True),
        _row(verdict="noise"),
        _row("frozen", verdict="local_minimum"),
        _row(repaired=True, verdict="noise"),
        _row("noise_floor", repaired=True),
        _row(verdict="failed", outcome="failed"),
    ])  # fmt: skip
    text = validate.case_table(rows)
    assert "(DeepFD 13)) | 1 of 3 | 0 of 3 | 1 of 3 | noise 1, failed 1 | 1 of 1: noise 1 |" in text
    assert "| 0 of 1 | 1 of 1 | 0 of 1 |  | 0 of 0 |" in text
    assert "| **public** |  | 1 of 4 | 1 of 4 | 1 of 4 |  | 1 of 1 |" in text
    assert "| **own** |  |  |  |  |  | 0 of 1 |" in text


def test_a_network_that_trains_against_expectation_is_named():
    rows = pandas.DataFrame([_row(), _row("frozen", trained=True), _row("frozen", True, trained=False)])  # fmt: skip
    assert validate.untrained(rows).endswith("another one did not: `frozen` 2.")
    assert validate.untrained(rows[:1]).startswith("Each faulty network failed")


def test_other_tools_are_counted_beside_the_doctor_on_their_seeds():
    ours = pandas.DataFrame([_row(verdict="step_too_large"), _row(seed=7)])
    theirs = pandas.DataFrame([_row(), _row(repaired=True, verdict="noise")])
    text = validate.rival_table(theirs.assign(tool="torchmortem"), ours)
    assert "| doctor | public | 1 of 1 | 0 of 1 | 0 of 1 | 0 of 0 |" in text
    assert "| torchmortem | public | 0 of 1 | 0 of 1 | 0 of 1 | 1 of 1 |" in text


def test_quick_looks_print_and_full_ones_write(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(validate, "DOCS", tmp_path)
    monkeypatch.setattr(validate, "RIVALS", tmp_path / "doctor_rivals.csv")
    marks = [
        f"<!-- {each} -->of before<!-- end of {each} -->"
        for each in ("validation", "cases", "rivals")
    ]
    page = tmp_path / "doctor.md"
    page.write_text("top\n" + "\n".join(marks) + "\nbottom\n", encoding="utf-8")
    pandas.DataFrame([_row(tool="torchmortem")]).to_csv(validate.RIVALS, index=False)
    demo = {"name": "healthy", "verdict": "healthy", "also": "", "loss": 0.123456}
    validate.write([demo, _row()], to_page=False)
    assert "1 of 1 verdicts" in capsys.readouterr().out
    assert not (tmp_path / "doctor.csv").exists()
    validate.write([demo, _row()], to_page=True)
    assert capsys.readouterr().out == ""
    text = page.read_text(encoding="utf-8")
    assert text.startswith("top\n<!-- validation -->\n\n| network |") and text.endswith(
        "\nbottom\n"
    )
    assert "of before" not in text and "| torchmortem | public |" in text
    assert pandas.read_csv(tmp_path / "doctor.csv")["loss"].tolist() == [0.1235]
    assert pandas.read_csv(tmp_path / "doctor_cases.csv")["name"].tolist() == ["lr_raw"]


def test_what_other_tools_say_is_read_as_verdicts():
    known = {*CAUSES, *OUTCOMES, *(word for case in CASES.values() for word in case.root.split())}
    read = {word for verdicts in rivals.MEANINGS.values() for word in verdicts.split()}
    assert read - known == {"rank_collapse", "overfitting"}  # no case has them
    assert rivals.meaning("Dead units in 1") == {"no_signal"}
    assert rivals.meaning("healthy") == {"healthy"}


def test_other_tools_have_to_be_installed(capsys, monkeypatch):
    monkeypatch.setattr(rivals, "find_spec", lambda name: None)
    assert rivals.main() == 2
    assert capsys.readouterr().err == (
        "ravine: torchmortem is not installed: pip install torchmortem training-doctor\n"
    )


@pytest.mark.slow
def test_most_verdicts_are_right():
    """The figures are in docs/doctor.md; here those of the demos, over three seeds."""
    rows = validate.in_processes(validate.run, validate.jobs_of(3, list(DEMOS)))
    assert sum(row["verdict"] == row["expected"] for row in rows) >= 24
