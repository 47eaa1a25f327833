"""The page on verdicts is that of its tables, and these are made from the folder of a sweep alone."""

from __future__ import annotations

import shutil

import pandas
import pytest

from benchmarks import sweep
from benchmarks.analysis.causes import EXPLAINED
from benchmarks.analysis.folder import read_results, read_table
from benchmarks.diagnosis.verdict import CAUSES, MEASURED, OUTCOMES
from benchmarks.docgen import explained, verdicts
from benchmarks.docgen.paths import DOCS
from benchmarks.explain.removals import Cause
from problems import PROBLEMS
from problems.ill_conditioning.quadratic import Quadratic


def test_the_page_is_that_of_its_tables():
    again = "python -m benchmarks.docgen.verdicts writes it anew"
    assert verdicts.PAGE.read_text() == verdicts.text(*verdicts.tables()), again


def test_the_rows_of_the_confusions_add_up_to_all_runs():
    page = verdicts.PAGE.read_text()
    runs = int(page.partition(" of them, on")[0].rpartition(" ")[2])
    rows = page.partition("| measured \\ verdict |")[2].partition("\n\n")[0].splitlines()[2:]
    cells = [[int(cell.strip() or 0) for cell in row.split("|")[2:-1]] for row in rows]
    assert all(sum(row[:-1]) == row[-1] for row in cells)
    assert sum(row[-1] for row in cells) == runs


def test_the_tables_have_only_what_can_be_read_and_measured():
    read, causes, outcomes = verdicts.tables()
    said = {*read["verdict"], *(name for each in read["also"] for name in each.split(","))}
    assert said <= {*CAUSES, *OUTCOMES, ""} - {"solved"}
    assert set(read["problem"]) <= set(causes["problem"])
    measured = {name for each in causes["cause"] for name in each.replace("+", "/").split("/")}
    assert measured <= {*CAUSES, *MEASURED} - {*verdicts.OF_THE_RATE}
    assert not outcomes.duplicated(["problem", "optimizer"]).any()


