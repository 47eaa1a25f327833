"""Standings, what a published reference keeps of a sweep, and the page about it."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

from benchmarks import compare_sweeps, read_table, statistics, sweep
from benchmarks.analysis.consistency import CHOSEN_ROWS
from benchmarks.analysis.folder import finished, read_results
from benchmarks.analysis.parts import combine, compact
from benchmarks.analysis.ranking import mean_places, moved, standings
from benchmarks.catalog.defaults import CLASSICS, family_of
from benchmarks.catalog.loading import preset_words
from benchmarks.display.leaderboard import Leaderboard
from benchmarks.docgen import reference
from optimizers import OPTIMIZERS
from optimizers.adam import Adam
from optimizers.oracle import HVP, LOSS
from problems.ill_conditioning.quadratic import Quadratic
from tests.benchmarks.problems_for_tests import Bowl

SIZE: dict[str, Any] = {"trials": 9, "tuning_seeds": 2, "seeds": 6, "budget": 60, "rungs": 3}


def points(rows, choice="tuned", first_rung=1.0, last_rung=10.0):
    """Breaking points from (problem, optimizer, dial, censored)."""
    table = pandas.DataFrame(rows, columns=["problem", "optimizer", "breaking_point", "censored"])
    return table.assign(
        choice=choice, budget=1.0, low=np.nan, high=np.nan, theory=np.nan,
        first_rung=first_rung, last_rung=last_rung,
    )  # fmt: skip


class TestStandings:
    def test_places_go_up_the_ladder_whichever_way_the_dial_runs(self):
        """The mountain gets harder as its dimension falls; two beyond the rungs are equal."""
        rows = [("quadratic", "a", 1e5, ">"), ("quadratic", "b", 1e5, ">"), ("quadratic", "c", 30, ""),
                ("mountain", "a", 2.0, ""), ("mountain", "b", 10.0, ">"), ("mountain", "c", 1.0, "<")]  # fmt: skip
        ends = {"first_rung": [1.0] * 3 + [10.0] * 3, "last_rung": [1e5] * 3 + [1.0] * 3}
        found = standings(points(rows, **ends))
        assert found["place"].tolist() == [1.5, 1.5, 3, 2, 3, 1]
        assert found["text"].tolist() == ["> 1e5", "> 1e5", "30", "2", "> 10", "< 1"]
        short = standings(
            points(rows, **ends).assign(unjudged=["", "", "too_few_steps", "", "", ""])
        )
        assert short["text"].tolist() == ["> 1e5", "> 1e5", "too few steps", "2", "> 10", "< 1"]

    def test_a_noise_gets_harder_as_it_grows_on_any_problem(self):
        """The mountain's own dial falls; the ladder of a noise on it rises, from 0.01 to 10."""
        rows = [("mountain", "a", 0.02, ""), ("mountain", "b", 3.0, ""), ("mountain", "c", 0.01, "<"),
                ("mountain", "d", 10.0, ">")]  # fmt: skip
        found = standings(points(rows, first_rung=0.01, last_rung=10.0))
        assert found["place"].tolist() == [3, 2, 4, 1]

    def test_a_single_rung_is_read_as_the_problem_s_ladder(self):
        rows = [(name, *each) for name in ("mountain", "quadratic", "Mine")
                for each in (("a", 3.0, "<"), ("b", 3.0, ">"))]  # fmt: skip
        found = standings(points(rows, first_rung=3.0, last_rung=3.0))
        assert found["place"].tolist() == [1, 2, 2, 1, 2, 1]

    def test_only_the_choice_at_the_whole_budget_counts(self):
        rows = [("quadratic", "a", 10.0, "")]
        table = pandas.concat(
            [points(rows), points(rows, "default"), points(rows).assign(budget=0.1)]
        )
        assert len(standings(table)) == 1
        elsewhere = points([("quadratic", "a", 3.0, "")])
        rows_in_front = [elsewhere.assign(budget=0.1), elsewhere.assign(choice="default")]
        assert standings(pandas.concat([*rows_in_front, table]))["text"].tolist() == ["10"]

    def test_families_are_the_units_of_the_mean_place(self):
        """a is first on two problems of one family and last on the one of another: 2, as b is."""
        rows = [("p", "a", 3, ""), ("p", "b", 2, ""), ("p2", "a", 3, ""), ("p2", "b", 2, ""),
                ("q", "a", 2, ""), ("q", "b", 3, ""), ("q", "twin", 9, "")]  # fmt: skip
        found = mean_places(standings(points(rows)), {"p": "one", "p2": "one", "q": "two"})
        assert found.to_dict() == {"a": 1.5, "b": 1.5}

    def test_what_moved_is_counted(self):
        """On p three keep their order, on q the last two change theirs: τ 1 and 1/3."""
        order = [("a", 3.0), ("b", 2.0), ("c", 1.0)]
        other = [("a", 3.0), ("b", 1.0), ("c", 2.0)]
        before = points([(p, name, dial, "") for p in "pq" for name, dial in order])
        rows = [("p", *each, "") for each in order] + [("q", *each, "") for each in other]
        found = moved(standings(before), standings(points(rows)), {})
        assert found["tau"] == pytest.approx((1 + 1 / 3) / 2) and found["problems"] == 2
        assert (found["flips"], found["pairs"]) == (1, 6)
        assert found["most"] == "b, 2.0 → 2.5"
        tied = standings(points([(*row[:2], 2.0, "") for row in rows[:2]] + rows[2:]))
        assert moved(standings(before), tied, {})["pairs"] == 5  # of a and b on p nothing is known
        same = moved(standings(before), standings(before), {})
        assert (same["tau"], same["overall"], same["flips"], same["most"]) == (1, 1, 0, "")

    def test_a_problem_on_which_all_are_equal_has_no_order(self):
        before = standings(points([("p", name, 10, ">") for name in "abc"]))
        assert moved(before, before, {})["problems"] == 0


