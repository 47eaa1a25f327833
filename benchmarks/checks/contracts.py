"""The contracts of problems, from the card to the Hessian; the docstring of each is the promise that `check` prints.

They build on each other: the first broken one is the most informative. A problem's card lists the promises that the
problem does not keep, with the reason (`exceptions`); they are not checked.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import islice, pairwise
from typing import Any, Literal, get_args, get_origin, get_type_hints

import torch

from benchmarks.checks.contract import Broken, Contract, Finding, NothingStated, ensure, examine
from benchmarks.checks.preflight import check_problem
from benchmarks.diagnosis import CAUSES, MEASURED
from benchmarks.engine.instances import Instances, stack
from benchmarks.engine.loop import CEILING, run
from benchmarks.engine.protocol import FIRST_REPORTING_SEED, stream
from benchmarks.engine.status import SOLVED
from optimizers import OPTIMIZERS
from problems import Problem, Tree
from problems.descent import descent
from problems.precision import default_dtype
from ravine import Refused

EXCEPTIONS = {
    "random_search", "reference", "start_gradient", "smooth", "ranked", "signature", "floor",
}  # fmt: skip
# The methods of a problem that runs use.
SEEN = (
    "instance", "loss", "value_and_gradient", "hvp", "hessian", "residuals", "gauss_newton", "draws", "sampled_loss",
    "sampled_value_and_gradient", "sampled_hvp", "sampled_hessian", "seen", "project", "solved", "floor", "distance",
    "minimizers", "critical_points", "chain", "at_end",
)  # fmt: skip
SEEDS = (0, 1, 2)
SMALL = 200  # dimensions up to which a dense Hessian is compared
ROUNDING = 1e-10  # closed forms and autograd, or a batch and its singles, add in different orders


CONTRACTS: list[Contract] = []


def contract(at_each_rung: bool = True, unless: str = "") -> Callable[[Callable], Callable]:
    """Declare a contract: on the problem at each rung of its ladder, or on the problem as it is."""

    def add(holds: Callable[[Problem], str | None]) -> Callable[[Problem], str | None]:
        CONTRACTS.append(Contract(holds, at_each_rung, unless))
        return holds

    return add


def examined(problem: Problem) -> Iterator[Finding]:
    """Yield the findings of each contract that the card does not except."""
    rungs = [problem.at_dial(rung) for rung in problem.card.ladder]
    for each in CONTRACTS:
        if each.unless in problem.card.exceptions:
            continue
        with default_dtype(torch.float64):
            if each.at_each_rung:
                yield from (examine(each, at, at.dial) for at in rungs)
            else:
                yield examine(each, problem)


# The card and the fields.


@contract(at_each_rung=False)
def has_a_complete_card(problem: Problem) -> None:
    """The card is complete."""
    card = problem.card
    for name in ("signature", "truth", "source"):
        ensure(getattr(card, name).strip(), f"card.{name} is empty")
    for promise, reason in card.exceptions.items():
        ensure(
            promise in EXCEPTIONS,
            f"card.exceptions names {promise!r} (allowed: {', '.join(sorted(EXCEPTIONS))})",
        )
        ensure(reason.strip(), f"card.exceptions[{promise!r}] has no reason")
    ensure(card.scale in ("log", "linear", "list"), f"card.scale is {card.scale!r}")
    ensure(0 < card.target < 1, f"card.target is {card.target}, but must be between 0 and 1")
    ensure(problem.budget > 0, f"the budget is {problem.budget}")
    ensure(math.isfinite(card.threshold), f"card.threshold is {card.threshold}")
    ensure((type(problem).__doc__ or "").strip(), "the class has no docstring")


@contract(at_each_rung=False)
def names_optimizers_that_exist(problem: Problem) -> None:
    """The optimizers that the card names exist, and accept its values."""
    name, values = problem.card.reference
    OPTIMIZERS.find(name).replace(**values)
    for name, breaking_point in problem.card.theory.items():
        OPTIMIZERS.find(name)
        predicted = breaking_point(problem, problem.budget)
        ensure(predicted > -math.inf, f"card.theory[{name!r}] predicts {predicted}")


@contract(at_each_rung=False)
def says_how_to_remove_causes_that_there_are(problem: Problem) -> None:
    """`Card.removes` lists known failure causes, and applying each entry changes the problem."""
    if not problem.card.removes:
        raise NothingStated
    known = (*CAUSES, *MEASURED)
    for cause in problem.card.removes:
        ensure(cause in known, f"card.removes names {cause!r} (allowed: {', '.join(known)})")
        worst = problem.at_dial(problem.card.ladder[-1])
        ensure(worst.without(cause) != worst, f"without {cause} the problem is the same")


@contract(at_each_rung=False)
def says_what_it_breaks(problem: Problem) -> None:
    """`Card.breaks` names an optimizer that exists, and a known cause, as `Card.same` and `Card.also` do others."""
    if problem.card.breaks is None:
        raise NothingStated
    victim, cause = problem.card.breaks
    OPTIMIZERS.find(victim)
    known = (*CAUSES, *MEASURED)
    stated = [cause, *problem.card.same, *filter(None, [problem.card.also])]
    for each in stated:
        ensure(
            each in known,
            f"card.breaks, card.same or card.also names {each!r} (allowed: {', '.join(known)})",
        )
        ensure(stated.count(each) == 1, f"card.breaks, card.same and card.also repeat {each!r}")


@contract(at_each_rung=False)
def has_a_ladder(problem: Problem) -> None:
    """The ladder is monotonic, and the dial takes its values."""
    ladder = problem.card.ladder
    steps = [after - before for before, after in pairwise(ladder)]
    ensure(steps, f"the ladder {ladder} has fewer than two rungs")
    one_way = all(step > 0 for step in steps) or all(step < 0 for step in steps)
    ensure(one_way, f"the ladder {ladder} goes up and down")
    ensure(problem.card.scale != "log" or min(ladder) > 0, f"a log ladder has {min(ladder)}")
    for rung in ladder:
        at = problem.at_dial(rung).dial
        ensure(at == rung, f"at rung {rung:g} the dial is {at:g}")


@contract(at_each_rung=False)
def refuses_bad_fields(problem: Problem) -> None:
    """Bad values of fields are refused in one line."""
    kinds = get_type_hints(type(problem))
    fields = dataclasses.fields(problem)  # type: ignore[arg-type]
    wrong = [text for each in fields for text in _badly_refused(problem, each, kinds[each.name])]
    ensure(not wrong, "; ".join(wrong))


def _badly_refused(problem: Problem, field: dataclasses.Field, kind: Any) -> Iterator[str]:
    """Yield the faults in how bad values of a field are refused, with the declaration that refuses them."""
    name, accepted = field.name, []
    for value in _bad(kind):
        try:
            dataclasses.replace(problem, **{name: value})  # type: ignore[type-var]
        except Refused as refusal:
            said = str(refusal)
            if name not in said:
                yield f"the refusal of {name}={value!r} does not name it: {said}"
            if "\n" in said:
                yield f"the refusal of {name}={value!r} has several lines"
            if get_origin(kind) is Literal and get_args(kind)[0] not in said:
                yield f"the refusal of {name}={value!r} lacks {get_args(kind)[0]!r}"
        except Exception as error:
            yield f"{name}={value!r} raises {type(error).__name__}: {error}"
        else:
            accepted.append(repr(value))
    if accepted:
        yield f"{name} accepts {', '.join(accepted)}: write {_declared(problem, field, kind)}"


def _declared(problem: Problem, field: dataclasses.Field, kind: Any) -> str:
    """Return the line that declares a field so that it refuses bad values."""
    name, value = field.name, getattr(problem, field.name)
    if get_origin(kind) is Literal:
        return f"{name}: str = bounded({value!r}, choices={get_args(kind)!r})"
    declare = "dial" if name == problem.card.dial else "bounded"
    low = ", low=1" if kind is int else ""
    return f"{name}: {kind.__name__} = {declare}({value!r}{low})"


def _bad(kind: Any) -> list[Any]:
    if kind is float:
        return [math.nan, math.inf, "much"]
    if kind is int:
        return [0.5, -1, math.nan, "many"]
    if get_origin(kind) is Literal:
        return [f"{get_args(kind)[0]}x"]
    return []


# The start.


@contract()
def can_be_swept(problem: Problem) -> None:
    """A sweep accepts it: its loss is finite, has the right shape and does not mix runs."""
    check_problem(type(problem).__name__, problem)


@contract()
def repeats_its_instances(problem: Problem) -> None:
    """The same seed draws the same instance, and another seed a different one."""
    before = torch.get_rng_state()
    first = [problem.instance(_generator(seed)) for seed in (0, 1)]
    second = [problem.instance(_generator(seed)) for seed in (1, 0)]
    ensure(torch.equal(torch.get_rng_state(), before), "instance() draws from the global generator")
    for one, same in zip(first, reversed(second), strict=True):
        for leaf, other in zip(_leaves(one), _leaves(same), strict=True):
            ensure(torch.equal(leaf, other), "the same seed draws two different instances")
    starts = [tree["start"] for tree in first]
    ensure(not torch.equal(*starts), "two seeds draw the same start")


@contract()
def has_something_to_do(problem: Problem) -> None:
    """The start is above the floor, with a gradient, and is not solved."""
    stated, flats = "start_gradient" in problem.card.exceptions, []
    for seed in range(10) if stated else SEEDS:
        data = _in_its_dtype(problem, _drawn(problem, seed))
        start = data["start"]
        value, gradient = problem.value_and_gradient(start, data)
        ensure(torch.isfinite(start).all(), f"the start of seed {seed} is not finite")
        ensure(value.isfinite(), f"the loss at the start of seed {seed} is {value:g}")
        floor = float(problem.floor(data))
        ensure(
            value > floor, f"the loss at the start, {value:g}, is not above the floor, {floor:g}"
        )
        ensure(gradient.isfinite().all(), f"the gradient at the start of seed {seed} is not finite")
        flat = not bool(gradient.any())
        flats.append(flat)
        said = f"the gradient at the start of seed {seed} is exactly zero"
        ensure(not flat or stated, said + _or_except("start_gradient"))
        solved = problem.solved(start, torch.ones_like(value), gradient, data)
        ensure(not solved, f"the start of seed {seed} is solved already")
    ensure(any(flats) == stated, "no gradient at a start is zero, as the card says of some")


@contract()
def repeats_its_draws(problem: Problem) -> None:
    """Its noise repeats with its seed, and differs with another."""
    data = _drawn(problem, 0)
    streams = [problem.draws(data, _generator(seed)) for seed in (0, 0, 1)]
    if streams[0] is None:
        ensure(not problem.has_own("sampled_loss"), "it has a sampled loss, and draws nothing")
        raise NothingStated("its loss is exact")
    items = [[list(_leaves(next(stream))) for _ in range(3)] for stream in streams if stream]
    same = [
        torch.equal(a, b)
        for pair in zip(*items[:2], strict=True)
        for a, b in zip(*pair, strict=True)
    ]
    other = [
        torch.equal(a, b)
        for pair in zip(items[0], items[2], strict=True)
        for a, b in zip(*pair, strict=True)
    ]
    ensure(all(same), "the same seed draws different noise")
    ensure(not all(other) or not problem.has_own("sampled_loss"), "two seeds draw the same noise")


@contract()
def has_parameters_of_the_stated_shapes(problem: Problem) -> None:
    """The shapes of its parameters are those of x."""
    if problem.shapes is None:
        raise NothingStated("x is a vector")
    dim, stated = len(_drawn(problem, 0)["start"]), sum(map(math.prod, problem.shapes))
    ensure(stated == dim, f"shapes have {stated} numbers, and x has {dim}")


# The truth.


@contract()
def has_the_stated_minimizers(problem: Problem) -> None:
    """The stated minimizers are minimizers, at the floor."""
    data = _drawn(problem, 0)
    minimizers = problem.minimizers(data)
    if minimizers is None:
        raise NothingStated
    height, slope, _ = _scales(problem, data)
    ensure(
        minimizers.shape[1:] == data["start"].shape, f"they have shape {tuple(minimizers.shape)}"
    )
    for k, point in enumerate(minimizers):
        value, gradient = problem.value_and_gradient(point, data)
        # What is written and what is computed agree to rounding; what is left of the gradient is the
        # minimizer's own rounding times the curvature.
        off = abs(float(value - problem.floor(data))) / height
        ensure(off <= 1e-12, f"minimizer {k} is {off:.1e} of the start's height off the floor")
        left = float(gradient.norm()) / (slope or 1)
        ensure(left <= 1e-7, f"the gradient at minimizer {k} is {left:.1e} of that at the start")
        moved = float((problem.project(point, data) - point).norm())
        ensure(moved <= 1e-7 * (1 + float(point.norm())), f"minimizer {k} is not feasible")
        distance = problem.distance(point, data)
        off = 0.0 if distance is None else float(distance)
        ensure(
            off <= 1e-12 * (1 + float(point.norm())),
            f"minimizer {k} is {off:.1e} from the solutions",
        )


@contract()
def has_the_stated_critical_points(problem: Problem) -> None:
    """The stated critical points are critical, with the stated value and index."""
    data = _drawn(problem, 0)
    points = problem.critical_points(data)
    if not points:
        raise NothingStated
    height, slope, _ = _scales(problem, data)
    for k, point in enumerate(points):
        value, gradient = problem.value_and_gradient(point.x, data)
        off = abs(float(value) - point.value) / (height + abs(point.value))
        ensure(off <= 1e-9, f"critical point {k} has the value {value:g}, not {point.value:g}")
        left = float(gradient.norm()) / (slope or 1)
        ensure(
            left <= 1e-7, f"the gradient at critical point {k} is {left:.1e} of that at the start"
        )
        curvatures = torch.linalg.eigvalsh(problem.hessian(point.x, data))
        zero = 1e-8 * max(float(curvatures.abs().max()), 1e-300)  # rounding of eigvalsh and of x
        index, nullity = int((curvatures < -zero).sum()), int((curvatures.abs() <= zero).sum())
        if not curvatures.any():
            nullity = len(curvatures)
        found, stated = (index, nullity), (point.index, point.nullity)
        ensure(found == stated, f"critical point {k} has index, nullity {found}, not {stated}")


@contract(unless="floor")
def has_nothing_below_its_floor(problem: Problem) -> None:
    """Nothing lies below the floor (the minimum or a stated level), on the problem and on its control."""
    for each, said in ((problem, "the floor"), (problem.control(), "the control's floor")):
        data = _drawn(each, 0)
        height, slope, length = _scales(each, data)
        lengths = length * torch.logspace(-3, 1, 200, device=data["start"].device)
        minimizers = each.minimizers(data)
        centers = [data["start"], *([] if minimizers is None else minimizers[:4])]
        seen = [_around(each, data, center, lengths, seed) for seed, center in enumerate(centers)]
        if not each.card.floor_is_minimum and slope > 0:  # no center is low
            path = descent(each, data, data["start"], 0.1 * length / slope, threshold=slope)
            seen.append(torch.stack(list(islice(path, 100))))
        for points in seen:
            below = float((each.floor(data) - each.loss(points, data)).nan_to_num(-math.inf).max())
            ensure(below <= 1e-12 * height, f"the loss goes {below:.2e} below {said}")  # rounding


# The gradient and the Hessian.


@contract(unless="smooth")
def has_the_gradient_that_differences_see(problem: Problem) -> None:
    """Autograd's gradient agrees with finite differences."""
    data = _drawn(problem, 0)
    height, _, length = _scales(problem, data)

    def scaled(units: torch.Tensor) -> torch.Tensor:
        """Return the relative gap as a function of x in lengths: both are near 1 in any units."""
        return (problem.loss(data["start"] + length * units, data) - problem.floor(data)) / height

    for point in _some_points(problem, data):
        if not problem.loss(point, data) - problem.floor(data) <= CEILING * height:
            continue  # a run here has diverged, and rounding hides differences of its loss
        units = ((point - data["start"]) / length).requires_grad_()
        agrees = torch.autograd.gradcheck(
            scaled, units, fast_mode=len(units) > SMALL, raise_exception=False
        )
        said = "the gradient of the loss does not agree with finite differences"
        ensure(agrees, said + _or_except("smooth"))


