"""Adafactor, SOAP, Shampoo and Kron against their namesakes, plain twins of one run, and what they promise."""

from __future__ import annotations

import functools
import math

import pytest
import torch

from benchmarks.checks.contract import NothingStated
from benchmarks.checks.optimizer_contracts import CONTRACTS
from optimizers import OPTIMIZERS, NotApplicable, as_torch
from optimizers import matrices as module
from optimizers.adopted import shaped
from optimizers.matrices import MatrixOptimizer, eigen
from problems.precision import default_dtype

SHAPES = ((3, 2), (3,), (2, 3))  # 15 numbers: a layer with biases, and one without
VECTOR = ((15,),)
NAMES = ("adafactor", "soap", "shampoo", "kron")
NEED_A_MATRIX = {
    "soap": "SOAP needs a matrix among the parameters: without one it is Adam",
    "shampoo": "Shampoo needs a matrix among the parameters: without one it is full-matrix AdaGrad",
    "kron": "Kron needs a matrix among the parameters: without one it is a diagonal preconditioner",
}
# The same formula in another order of operations, in float64.
assert_close = functools.partial(torch.testing.assert_close, rtol=1e-10, atol=1e-12)


def method(name, shapes=SHAPES, **values):
    return shaped(OPTIMIZERS[name], shapes).replace(**values)


def split(x, shapes=SHAPES):
    parts = x.flatten().split([math.prod(shape) for shape in shapes])
    return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]


def plain(kind, function, data, steps, shapes=SHAPES, **values):
    """The points of a torch optimizer on one run with these parameters, (steps + 1, dim)."""
    parameters = [torch.nn.Parameter(each.clone()) for each in split(data["start"], shapes)]
    optimizer = kind(parameters, **values)

    def here():
        return torch.cat([each.flatten() for each in parameters])

    points = [here().detach()]
    for _ in range(steps):
        optimizer.zero_grad()
        function(here().view(1, 1, -1), data).sum().backward()
        optimizer.step()
        points.append(here().detach())
    return torch.stack(points)


def twin(stepper, function, data, steps):
    """The points of a plain loop; `stepper` takes gradients by parameter and the number of the step."""
    x = data["start"].flatten()
    points = [x]
    for t in range(steps):
        x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(function(x.view(1, 1, -1), data).sum(), x)
        x = x.detach() + torch.cat([each.flatten() for each in stepper(split(gradient), t)])
        points.append(x)
    return torch.stack(points)


class InFloat64:
    """torch, but where a package rounds to float32 it does not."""

    float32 = torch.float64

    def __getattr__(self, name):
        return getattr(torch, name)


class TestAdafactor:
    @pytest.mark.parametrize("shapes", [SHAPES, VECTOR, ((3, 1, 2, 2), (3,))])
    @pytest.mark.parametrize(
        ("ours", "theirs"),
        [
            ({}, {}),
            ({"lr": 0.5, "weight_decay": 0.1}, {"lr": 0.5, "weight_decay": 0.1}),
            (
                {"beta2_decay": -0.5, "eps": 0.3, "clipping": 2.0},
                {"beta2_decay": -0.5, "eps": (None, 0.3), "d": 2.0},
            ),
        ],
    )
    def test_is_torch_s(self, walk, draw, valley, shapes, ours, theirs):
        data = draw(instances=1, dim=15)
        found = walk(method("adafactor", shapes, **ours), valley, data, steps=100).points[:, 0, 0]
        path = plain(torch.optim.Adafactor, valley, data, 100, shapes, **theirs)
        assert_close(found, path)
        assert (path[-1] - path[0]).norm() > 0.1

    def test_is_on_vectors_without_shapes(self, walk, draw, valley):
        data = draw(dim=15)
        found = walk(OPTIMIZERS["adafactor"], valley, data, steps=20).points
        assert torch.equal(found, walk(method("adafactor", VECTOR), valley, data, steps=20).points)
        assert not torch.allclose(found, walk(method("adafactor"), valley, data, steps=20).points)


