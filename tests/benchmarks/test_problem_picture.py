"""Pictures of problems: measured as points, predicted as lines, one colour for one thing, and no path hidden."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.colors import same_color

from benchmarks.plots import problem_picture
from benchmarks.plots.problem_picture import picture, places
from benchmarks.plots.style import COLOURS
from problems import PROBLEMS, Curves
from problems.precision import default_dtype
from ravine import Refused

X = torch.tensor([1.0, 2.0, 4.0])


def drawn(**values):
    """Return the figure of curves, and its axes."""
    figure = problem_picture._curves(
        Curves(caption="What to see.", x_label="x", y_label="y", **values)
    )
    figure.draw_without_rendering()
    return figure, figure.axes


def legend(figure) -> dict:
    (found,) = figure.legends
    return {
        text.get_text(): line for text, line in zip(found.texts, found.get_lines(), strict=True)
    }


class TestCurves:
    def test_a_thing_is_a_line_and_dots_of_one_colour_and_one_entry(self):
        lines = {"first": (X, X), "second": (X, 2 * X)}
        figure, (axes,) = drawn(lines=lines, dots={"second": (X, 2.1 * X)})
        first, second, dots = axes.lines
        assert (second.get_linestyle(), second.get_marker()) == ("-", "None")
        assert (dots.get_linestyle(), dots.get_marker()) == ("None", "s")
        assert same_color(second.get_color(), dots.get_color())
        assert not same_color(first.get_color(), dots.get_color())
        entries = legend(figure)
        assert list(entries) == ["first", "second", "measured", "predicted"]
        assert (entries["second"].get_linestyle(), entries["second"].get_marker()) == ("-", "s")
        assert entries["first"].get_marker() == "None"

    def test_methods_keep_their_colours(self):
        assert places(["dim 2", "dim 3"]) == {"dim 2": 0, "dim 3": 1}
        found = places(["bound", "heavy ball", "gradient descent", "another"])
        assert found["gradient descent"] == places(["sgd"])["sgd"] == 0
        assert found["heavy ball"] == places(["newton", "momentum"])["momentum"]
        assert len(set(found.values())) == 4
        assert len(places(map(str, range(20)))) == 20

    def test_dots_at_one_place_are_seen_both(self):
        _, (axes,) = drawn(dots={"first": (X, X), "second": (X, X)})
        assert axes.lines[0].get_markersize() > axes.lines[1].get_markersize()

    @pytest.mark.parametrize(("x", "whole"), [(torch.arange(1.0, 6), True), (X / 2, False)])
    def test_whole_numbers_have_whole_ticks(self, x, whole):
        _, (axes,) = drawn(lines={"": (x, x)})
        ticks = axes.get_xticks()
        assert (ticks == ticks.round()).all() == whole

    def test_the_legend_is_beside_the_axes(self):
        figure, (axes,) = drawn(lines={"first": (X, X)}, dots={"second": (X, X)})
        (found,) = figure.legends
        assert not found.get_window_extent().overlaps(axes.get_window_extent())

    def test_the_caption_is_no_part_of_the_figure(self):
        figure = picture("many_minima")
        assert figure.caption.startswith("Along one weight")
        assert "Along" not in " ".join(each.get_text() for each in figure.findobj(match=has_text))


def has_text(artist) -> bool:
    return hasattr(artist, "get_text")


class TestPaths:
    @pytest.mark.parametrize("name", ["rosenbrock", "mexican_hat", "shelf"])
    def test_each_has_a_panel_of_its_own_and_is_within(self, name):
        figure = picture(name)
        panels = [axes for axes in figure.axes if axes.get_title()]
        assert len(panels) == (2 if name == "shelf" else 3)
        for axes in panels:
            colour = axes.title.get_color()
            path = next(line for line in axes.lines if same_color(line.get_color(), colour))
            start, end = axes.lines[-2:]
            assert (start.get_marker(), end.get_marker()) == ("s", "o")
            assert same_color(end.get_color(), colour)
            assert np.array_equal(path.get_xydata()[[0]], start.get_xydata())
            assert np.array_equal(path.get_xydata()[[-1]], end.get_xydata())
            low, high = np.array([axes.get_xlim(), axes.get_ylim()]).T
            ends = np.concatenate([start.get_xydata(), end.get_xydata()])
            assert (low <= ends).all() and (ends <= high).all()
        entries = legend(figure)
        assert entries["start"].get_marker() == "s"
        assert (
            next(line for text, line in entries.items() if text.startswith("end")).get_marker()
            == "o"
        )

    def test_a_descent_on_the_cliff_is_thrown_by_one_step_and_a_clipped_one_is_not(self):
        with default_dtype(torch.float64):
            paths = PROBLEMS["cliff"].portrait().paths
        steps = {name: b.diff().abs() for name, (b, _) in paths.items()}
        assert steps["gradient descent"][-1] > 50 * steps["gradient descent"][:-1].max()
        assert steps["clipped descent"].max() <= 0.1 + 1e-12
        assert paths["clipped descent"][1][-1] < paths["gradient descent"][1][-1] / 5

    def test_others_can_be_drawn_over_the_same_landscape(self):
        figure = picture("quadratic", {"adam": {"lr": 0.5}}, condition=5.0)
        (axes,) = (axes for axes in figure.axes if axes.get_title())
        assert axes.get_title() == "adam\nlr 0.5"
        assert same_color(axes.title.get_color(), COLOURS[places(["adam"])["adam"]])
        assert "condition number 5." in figure.caption

    @pytest.mark.parametrize(
        ("name", "paths", "fields", "wanted"),
        [
            ("clif", None, {}, "did you mean cliff"),
            ("cliff", None, {"unit": 2}, "cliff has no field 'unit': did you mean units"),
            ("cliff", {"sgd": {}}, {}, "the picture of cliff has no landscape"),
            ("rosenbrock", {"adm": {}}, {}, "did you mean adam"),
            ("rosenbrock", {"sgd": {"rl": 1.0}}, {}, "unknown hyperparameter sgd.rl"),
        ],
    )
    def test_what_is_unknown_is_refused_in_one_line(self, name, paths, fields, wanted):
        with pytest.raises(Refused, match=wanted) as refusal:
            picture(name, paths, **fields)
        assert "\n" not in str(refusal.value)