REFERENCE = Path(__file__).parents[2] / "results" / "reference"
PROBLEMS = [Bowl(dim=2), Quadratic(dim=10)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a small sweep."""
    folder = tmp_path_factory.mktemp("sweeps") / "whole"
    sweep(PROBLEMS, ["sgd", "newton", "idle"], out=folder, **SIZE)
    return folder


@pytest.fixture(scope="module")
def kept(whole, tmp_path_factory):
    """What a reference keeps of it."""
    folder = tmp_path_factory.mktemp("reference") / "part"
    compact(whole, folder)
    return folder


def with_tables(parts, tables, folder):
    """A folder with the tables of these parts, as those of a reference."""
    combine(parts, folder)
    variants = dict.fromkeys(["standard", *reference.VARIANTS], tables)
    reference.robustness(variants).to_csv(folder / "robustness.csv", index=False)
    told = statistics.discrimination(tables.runs, tables.summary)
    told.to_csv(folder / "discrimination.csv", index=False)
    return folder


class TestFolder:
    def test_a_comparison_with_it_is_one_with_the_whole(self, whole, kept):
        assert json.loads((kept / "manifest.json").read_text())["rows"] == CHOSEN_ROWS
        assert len(read_table(kept, "runs")) < len(read_table(whole, "runs"))
        assert set(read_table(kept, "runs")["role"]) == {"reporting"}
        for one, other in ((whole, kept), (kept, whole)):
            found = compare_sweeps(one, other)
            assert (found.differences["ties"] == 6).all() and len(found.differences) > 20
            assert found.missing.empty and found.new.empty
            assert not any("differ" in each for each in found.warnings)

    def test_an_optimizer_of_one_s_own_is_compared_with_each_of_its(self, kept, tmp_path):
        """Adam at a fixed rate solves one instance of the bowl: Newton and SGD all of them, idle none.

        Where neither of two solves anything, the final gap decides.
        """
        sweep(PROBLEMS, [Adam(lr=0.3)], out=tmp_path / "mine", **SIZE)
        found = compare_sweeps(kept, tmp_path / "mine")
        name = repr(Adam(lr=0.3))
        assert set(found.against["against"]) == {"sgd", "newton", "idle"}
        assert set(found.against["optimizer"]) == {name} and len(found.newcomers) == 3 * 6
        against = found.against.set_index("against")
        rungs = against[["rungs_better", "rungs_worse", "rungs_alike"]]
        assert rungs.T.to_dict("list") == {"idle": [6, 0, 0], "newton": [0, 6, 0], "sgd": [2, 4, 0]}
        assert against["worse"].to_dict() == {"newton": 2, "sgd": 1, "idle": 0}
        assert "Worse than sgd: Bowl 1, 10, 100; quadratic 1." in str(found)
        assert "Better than sgd: quadratic 1000, 1e5." in str(found)
        newcomers = found.newcomers
        twin = newcomers[newcomers["against"] == "newton"].assign(against="twin")
        both = dataclasses.replace(found, newcomers=pandas.concat([newcomers, twin]))
        assert "Worse than newton, twin: Bowl 1, 10, 100; quadratic 1, 1000, 1e5." in str(both)
        assert "Nothing can be told" not in str(found)  # of regressions, and none was asked for
        assert f"Only in {kept}: idle, newton, sgd on Bowl, quadratic." in str(found)
        assert f"{kept} → {tmp_path / 'mine'}: no cell in both" in str(found)
        assert str(found).startswith(f"{name} against the optimizers of {kept}, tuned")
        assert found.regressions.empty

    def test_without_a_newcomer_there_is_no_such_table(self, whole):
        found = compare_sweeps(whole, whole)
        assert found.newcomers.empty and found.against.empty and str(found).startswith(str(whole))

    def test_an_edited_reference_is_refused_too(self, whole, tmp_path):
        compact(whole, tmp_path)
        summary = read_table(tmp_path, "summary")
        summary.loc[summary["solved"] == 6, "solved"] = 5
        summary.to_parquet(tmp_path / "summary.parquet", index=False)
        with pytest.raises(reference.Refused, match="contradicts itself"):
            compare_sweeps(whole, tmp_path)

    def test_the_page_follows_from_the_folder(self, kept, tmp_path):
        tables = sweep(PROBLEMS, ["sgd", "newton", "idle"], **SIZE).tables
        page = reference.page(with_tables([kept], tables, tmp_path))
        lines = page.splitlines()
        (predicted,) = [line for line in lines if line.startswith("| quadratic | sgd | B |")]
        theory = tables.breaking_points.query(
            "optimizer == 'sgd' and problem == 'quadratic' and budget == 1"
        )
        assert f"| {theory['theory'].iloc[0]:.3g} |" in predicted
        assert any(
            line.startswith("| quick | rotated | 1.00 |") and " 0 of " in line for line in lines
        )
        assert "| quadratic: condition |" in page
        tuned = tables.runs.merge(tables.summary.query("choice == 'tuned'")[["cell", "trial"]])
        tuned = tuned.query("problem == 'quadratic' and role == 'reporting' and status != 'solved'")
        (why,) = [
            line for line in lines if line.startswith("| 8.2.1 Ill-conditioning | quadratic |")
        ]
        verdict, count = next(iter(tuned["verdict"].value_counts().items()))
        assert f"| {len(tuned)} |" in why and f"{verdict.replace('_', ' ')} {count}" in why
        assert (
            "instances that it takes" not in page
        )  # than it takes to tell two apart: there are six

    def test_the_page_says_who_makes_no_step_and_what_cannot_be_told(self, tmp_path):
        """A step of Newton's costs 1 + 2 · 10 gradients; of five instances no test tells two apart."""
        size = {**SIZE, "budget": 20, "seeds": 5}
        result = sweep(Quadratic(dim=10), ["sgd", "newton"], out=tmp_path / "short", **size)
        compact(tmp_path / "short", tmp_path / "part")
        kept = with_tables([tmp_path / "part"], result.tables, tmp_path / "kept")
        lines = reference.page(kept).splitlines()
        heads = [line for line in lines if line.startswith("| subsection | problem: dial |")]
        rows = [line for line in lines if "| quadratic: condition |" in line]
        found = {
            name.strip(): text.strip()
            for head, row in zip(heads, rows, strict=True)
            for name, text in zip(head.split("|"), row.split("|"), strict=True)
        }
        assert found["newton"] == "no step" != found["sgd"]
        board = Leaderboard.of(read_results(kept))
        assert board.climbed.loc["quadratic"].index.tolist() == ["sgd"]
        assert board.absent == {"newton": {"one step costs more than the budget": ["quadratic"]}}
        (few,) = [line for line in lines if "instances that it takes" in line]
        assert "3 of them with fewer than the 6 instances that it takes (quadratic)." in few
        told = (line for line in lines if line.startswith("| quadratic | 3 |"))
        assert next(told).endswith("|  |  |")


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A part for each optimizer of the whole."""
    folder = tmp_path_factory.mktemp("parts")
    for name in ("sgd", "newton", "idle"):
        sweep(PROBLEMS, [name], out=folder / "runs" / name, **SIZE)
        compact(folder / "runs" / name, folder / "parts" / name)
    return folder / "parts"


class TestParts:
    def test_they_make_the_tables_of_one_sweep(self, parts, kept, tmp_path):
        combine(sorted(parts.iterdir()), tmp_path)
        for name in ("summary", "runs", "breaking_points"):
            one, other = (
                each[sorted(each)].drop(columns=["seconds"], errors="ignore")
                for each in (read_table(kept, name), read_table(tmp_path, name))
            )
            pandas.testing.assert_frame_equal(one, other, check_dtype=False)
        found = compare_sweeps(kept, tmp_path)
        assert not found.warnings and (found.differences["ties"] == 6).all()

    def test_one_more_changes_no_row_of_the_others(self, parts, tmp_path):
        paths = [parts / name for name in ("idle", "sgd")]
        combine(paths, tmp_path / "two")
        combine([*paths, parts / "newton"], tmp_path / "three")
        two, three = (Leaderboard.of(read_results(tmp_path / each)) for each in ("two", "three"))
        pandas.testing.assert_frame_equal(two.climbed, three.climbed[["idle", "sgd"]])
        assert two.against("sgd")["idle"] == three.against("sgd")["idle"]

    def test_what_does_not_belong_together_is_refused(self, parts, tmp_path):
        with pytest.raises(reference.Refused, match=r"sgd is in .*: keep one"):
            combine([parts / "sgd", parts / "sgd"], tmp_path)
        shorter = {**SIZE, "budget": 30}
        sweep(PROBLEMS, ["momentum"], out=tmp_path / "runs", **shorter)
        compact(tmp_path / "runs", tmp_path / "part")
        with pytest.raises(reference.Refused, match="other trials, instances or budgets"):
            combine([parts / "sgd", tmp_path / "part"], tmp_path / "out")
        runs = read_table(parts / "newton", "runs")
        compact(parts.parent / "runs" / "newton", tmp_path / "other")
        runs["grad_sq_initial"] *= 1.1
        runs.to_parquet(tmp_path / "other" / "runs.parquet", index=False)
        with pytest.raises(reference.Refused, match="other instances of"):
            combine([parts / "sgd", tmp_path / "other"], tmp_path / "out")

    def test_the_page_s_command_runs_nothing(self, parts, tmp_path, monkeypatch):
        """It makes tables, page and picture of the parts that are there; an unknown optimizer is refused."""
        monkeypatch.setattr(reference, "_run", lambda *words: pytest.fail(f"runs {words}"))
        monkeypatch.setattr(reference, "FOLDER", tmp_path / "reference")
        monkeypatch.setattr(reference, "DOCS", tmp_path)
        shutil.copytree(parts, tmp_path / "reference" / "parts")
        assert reference.main(["--page"]) == 0
        page = (tmp_path / "reference.md").read_text()
        assert all(f"| {name} |" in page for name in ("idle", "newton", "sgd"))
        assert page == reference.page(tmp_path / "reference")
        first = (tmp_path / "reference.svg").read_bytes()
        assert first.startswith(b"<?xml") and reference.main(["--page"]) == 0
        assert (tmp_path / "reference.svg").read_bytes() == first
        with pytest.raises(reference.Refused, match="did you mean sgd"):
            reference.main(["--optimizer", "sdg"])

    def test_each_optimizer_is_run_by_submit(self, tmp_path, monkeypatch):
        asked = []
        monkeypatch.setattr(reference, "_run", lambda *words: asked.append(words) or 0)
        assert reference.main(["--optimizer", "zoo/muon", "--optimizer", "sgd", "trials=2"]) == 0
        assert [each[:2] for each in asked] == [("submit", "zoo/muon"), ("submit", "sgd")]
        assert "part=results/reference/parts/zoo_muon" in asked[0] and "trials=2" in asked[1]

    def test_after_a_failed_cell_the_next_optimizer_is_run(self, monkeypatch):
        codes, asked = {"sgd": 3, "adam": 0, "lion": 130}, []
        monkeypatch.setattr(reference, "_run", lambda *words: asked.append(words[1]) or codes[words[1]])  # fmt: skip
        words = [each for name in codes for each in ("--optimizer", name)]
        assert reference.main(words[:4]) == 3 and asked == ["sgd", "adam"]
        assert reference.main([*words[4:], *words[:4]]) == 130 and asked[2:] == ["lion"]

    def test_what_is_missing_is_said_before_anything_is_run(self, tmp_path, monkeypatch):
        monkeypatch.setattr(reference, "_run", lambda *words: pytest.fail(f"runs {words}"))
        monkeypatch.setattr(reference, "FOLDER", tmp_path / "reference")
        with pytest.raises(reference.Refused, match="does not have: add --optimizer sgd"):
            reference.main(["--variants"])
        with pytest.raises(reference.Refused, match="parts does not exist"):
            reference.main(["--page"])

    def test_the_page_says_which_problems_were_not_run_yet(self, kept, tmp_path):
        combine([kept], tmp_path)
        page = reference._provenance(*finished(tmp_path))
        missing = page.partition(" Not run yet: ")[2]
        assert "noisy_quadratic" in missing and " quadratic," not in missing


def test_every_published_optimizer_exists_once():
    words = [*reference.WORDS]
    assert len(set(words)) == len(words) >= 28 and {*CLASSICS} <= {*words}
    assert {*words} <= {*OPTIMIZERS, *preset_words()}
    assert [family_of("zoo_muon"), family_of("adam+decay"), family_of("MyOpt")] == [
        "matrix", "Adam's family", "others",
    ]  # fmt: skip


def test_the_published_page_follows_from_the_published_folder():
    root = Path(__file__).parents[2]
    page = (root / "docs" / "reference.md").read_text()
    assert reference.page(root / "results" / "reference") == page, (
        "python -m benchmarks.docgen.reference --page"
    )
    manifest = json.loads((root / "results" / "reference" / "manifest.json").read_text())
    for part in manifest["parts"].values():
        assert part["git"]["commit"][:12] in page
    rows = (line.split(" | ") for line in page.splitlines() if line.endswith((" yes |", " no |")))
    assert (
        len({(row[0], row[1]) for row in rows}) >= 10
    )  # pairs of which a theorem says where they break


def test_a_prediction_agrees_where_it_lies_in_the_interval():
    inside = {"low": 1.0, "high": 10.0, "theory": 5.0}
    for change, expected in (
        ({}, True), ({"theory": 11.0}, False), ({"theory": 0.5}, False),
        ({"theory": np.inf}, False), ({"theory": np.inf, "high": np.nan}, True),
    ):  # fmt: skip
        assert reference._agrees({**inside, **change}) == expected


def test_chance_is_what_random_predictions_reach():
    """A prediction drawn evenly on the ladder is near, or agrees, as often as the page says."""
    info = next(iter(finished(REFERENCE)[1].values()))
    rungs = {
        f"{dial}": dataclasses.replace(info, job="j", dial=dial, scale="log", falling=False)
        for dial in (1.0, 10.0, 1e4)
    }
    row = {"job": "j", "breaking_point": 20.0, "low": 5.0, "high": np.nan, "censored": np.nan}
    drawn = 10 ** np.random.default_rng(0).uniform(0, 4, 4000)
    found = reference._against_theory([{**row, "theory": each} for each in drawn], rungs)
    assert found["agrees"].mean() == pytest.approx(found["agrees by chance"].iloc[0], abs=0.03)
    near = found["ratio"].between(1 / reference.NEAR, reference.NEAR).mean()
    assert near == pytest.approx(found["near by chance"].iloc[0], abs=0.03)


def test_the_page_leads_with_the_ratio_and_says_what_chance_gives():
    page = reference.page(REFERENCE)
    section = page.partition("## Measured against predicted")[2]
    lead, second = section.strip().split("\n\n")[:2]
    assert lead.startswith("**Of ") and "within a factor of 2 of the prediction**" in lead
    assert "at random" in lead and "at random" in second
    rows = [
        line.split(" | ") for line in section.splitlines() if line.endswith((" yes |", " no |"))
    ]
    ratios = [float(row[5]) for row in rows if row[5].strip()]
    near = sum(1 / 2.005 <= ratio <= 2.005 for ratio in ratios)  # as rounded
    assert f"Of {len(ratios)} breaking points" in lead and f" {near} are within" in lead


class TestOtherPrices:
    def test_they_are_paid_for_what_was_asked(self):
        """Newton asks for a Hessian a step, of 2 dim or 2.5 dim, and SGD for gradients alone."""
        tables = sweep(Bowl(dim=2), ["sgd", "newton", "newton_cg"], **SIZE).tables
        before, after = (each.runs for each in (tables, reference.reweighed(tables)))
        for name in ("sgd", "newton", "newton_cg"):
            one, other = (each[each["optimizer"] == name] for each in (before, after))
            products = one["hvps"] + 2 * one["hessians"]
            expected = one["cost"] + (1 / 2 - LOSS) * one["losses"] + (2.5 - HVP) * products
            np.testing.assert_allclose(
                other["cost"].astype(float), expected.astype(float), rtol=1e-9
            )
        solved = after[after["status"] == "solved"]
        assert (solved["cost_to_target"].astype(float) <= 60).all() and len(solved)
        late = before["cost_to_target"].astype(float).notna() & (after["status"] == "missed")
        assert late.equals((before["status"] == "solved") & (after["status"] != "solved"))

    def test_a_run_that_pays_more_than_the_budget_has_not_solved_it(self):
        tables = sweep(Bowl(dim=2), ["newton"], **{**SIZE, "rungs": 1}).tables
        ((key, cell),) = tables.cells.items()
        paid = float(np.nanmax(cell.runs["cost_to_target"]))
        protocol = dataclasses.replace(cell.info.protocol, budget=paid)
        info = dataclasses.replace(cell.info, protocol=protocol)
        tight = dataclasses.replace(tables, cells={key: dataclasses.replace(cell, info=info)})
        solved = (tight.runs["status"] == "solved").sum()
        assert (reference.reweighed(tight).runs["status"] == "solved").sum() < solved
