"""Figures show the numbers of the tables, in the same colours everywhere, and refuse what they cannot show."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from matplotlib.collections import PolyCollection
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure

from benchmarks import sweep
from benchmarks.api import Sweep
from benchmarks.plots import contours, style, sweep_plots
from optimizers import Optimizer
from optimizers.sgd import SGD
from problems import Card, Problem, dial
from problems.ill_conditioning.quadratic import Quadratic
from ravine import Refused
from tests.benchmarks.problems_for_tests import Hole

SMALL = {"trials": 9, "seeds": 4, "tuning_seeds": 2, "budget": 60}
TINY = {"trials": 1, "seeds": 1, "tuning_seeds": 1, "budget": 5}
PLANE = Quadratic(dim=2, condition=100.0)


@dataclass(frozen=True)
class Tilted(Problem):
    """Not registered, judged by a test of its own, and with a level above its minimum."""

    tilt: float = dial(1.0)

    card = Card(
        scale="linear", ladder=(0.5, 1.0, 2.0), target=1e-2, budget=60, reference=("sgd", {}),
        control={}, signature="none", threshold=1.0, truth="The level 0 is not the minimum.", source="this test",
        floor_is_minimum=False,
    )  # fmt: skip

    def instance(self, generator):
        return {"start": torch.tensor([1.5, 1.0]) + 0.1 * torch.randn(2, generator=generator)}

    def loss(self, x, data):
        return (x.square().sum(-1) - 1).square() + self.tilt * x[..., 0]

    def floor(self, data):
        return torch.zeros(())

    def solved(self, x, gap, gradient, data):
        return gap < -0.1


@dataclass(frozen=True)
class Raises(Optimizer):
    def update(self, oracle, state):
        raise RuntimeError("not today")


@pytest.fixture(scope="module")
def found() -> Sweep:
    return sweep(PLANE, ["sgd", "newton", SGD(lr=1e5), "idle"], **SMALL)


@pytest.fixture(scope="module")
def ladder() -> Sweep:
    return sweep(PLANE, ["sgd", "idle"], rungs=2, **SMALL)


@pytest.fixture(scope="module")
def drawn(found) -> dict[str, Figure]:
    return {kind: found.figure(kind) for kind in sweep_plots.KINDS}


def lines(axes) -> dict:
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


def said(figure) -> str:
    return " ".join(figure.get_suptitle().split())


def dial(axes) -> str:
    return axes.get_title("left").split(",")[1].split()[1]


def tuned_traces(found: Sweep, optimizer: str):
    row = found.summary.query("choice == 'tuned' and optimizer == @optimizer").iloc[0]
    return found.traces[
        (found.traces["cell"] == row["cell"]) & (found.traces["trial"] == row["trial"])
    ]


def test_an_unknown_kind_is_refused_in_one_line(found):
    with pytest.raises(
        Refused, match="unknown figure 'convergance': did you mean convergence"
    ) as refusal:
        found.figure("convergance")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("kind", sweep_plots.KINDS)
def test_notebooks_and_files_get_a_picture_without_pyplot(drawn, kind):
    from matplotlib import pyplot

    figure = drawn[kind]
    png, shown = figure._repr_png_()
    assert png.startswith(b"\x89PNG")
    width, height = (int.from_bytes(png[at : at + 4], "big") for at in (16, 20))
    assert abs(width - 2 * shown["width"]) <= 1 and abs(height - 2 * shown["height"]) <= 1
    assert not pyplot.get_fignums()


class TestConvergence:
    @pytest.mark.parametrize("optimizer", ["sgd", "newton", "idle"])
    def test_lines_are_the_medians_of_the_traces(self, found, drawn, optimizer):
        (axes,) = drawn["convergence"].axes
        cost, middle = lines(axes)[optimizer].get_data()
        traces = tuned_traces(found, optimizer)
        assert traces["seed"].nunique() == 4
        assert cost[-1] == traces["cost"].max()
        for at, height in zip(cost, middle, strict=True):
            until = traces[traces["cost"] <= at]
            assert height == pytest.approx(until.groupby("seed")["gap"].last().median())

    def test_the_line_ends_at_the_median_final_gap(self, found, drawn):
        (axes,) = drawn["convergence"].axes
        summary = found.summary.query("choice == 'tuned'").set_index("optimizer")
        for name in ("sgd", "newton", "idle"):
            # float32: traces are kept in it
            assert lines(axes)[name].get_ydata()[-1] == pytest.approx(
                summary["gap_final"][name], rel=1e-6
            )

    def test_the_band_holds_half_of_the_runs(self, found, drawn):
        (axes,) = drawn["convergence"].axes
        bands = [each for each in axes.collections if isinstance(each, PolyCollection)]
        assert len(bands) == 4
        last = tuned_traces(found, "sgd").groupby("seed")["gap"].last()
        edges = bands[0].get_paths()[0].vertices
        at_end = edges[edges[:, 0] == edges[:, 0].max(), 1]
        for wanted in np.quantile(last, [0.25, 0.75]):
            assert np.isclose(at_end, wanted).any()

    def test_a_diverged_run_leaves_at_the_top(self, found, drawn):
        (axes,) = drawn["convergence"].axes
        assert (found.runs.query("optimizer == 'SGD(lr=100000.0)'")["status"] == "diverged").all()
        assert lines(axes)["SGD(lr=100000.0)"].get_ydata()[-1] > axes.get_ylim()[1]

    def test_so_does_one_whose_last_finite_gap_was_small(self):
        found = sweep(Hole(dim=10, radius=0.5), SGD(lr=0.9), **SMALL)
        assert (found.runs["status"] == "diverged").all() and (found.runs["gap_final"] <= 1).all()
        (axes,) = found.figure("convergence").axes
        assert axes.lines[0].get_ydata()[-1] > axes.get_ylim()[1]

    def test_target_labels_and_scale(self, drawn):
        figure = drawn["convergence"]
        (axes,) = figure.axes
        assert set(lines(axes)["target"].get_ydata()) == {PLANE.card.target}
        assert axes.get_yscale() == "log"
        assert axes.get_ylim()[0] < PLANE.card.target
        assert (
            axes.get_title("left").replace("\N{NO-BREAK SPACE}", " ")
            == "quadratic, condition 100, dim 2"
        )
        assert axes.get_xlabel() == "cost in gradient-equivalents"
        names = ["sgd", "newton", "SGD(lr=100000.0)", "idle"]
        assert [text.get_text() for text in figure.legends[0].get_texts()] == names

    def test_a_level_that_is_no_minimum_has_neither_logarithm_nor_target(self):
        (axes,) = sweep(Tilted, ["sgd"], **SMALL).figure("convergence").axes
        assert axes.get_yscale() == "linear"
        assert "target" not in lines(axes)

    def test_each_rung_has_a_panel_and_each_optimizer_one_colour(self, ladder):
        panels = ladder.figure("convergence").axes
        assert [dial(axes) for axes in panels] == ["1", "100000"]
        for name in ("sgd", "idle"):
            assert len({lines(axes)[name].get_color() for axes in panels}) == 1

    def test_many_rungs_are_thinned_out_and_it_is_said(self):
        figure = sweep(PLANE, "idle", rungs=8, **TINY).figure("convergence")
        assert len(figure.axes) == 6
        assert [dial(axes) for axes in (figure.axes[0], figure.axes[-1])] == ["1", "100000"]
        assert "6 of 8 panels" in said(figure)

    def test_the_ninth_optimizer_is_told_from_the_first(self):
        styles = [style.Style(place) for place in range(16)]
        assert len({(style.colour, style.line) for style in styles}) == 16
        assert len({style.colour for style in styles[:8]}) == 8


class TestSensitivity:
    def test_points_are_the_trials(self, found):
        # Half of the seeds are solved, so that a share is told from its extremes.
        cells = {
            key: replace(
                cell,
                runs={
                    **cell.runs,
                    "status": np.where(cell.runs["seed"] % 2, "solved", cell.runs["status"]),
                },
            )
            for key, cell in found.tables.cells.items()
        }
        tables = replace(found.tables, cells=cells)
        figure = sweep_plots.draw("sensitivity", tables)
        share, gap = figure.axes[0], figure.axes[3]
        assert share.get_title() == "sgd"
        runs = tables.runs.query("optimizer == 'sgd' and role == 'reporting'")
        by_trial = runs.assign(
            solved=runs["status"] == "solved",
            gap=runs["gap_final"].where(runs["status"] != "diverged", np.inf),
        ).groupby("trial")
        assert by_trial["solved"].mean().between(0.4, 0.6).any()
        for axes, wanted in (
            (share, by_trial["solved"].mean()),
            (gap, by_trial["gap"].median()),
        ):
            low, high = axes.get_ylim()
            points = {
                (x, y)
                for line in axes.lines
                if line.get_marker() != "None"
                for x, y in zip(*line.get_data(), strict=True)
            }
            assert points == set(zip(by_trial["u"].first(), wanted.clip(low, high), strict=True))

    def test_optimizers_without_a_learning_rate_are_named(self, drawn):
        figure = drawn["sensitivity"]
        titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
        assert titles == ["sgd", "newton", "SGD(lr=100000.0)"]
        assert "without a learning rate: idle" in said(figure)

    def test_none_with_a_learning_rate_is_refused(self):
        with pytest.raises(Refused, match="none of these optimizers has a learning rate: idle"):
            sweep(PLANE, "idle", **TINY).figure("sensitivity")

    def test_each_rung_has_its_rows(self, ladder):
        titles = [
            axes.get_title() for axes in ladder.figure("sensitivity").axes if axes.get_title()
        ]
        assert titles == ["sgd", "sgd"]


class TestTrajectories:
    def test_paths_are_those_of_the_first_reporting_instance(self, found, drawn):
        axes = drawn["trajectories"].axes[0]
        for name in ("sgd", "newton", "idle"):
            traces = tuned_traces(found, name)
            first = traces[traces["seed"] == 1000]
            assert np.array_equal(lines(axes)[name].get_xydata(), first[["x.0", "x.1"]])

    def test_start_and_ends_are_marked(self, found, drawn):
        axes = drawn["trajectories"].axes[0]
        marked = {
            (line.get_marker(), *line.get_xydata()[0])
            for line in axes.lines
            if len(line.get_xydata()) == 1
        }
        newton = tuned_traces(found, "newton").query("seed == 1000")
        assert ("s", *newton[["x.0", "x.1"]].iloc[0]) in marked
        assert ("*", *newton[["x.0", "x.1"]].iloc[-1]) in marked
        assert {marker for marker, *_ in marked} >= {"s", "*", "X", "o"}

    def test_the_window_is_not_that_of_a_run_thrown_far(self, drawn):
        axes = drawn["trajectories"].axes[0]
        assert abs(lines(axes)["SGD(lr=100000.0)"].get_xydata()).max() > 1e3
        assert max(map(abs, (*axes.get_xlim(), *axes.get_ylim()))) < 100

    def test_nor_that_of_one_that_comes_to_rest_far_away(self):
        near, far = np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([[0.0, 0.0], [1e6, 0.0]])
        low, high = contours.window([(near, "solved"), (near, "solved"), (far, "solved")])
        assert ((low > -1) & (low < 0)).all() and ((high > 1) & (high < 2)).all()

    def test_contours_are_log_spaced_and_lowest_at_the_minimum(self, drawn):
        axes = drawn["trajectories"].axes[0]
        filled = next(
            each for each in axes.collections if isinstance(each, QuadContourSet) and each.filled
        )
        ratios = filled.levels[1:] / filled.levels[:-1]
        assert ratios == pytest.approx(ratios[0])
        lowest = filled.get_paths()[0].vertices
        newton = lines(axes)["newton"].get_xydata()[-1]
        assert (lowest.min(axis=0) <= newton).all() and (newton <= lowest.max(axis=0)).all()

    def test_other_dimensions_are_refused_with_those_that_have_two(self):
        result = sweep(Quadratic(dim=3), "idle", **TINY)
        with pytest.raises(
            Refused, match=r"not for quadratic, condition 1000, dim 3: .*quadratic with dim=2"
        ) as refusal:
            result.figure("trajectories")
        assert "cliff with units=1" in str(refusal.value)
        assert "\n" not in str(refusal.value)

    def test_panels_of_other_dimensions_are_left_out(self):
        figure = sweep([Quadratic(dim=3), Tilted], "idle", **TINY).figure("trajectories")
        assert [axes.get_title("left") for axes in figure.axes if axes.get_title("left")] == [
            "Tilted, tilt\N{NO-BREAK SPACE}1"
        ]
        assert "Panels of other dimensions left out: 1." in said(figure)


def test_errors_are_left_out():
    figure = sweep(PLANE, [Raises, "idle"], **TINY).figure("convergence")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["idle"]
    with pytest.raises(Refused, match="every cell ended in an error"):
        sweep(PLANE, Raises, **TINY).figure("convergence")