class TestSOAP:
    def test_is_the_package_s_which_rounds_to_float32(self, walk, draw, valley, monkeypatch):
        theirs = pytest.importorskip("pytorch_optimizer", reason="needs the extra zoo")
        data, steps = draw(instances=1, dim=15), 60
        found = walk(method("soap"), valley, data, steps=steps).points[:, 0, 0]
        rounded = plain(theirs.SOAP, valley, data, steps)
        torch.testing.assert_close(found, rounded, rtol=0, atol=1e-4)
        monkeypatch.setattr("pytorch_optimizer.optimizer.soap.torch", InFloat64())
        torch.testing.assert_close(
            found, plain(theirs.SOAP, valley, data, steps), rtol=0, atol=1e-11
        )

    def test_the_first_gradient_moves_nothing_and_gives_the_basis(self, walk, draw, valley):
        found = walk(method("soap"), valley, draw(dim=15), steps=2)
        assert torch.equal(found.points[1], found.points[0])
        *_, factors, bases, t = found.state
        for basis in (each for sides in bases for each in sides if each is not None):
            assert_close(basis.mT @ basis, torch.eye(basis.shape[-1]).double().expand_as(basis))
        assert t == 2 and [len(sides) for sides in factors] == [2, 1, 2]

    def test_bases_move_every_so_often(self, walk, draw, valley):
        data = draw(dim=15)
        short, long = (walk(method("soap", every=k), valley, data, steps=9) for k in (3, 1000))
        assert torch.equal(short.points[:5], long.points[:5])
        assert not torch.allclose(short.points[5:], long.points[5:])


def shampoo_twin(lr, eps):
    """Gupta et al. 2018, algorithm 1, and full-matrix AdaGrad for vectors, with roots by scipy's road: logarithms."""
    sums = [[eps * torch.eye(n).double() for n in shape] for shape in SHAPES]

    def root(matrix, power):
        values, vectors = torch.linalg.eigh(matrix)
        return vectors @ torch.diag((power * values.log()).exp()) @ vectors.T

    def step(gradients, t):
        found = []
        for gradient, factors in zip(gradients, sums, strict=True):
            if gradient.dim() == 1:
                factors[0] += torch.outer(gradient, gradient)
                found.append(-lr * root(factors[0], -0.5) @ gradient)
            else:
                factors[0] += gradient @ gradient.T
                factors[1] += gradient.T @ gradient
                found.append(-lr * root(factors[0], -0.25) @ gradient @ root(factors[1], -0.25))
        return found

    return step


class TestShampoo:
    def test_is_its_plain_twin(self, walk, draw, valley):
        data = draw(instances=1, dim=15)
        found = walk(method("shampoo", lr=0.1), valley, data, steps=60).points[:, 0, 0]
        path = twin(shampoo_twin(0.1, 1e-6), valley, data, 60)
        torch.testing.assert_close(found, path, rtol=0, atol=1e-9)  # eigenvalues begin at 1e-6
        assert (path[-1] - path[0]).norm() > 0.1

    def test_is_the_package_s(self, walk, draw, valley):
        theirs = pytest.importorskip("pytorch_optimizer", reason="needs the extra zoo")
        data = draw(instances=1, dim=15)
        for values in ({}, {"lr": 0.1}):
            found = walk(method("shampoo", **values), valley, data, steps=60).points[:, 0, 0]
            path = plain(theirs.Shampoo, valley, data, 60, **values)
            torch.testing.assert_close(found, path, rtol=0, atol=1e-9)

    def test_old_roots_are_used_until_the_next(self, walk, draw, valley):
        data = draw(dim=15)
        fresh, old = (walk(method("shampoo", every=k), valley, data, steps=5) for k in (1, 3))
        assert torch.equal(fresh.points[1], old.points[1])
        assert not torch.allclose(fresh.points[2], old.points[2])

    def test_a_factor_that_is_0_moves_nothing(self, walk, draw):
        found = walk(
            method("shampoo", eps=0.0), lambda x, data: (0 * x).sum(-1), draw(dim=15), steps=3
        )
        assert torch.equal(found.points[-1], found.points[0])


