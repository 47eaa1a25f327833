"""The page to try problems out by hand: its formulas and paths are the package's, and it works in a browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks import explorer
from benchmarks.docgen.explore import PAGE
from benchmarks.engine import loop
from benchmarks.explorer.lecture import LECTURE
from benchmarks.explorer.scenes import METHODS, SCENES, Scene
from optimizers import OPTIMIZERS, Optimizer
from problems import noisy_runs
from problems.precision import default_dtype
from tests.benchmarks.browser import Browser

NUDGE = 1e-13  # of the start: a thousand roundings
STEADY = ("sgd", "adam", "rmsprop")
COMPLAINTS = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("explorer") / "explore.html"
    explorer.write(file)
    return file


@pytest.fixture(scope="module")
def page(browser, file) -> Browser:
    """The page, for tests that only call its functions."""
    browser.size(1400, 900)
    browser.open(file)
    return browser


def stops(scene: Scene) -> list[int]:
    """The first, the middle and the last stop of a scene's slider."""
    count = len(scene.dial[2])
    return [0, count // 2, count - 1]


@pytest.mark.parametrize("name", SCENES)
def test_formulas_are_those_of_the_problems(page, name):
    scene = SCENES[name]
    (left, right), (low, high) = page.run(f"scenes.{name}.box")
    generator = torch.Generator().manual_seed(0)
    corner, size = (
        torch.tensor([left, low]).double(),
        torch.tensor([right - left, high - low]).double(),
    )
    x = corner + size * torch.rand(100, 2, generator=generator, dtype=torch.float64)
    for stop in stops(scene):
        problem = scene.at(scene.dial[2][stop])
        data = problem.example(scene.seed)
        found = page.run(
            f"(p => {x.tolist()}.map(x => LANDSCAPES.{name}.at(p, x)))(parameters(scenes.{name}, {stop}))"
        )
        value, gradient = problem.value_and_gradient(x, data)
        hessian = problem.hessian(x, data)
        expected = [value[:, None], gradient, hessian.flatten(1)[:, [0, 1, 3]]]
        for place, each in enumerate(expected):
            given = torch.tensor([row[place] for row in found], dtype=torch.float64).view(
                each.shape
            )
            # Relative to the larger of the value and the mean: what cancels in a sum is rounded on its scale.
            torch.testing.assert_close(given, each, rtol=1e-8, atol=1e-9 * each.abs().mean().item())


def path(
    scene: Scene, stop: int, method: Optimizer, start: list[float], count: int
) -> torch.Tensor:
    """The points of an optimizer on the problem, (count + 1, 2)."""
    problem = scene.at(scene.dial[2][stop])
    data = problem.example(scene.seed)
    x = torch.tensor([start], dtype=torch.float64)
    state, points = method.init(x), [x]
    with default_dtype(torch.float64):
        draws = problem.draws(data, torch.Generator().manual_seed(scene.seed))
        for draw in islice(draws, count) if draws else [None] * count:
            _, gradient = problem.sampled_value_and_gradient(x, data, draw)
            hessian = problem.sampled_hessian(x, data, draw)
            seen = SimpleNamespace(x=x, gradient=gradient, hessian=hessian, normal=None, alive=None)
            step, state = method.update(seen, state)
            x = x + step
            points.append(x)
    return torch.cat(points)


@pytest.mark.parametrize("clip", [0, 0.3])
@pytest.mark.parametrize("name", SCENES)
def test_paths_are_those_of_the_optimizers(page, name, clip):
    scene = SCENES[name]
    start = page.run(f"scenes.{name}.stops[scenes.{name}.first].start")
    stop = page.run(f"scenes.{name}.first")
    for each in METHODS:
        rate = page.run(f"scenes.{name}.rates.{each}")
        values: dict[str, Any] = {"lr": rate}
        if each in ("momentum", "nesterov"):
            values["momentum"] = 0.8
        if clip:
            values["threshold"] = clip
        method = OPTIMIZERS[each + ("+clip" if clip else "")].replace(**values)
        expected = path(scene, stop, method, start, 50)
        nudged = path(scene, stop, method, [(1 + NUDGE) * each for each in start], 50)
        found = page.run(
            f"""run(LANDSCAPES.{name}, parameters(scenes.{name}, {stop}), "{each}",
            {{lr: {rate}, momentum: 0.8, clip: {clip}}}, {start}, 50).map(point => point.x)"""
        )
        given = torch.tensor(found, dtype=torch.float64)
        # Some paths are chaotic, Newton's above all: these are compared until rounding alone would change them.
        same = (nudged - expected).norm(dim=-1) <= 1e4 * NUDGE * (1 + expected.norm(dim=-1))
        known = int(same.int().cumprod(0).sum())
        steady = each in STEADY and name != "cliff"  # there gradients of 1e4 multiply rounding
        # Newton's first step may already be chaotic; momentum's paths are not before ten.
        least = 51 if steady else 10 if each in ("momentum", "nesterov") else 1
        assert len(given) >= known >= least, each
        torch.testing.assert_close(
            given[:known],
            expected[:known],
            rtol=1e-6,
            atol=1e-7,
            msg=lambda said, each=each: f"{each}: {said}",
        )


def test_the_rules_of_a_run_are_those_of_the_engine(page):
    assert page.run("[HOLD, CEILING, WINDOW, SHARE]") == [
        loop.HOLD, loop.CEILING, noisy_runs.WINDOW, noisy_runs.SHARE
    ]  # fmt: skip


def test_second_order_steps_are_those_of_the_optimizers(page):
    generator = torch.Generator().manual_seed(0)
    entries = torch.randn(100, 3, generator=generator, dtype=torch.float64)
    gradients = torch.randn(104, 2, generator=generator, dtype=torch.float64)
    special = torch.tensor([[1.0, 2, 4], [0, 0, 0], [0, 0, 3], [1, 2, 1]], dtype=torch.float64)
    entries = torch.cat([entries, special])
    hessians = entries[:, [0, 1, 1, 2]].view(-1, 2, 2)
    seen = SimpleNamespace(gradient=gradients, hessian=hessians)
    for name in ("newton", "saddle_free_newton"):
        step, _ = OPTIMIZERS[name].replace(lr=0.7).update(seen, ())
        found = page.run(
            f"""(gs => {entries.tolist()}.map((hessian, i) =>
            METHODS.{name}({{lr: 0.7}})({{gradient: gs[i], hessian}})))({gradients.tolist()})"""
        )
        torch.testing.assert_close(
            torch.tensor(found, dtype=torch.float64), step, rtol=1e-9, atol=1e-12
        )


def test_solved_means_what_the_problem_says(page):
    """The one problem with a test of its own has it on the page, too."""
    own = [name for name, scene in SCENES.items() if scene.problem.has_own("solved")]
    assert own == ["generalized_smoothness"]
    (name,) = own
    for stop in stops(SCENES[name]):
        problem = SCENES[name].at(SCENES[name].dial[2][stop])
        data = problem.example(SCENES[name].seed)
        level = page.run(f"LANDSCAPES.{name}.accepted(parameters(scenes.{name}, {stop}))")
        for factor, expected in ((1 - 1e-9, True), (1 + 1e-9, False)):
            # On the slope's side the loss is ⅛ s (6 y² − y⁴): y² = 3 − √(9 − 8 level/s).
            y = (3 - (9 - 8 * factor * level / problem.slope) ** 0.5) ** 0.5
            x = data["minimizer"] + y * data["axes"][:, 1]
            assert bool(problem.solved(x, torch.zeros(()), None, data)) == expected


# What a user does.


@pytest.fixture
def fresh(browser, file) -> Iterator[Browser]:
    """The page, just opened; nothing in its console at the end."""
    browser.size(1400, 900)
    browser.open(file)
    yield browser
    assert complaints(browser) == []


def complaints(browser: Browser) -> list[Any]:
    return [each["params"] for each in browser.events if each["method"] in COMPLAINTS]


def test_it_opens_from_disk_without_network(fresh, file):
    (request,) = [each for each in fresh.events if each["method"] == "Network.requestWillBeSent"]
    assert request["params"]["request"]["url"].startswith(file.as_uri())
    sources = fresh.run("[...document.querySelectorAll('[src], link')].map(e => e.src || e.href)")
    assert not any(each.startswith("http") for each in sources)


MIDDLE = "(b => [b.left + b.width / 2, b.top + b.height / 2])({}.getBoundingClientRect())"


def mouse(browser: Browser, kind: str, x: float, y: float) -> None:
    browser.ask(
        "Input.dispatchMouseEvent",
        type=f"mouse{kind}",
        x=x,
        y=y,
        button="left",
        buttons=1,
        clickCount=1,
    )


def test_the_start_is_dragged(fresh):
    fresh.run("setScene('rosenbrock'); one('#map').scrollIntoView({block: 'end'})")
    x, y = fresh.run(MIDDLE.format("one('#start .ring')"))
    before = fresh.run("state.start")
    size = fresh.run("one('#map').getBoundingClientRect().width")
    mouse(fresh, "Pressed", x, y)
    mouse(fresh, "Moved", x + size / 8, y)
    mouse(fresh, "Moved", x + size / 4, y - size / 10)
    mouse(fresh, "Released", x + size / 4, y - size / 10)
    (left, right), (low, high) = fresh.run("box")
    expected = [before[0] + (right - left) / 4, before[1] + (high - low) / 10]
    assert fresh.run("state.start") == pytest.approx(expected, abs=0.02)
    assert fresh.run("runs.sgd[0].x") == fresh.run("state.start")
    assert fresh.run(MIDDLE.format("one('#start .ring')")) == pytest.approx(
        [x + size / 4, y - size / 10], abs=1
    )
    fresh.run("one('#reset').click()")
    assert fresh.run("state.start") == before


def test_a_finger_moves_the_start_and_not_the_page(browser, file):
    browser.size(390, 844)
    browser.ask("Emulation.setTouchEmulationEnabled", enabled=True)
    try:
        browser.open(file)
        browser.run("setScene('mountain'); one('#map').scrollIntoView({block: 'center'})")
        x, y = browser.run(MIDDLE.format("one('#start .ring')"))
        before, scrolled = browser.run("state.start"), browser.run("scrollY")
        touch = [("touchStart", 0), ("touchMove", 30), ("touchMove", 60)]
        for kind, by in touch:
            point = {"x": x + by, "y": y - by}
            browser.ask("Input.dispatchTouchEvent", type=kind, touchPoints=[point])
        browser.ask("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        size = browser.run("one('#map').getBoundingClientRect().width")
        moved = [60 / size * (high - low) for low, high in browser.run("box")]
        after = [at + by for at, by in zip(before, moved, strict=True)]
        assert browser.run("state.start") == pytest.approx(after, abs=0.02)
        assert browser.run("scrollY") == scrolled
    finally:
        browser.ask("Emulation.setTouchEmulationEnabled", enabled=False)


def test_the_start_is_put_where_the_map_is_clicked(fresh):
    fresh.run("one('#map').scrollIntoView({block: 'end'})")
    x, y = fresh.run(MIDDLE.format("one('#map')"))
    mouse(fresh, "Pressed", x, y)
    mouse(fresh, "Released", x, y)
    assert fresh.run("state.start") == pytest.approx(
        fresh.run("box.map(([a, b]) => (a + b) / 2)"), abs=0.02
    )


def test_the_start_is_moved_by_arrow_keys(fresh):
    fresh.run("setScene('rosenbrock'); one('#start').focus()")
    before = fresh.run("state.start")
    fresh.press("ArrowRight")
    fresh.press("ArrowRight")
    (left, right), _ = fresh.run("box")
    assert fresh.run("state.start") == pytest.approx([before[0] + 0.04 * (right - left), before[1]])
    assert fresh.run("document.activeElement.id") == "start"
    assert "Start at" in fresh.run("one('#start').getAttribute('aria-label')")


def test_the_dial_changes_the_problem_and_keeps_the_start(fresh):
    fresh.run("setScene('quadratic'); moveTo([1, 1])")
    before = fresh.run("[runs.sgd.at(-1).gap, one('#map .land').innerHTML]")
    set_to(fresh, "#dial", 20)
    assert fresh.run("p.condition") == 1e5
    assert fresh.run("one('#dial-value').textContent") == "1e5"
    after = fresh.run("[runs.sgd.at(-1).gap, one('#map .land').innerHTML]")
    assert after[0] > before[0] and after[1] != before[1]
    assert fresh.run("state.start") == [1, 1]


def test_a_dial_that_is_about_the_start_moves_it(fresh):
    fresh.run("setScene('mexican_hat'); moveTo([1, 1])")
    set_to(fresh, "#dial", 0)
    assert fresh.run("norm(minus(state.start, p.center))") == pytest.approx(0.8)


def set_to(browser: Browser, selector: str, value: float) -> None:
    browser.run(
        f"one('{selector}').value = {value}; one('{selector}').dispatchEvent(new Event('input', {{bubbles: true}}))"
    )


def test_settings_reach_the_runs(fresh):
    fresh.run("setScene('quadratic')")
    set_to(fresh, "[data-rate=sgd]", -20)
    assert fresh.run("state.rates.sgd") == 0.1
    step, gradient = fresh.run("[runs.sgd[0].step, runs.sgd[0].gradient]")
    assert step == pytest.approx([-0.1 * each for each in gradient])
    set_to(fresh, "#threshold", -40)
    fresh.run("one('#clip').click()")
    assert fresh.run("norm(runs.sgd[0].step)") == pytest.approx(0.1 * 0.01, rel=1e-4)
    set_to(fresh, "#count", 30)
    assert fresh.run("runs.sgd.length") == 31
    fresh.run("one('#methods [value=newton]').click(); one('#methods [value=sgd]').click()")
    assert fresh.run("Object.keys(runs)") == ["momentum", "newton"]
    first = fresh.run("runs.momentum.at(-1).x")
    set_to(fresh, "#momentum", 0.5)
    assert fresh.run("runs.momentum.at(-1).x") != first


def test_play_pause_and_single_steps(fresh):
    fresh.run("setScene('quadratic'); one('#home').click()")
    assert fresh.run("one('#now').textContent") == "step 0 of 100"
    fresh.run("one('#step').click(); one('#step').click()")
    assert fresh.run("state.at") == 2
    assert fresh.run("one('#trails .run').getAttribute('d').split('L').length") == 3
    fresh.run("one('#play').click()")
    assert fresh.run("one('#play').textContent") == "Pause"
    played = "new Promise(done => setTimeout(() => done(state.at), 700))"
    assert fresh.run(played) > 2
    fresh.run("one('#play').click()")
    at = fresh.run("state.at")
    assert fresh.run(played) == at < 100
    fresh.run(
        "showStep(0); play(); frame(before - 50)"
    )  # the first frame may have begun before the click
    assert fresh.run("state.at") == 0
    fresh.run("pause(); one('#play').focus()")
    fresh.press("Enter")
    assert fresh.run("state.playing")


def played(browser: Browser) -> None:
    """Play to the end, ten times as fast as a user sees it."""
    browser.run(
        """new Promise(done => {
            one('#home').click();
            one('#play').click();
            let turns = 0;
            const quicker = setInterval(() => {
                elapsed += longest() / 10;
                if (!state.playing || ++turns > 1000) done(clearInterval(quicker));
            }, 20);
        })"""
    )


def test_each_lesson_plays_to_its_end(fresh):
    count = fresh.run("lecture.length")
    sections = {each.button[:5] for each in LECTURE}
    assert len(sections) >= 7 and count == len(LECTURE)
    for number, lesson in enumerate(LECTURE):
        fresh.run(f"document.querySelectorAll('#lecture button')[{number}].click()")
        assert fresh.run("one('#lesson').textContent").startswith(lesson.title)
        assert fresh.run("[p[scene().slider.name], state.steps, state.momentum, Object.keys(runs)]") == [
            lesson.value, lesson.steps, lesson.momentum, [each for each in METHODS if each in lesson.methods],
        ]  # fmt: skip
        assert fresh.run("state.rates")[next(iter(lesson.methods))] == next(
            iter(lesson.methods.values())
        )
        played(fresh)
        assert fresh.run("state.at") == fresh.run("longest()") > 0
        told = fresh.run("[...document.querySelectorAll('#told li')].map(item => item.innerText)")
        assert len(told) == len(lesson.methods) and not any("NaN" in each for each in told), told
        assert complaints(fresh) == []


TOLD = {  # what a lesson says that one sees
    "8.2.1 Ravine": ("momentum: solved at step",),
    "8.2.1 The book’s test": ("sgd: not solved",),
    "8.2.2 Local minima": ("left; it rests in another minimum", "momentum: solved"),
    "8.2.3 Saddle points": (
        "left; it stands where gradient and curvatures are 0",
        "momentum: solved",
    ),
    "8.2.3 A maximum": ("left; it stands on a maximum", "saddle free newton: solved"),
    "8.2.3 Plateaus": ("left; its last step is", "momentum: solved"),
    "8.2.4 Cliffs": (
        "one step threw it 15.7 away (step 53); it stands where gradient and curvatures are 0, at a loss of 0.09",
    ),
    "8.2.4 Clipping": ("sgd: solved",),
    "8.2.5 Long chains": ("sgd: after 200 steps",),
    "8.2.6 Noise": ("sgd: not solved", "momentum: not solved"),
    "8.2.7 The wrong side": ("sgd: after 500 steps 51 % of the gap is left", "It is off the map."),
    "8.2.8 Limits": ("all of the gap is left; it stands where gradient and curvatures are 0",),
}


@pytest.mark.parametrize("number", range(len(LECTURE)), ids=lambda number: LECTURE[number].button)
def test_lessons_show_what_they_say(page, number):
    page.run(f"lesson({number})")
    told = page.run("one('#told').innerText")
    for part in TOLD[LECTURE[number].button]:
        assert part in told


def test_a_run_beyond_the_map_is_said_to_be_there(page):
    page.run("lesson(6)")
    sgd, adam = page.run("[...document.querySelectorAll('#told li')].map(item => item.innerText)")
    assert sgd.endswith("It is off the map.") and "map" not in adam


def test_words_about_steps_that_turn_back(page):
    page.run("setScene('quadratic', {stop: 10, on: ['sgd'], rates: {sgd: 1.99}})")
    assert "nearly all of the steps go back and forth across the valley" in page.run(
        "one('#told').innerText"
    )
    page.run("setScene('quadratic', {stop: 10, on: ['sgd'], rates: {sgd: 2.24}})")
    assert "diverged: from step" in page.run("one('#told').innerText")


@pytest.mark.parametrize("name", ["quadratic", "cliff", "noisy_quadratic", "shelf"])
def test_the_snippet_runs_the_same(page, name):
    clip = 0.5 if name == "cliff" else 0
    on = "methods.filter(name => name !== 'newton')"  # it is chaotic, as above
    page.run(f"setScene('{name}', {{clip: {clip}, steps: 60, on: {on}}})")
    found = page.run(
        "Object.fromEntries(Object.entries(runs).map(([name, path]) => [name, path.map(each => each.x)]))"
    )
    names: dict[str, Any] = {}
    with default_dtype(torch.float64):
        exec(page.run("snippet()"), names)
    assert set(names["paths"]) == set(found) and len(found) == 6
    for each, points in names["paths"].items():
        torch.testing.assert_close(
            torch.tensor(points), torch.tensor(found[each]), rtol=1e-6, atol=1e-7, msg=each
        )


def test_the_snippet_is_shown_and_copied(fresh):
    fresh.ask(
        "Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"]
    )
    fresh.run("one('#copy').click()")
    fresh.run("new Promise(done => setTimeout(done, 200))")
    said = fresh.run("one('#copied').textContent")
    assert said in ("Copied.", "Selected below: copy it from there.")
    copied = "navigator.clipboard.readText()" if said == "Copied." else "getSelection().toString()"
    assert fresh.run(copied).strip() == fresh.run("one('#snippet').textContent").strip()
    assert "problem = Quadratic(dim=2, condition=126)" in fresh.run("one('#snippet').textContent")


OUTSIDE = """[...document.querySelectorAll('button, label, output, select, svg')]
    .filter(e => e.getClientRects().length && !e.closest('.skip'))
    .filter(e => (r => r.right > innerWidth + 1 || r.left < 0)(e.getBoundingClientRect()))
    .map(e => e.outerHTML.slice(0, 80))"""
FOCUS = """(e => getComputedStyle(e).outlineStyle !== 'none' || e.id === 'start'
    && getComputedStyle(e.querySelector('.ring')).strokeWidth === '4px')(document.activeElement)"""


@pytest.mark.parametrize(("width", "dark"), [(1400, False), (1100, True), (390, False)])
def test_it_fits(browser, file, width, dark):
    browser.size(width, 844, dark)
    browser.open(file)
    for name in ("quadratic", "generalized_smoothness"):
        browser.run(f"setScene('{name}', {{on: methods}})")
        assert browser.run("document.documentElement.scrollWidth") == width
        assert browser.run(OUTSIDE) == []
    assert (
        browser.run("getComputedStyle(document.documentElement).backgroundColor")
        == "rgb(255, 255, 255)"
    ) != dark
    assert complaints(browser) == []


def test_controls_have_names_and_focus_is_seen(fresh):
    nodes = [
        each for each in fresh.ask("Accessibility.getFullAXTree")["nodes"] if not each["ignored"]
    ]
    for role, count in (
        ("slider", 12),
        ("checkbox", 8),
        ("button", 18),
        ("combobox", 1),
        ("image", 4),
    ):
        names = [
            each["name"]["value"]
            for each in nodes
            if each["role"]["value"] in (role, "img" if role == "image" else role)
        ]
        assert len(names) >= count and all(names), (role, names)
    met = set()
    while True:
        fresh.press("Tab")
        if fresh.run("document.activeElement === document.body"):  # behind the last one
            break
        met.add(fresh.run("document.activeElement.id || document.activeElement.tagName"))
        assert fresh.run(FOCUS), fresh.run("document.activeElement.outerHTML.slice(0, 99)")
    assert {
        "scene",
        "start",
        "play",
        "step",
        "time",
        "dial",
        "reset",
        "momentum",
        "clip",
        "threshold",
        "count",
        "copy",
        "theme",
    } <= met


# Where it is written.


def test_the_command_writes_the_page(ravine, files, file):
    assert ravine("explore") == (0, "results/explore.html\n", "")
    assert (files / "results/explore.html").read_bytes() == file.read_bytes()
    assert ravine("explore", "--out", "here.html").code == 0
    (files / "notes.txt").write_text("mine")
    for name, said in {
        "notes.txt": "notes.txt is here already and is not such a page: give another file",
        "notes.txt/x.html": "notes.txt/x.html cannot be written: File exists",
    }.items():
        assert ravine("explore", "--out", name) == (2, "", f"ravine: {said}\n")
    assert (files / "notes.txt").read_text() == "mine"


def test_licences_are_in_every_copy(file):
    text = file.read_text("utf-8")
    for licence in (Path(explorer.__file__).parent / "vendor").glob("LICENSE.*"):
        assert licence.read_text("utf-8") in text


def test_the_published_page_is_this_one(file):
    def parts(text: str) -> tuple[str, Any]:
        before, mark, rest = text.partition('<script type="application/json" id="explorer">')
        data, _, after = rest.partition("</script>")
        return before + mark + after, json.loads(data)

    (frame, data), (published, there) = (parts(each.read_text("utf-8")) for each in (file, PAGE))
    assert frame == published
    assert there == approximately(data)  # another build of torch may round a rotation differently


def approximately(value: Any) -> Any:
    """The same value, whose numbers need not be equal to the last digit."""
    if isinstance(value, dict):
        return {name: approximately(each) for name, each in value.items()}
    if isinstance(value, list):
        return [approximately(each) for each in value]
    return pytest.approx(value, rel=1e-9, abs=1e-12) if isinstance(value, float) else value


def test_every_slider_has_the_ladder_or_says_that_it_is_no_dial():
    for name, scene in SCENES.items():
        field, _, values = scene.dial
        card = scene.problem.card
        if scene.slider is None:
            assert field == card.dial and {*card.ladder} <= {*values}, name
        else:
            assert "slider" in scene.note, name
        assert len(set(values)) >= 15
        shape = scene.problem.example(scene.seed)["start"].shape
        assert shape == (2,)