@contract()
def has_the_derivatives_of_its_loss(problem: Problem) -> None:
    """Closed forms are the derivatives of the loss."""
    data = _drawn(problem, 0)
    vector = _normals(data["start"], data["start"].shape)

    def check(
        loss: Callable, point: torch.Tensor, pair: tuple[torch.Tensor, torch.Tensor],
        product: torch.Tensor, hessian: Callable[[], torch.Tensor], which: str,
    ) -> None:  # fmt: skip
        value, gradient = pair
        ensure(not value.requires_grad and not gradient.requires_grad, f"the {which} keeps a graph")
        expected, expected_value = torch.func.grad_and_value(loss)(point)
        _agree(value, expected_value, f"the {which} in value_and_gradient")
        _agree(gradient, expected, f"the gradient of the {which}")
        twice = torch.func.grad(lambda x: torch.func.grad(loss)(x) @ vector)(point)
        _agree(product, twice, f"the Hessian-vector product of the {which}")
        if len(point) <= SMALL:
            _agree(hessian(), torch.func.hessian(loss)(point), f"the Hessian of the {which}")

    stream = problem.draws(data, _generator(0))
    for x in _some_points(problem, data):
        pair = torch.stack([vector, x])
        products = torch.stack([problem.hvp(x, data, each) for each in pair])
        _agree(problem.hvp(x, data, pair), products, "hvp of two vectors at once")
        check(
            lambda point: problem.loss(point, data),
            x,
            problem.value_and_gradient(x, data),
            problem.hvp(x, data, vector),
            lambda x=x: problem.hessian(x, data),
            "loss",
        )
        if stream is not None:
            noise = next(stream)
            check(
                lambda point, noise=noise: problem.sampled_loss(point, data, noise),
                x,
                problem.sampled_value_and_gradient(x, data, noise),
                problem.sampled_hvp(x, data, noise, vector),
                lambda x=x, noise=noise: problem.sampled_hessian(x, data, noise),
                "sampled loss",
            )