def test_all_causes_but_those_of_the_rate_have_a_removal():
    removed = {each.cause for each in Cause.__subclasses__() if isinstance(each.cause, str)}
    fields = {cause for each in PROBLEMS.values() for cause in each.card.removes}
    assert {*CAUSES} - removed - fields == {*verdicts.OF_THE_RATE}


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep in which sgd breaks, with an `explained.csv` written by hand."""
    folder = tmp_path_factory.mktemp("verdicts") / "swept"
    sweep(
        Quadratic(dim=3), ["sgd", "newton"], rungs=3, trials=9, seeds=4, tuning_seeds=2, budget=60,
        out=folder,
    )  # fmt: skip
    cells = read_results(folder).cells.values()
    job = next(each.job for each in cells if each.optimizer == "sgd")
    row = {
        "problem": "quadratic", "dial_name": "condition", "optimizer": "sgd", "job": job, "instances": 4,
        "solved": 0, "text": "10", "note": "",
    }  # fmt: skip
    without = {"solved_without": 4, "text_without": "> 1e5", "beyond": True}
    rows = [
        row | without | {
            "removal": "curvatures made alike", "cause": "ill_conditioning", "holds": True, "dials": "1000,100000",
        },
        row | {"removal": "gradients clipped", "cause": "cliff", "holds": False, "dials": "1000"},
    ]  # fmt: skip
    pandas.DataFrame(rows, columns=EXPLAINED).to_csv(folder / "explained.csv", index=False)
    return folder


def test_what_is_published_are_the_unsolved_tuned_runs_at_the_first_rung_that_is_explained(
    swept, tmp_path, monkeypatch
):
    for name in ("EXPLAINED", "READINGS", "OUTCOMES"):
        monkeypatch.setattr(explained, name, tmp_path / f"{name.lower()}.csv")
    assert explained.main([str(swept)]) == 0
    assert explained.EXPLAINED.read_bytes() == (swept / "explained.csv").read_bytes()
    read, runs, summary = (
        pandas.read_csv(file, dtype=str, keep_default_na=False)
        for file in (explained.READINGS, swept / "runs.csv", swept / "summary.csv")
    )
    runs, summary = (each[each["dial"] == "1000.0"] for each in (runs, summary))
    tuned = summary[(summary["choice"] == "tuned") & (summary["optimizer"] == "sgd")]
    of_trial = runs[(runs["optimizer"] == "sgd") & runs["trial"].isin(tuned["trial"])]
    expected = of_trial[(of_trial["role"] == "reporting") & (of_trial["status"] != "solved")]
    assert len(read) > 0 and read.equals(expected[list(read)].reset_index(drop=True))
    outcomes = pandas.read_csv(explained.OUTCOMES).set_index("optimizer")["outcome"]
    assert dict(outcomes) == {"sgd": "one cause", "newton": "does not break"}


def test_the_tables_of_several_folders_are_joined_and_no_pair_is_counted_twice(
    swept, tmp_path, monkeypatch, capsys
):
    for name in ("EXPLAINED", "READINGS", "OUTCOMES"):
        monkeypatch.setattr(explained, name, tmp_path / f"{name.lower()}.csv")
    other = tmp_path / "other"
    sweep(Quadratic(dim=3), ["momentum"], rungs=3, trials=9, seeds=4, tuning_seeds=2, budget=60, out=other)  # fmt: skip
    none = pandas.DataFrame(columns=EXPLAINED)
    none.to_csv(other / "explained.csv", index=False)
    assert explained.main([str(swept), str(other)]) == 0
    outcomes = pandas.read_csv(explained.OUTCOMES)
    assert sorted(outcomes["optimizer"]) == ["momentum", "newton", "sgd"]
    assert explained.EXPLAINED.read_bytes() == (swept / "explained.csv").read_bytes()
    before = explained.READINGS.read_bytes()
    assert explained.main([str(swept), str(other), str(swept)]) == 2
    assert "on quadratic is in two of the folders" in capsys.readouterr().err
    assert explained.READINGS.read_bytes() == before


def test_only_the_optimizers_that_are_given_are_replaced(swept, tmp_path, monkeypatch):
    files = {
        name: tmp_path / f"{name.lower()}.csv" for name in ("EXPLAINED", "READINGS", "OUTCOMES")
    }
    for name, file in files.items():
        monkeypatch.setattr(explained, name, file)
        shutil.copy(DOCS / file.name, file)
    lines = {name: file.read_text().splitlines() for name, file in files.items()}
    assert explained.main([str(swept)]) == 0
    once = {name: file.read_bytes() for name, file in files.items()}
    for name, file in files.items():
        table = pandas.read_csv(file)
        after = file.read_text().splitlines()
        given = table[table["optimizer"].isin(["sgd", "newton"])]
        assert set(given["problem"]) <= {"quadratic"}, name
        kept = [line for line in lines[name][1:] if ",adam," in line]
        assert kept and [line for line in after[1:] if ",adam," in line] == kept
        assert len(after) == 1 + len(kept) + len(given)
    assert explained.main([str(swept)]) == 0
    assert {name: file.read_bytes() for name, file in files.items()} == once


def test_an_optimizer_that_no_longer_breaks_has_no_rows_of_causes(swept, tmp_path, monkeypatch):
    for name in ("EXPLAINED", "READINGS", "OUTCOMES"):
        monkeypatch.setattr(explained, name, tmp_path / f"{name.lower()}.csv")
    shutil.copy(DOCS / "explained.csv", explained.EXPLAINED)
    assert "newton" in set(pandas.read_csv(explained.EXPLAINED)["optimizer"])
    assert explained.main([str(swept)]) == 0
    assert "newton" not in set(pandas.read_csv(explained.EXPLAINED)["optimizer"])


def test_a_solved_run_is_not_read(swept):
    results, table = read_results(swept), read_table(swept, "explained")
    jobs = {key: info.job for key, info in results.cells.items()}
    runs = results.runs.assign(job=results.runs["cell"].map(jobs))
    before = explained.readings(table, runs)
    first = (runs["dial"] == 1e3) & (runs["seed"] == before["seed"][0])
    solved = runs.assign(status=runs["status"].mask(first, "solved"))
    assert list(explained.readings(table, solved)["seed"]) == list(before["seed"][1:])


def test_pairs_without_rows_are_told_apart(swept):
    points = pandas.read_csv(swept / "breaking_points.csv")
    none = pandas.DataFrame(columns=EXPLAINED)

    def outcome(**changed):
        found = explained.outcomes(none, points.assign(**changed))
        return dict(zip(found["optimizer"], found["outcome"], strict=True))

    assert outcome() == {"sgd": "not measured", "newton": "does not break"}
    half = {"breaking_point": points["last_rung"], "censored": None}  # half are solved at the last
    assert set(outcome(**half).values()) == {"does not break"}
    assert set(outcome(unjudged="no_step").values()) == {"cannot be judged"}
    table = read_table(swept, "explained")
    found = explained.outcomes(table, points.assign(unjudged="too_few_steps"))
    assert set(found["outcome"]) == {"cannot be judged"}


def test_what_is_no_explained_sweep_is_refused_in_a_line(swept, tmp_path, capsys):
    copy = shutil.copytree(swept, tmp_path / "swept")
    (copy / "explained.csv").unlink()
    for words, said in [
        ([], "give folders of sweeps"),
        ([str(copy)], "no explained.csv"),
        ([str(tmp_path / "nowhere")], "does not exist"),
    ]:
        assert explained.main(words) == 2
        err = capsys.readouterr().err
        assert said in err and err.count("\n") == 1