def kron_twin(lr, draws, momentum=0.9, precond_lr=0.1, always=500):
    """One run of PSGD with upper triangular factors, from the formulas, and dense inverses."""
    factors = [[torch.eye(n).double() for n in shape] for shape in SHAPES]
    means = [torch.zeros(shape).double() for shape in SHAPES]
    since = 0

    def lower_bound(matrix):
        row = matrix[matrix.norm(dim=1).argmax()]
        towards = matrix @ row
        return (matrix @ (towards / towards.norm())).norm()

    def step(gradients, t):
        nonlocal since
        share = min(1.0, max(0.03, math.exp(-0.001 * (t - always))))
        since += 1
        fits = since >= 1 / share
        since = 0 if fits else since
        normals = split(next(draws)) if fits else [None] * 3
        found = []
        for k, (gradient, v) in enumerate(zip(gradients, normals, strict=True)):
            if t == 0:
                scale = float(gradient.pow(4).mean()) ** (-1 / 8 / gradient.dim())
                factors[k] = [scale * each for each in factors[k]]
            means[k] = momentum * means[k] + (1 - momentum) * gradient
            m = means[k] / (1 - momentum ** (t + 1))
            if gradient.dim() == 1:
                (q,) = factors[k]
                q = q.diagonal().clone()
                if v is not None:
                    seen, wanted = (q * m) ** 2, (v / q) ** 2
                    q = q - precond_lr * (seen - wanted) * q / (seen + wanted).max()
                    factors[k] = [torch.diag(q)]
                p = q**2 * m
            else:
                q, r = factors[k]
                if v is not None:
                    a, b = q @ m @ r.T, torch.linalg.inv(q).T @ v @ torch.linalg.inv(r)
                    q, r = (
                        old
                        - precond_lr * torch.triu(seen - wanted) @ old / lower_bound(seen + wanted)
                        for old, seen, wanted in ((q, a @ a.T, b @ b.T), (r, a.T @ a, b.T @ b))
                    )
                    factors[k] = [q, r]
                p = q.T @ q @ m @ r.T @ r
            found.append(-lr * p * min(1.0, 1.1 / (float(p.square().mean().sqrt()) + 1e-6)))
        return found

    return step


def endless(data):
    """The numbers of a walk, over and over."""
    while True:
        yield from data["normal"][0, 0]