@contract()
def has_residuals_whose_squares_are_its_loss(problem: Problem) -> None:
    """Half the sum of its squared residuals is the loss up to a constant, and JᵀJ their Gauss–Newton matrix.

    Checked only if the problem states residuals.
    """
    if not problem.has_own("residuals"):
        raise NothingStated
    data = _drawn(problem, 0)
    points = torch.stack([*_some_points(problem, data)])
    residuals = torch.stack([problem.residuals(x, data) for x in points])  # type: ignore[arg-type]
    squares, losses = 0.5 * residuals.square().sum(-1), problem.loss(points, data)
    _agree(squares - squares[0], losses - losses[0], "a difference of half the squared residuals")
    for x, residual in zip(points, residuals, strict=True):
        jacobian = torch.func.jacrev(lambda point: problem.residuals(point, data))(x)
        _agree(residual @ jacobian, problem.value_and_gradient(x, data)[1], "Jᵀ r")
        matrix = problem.gauss_newton(x, data)
        if matrix is None:
            raise Broken("it states residuals, and no Gauss–Newton matrix")
        _agree(matrix, jacobian.T @ jacobian, "the Gauss–Newton matrix")


@contract()
def does_not_mix_runs(problem: Problem) -> None:
    """A batch is the stack of its singles.

    Also with as many trials and instances as dimensions, where mixed-up axes do not raise.
    """
    dim = len(_drawn(problem, 0)["start"])
    for runs in {3, dim if 1 < dim <= 100 else 3}:
        trees = [_drawn(problem, SEEDS[k % len(SEEDS)]) for k in range(runs)]
        streams = [problem.draws(tree, _generator(k)) for k, tree in enumerate(trees)]
        noises = [None if stream is None else next(stream) for stream in streams]
        ones = torch.ones(runs, device=trees[0]["start"].device)
        x = torch.stack([
            _around(problem, tree, tree["start"], ones, k) for k, tree in enumerate(trees)
        ])  # fmt: skip
        vectors = _normals(x, x.shape)
        noise = None
        if noises[0] is not None:
            noise = stack([each for each in noises if each is not None], torch.float64, x.device)
        batch = _answers(problem, x, stack(trees, torch.float64, x.device), noise, vectors)
        for i, j in {(0, 0), (0, runs - 1), (runs - 1, 0), (runs // 2, runs // 3)}:
            single = _answers(problem, x[i, j], trees[i], noises[i], vectors[i, j])
            for name, answer in batch.items():
                _agree(answer[i, j], single[name], f"{name} of a run in a batch")


def _answers(
    problem: Problem, x: torch.Tensor, data: Tree, noise: Tree | None, vector: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Return everything that a problem computes at points, by name."""
    value, gradient = problem.value_and_gradient(x, data)
    height = problem.loss(data["start"], data) - problem.floor(data)
    gap = (value - problem.floor(data)) / height
    said = {
        "loss": problem.loss(x, data),
        "value": value,
        "gradient": gradient,
        "hvp": problem.hvp(x, data, vector),
        "project": problem.project(x, data),
        "gap": gap,
        "solved": problem.solved(x, gap, gradient, data).double(),
        **problem.at_end(x, torch.ones_like(gap), data),
    }
    if noise is not None:
        said["seen"] = problem.seen(gradient, data, noise, None)[0]
        said["sampled_loss"] = problem.sampled_loss(x, data, noise)
        said["sampled_gradient"] = problem.sampled_value_and_gradient(x, data, noise)[1]
        said["sampled_hvp"] = problem.sampled_hvp(x, data, noise, vector)
    if (distance := problem.distance(x, data)) is not None:
        said["distance"] = distance
    if x[..., 0].numel() * x.shape[-1] ** 2 <= 2e6:  # of numbers in the batch of Hessians
        said["hessian"] = problem.hessian(x, data)
        if (matrix := problem.gauss_newton(x, data)) is not None:
            said["gauss_newton"] = matrix
    return said


# The pathology.


@contract(at_each_rung=False)
def has_a_signature_that_its_control_lacks(problem: Problem) -> None:
    """The signature proves the pathology, and fails on the control."""
    least = problem.card.threshold
    for rung in (problem, problem.at_dial(problem.card.ladder[-1])):
        control = rung.control()
        ensure(control != rung, "the control is the problem itself")
        for seed in SEEDS:
            found = rung.signature(_drawn(rung, seed))
            ensure(found >= least, f"at {rung.dial:g} the signature is {found:g}, below {least:g}")
            found = control.signature(_drawn(control, seed))
            ensure(found < least, f"on the control the signature is {found:g}, not below {least:g}")


@contract(at_each_rung=False, unless="signature")
def has_a_signature_that_measures_the_loss(problem: Problem) -> None:
    """The signature measures the loss, not the fields: it fails on an impostor.

    The impostor has the fields of the problem; its instances, loss, gradient and Hessian are those of the control.
    """
    least = problem.card.threshold
    for rung in (problem, problem.at_dial(problem.card.ladder[-1])):
        said = f"the signature reads the fields and not the loss: at {rung.dial:g}, for the loss of the control, it"
        try:
            found = _impostor(rung).signature(_drawn(rung.control(), SEEDS[0]))
        except Exception as error:  # the fields do not fit the control's instance
            raise Broken(f"{said} fails: {error}{_or_except('signature')}") from error
        ensure(found < least, f"{said} is {found:g}, not below {least:g}{_or_except('signature')}")


def _impostor(problem: Problem) -> Problem:
    """Return a problem with the same fields that shows runs its control."""
    kind = type(problem)

    def of_control(name: str) -> Callable:
        def answer(self: Problem, *given: Any, **named: Any) -> Any:
            honest = object.__new__(kind)
            vars(honest).update(vars(self))  # fields may have been replaced since
            return getattr(honest.control(), name)(*given, **named)

        return answer

    other = object.__new__(type(kind.__name__, (kind,), {name: of_control(name) for name in SEEN}))
    vars(other).update(vars(problem))
    return other


@contract()
def is_not_solved_by_doing_nothing(problem: Problem) -> None:
    """An optimizer that does nothing solves no instance."""
    won = _solved(problem, "idle", 10)  # 30 steps at the same place
    ensure(not any(won), f"idle solves {sum(won)} of {len(won)}")


@contract()
def is_solved_by_its_reference(problem: Problem) -> None:
    """The reference solves every rung; if the card excepts it, at least one instance of the first rung."""
    card = problem.card
    excepted = "reference" in card.exceptions
    if excepted and problem.dial != card.ladder[0]:
        return
    name, values = card.reference
    won = _solved(problem, name, problem.budget, **values)
    said = f"{name} with the card's values solves {sum(won)} of {len(won)}"
    ensure(any(won) if excepted else all(won), said if excepted else said + _or_except("reference"))


@contract(at_each_rung=False, unless="random_search")
def is_not_solved_by_random_search(problem: Problem) -> None:
    """Random search fails the last rung."""
    problem = problem.at_dial(problem.card.ladder[-1])
    won = _solved(problem, "random_search", problem.budget)
    said = f"random_search solves {sum(won)} of {len(won)}"
    ensure(not any(won), said + _or_except("random_search"))


def _solved(problem: Problem, optimizer: str, budget: float, **values: Any) -> list[bool]:
    """Return True for each reporting instance of a sweep that one setting of an optimizer solves."""
    cell = problem.card.cell
    seeds = tuple(stream(FIRST_REPORTING_SEED + k) for k in range(cell.seeds))
    instances = Instances(problem, seeds, getattr(torch, cell.dtype), _device(problem))
    method = OPTIMIZERS[optimizer].replace(**values)
    status = run(method, instances, trials=1, budget=budget, record=False).status
    return [row[0] == SOLVED for row in status]


# What the contracts use.


def _or_except(promise: str) -> str:
    """Return the end of a message: how a card excepts a promise."""
    return f'; if that has a reason, state it: exceptions={{"{promise}": "the reason"}}'


def _agree(actual: torch.Tensor, expected: torch.Tensor, what: str) -> None:
    """Raise Broken unless two tensors are equal up to rounding of the largest entry."""
    shapes = f"{tuple(actual.shape)}, not {tuple(expected.shape)}"
    ensure(actual.shape == expected.shape, f"{what} has the shape {shapes}")
    ensure(actual.dtype == expected.dtype, f"{what} is {actual.dtype}, not {expected.dtype}")
    if not expected.numel():
        return
    scale = float(expected.nan_to_num().abs().max())
    same = torch.isclose(actual, expected, rtol=0, atol=ROUNDING * scale, equal_nan=True)
    off = float((actual - expected).abs().nan_to_num(math.inf).max()) / (scale or 1.0)
    ensure(same.all(), f"{what} is off by {off:.1e} of its largest entry")


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _normals(like: torch.Tensor, shape: Sequence[int], seed: int = 0) -> torch.Tensor:
    """Return standard normal numbers on the device of a tensor; they are the same on all devices."""
    return torch.randn(shape, generator=_generator(seed)).to(like.device)


def _device(problem: Problem) -> str:
    """Return the device on which the problem's examples are."""
    return str(_drawn(problem, 0)["start"].device)


@lru_cache(maxsize=16)
def _drawn(problem: Problem, seed: int) -> Tree:
    return problem.example(seed)


def _leaves(tree: Tree) -> Iterator[torch.Tensor]:
    for leaf in tree.values():
        yield from _leaves(leaf) if isinstance(leaf, dict) else [torch.as_tensor(leaf)]


def _in_its_dtype(problem: Problem, tree: Tree) -> Tree:
    dtype = getattr(torch, problem.card.cell.dtype)
    return {
        name: _in_its_dtype(problem, leaf)
        if isinstance(leaf, dict)
        else leaf.to(dtype)
        if leaf.is_floating_point()
        else leaf
        for name, leaf in tree.items()
    }


def _scales(problem: Problem, data: Tree) -> tuple[float, float, float]:
    """Return the start's height above the floor, its gradient's norm, and the length 2 height/norm."""
    value, gradient = problem.value_and_gradient(data["start"], data)
    height, slope = float(value - problem.floor(data)), float(gradient.norm())
    return height, slope, 2 * height / slope if slope > 0 else float(data["start"].norm())


def _around(
    problem: Problem, data: Tree, center: torch.Tensor, lengths: torch.Tensor, seed: int
) -> torch.Tensor:
    """Return a point at each of these lengths from `center`, in random directions."""
    directions = _normals(center, (len(lengths), center.shape[-1]), seed)
    points = center + lengths[:, None] * directions / directions.norm(dim=-1, keepdim=True)
    return torch.stack([problem.project(point, data) for point in points])


def _some_points(problem: Problem, data: Tree, seed: int = 0) -> Sequence[torch.Tensor]:
    """Return the start, and points within a length of it."""
    *_, length = _scales(problem, data)
    lengths = length * torch.tensor([0.03, 0.3, 1.0], device=data["start"].device)
    near = _around(problem, data, data["start"], lengths, seed)
    return [data["start"], *near]
