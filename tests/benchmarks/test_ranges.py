"""The ranges that are searched decide no figure: sizes in decades, the effort stated, edges named."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pandas
import pytest
import torch

from benchmarks import sweep
from benchmarks.analysis.intervals import wilson
from benchmarks.analysis.saved_sweep import read_saved
from benchmarks.analysis.tables import Tables
from benchmarks.catalog.contenders import contender
from benchmarks.display.sweep_views import views
from benchmarks.engine.search_space import EDGE, Box
from benchmarks.simulations import choice_noise, ranges
from benchmarks.store.cell_info import CellInfo, by_job, cells_of
from optimizers.hyperparameter import complement, linear, log
from tests.benchmarks.problems_for_tests import Bowl

SIZE: dict[str, Any] = {
    "trials": 10,
    "tuning_seeds": 1,
    "seeds": 4,
    "budget": 5,
}  # six Sobol trials


def solving(optimizer, counts, ended="solved", **size):
    """Return a sweep's tables, in which Sobol trial k ends so on counts[k − 1] of the reporting instances."""
    (key, cell), *_ = sweep(Bowl(), optimizer, **{**SIZE, **size}).tables.cells.items()
    runs = pandas.DataFrame(cell.runs)
    runs["status"], runs["gap_final"] = "missed", 1.0
    for trial, count in enumerate(counts, start=1):
        mine = runs.index[(runs["trial"] == trial) & (runs["role"] == "reporting")]
        runs.loc[mine[:count], "status"] = ended
    runs.loc[runs["trial"] == 1, "gap_final"] = 0.5  # tuning prefers the first
    columns = {str(name): runs[name].to_numpy() for name in runs}
    return Tables({key: dataclasses.replace(cell, runs=columns, traces={})})


def decades(tables):
    (summary,) = tables.summary.query("choice == 'tuned'").to_dict("records")
    return [summary[f"solving_decades{end}"] for end in ("", "_low", "_high")]


class TestDecades:
    def test_widths(self):
        assert log(1e-5, 1e1).decades == pytest.approx(6)
        assert complement(1e-3, 1).decades == pytest.approx(3)
        assert linear(0, 1).decades is None

    def test_half_of_the_instances_are_enough(self):
        """Of four instances two are half; one is not. Three of six settings, in six decades."""
        share = np.array([1 / 2, *wilson(3, 6)])
        assert decades(solving("sgd", [4, 2, 2, 1, 1, 0])) == pytest.approx(6 * share)

    def test_of_five_instances_three_are_half(self):
        assert decades(solving("sgd", [3, 2, 0, 0, 0, 0], seeds=5))[0] == pytest.approx(1)

    @pytest.mark.parametrize("ended", ["solved", "diverged"])
    def test_half_of_the_instances_give_the_status(self, ended):
        for count, status in ((2, ended), (1, "missed")):
            summary = solving("sgd", [count, 0, 0, 0, 0, 0], ended).summary.set_index("choice")
            assert summary.loc["tuned", "status"] == status

    def test_two_hyperparameters_have_an_area(self):
        tables = solving("momentum", [4, 0, 0, 0, 0, 0])
        assert decades(tables)[0] == pytest.approx(6 * 3 / 6)
        assert tables.summary["searched"].unique().tolist() == ["lr,momentum"]
        (view,) = views(tables)
        assert view.table["settings that solve"].tolist() == ["3 decades²"]

    def test_a_linear_range_has_none(self):
        settings = {"sgd": {"lr": (0.0, 1.0)}}
        (view,) = views(sweep(Bowl(), "sgd", settings=settings, **SIZE).tables)
        assert view.table["settings that solve"].tolist() == ["–"]

    def test_nothing_searched_has_none(self):
        tables = sweep(Bowl(), "idle", **SIZE).tables
        assert pandas.isna(decades(tables)).all()
        (view,) = views(tables)
        assert "trial" not in " ".join([*map(str, view.table), *view.remarks])

    def test_the_range_does_not_decide(self):
        """SGD on the bowl solves the same rates, in whichever range that holds them they are searched."""
        size: dict[str, Any] = {"trials": 151, "tuning_seeds": 1, "seeds": 3, "budget": 100}
        found = [
            sweep(Bowl(), "sgd", settings={"sgd": {"lr": ends}}, **size).summary
            for ends in ((1e-3, 1e1), (1e-6, 1e4))
        ]
        narrow, wide = (each["solving_decades"].iloc[0] for each in found)
        assert narrow == pytest.approx(wide, abs=0.1) and 0.5 < narrow < 4