class TestKron:
    def test_is_its_plain_twin(self, walk, draw, valley):
        """Beyond the 500 steps at each of which it fits; at lr 0.01 it dances about the minimum, and is chaotic."""
        data = draw(instances=1, dim=15)
        for lr, steps in ((0.01, 100), (0.001, 700)):
            found = walk(method("kron", lr=lr), valley, data, steps=steps).points[:, 0, 0]
            path = twin(kron_twin(lr, endless(data)), valley, data, steps)
            assert_close(found, path)
            assert (path[-1] - path[0]).norm() > 0.1

    def test_is_the_package_s_given_its_draws(self, walk, draw, valley, monkeypatch):
        theirs = pytest.importorskip("pytorch_optimizer", reason="needs the extra zoo")
        data = draw(instances=1, dim=15)
        parts = (each for numbers in endless(data) for each in split(numbers))
        monkeypatch.setattr(torch, "randn_like", lambda like, dtype=None: next(parts).view_as(like))
        monkeypatch.setattr("pytorch_optimizer.optimizer.psgd.torch", InFloat64())
        found = walk(method("kron", lr=0.01), valley, data, steps=100).points[:, 0, 0]

        class Scaled(theirs.Kron):
            """As it is, but for the scale at which factors begin: that of the first gradient."""

            def __init__(self, params, **values):
                super().__init__([{"params": [each]} for each in params], **values)

            def step(self):
                for group in self.param_groups:
                    (parameter,) = group["params"]
                    if parameter not in self.state:
                        scale = float(parameter.grad.pow(4).mean()) ** (-1 / 8)
                        group["precondition_init_scale"] = scale
                super().step()

        path = plain(Scaled, valley, data, 100, lr=0.01, precondition_dtype=None, balance_prob=0)
        assert_close(found, path)

    def test_whitens_a_gradient_of_a_kronecker_covariance(self):
        """Of G = X N Y with N standard normal, P makes G white: the covariance of P G tends to I."""
        generator = torch.Generator().manual_seed(0)
        left = torch.tensor([[3.0, 1.0], [0.0, 0.5]]).double()
        right = torch.diag(torch.tensor([0.2, 1.0, 4.0])).double()
        kron = method("kron", ((2, 3),), momentum=0.0)
        state = kron.init(torch.zeros(1, 1, 6).double())

        def gradients(many):
            normal = torch.randn(many, 2, 3, generator=generator, dtype=torch.float64)
            return left @ normal @ right

        class Stationary:
            x = torch.zeros(1, 1, 6).double()

            def __init__(self):
                self.gradient = gradients(1).view(1, 1, 6)

            def normal(self):
                return torch.randn(1, 1, 6, generator=generator, dtype=torch.float64)

        covariances = []
        seen = gradients(20000)
        for t in range(500):
            _, state = kron.update(Stationary(), state)
            if t >= 300:
                q, r = (factor[0, 0] for factor in state[1][0])
                white = (q.T @ q @ seen @ r.T @ r).flatten(1)
                covariances.append(white.mT @ white / len(seen))
        before = seen.flatten(1).mT @ seen.flatten(1) / len(seen)
        spread = torch.linalg.eigvalsh(torch.stack(covariances).mean(0))
        assert torch.linalg.cond(before) > 1e4
        assert (
            spread.min() > 0.5 and spread.max() < 2
        )  # the steps of 0.1 leave noise in the factors

    def test_factors_stay_where_nothing_is_seen(self, walk, draw):
        found = walk(method("kron"), lambda x, data: (0 * x).sum(-1), draw(dim=15), steps=50)
        assert all((each.abs() <= 1).all() for sides in found.state[1] for each in sides)


# All of them.


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_is_its_singles(walk, draw, valley, name):
    rates = torch.tensor([[0.003], [0.01], [0.03]], dtype=torch.float64)
    data = draw(instances=3, dim=15)
    batch = walk(method(name).batched({"lr": rates}), valley, data, trials=3, steps=30).points
    for instance in range(3):
        own = {field: each[[instance]] for field, each in data.items()}
        for trial, lr in enumerate(rates.flatten().tolist()):
            alone = walk(method(name, lr=lr), valley, own, steps=30).points
            # SOAP's eps of 1e-8 divides rounding; see tests/benchmarks/test_zoo.py
            torch.testing.assert_close(
                batch[:, [instance]][:, :, [trial]], alone, rtol=0, atol=1e-8
            )


