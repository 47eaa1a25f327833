"""What a class of problems declares: one dial, bounds on fields, claims and portrait beside it, and the old forms."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace

import pytest
import torch

from problems import PROBLEMS, Card, Claim, Curves, Problem, bounded, claim, dial
from problems.ill_conditioning.quadratic import Quadratic
from problems.modifiers.noises import noisy
from problems.modifiers.transforms import transformed
from ravine import Refused, require

CARD = Card(
    scale="log",
    ladder=(1.0, 10.0, 100.0),
    target=1e-4,
    budget=100,
    reference=("newton", {}),
    control={"steepness": 1.0},
    signature="largest over smallest curvature",
    threshold=2.0,
    truth="0 at 0",
    source="these tests",
)


@dataclass(frozen=True)
class Bowl(Problem):
    """½ steepness |x|²."""

    steepness: float = dial(10.0, low=1)
    dim: int = bounded(2, low=1, high=9)
    rate: float = bounded(0.5, above=0, below=1)
    shape: str = bounded("round", choices=("round", "square"))
    turned: bool = False

    card = CARD

    def instance(self, generator):
        return {"start": torch.randn(self.dim, generator=generator)}

    def loss(self, x, data):
        return 0.5 * self.steepness * x.square().sum(-1)


@claim(Bowl, "its steepness", stated=10.0, within=(10.0, 10.0), source="these tests")
def largest_curvature(problem: Bowl) -> float:
    data = problem.example()
    return torch.linalg.eigvalsh(problem.hessian(data["start"], data))[-1].item()


class TestDial:
    def test_is_the_field_that_is_declared_as_one(self):
        assert Bowl.card.dial == "steepness"
        assert Bowl(steepness=3.0).dial == 3.0
        assert Bowl().at_dial(7.0) == Bowl(steepness=7.0)
        assert CARD.dial == ""  # one card may serve several classes

    def test_is_inherited_and_may_be_declared_anew(self):
        class Same(Bowl):
            card = CARD

        @dataclass(frozen=True)
        class Other(Bowl):
            steepness: float = bounded(10.0)
            dim: int = dial(2, low=1)

        assert Same.card.dial == "steepness"
        assert Other.card.dial == "dim"
        assert Other().has_whole_dial

    def test_none_is_refused(self):
        with pytest.raises(Refused, match=r"^problem Flat has no dial: declare one field by dial"):

            @dataclass(frozen=True)
            class Flat(Problem):
                steepness: float = 10.0
                card = CARD

    def test_two_are_refused(self):
        said = r"^problem Twice has 2 dials \(steepness, dim\): declare one field by dial"
        with pytest.raises(Refused, match=said):

            @dataclass(frozen=True)
            class Twice(Bowl):
                dim: int = dial(2)


class TestFields:
    def test_all_that_are_wrong_are_said_at_once(self):
        with pytest.raises(Refused) as refusal:
            Bowl(steepness=0.5, dim=2.5, rate=1.0, shape="sqare", turned=1)  # pyright: ignore
        assert str(refusal.value) == (
            "Bowl.steepness is 0.5, but must be a number, at least 1; "
            "Bowl.dim is 2.5, but must be a whole number, at least 1, at most 9; "
            "Bowl.rate is 1.0, but must be a number, above 0, below 1; "
            "Bowl.shape is 'sqare': did you mean square? (allowed: round, square); "
            "Bowl.turned is 1, but must be true or false"
        )

    def test_bear_the_registered_name(self):
        with pytest.raises(Refused, match=r"^cliff\.units is 0, but must be .*; cliff\.steps is 0"):
            type(PROBLEMS["cliff"])(units=0, steps=0)

    @pytest.mark.parametrize("name", PROBLEMS)
    def test_every_dial_has_a_bound_that_the_ladder_keeps(self, name):
        problem = PROBLEMS[name]
        for value in (float("nan"), float("inf"), "x", None):
            with pytest.raises(Refused, match=rf"^{name}\.{problem.card.dial} is "):
                type(problem)(**{problem.card.dial: value})
        assert [problem.at_dial(rung).dial for rung in problem.card.ladder] == list(
            problem.card.ladder
        )


class TestEvidence:
    def test_is_imported_where_it_is_asked_for(self):
        code = """
