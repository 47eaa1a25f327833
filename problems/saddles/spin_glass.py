"""A spin glass on a sphere: most critical points are saddles, and all minima are about equally deep."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import islice, permutations
from typing import NamedTuple

import torch

from problems.claims import Claim, about
from problems.descent import descent
from problems.portrait import Curves
from problems.problem import Card, Problem, Tree
from problems.registry import register
from problems.saddles.levenberg_marquardt import critical_points
from problems.saddles.random_matrices import (
    goe_curvatures,
    rms_of_means,
    semicircle_below,
    weights_by_rank,
)
from ravine import require

LEVEL = -3.0  # of f/dim: nobody gets there
REST = 1e-6  # of the gradient at the start: who has less is at rest
ACROSS = 10.0  # curvature across the sphere: about the largest along it in a minimum
THRESHOLD = 2 * math.sqrt(2 / 3)  # E_inf: below −E_inf minima are what one expects


class _At(NamedTuple):
    """What the derivatives at points x (*runs, dim) are made of; all but `contracted` lead with *runs."""

    s: torch.Tensor  # the point of the sphere
    outward: torch.Tensor  # x/|x|
    scale: torch.Tensor  # |x|/√N
    off: torch.Tensor  # |x| − √N
    contracted: torch.Tensor  # Σₖ Jᵢⱼₖ sₖ/N
    tangential: torch.Tensor  # the part of ∇H along the sphere
    shift: torch.Tensor  # s·∇H/N


@register("spin_glass")
@dataclass(frozen=True)
class SpinGlass(Problem):
    """The spherical 3-spin glass, a random cubic form on a sphere.

    H(s) = (1/N) Σ J_ijk s_i s_j s_k − field Σ m_i s_i on |s|² = N, J independent N(0, 1), |m|² = N.

    Every step is taken back to the sphere. The loss is f(x) = H(√N x/|x|) + 5 (|x| − √N)²: on the
    sphere it is H, its gradient is the tangential one, ∇H − (s·∇H/N) s, and its curvatures at a
    critical point are those along the sphere, and 10 across it.

    Without a field s·∇H = 3H, so at a critical point of energy u = H/N the Hessian along the sphere
    is a semicircle of radius 2√6 shifted by −3u: the share F(u/E) of the directions goes down,
    E = 2√(2/3) = 1.633, F(u) = ½ + (u√(1 − u²) + asin u)/π. Critical points of index k number e^(NΘₖ(u)):
    those of low index lie in layers between −E₀ = −1.657 and −E, the lower the index the deeper.
    Descent leaves the saddles and ends in a minimum in a narrow band of energies, the narrower the
    larger N is; hardly anyone finds a better one. Newton's method ends at any critical point.

    Solved means at rest in a minimum, whichever: |g| below 1e-6 of that at the start, and the Hessian
    positive definite. The start is uniform on the sphere. Use float64.

    dim: N.
    field: strength of an external field. Above √3, for large N, two critical points are left: a
        minimum and a maximum (Belius, Černý, Nakajima & Schmidt 2022).

    Choromanska et al. 2015, arXiv:1412.0233; Auffinger, Ben Arous & Černý 2013, arXiv:1003.1129;
    Deep Learning, section 8.2.3.
    """

    dim: int = 20
    field: float = 0.0

    card = Card(
        dial="dim",
        scale="log",
        ladder=(5, 20, 40),
        target=1e-4,
        budget=1000,
        reference=("momentum", {"lr": 0.1, "momentum": 0.9}),
        control={"field": 6.0},
        signature="share of the critical points found from random starts that are saddles",
        threshold=0.5,
        truth="The minimum is unknown; for large dim it is −1.657 dim. The floor is a level, "
        "f = −3 dim: of minima below it one expects e^(−2.4 dim). At a critical point of energy "
        "f/dim = u the share F(u/1.633) of the directions goes down; minima lie between −1.657 and "
        "−1.633 for large dim, and are a share of the critical points that falls exponentially.",
        source="Auffinger, Ben Arous & Černý 2013; Choromanska et al. 2015",
        exceptions={
            "ranked": "whoever comes to rest in a minimum does so at about the same energy, which "
            "is the result: the column energy"
        },
        floor_is_minimum=False,
    )

    def __post_init__(self) -> None:
        require("spin_glass", "dim", self.dim, low=2, whole=True)
        require("spin_glass", "field", self.field, low=0)

    def instance(self, generator: torch.Generator) -> Tree:
        start = self.project(torch.randn(self.dim, generator=generator), {})
        direction = self.project(torch.randn(self.dim, generator=generator), {})
        couplings = torch.randn(self.dim, self.dim, self.dim, generator=generator)
        couplings = sum(couplings.permute(order) for order in permutations(range(3)))
        data = {"couplings": couplings / (6 * self.dim), "direction": direction}
        slope = self.value_and_gradient(start, data)[1].norm()
        return {"start": start, "slope": slope, **data}

    def project(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return x * (math.sqrt(self.dim) / x.norm(dim=-1, keepdim=True))

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        s = self.project(x, data)
        cubic = (s * torch.einsum("...ij,...j->...i", self._contracted(s, data), s)).sum(-1)
        off = x.norm(dim=-1) - math.sqrt(self.dim)
        linear = self.field * (s * data["direction"]).sum(-1)
        return cubic - linear + ACROSS / 2 * off.square()

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        at = self._at(x, data)
        along = torch.einsum("...ij,...j->...i", at.contracted, at.s)
        linear = self.field * (at.s * data["direction"]).sum(-1)
        value = (at.s * along).sum(-1) - linear + ACROSS / 2 * at.off[..., 0].square()
        return value, at.tangential / at.scale + ACROSS * at.off * at.outward

    def hvp(self, x: torch.Tensor, data: Tree, vector: torch.Tensor) -> torch.Tensor:
        """With r = |x|/√N, n = x/|x|, P = I − nnᵀ and g = ∇H:

        r² H v = P ∇²H P v − (s·g/N) P v − (n (Pg·v) + Pg (n·v))/√N, and across the sphere
        10 (nnᵀ + (1 − 1/r) P) v. The third term is there because Pg turns with the sphere; it
        vanishes at critical points.
        """
        at = self._at(x, data)
        out = (at.outward * vector).sum(-1, keepdim=True)
        inside = vector - out * at.outward
        bent = 6 * torch.einsum("...ij,...j->...i", at.contracted, inside)
        bent = bent - (at.outward * bent).sum(-1, keepdim=True) * at.outward
        turned = (at.tangential * inside).sum(-1, keepdim=True) * at.outward + out * at.tangential
        sphere = bent - at.shift * inside - turned / math.sqrt(self.dim)
        across = out * at.outward + (1 - 1 / at.scale) * inside
        return sphere / at.scale.square() + ACROSS * across

    def hessian(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        basis = torch.eye(self.dim, dtype=x.dtype, device=x.device)
        basis = basis.view(self.dim, *(1,) * (x.dim() - 1), self.dim)
        return self.hvp(x, data, basis).movedim(0, -1)

    def floor(self, data: Tree) -> torch.Tensor:
        """Not the minimum but a level that nobody reaches."""
        return torch.tensor(LEVEL * self.dim)

    def solved(
        self, x: torch.Tensor, gap: torch.Tensor, gradient: torch.Tensor | None, data: Tree
    ) -> torch.Tensor:
        """Which runs are at rest in a minimum; only the Hessians of resting ones are computed."""
        solved = torch.zeros_like(gap, dtype=torch.bool)
        if gradient is None:
            return solved
        at_rest = gradient.norm(dim=-1) < REST * data["slope"]
        couplings = data["couplings"].expand(*gap.shape, -1, -1, -1)
        direction = data["direction"].expand(*gap.shape, -1)
        for run in map(tuple, at_rest.nonzero().tolist()):
            here = {"couplings": couplings[run], "direction": direction[run]}
            solved[run] = torch.linalg.cholesky_ex(self.hessian(x[run], here)).info == 0
        return solved

    def at_end(self, x: torch.Tensor, steps: torch.Tensor, data: Tree) -> dict[str, torch.Tensor]:
        """The energy f/dim at which a run ended."""
        return {"energy": self.loss(x, data) / self.dim}

    def signature(self, data: Tree) -> float:
        _, _, indices = self.find_critical_points(data, 24, torch.Generator().manual_seed(0))
        return ((indices > 0) & (indices < 1)).double().mean().item()

    # What is known.

    def find_critical_points(
        self, data: Tree, count: int, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Critical points of one instance: (found, dim), energies f/dim and shares of directions down.

        From `count` random starts, those on the sphere that Levenberg and Marquardt's method finds.
        """
        x = self.project(torch.randn(count, self.dim, generator=generator), data)
        x, curvatures = critical_points(self, data, x)
        down = (curvatures < 0).sum(-1) / (self.dim - 1)
        return x, self.loss(x, data) / self.dim, down

    def predicted_index(self, energies: torch.Tensor) -> torch.Tensor:
        """F(u/E), the share of directions that go down at critical points of energy f/dim = u."""
        return semicircle_below(energies / THRESHOLD)

    def complexity(self, energy: float, index: int) -> float:
        """Θₖ(u), without a field: e^(dim Θₖ) critical points of index k have an energy up to u.

        ½ ln 2 − u²/8 − (k + 1) I(u) for u ≤ −E, I(u) = −(u/E²)√(u² − E²) − ln(−u + √(u² − E²)) + ln E;
        the same for all k above. Auffinger, Ben Arous & Černý 2013, theorem 2.5, for p = 3.
        """
        u = min(energy, -THRESHOLD)
        root = math.sqrt(u * u - THRESHOLD**2)
        rate = -u * root / THRESHOLD**2 - math.log((root - u) / THRESHOLD)
        return math.log(2) / 2 - u * u / 8 - (index + 1) * rate

    def layer(self, index: int) -> float:
        """−Eₖ, the energy f/dim below which no critical points of this index are, by bisection."""
        low, high = LEVEL, -THRESHOLD
        while high - low > 1e-13:
            middle = (low + high) / 2
            low, high = (middle, high) if self.complexity(middle, index) < 0 else (low, middle)
        return high

    def expected_counts(self, samples: int) -> torch.Tensor:
        """How many critical points of index 0, 1, … there are on average without a field: (dim,).

        2√(2/p) (p − 1)^(N/2) E e^(−N (p − 2)/(2p) λₖ²), λ₀ ≤ λ₁ ≤ … the eigenvalues of a GOE with
        variance 1/2N, p = 3: exact for every dim, but for the sampling of random matrices.
        Auffinger, Ben Arous & Černý 2013, theorem 2.1.
        """
        generator = torch.Generator().manual_seed(0)
        curvatures = goe_curvatures(self.dim, 1 / (2 * self.dim), samples, generator)
        return (
            2 * math.sqrt(2 / 3) * 2 ** (self.dim / 2) * weights_by_rank(curvatures, self.dim / 6)
        )

    def resting_energies(self, instances: int, starts: int, steps: int) -> torch.Tensor:
        """Energies f/dim at which heavy ball comes to rest, of some starts in each of some instances."""
        trees = [self.example(seed) for seed in range(instances)]
        data = {name: torch.stack([each[name] for each in trees])[:, None] for name in trees[0]}
        generator = torch.Generator().manual_seed(1)
        x = torch.randn(instances, starts, self.dim, generator=generator)
        path = descent(self, data, self.project(x, data), 0.05, 0.95)
        return self.loss(next(islice(path, steps, None)), data) / self.dim

    # Claims.

    def _found(self, instances: int, starts: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Energies and indices of critical points of some instances."""
        generator = torch.Generator().manual_seed(1)
        found = [
            self.find_critical_points(self.example(seed), starts, generator)[1:]
            for seed in range(instances)
        ]
        energies, indices = zip(*found, strict=True)
        return torch.cat(energies), torch.cat(indices)

    @Claim(
        "the share of directions that go down at a critical point is correlated with its energy",
        stated="above 0.9",
        within=(0.9, 1.0),
        source="Auffinger, Ben Arous & Černý 2013, theorem 2.1",
    )
    def correlation_of_index_and_energy(self) -> float:
        return torch.corrcoef(torch.stack(self._found(2, 60)))[0, 1].item()

    @Claim(
        "the share of directions that go down differs from F(u/1.633), in six bins of the energy, by "
        "this root mean square",
        stated="below 0.02",
        within=(0.0, 0.02),
        source="Auffinger, Ben Arous & Černý 2013, theorem 2.1",
    )
    def index_law(self) -> float:
        energies, indices = self._found(2, 60)
        return rms_of_means(indices - self.predicted_index(energies), energies, 6)

    @Claim(
        "the same at dim 30, in twelve bins of more than a thousand critical points",
        stated="below 0.02",
        within=(0.0, 0.02),
        source="Auffinger, Ben Arous & Černý 2013, theorem 2.1",
        slow=True,
    )
    def index_law_at_30(self) -> float:
        larger = replace(self, dim=30)
        energies, indices = larger._found(10, 200)
        assert len(energies) > 1000
        return rms_of_means(indices - larger.predicted_index(energies), energies, 12)

    @Claim(
        "no critical point lies below this energy: the ground state, for large dim",
        stated=-1.656998,
        within=about(-1.656998, abs=1e-6),
        source="Auffinger, Ben Arous & Černý 2013, theorem 2.12",
    )
    def ground_state(self) -> float:
        return self.layer(0)

    @Claim(
        "below it there are minima, and no saddles of index 1",
        stated=-1.652873,
        within=about(-1.652873, abs=1e-6),
        source="Auffinger, Ben Arous & Černý 2013, theorem 2.12",
    )
    def layer_of_index_1(self) -> float:
        return self.layer(1)

    @Claim(
        "below it there are no saddles of index 2",
        stated=-1.650253,
        within=about(-1.650253, abs=1e-6),
        source="Auffinger, Ben Arous & Černý 2013, theorem 2.12",
    )
    def layer_of_index_2(self) -> float:
        return self.layer(2)

    @Claim(
        "below it there are no saddles of index 3",
        stated=-1.648399,
        within=about(-1.648399, abs=1e-6),
        source="Auffinger, Ben Arous & Černý 2013, theorem 2.12",
    )
    def layer_of_index_3(self) -> float:
        return self.layer(3)

    @Claim(
        "where minima end by the count of critical points, Parisi's formula has the ground state: "
        "they differ by this",
        stated=0.0,
        within=(-1e-6, 1e-6),
        source="Crisanti & Sommers 1992; Auffinger, Ben Arous & Černý 2013",
    )
    def ground_state_by_replicas(self) -> float:
        """With one step of replica symmetry breaking, at temperature 0 and for ξ(q) = q³, the ground
        state is −min over L > m > 0 of ½(3L − 2m + ln(L/(L − m))/m): convex in (L − m, m)."""

        def energy(free: torch.Tensor) -> torch.Tensor:
            stiffness, breaking = free.exp()
            return (3 * stiffness + breaking + (1 + breaking / stiffness).log() / breaking) / 2

        free = torch.zeros(2)
        for _ in range(15):
            gradient = torch.func.grad(energy)(free)
            free = free - torch.linalg.solve(torch.func.hessian(energy)(free), gradient)
        return (-energy(free)).item() - self.layer(0)

    @Claim(
        "on the circle, dim 2, there are so many critical points on average",
        stated=2 * math.sqrt(7),
        within=about(2 * math.sqrt(7), abs=0.01),
        source="Auffinger, Ben Arous & Černý 2013, theorem 2.1; derived: Rice 1944",
    )
    def critical_points_on_the_circle(self) -> float:
        """There f has the covariance 2 cos³θ = (3 cos θ + cos 3θ)/2, so that f' and f'' have the
        variances 6 and 42, and f' has 2√(42/6) zeros. The law's standard error is about 0.003."""
        return replace(self, dim=2).expected_counts(100_000).sum().item()

    @Claim(
        "on the sphere in three dimensions there are so many more minima and maxima than saddles",
        stated=2.0,
        within=about(2.0, abs=0.1),
        source="Auffinger, Ben Arous & Černý 2013, theorem 2.1; derived: Morse theory",
    )
    def euler_characteristic(self) -> float:
        """Exact for every instance, hence on average. The law's standard error is about 0.02."""
        minima, saddles, maxima = replace(self, dim=3).expected_counts(100_000).tolist()
        return minima - saddles + maxima

    @Claim(
        "so many are counted on the circle, on average over 1000 instances",
        stated=2 * math.sqrt(7),
        within=about(2 * math.sqrt(7), abs=0.1),
        source="derived: Rice 1944",
        slow=True,
    )
    def count_on_the_circle(self) -> float:
        """Changes of the slope's sign from one to the next of 200 angles: few zeros are nearer to one
        another. The standard error is about 0.03."""
        circle = replace(self, dim=2)
        angles = torch.linspace(0, 2 * math.pi, 201)
        x = math.sqrt(2) * torch.stack([angles.cos(), angles.sin()], -1)
        turned = x.roll(1, -1) * torch.tensor([-1.0, 1.0])
        changes = []
        for seed in range(1000):
            gradient = circle.value_and_gradient(x, circle.example(seed))[1]
            slopes = (gradient * turned).sum(-1)
            changes.append((slopes[1:] * slopes[:-1] < 0).sum())
        return torch.stack(changes).double().mean().item()

    @Claim(
        "descent comes to rest at this mean energy f/dim at dim 20",
        stated=-1.445,
        within=about(-1.445, abs=0.04),
        source="our own earlier measurement, of a few instances",
    )
    def energy_at_rest(self) -> float:
        """Energies vary by 0.07 between instances: the standard error over 30 is 0.013, that of the
        earlier measurement is unknown and larger."""
        return self.resting_energies(30, 5, 500).mean().item()

    @Claim(
        "descent comes to rest at this mean energy f/dim at dim 60, above −1.633 still",
        stated=-1.533,
        within=about(-1.533, abs=0.02),
        source="our own earlier measurement, of a few instances",
        slow=True,
    )
    def energy_at_rest_at_60(self) -> float:
        """Energies vary by 0.03 between instances."""
        return replace(self, dim=60).resting_energies(30, 5, 600).mean().item()

    @Claim(
        "the energies at which descent comes to rest spread less at dim 60 than at dim 20, by",
        stated="below 0.6",
        within=(0.0, 0.6),
        source="Choromanska et al. 2015, figure 3",
        slow=True,
    )
    def concentration(self) -> float:
        smaller, larger = (replace(self, dim=dim).resting_energies(30, 5, 600) for dim in (20, 60))
        return (larger.std() / smaller.std()).item()

    def portrait(self) -> Curves:
        energies, indices = self._found(1, 100)
        grid = torch.linspace(-THRESHOLD, THRESHOLD, 100)
        return Curves(
            caption="Critical points of one spin glass: the higher they lie, the more directions go "
            "down, and only the lowest are minima.",
            x_label="energy f/N",
            y_label="share of directions that go down",
            dots={"critical points": (energies, indices)},
            lines={"semicircle law": (grid, self.predicted_index(grid))},
        )

    def _at(self, x: torch.Tensor, data: Tree) -> _At:
        length, root = x.norm(dim=-1, keepdim=True), math.sqrt(self.dim)
        outward = x / length
        s = root * outward
        contracted = self._contracted(s, data)
        slope = 3 * torch.einsum("...ij,...j->...i", contracted, s)
        slope = slope - self.field * data["direction"]
        along = (outward * slope).sum(-1, keepdim=True)
        return _At(
            s,
            outward,
            length / root,
            length - root,
            contracted,
            slope - along * outward,
            along / root,
        )

    def _contracted(self, s: torch.Tensor, data: Tree) -> torch.Tensor:
        """Σₖ Jᵢⱼₖ sₖ/N, a sixth of the Hessian of H: (*runs, dim, dim)."""
        return torch.einsum("...k,...ijk->...ij", s, data["couplings"])