@pytest.mark.parametrize("name", NAMES)
def test_each_number_may_differ_between_trials(walk, draw, valley, name):
    optimizer, data = method(name), draw(instances=2, dim=15)
    for field, value in optimizer.hyperparameters.items():
        if isinstance(value, float):
            other = 2 * value if field == "clipping" else 0.5 * value or 0.1
            both = torch.tensor([[value], [other]], dtype=torch.float64)
            found = walk(optimizer.batched({field: both}), valley, data, trials=2, steps=6).points
            for trial, each in enumerate((value, other)):
                alone = walk(optimizer.replace(**{field: each}), valley, data, steps=6).points
                torch.testing.assert_close(found[:, :, [trial]], alone, rtol=0, atol=1e-8)


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda each: each.name)
def test_contracts_of_adafactor_hold_on_a_matrix_beside_a_vector(monkeypatch, contract):
    """It takes vectors, on which it is checked; the others are checked on a matrix."""

    def shapes_in(self, dim):
        rows = (dim + 1) // 2
        return ((rows, 1), (dim - rows,)) if dim % 2 and dim > 1 else ((rows, dim // rows),)

    monkeypatch.setattr(MatrixOptimizer, "shapes_in", shapes_in)
    with default_dtype(torch.float64):
        try:
            contract.holds(OPTIMIZERS["adafactor"])
        except NothingStated as nothing:
            pytest.skip(str(nothing))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_run_that_is_not_finite_ends_no_other(walk, draw, valley, name, dtype):
    data = {field: each.to(dtype) for field, each in draw(instances=3, dim=15).items()}

    def poisoned(x, data):
        return valley(x, data) * data["poison"].squeeze(-1)

    for poison in (math.nan, math.inf, 1e300 if dtype == torch.float64 else 1e30):
        factor = torch.tensor([1.0, poison, 1.0], dtype=dtype).view(3, 1, 1)
        optimizer = method(name)
        x, state = data["start"], optimizer.init(data["start"])
        others = {field: each[[0, 2]] for field, each in data.items()}
        alone = walk(optimizer, valley, others, steps=25).points[-1]
        for k in range(25):
            y = x.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(valley(y, data).sum(), y)
            oracle = Given(x, gradient * factor, data["normal"][:, :, k % 200])
            step, state = optimizer.update(oracle, state)
            assert step.dtype == dtype
            x = x + step
        tolerance = 1e-8 if dtype == torch.float64 else 1e-2
        torch.testing.assert_close(x[[0, 2]], alone, rtol=0, atol=tolerance)


class Given:
    def __init__(self, x, gradient, numbers):
        self.x, self.gradient, self.numbers = x, gradient, numbers

    def normal(self):
        return self.numbers


def test_eigenvectors_of_each_matrix_are_those_that_it_has_alone(monkeypatch):
    sound = torch.tensor([[2.0, 1.0], [1.0, 3.0]]).double()
    batch = torch.stack([sound, sound * math.nan, sound * math.inf, 2 * sound]).unsqueeze(1)
    values, vectors = eigen(batch)
    assert torch.equal(values[1:3], torch.zeros(2, 1, 2).double())
    for k in (0, 3):
        assert_close(vectors[k] @ torch.diag_embed(values[k]) @ vectors[k].mT, batch[k])
    real = torch.linalg.eigh

    def failing(matrices):
        if (matrices == 6.0).any():
            raise torch.linalg.LinAlgError("linalg.eigh: the algorithm failed to converge")
        return real(matrices)

    monkeypatch.setattr(torch.linalg, "eigh", failing)
    again, basis = eigen(batch)
    assert torch.equal(again[:3], values[:3]) and torch.equal(basis[:3], vectors[:3])
    assert (again[3] == 0).all() and torch.equal(basis[3, 0], torch.eye(2).double())


@pytest.mark.parametrize("name", NEED_A_MATRIX)
@pytest.mark.parametrize("shapes", [None, VECTOR, ((), (14,))])
def test_three_need_a_matrix(draw, name, shapes):
    with pytest.raises(NotApplicable, match=f"^{NEED_A_MATRIX[name]}$"):
        method(name, shapes).init(draw(dim=15)["start"])


@pytest.mark.parametrize("name", NEED_A_MATRIX)
def test_a_kernel_is_a_matrix_with_a_row_for_each_filter(walk, draw, valley, name):
    data = draw(dim=15)
    kernel, matrix = (
        walk(method(name, shapes), valley, data, steps=15).points
        for shapes in (((3, 1, 2, 2), (3,)), ((3, 4), (3,)))
    )
    assert torch.equal(kernel, matrix)


@pytest.mark.parametrize("name", NEED_A_MATRIX)
def test_a_long_side_has_no_dense_factor(walk, draw, valley, monkeypatch, name):
    monkeypatch.setattr(module, "LARGEST", 2)
    found = walk(method(name, lr=1e-3), valley, draw(dim=15), steps=15)
    squares = [
        each for part in found.state if isinstance(part, tuple) for sides in part for each in sides
    ]
    assert {each.shape[-1] for each in squares if each is not None and each.dim() == 4} == {2}
    assert found.points.isfinite().all() and (found.points[-1] != found.points[0]).any(-1).all()


def test_factors_bound_a_batch():
    """Three squared, two squared, and for the biases a dense factor of Shampoo."""
    assert method("shampoo").vectors(15) == math.ceil((9 + 4 + 9 + 4 + 9) / 15)
    assert method("kron", ((600, 4),)).vectors(2400) == 1
    assert method("soap", ((512, 1),)).vectors(512) == 513
    assert method("adafactor").vectors(15) == 1


@pytest.mark.parametrize("name", NAMES)
def test_wrappers_and_models_hand_the_shapes_on(walk, draw, valley, name):
    data = draw(instances=1, dim=15)
    wrapped = shaped(OPTIMIZERS[f"{name}+decay+clip"], SHAPES).replace(threshold=1e9)
    steps = [walk(each, valley, data, steps=1).points[1] for each in (wrapped, method(name))]
    assert_close(*steps)
    parameters = [torch.nn.Parameter(each.clone()) for each in split(data["start"])]
    trained = as_torch(OPTIMIZERS[name], parameters)

    def loss():
        x = torch.cat([each.flatten() for each in parameters])
        return valley(x.view(1, 1, -1), data).sum()

    for _ in range(2):
        trained.step(loss)
    if name != "kron":  # which draws
        found = torch.cat([each.detach().flatten() for each in parameters])
        assert_close(found, walk(method(name), valley, data, steps=2).points[-1, 0, 0])


@pytest.mark.parametrize("name", ["soap", "shampoo"])
def test_rotated_rows_are_no_other_problem(walk, draw, name):
    """Where Adam differs: with W = U Z for an orthogonal U, the points are rotated, and nothing else."""
    rotation = torch.linalg.qr(
        torch.randn(4, 4, generator=torch.Generator().manual_seed(1)).double()
    )[0]
    curvatures = torch.logspace(0, -2, 16).double()

    def loss(x, turn):
        weights = x.unflatten(-1, (4, 4))
        return 0.5 * (curvatures * ((turn @ weights).flatten(-2) - 1) ** 2).sum(-1)

    start = draw(instances=1, dim=16)
    turned = {**start, "start": (rotation.T @ start["start"].unflatten(-1, (4, 4))).flatten(-2)}
    optimizer = method(
        name, ((4, 4),), lr=0.01, **({"weight_decay": 0.0} if name == "soap" else {})
    )
    eye = torch.eye(4).double()
    one = walk(optimizer, lambda x, data: loss(x, eye), start, steps=50).points
    other = walk(optimizer, lambda x, data: loss(x, rotation), turned, steps=50).points
    torch.testing.assert_close(
        (rotation @ other.unflatten(-1, (4, 4))).flatten(-2), one, rtol=0, atol=1e-6
    )
    adam = [
        walk(
            OPTIMIZERS["adam"].replace(lr=0.01),
            lambda x, data, turn=turn: loss(x, turn),
            begin,
            steps=50,
        ).points
        for turn, begin in ((eye, start), (rotation, turned))
    ]
    off = (rotation @ adam[1].unflatten(-1, (4, 4))).flatten(-2) - adam[0]
    assert off.abs().max() > 1e-3