import sys
from problems import PROBLEMS
assert len(PROBLEMS) > 50
loaded = lambda: sorted(name for name in sys.modules if "._certificates." in name)
assert loaded() == [], loaded()
PROBLEMS["cliff"].claims
assert loaded() == ["problems.cliffs._certificates.cliff"], loaded()
PROBLEMS["quadratic"].portrait()
assert len(loaded()) == 2, loaded()
"""
        subprocess.run([sys.executable, "-c", code], check=True)

    def test_of_a_file_of_its_own_stands_in_the_file(self):
        stated = Bowl().claims["largest_curvature"]
        assert stated.statement == "its steepness"
        assert stated.holds(stated.measure(Bowl()))
        assert not stated.holds(largest_curvature(Bowl(steepness=11.0)))

    def test_is_inherited(self):
        class Mine(Quadratic):
            """As the quadratic."""

        assert list(Mine().claims) == list(Quadratic().claims)
        assert Mine().portrait().caption == Quadratic().portrait().caption

    def test_of_a_problem_without_any_is_none(self):
        class Plain(Problem):
            card = None

        assert Plain().claims == {}

    def test_a_portrait_of_its_own_stands_before_that_of_its_base(self):
        class Mine(Quadratic):
            def portrait(self):
                return Curves(caption="mine", x_label="x", y_label="y")

        assert Mine().portrait().caption == "mine"


def old_forms():
    @dataclass(frozen=True)
    class OldBowl(Problem):
        steepness: float = 10.0
        card = replace(CARD, dial="steepness")

        def __post_init__(self):
            require("old_bowl", "steepness", self.steepness, low=1)

        @Claim("twice it", stated=20.0, within=(20.0, 20.0), source="these tests")
        def twice(self):
            return 2 * self.steepness

        @Claim("four times it", stated=40.0, within=(40.0, 40.0), source="these tests")
        def four_times(self):
            return 2 * self.twice()

    class Heir(OldBowl):
        """Says nothing again."""

    return OldBowl, Heir


class TestOldForms:
    def test_run_and_say_in_one_line_how_to_write_them(self):
        said = (
            r"^OldBowl is written in a form that the next release does not read: write "
            r"@claim\(…\) above a function below the class, not @Claim\(…\) above a method, "
            r"and steepness: … = dial\(10\.0, …\), not Card\(dial='steepness'\)$"
        )
        with pytest.warns(FutureWarning, match=said) as shown:
            old, heir = old_forms()
        assert len(shown) == 1
        assert old().at_dial(3).dial == 3
        with pytest.raises(Refused, match=r"^old_bowl\.steepness is 0"):
            old(steepness=0)
        measured = {name: each.measure(old()) for name, each in heir().claims.items()}
        assert measured == {"twice": 20.0, "four_times": 40.0}

    def test_are_said_in_one_line_on_stderr(self, tmp_path):
        (tmp_path / "old.py").write_text("""
from dataclasses import dataclass, replace
from problems import PROBLEMS, Problem
@dataclass(frozen=True)
class Old(Problem):
    steepness: float = 10.0
    card = replace(PROBLEMS["quadratic"].card, dial="steepness")
""")
        run = [sys.executable, "-c", f"import sys; sys.path.append({str(tmp_path)!r}); import old"]
        said = subprocess.run(run, check=True, capture_output=True, text=True).stderr
        assert said.startswith(f"{tmp_path / 'old.py'}:0: FutureWarning: Old is written in ")
        assert said.count("\n") == 1


@pytest.mark.parametrize("name", sorted(PROBLEMS))
def test_what_a_run_must_reach_is_said_by_who_tests_it(name):
    problem = PROBLEMS[name]
    own = type(problem).solved is not Problem.solved
    assert own == (type(problem).solved_when is not Problem.solved_when)
    assert own != problem.solved_when.startswith(
        ("relative gap at most ", "gap above the stated level at most ")
    )
    assert transformed(problem, ["rotate"]).solved_when == problem.solved_when


def test_a_test_of_a_users_problem_is_not_called_a_gap():
    class AtRest(Bowl):
        def solved(self, x, gap, gradient, data):
            return x.norm(dim=-1) < 1e-3

    assert AtRest().solved_when == "the problem's own test holds"
    assert Bowl().solved_when == "relative gap at most 0.0001"
    raised = noisy(Bowl(), "gaussian")
    assert raised.solved_when == f"relative gap at most {raised.card.target:g}"