def test_the_edge_is_a_sixteenth_of_the_range_at_each_end():
    box = Box(contender("sgd"), {"length/gradient": 1.0})
    inside = torch.tensor([EDGE, 1 - EDGE], dtype=torch.float64)
    for end, outwards in zip(inside, (0.0, 1.0), strict=True):
        assert not box.on_edge(end[None])
        assert box.on_edge(torch.nextafter(end, end.new_tensor(outwards))[None])


def test_more_runs_than_the_limit_are_written_as_parquet(tmp_path, monkeypatch):
    tables = sweep(Bowl(), "sgd", **SIZE).tables
    for spare, file in ((0, "runs.csv"), (-1, "runs.parquet")):
        monkeypatch.setattr("benchmarks.analysis.tables.LARGE", len(tables.runs) + spare)
        assert file in tables.write(tmp_path)


class TestRemarks:
    def test_effort(self):
        names = ["momentum", "sgd", "newton", "idle"]
        (view,) = views(sweep(Bowl(), names, **{**SIZE, "trials": 25}).tables)
        assert (
            "25 trials over 1 hyperparameter (sgd, newton); "
            "over 2 hyperparameters (momentum), as dense as 5 over 1."
        ) in view.remarks

    def test_the_best_of_few_trials_stands_beside_the_tuned(self):
        """A quarter of all searches of 4 of 16 trials have the one that solves, and its tuning run is the best."""
        tables = solving("sgd", [4] + [0] * 15, trials=25)
        (view,) = views(tables)
        assert view.table["solved by 4, 16 trials"].tolist() == ["1.0, 4.0"]

    @pytest.mark.parametrize("edges", [0, 1, 2])
    def test_edges(self, edges):
        result = sweep([Bowl(steepness=2.0), Bowl(steepness=5.0)], ["sgd"], **SIZE)
        cells = {}
        for at, (key, cell) in enumerate(result.tables.cells.items()):
            edge = np.full(len(cell.runs["edge"]), at < edges)
            cells[key] = dataclasses.replace(cell, runs={**cell.runs, "edge": edge})
        (view,) = views(Tables(cells))
        said = [each for each in view.remarks if "edge" in each]
        expected = "Tuned at the edge of its range, beyond which may be a better setting: sgd lr at {} of 2 rungs."
        assert said == ([expected.format(edges)] if edges else [])


class TestEarlierFolders:
    @pytest.fixture
    def folder(self, tmp_path):
        """A folder as it was written when the column was a share of the searched range."""
        sweep(Bowl(), ["sgd"], **SIZE, out=tmp_path / "old")
        file = tmp_path / "old" / "manifest.json"
        manifest = json.loads(file.read_text())
        for job in manifest["jobs"]:
            assert job.pop("searched") == {"lr": pytest.approx(6)}
        file.write_text(json.dumps(manifest))
        summary = pandas.read_csv(tmp_path / "old" / "summary.csv").drop(columns="searched")
        summary.columns = summary.columns.str.replace("solving_decades", "solving_volume")
        summary.to_csv(tmp_path / "old" / "summary.csv", index=False)
        return tmp_path / "old"

    def test_they_are_read_without_sizes(self, folder):
        saved, _ = read_saved([folder])
        assert "solving_decades" not in saved.summary

    def test_a_description_without_ranges_is_read(self):
        (info,) = sweep(Bowl(), ["sgd"], **SIZE).tables.cells.values()
        entries = by_job({"key": info.info})
        assert cells_of(entries)["key"] == info.info
        del entries[0]["searched"]
        assert isinstance(cells_of(entries)["key"], CellInfo)


class TestSimulations:
    def test_newtons_range_reaches_what_noise_asks_for(self):
        (row,) = ranges.simulate((("newton_noise", 0.2),)).to_dict("records")
        assert row["[0.1, 2]"].endswith("edge") and not row["[0.01, 2] (ours)"].endswith("edge")
        assert int(row["[0.01, 2] (ours)"].split()[0]) > int(row["[0.1, 2]"].split()[0])

    @pytest.mark.slow
    def test_chance_in_the_choice_is_less_than_chance_in_ten_instances(self):
        table = choice_noise.simulate(trials=(24, 48)).set_index(["optimizer", "trials"])
        few, many, hindsight = (
            table[name]
            for name in ("chosen on 5 instances", "chosen on 15 instances", "chosen in hindsight")
        )
        assert (few < many).all() and (many < hindsight).all()
        assert (many - few < math.sqrt(0.25 / 10)).all()
