"""A small network on digits that starts beside a saddle, as all networks with small weights do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import torch

from problems.digits import digits
from problems.problem import Card, CriticalPoint, Problem, SampleSizes, Tree, dial
from problems.registry import register
from ravine import bounded

EXAMPLES = 500
PIXELS = 16  # principal components of the 64
CLASSES = 10


@cache
def _digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Return the 1797 digits of 8 × 8 pixels: first principal components and a one, and one-hot classes.

    (1797, 17) and (1797, 10), in float64. Pixels are from 0 to 1, and then centred.
    """
    images, classes = digits()
    pixels = images - images.mean(0)
    _, _, directions = torch.linalg.svd(pixels, full_matrices=False)
    largest = directions.abs().argmax(1, keepdim=True)
    directions = directions * directions.gather(1, largest).sign()  # else the sign is LAPACK's
    inputs = pixels @ directions[:PIXELS].T
    wanted = torch.nn.functional.one_hot(classes, CLASSES)
    return torch.cat([inputs, torch.ones_like(inputs[:, :1])], 1), wanted.to(torch.float64)


@register("digits_mlp")
@dataclass(frozen=True)
class DigitsMlp(Problem):
    """A small network on digits that starts beside a saddle, as all networks with small weights do.

    f(U, V) = mean cross-entropy of softmax(V (tanh(U (x, 1)), 1)) over 500 of 1797 digits, x their first
    16 principal components, U (hidden, 17), V (10, hidden + 1): 145 weights.

    There is a saddle with 9 · hidden negative curvatures where all weights are 0 but the output's biases,
    which are the logarithms of the classes' frequencies. The smaller the weights at the start, the
    longer the first plateau. Further saddles follow; the fewer of their directions go down, the lower
    they lie. In float32 LAPACK fails on the nearly singular Hessians that Newton's method meets: use
    float64.

    hidden: the number of tanh units.
    start: standard deviation of the weights at the start.

    Dauphin et al. 2014, arXiv:1406.2572, section 6; Deep Learning, section 8.2.3.
    """

    hidden: int = bounded(5, low=1)
    start: float = dial(1e-2, above=0)

    card = Card(
        scale="log",
        ladder=(1.0, 1e-2, 1e-5),
        target=0.03,
        budget=600,
        reference=("momentum", {"lr": 1.0, "momentum": 0.9}),
        control={"start": 1.0},
        breaks=("adam", "saddle"),
        same=("plateau",),
        signature="the loss at the start over its gradient squared",
        threshold=50.0,
        truth="The infimum is 0, approached at infinity once the network has all digits right, as it "
        "learns to; the target is a level, 0.03 of the start's loss, that long runs pass. Without "
        "weights there is a saddle with 9 · hidden negative curvatures, at the entropy of the classes.",
        source="Dauphin et al. 2014, section 6",
        cell=SampleSizes(trials=5, tuning_seeds=2, seeds=3, dtype="float64"),
    )

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return (self.hidden, PIXELS + 1), (CLASSES, self.hidden + 1)

    @property
    def dim(self) -> int:
        """The number of weights."""
        return sum(math.prod(shape) for shape in self.shapes)

    def instance(self, generator: torch.Generator) -> Tree:
        inputs, wanted = _digits()
        chosen = torch.randperm(len(inputs), generator=generator)[:EXAMPLES]
        return {
            "start": self.start * torch.randn(self.dim, generator=generator),
            "inputs": inputs[chosen],
            "wanted": wanted[chosen],
        }

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        *_, logits = self._forward(x, data)
        return -(logits.log_softmax(-1) * data["wanted"]).sum((-2, -1)) / EXAMPLES

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        outer, hidden, logits = self._forward(x, data)
        logs = logits.log_softmax(-1)
        value = -(logs * data["wanted"]).sum((-2, -1)) / EXAMPLES
        residual = (logs.exp() - data["wanted"]) / EXAMPLES
        back = torch.einsum("...ek,...kb->...eb", residual, outer)[..., :-1]
        back = back * (1 - hidden[..., :-1].square())
        first = torch.einsum("...ei,...ea->...ia", back, data["inputs"])
        second = torch.einsum("...ek,...eb->...kb", residual, hidden)
        return value, torch.cat([first.flatten(-2), second.flatten(-2)], -1)

    def hessian(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return the Hessian in closed form: (*runs, dim, dim).

        With C = (diag p − ppᵀ)/500 the curvature in the logits, r the residual, h the hidden units,
        t = 1 − h² and q = Vᵀr, the blocks are sums over examples of

        ∂²/∂V_kb ∂V_lc = C_kl h_b h_c, ∂²/∂U_ia ∂V_kb = ((CV)_ki h_b + r_k δ_bi) t_i x_a,
        ∂²/∂U_ia ∂U_jc = ((VᵀCV)_ij t_i t_j − 2 δ_ij q_i h_i t_i) x_a x_c.
        """
        outer, hidden, logits = self._forward(x, data)
        inputs = data["inputs"]
        chance, weights = logits.softmax(-1), outer[..., :-1]
        residual = (chance - data["wanted"]) / EXAMPLES
        slope = 1 - hidden[..., :-1].square()
        bend = (torch.diag_embed(chance) - chance[..., :, None] * chance[..., None, :]) / EXAMPLES
        reach = torch.einsum("...ekl,...li->...eki", bend, weights)
        inner = torch.einsum("...eki,...kj->...eij", reach, weights)
        inner = inner * slope[..., :, None] * slope[..., None, :]
        pull = torch.einsum("...ek,...ki->...ei", residual, weights)
        inner = inner - torch.diag_embed(2 * pull * hidden[..., :-1] * slope)
        cross = reach[..., None] * hidden[..., None, None, :]  # (…, e, k, i, b)
        kinds = torch.eye(self.hidden, self.hidden + 1, dtype=x.dtype, device=x.device)
        cross = (cross + residual[..., None, None] * kinds) * slope[..., None, :, None]
        mixed = torch.einsum("...ekib,...ea->...iakb", cross, inputs).flatten(-2).flatten(-3, -2)
        first, second = _block(inner, inputs), _block(bend, hidden)
        return torch.cat([torch.cat([first, mixed], -1), torch.cat([mixed.mT, second], -1)], -2)

    def hvp(self, x: torch.Tensor, data: Tree, vector: torch.Tensor) -> torch.Tensor:
        """Return the gradient's derivative along the vector, which is cheaper than the Hessian of many runs."""
        point = x + torch.zeros_like(vector)
        return torch.func.jvp(
            lambda each: self.value_and_gradient(each, data)[1], (point,), (vector,)
        )[1]

    def floor(self, data: Tree) -> torch.Tensor:
        """Return the infimum: cross-entropy is positive."""
        return torch.zeros(())

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        """Return the saddle without weights, at the entropy of the classes.

        With r = p − y, G = Σ r (x, 1)ᵀ/500 has rank 9, as residuals add up to 0. The Hessian in each unit's
        weights u and v is that of vᵀGu: 9 curvatures up, 9 down; that in the biases has rank 9.
        """
        shares = data["wanted"].mean(0)
        outer = shares.new_zeros(CLASSES, self.hidden + 1)
        outer[:, -1] = shares.log()
        rank = CLASSES - 1
        return (
            CriticalPoint(
                x=torch.cat([outer.new_zeros(self.hidden * (PIXELS + 1)), outer.flatten()]),
                value=-(shares * shares.log()).sum().item(),
                index=rank * self.hidden,
                nullity=self.dim - (2 * self.hidden + 1) * rank,
            ),
        )

    def signature(self, data: Tree) -> float:
        value, gradient = self.value_and_gradient(data["start"], data)
        return (value / gradient.square().sum()).item()

    def _forward(
        self, x: torch.Tensor, data: Tree
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return V, the hidden units and a one (*runs, examples, hidden + 1), and the logits (…, examples, 10)."""
        (units, width), size = self.shapes[0], self.hidden * (PIXELS + 1)
        inner = x[..., :size].unflatten(-1, (units, width))
        outer = x[..., size:].unflatten(-1, (CLASSES, units + 1))
        active = torch.einsum("...ea,...ia->...ei", data["inputs"], inner).tanh()
        hidden = torch.cat([active, torch.ones_like(active[..., :1])], -1)
        return outer, hidden, torch.einsum("...eb,...kb->...ek", hidden, outer)


def _block(curvatures: torch.Tensor, units: torch.Tensor) -> torch.Tensor:
    """Return the sum over examples of the Kronecker products of C (…, e, m, m) and u uᵀ, u (…, e, n)."""
    squares = (units[..., :, None] * units[..., None, :]).flatten(-2)
    total = torch.einsum("...ep,...eq->...pq", curvatures.flatten(-2), squares)
    total = total.unflatten(-2, (curvatures.shape[-1], -1)).unflatten(-1, (units.shape[-1], -1))
    return total.transpose(-3, -2).flatten(-2).flatten(-3, -2)
