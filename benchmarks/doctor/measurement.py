"""Measure, on several minibatches, the point at which one step was taken."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import shorten

import torch

from benchmarks.doctor.curvature import End, direction, ends, ritz
from benchmarks.doctor.double_precision import double_precision
from benchmarks.doctor.layers import dead_units, outputs
from benchmarks.doctor.no_side_effects import Buffers, RandomState, aside, randomness_restored
from benchmarks.doctor.stability import Stability
from ravine import Refused

DRAWS = 4  # least minibatches per measurement
MOST_DRAWS = 64  # most minibatches, used if the noise of the mean gradient exceeds the mean itself
BENT_DRAWS = 16  # most minibatches with Hessian-vector products
FROM_GRADIENT = 10  # Lanczos steps from the gradient, for the gain of a saddle-free Newton step
FROM_RANDOM = 8  # Lanczos steps from a random vector, for both ends of the spectrum
PRECONDITIONED = 10  # Lanczos steps for the largest preconditioned curvature

# Second derivatives are checked by differences of gradients in double precision. For 13 kinds of networks with right
# ones the two differ by less than 1e-5 at the best of these; where one layer in six has none, by about 2e-3 or more.
WAYS = (1e-7, 1e-8, 1e-9)  # distances, over the weights' norm
AGREES = 1e-4  # difference, over the change of the gradient, up to which they agree
ROUNDING = 1e-11  # difference, over the gradient, that may be rounding: over 50 times the largest

RETURNED = "_ravine_returned"  # attribute of a loss that a closure has returned

Closure = Callable[[], object]


def parted(result: object, graph: bool = True) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Return the loss and the hidden states of a closure's result: loss, (loss, [h₁, h₂, …]), or outputs with a loss.

    Raises Refused if there is no loss, if it is the tensor that an earlier call returned, or if `graph` is true and the
    loss has no graph.
    """
    if isinstance(result, Mapping):  # of a model that computes its loss itself
        if "loss" not in result:
            names = shorten(", ".join(map(str, result)) or "nothing", 80)
            raise Refused(
                f"the closure returned a {type(result).__name__} without a loss, but with {names}: give the model its "
                "labels, or return the loss"
            )
        result = result["loss"]
    loss, states = result if isinstance(result, tuple) and len(result) == 2 else (result, ())
    if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
        what = (
            f"a tensor of shape {tuple(loss.shape)}"
            if isinstance(loss, torch.Tensor)
            else reprlib.repr(loss)
        )
        raise Refused(
            f"the closure must return the loss, a tensor of one number (or it and a list of hidden "
            f"states), but returned {what}"
        )
    if graph and not loss.requires_grad:
        raise Refused(
            "the loss has no graph: compute it within the closure from parameters that require "
            "gradients, not under no_grad and without detach"
        )
    if hasattr(loss, RETURNED):
        raise Refused(
            "the closure returned the loss of an earlier call: compute it inside the closure, as in "
            "doctor.step(lambda: criterion(model(inputs), targets))"
        )
    if loss.grad_fn is not None:  # a parameter that is the loss itself is returned again
        setattr(loss, RETURNED, True)
    return loss, list(states)  # type: ignore[arg-type]


@dataclass
class Cost:
    """The price of measuring so far, in gradients of one minibatch: a forward pass and its backward pass."""

    gradients: float = 0.0


# Times over that of a gradient, on perceptrons and convolutional networks: 0.3 to 0.4, and 1.6 to 2.9.
FORWARD = 1 / 3  # a forward pass alone
PRODUCT = 2.0  # a Hessian-vector product


@dataclass(frozen=True)
class Patient:
    """The network that is measured: the parameters that its optimizer moves, as one vector (dim,)."""

    model: torch.nn.Module
    names: list[str]
    parameters: list[torch.nn.Parameter]
    scale: float = 1.0  # factor on the loss in mixed precision, so that gradients do not underflow
    cost: Cost = field(default_factory=Cost)

    @property
    def devices(self) -> list[torch.device]:
        """Return the devices besides the CPU."""
        return list({each.device for each in self.parameters if each.device.type != "cpu"})

    @property
    def vector(self) -> torch.Tensor:
        """Return a copy of the parameters (dim,)."""
        return self.flat(self.parameters).clone()

    def flat(self, parts: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return tensors of the parameters' shapes as one vector (dim,)."""
        return _joined([each.detach() for each in parts])

    def parts(self, vector: torch.Tensor) -> list[torch.Tensor]:
        """Return a vector (dim,) as tensors of the parameters' shapes and dtypes."""
        split = vector.split([each.numel() for each in self.parameters])
        return [each.view_as(p).to(p.dtype) for each, p in zip(split, self.parameters, strict=True)]

    def place(self, vector: torch.Tensor) -> None:
        """Set the parameters to these values (dim,)."""
        with torch.no_grad():
            for parameter, values in zip(self.parameters, self.parts(vector), strict=True):
                parameter.copy_(values)

    def gradient(
        self, loss: torch.Tensor, others: Sequence[torch.Tensor] = (), graph: bool = False
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return the gradient with respect to the parameters (dim,), and to `others` of the forward pass."""
        self.cost.gradients += 1
        found = torch.autograd.grad(
            loss * self.scale, [*self.parameters, *others], create_graph=graph,
            retain_graph=graph, materialize_grads=True,
        )  # fmt: skip
        own = _joined(found[: len(self.parameters)]) / self.scale
        return own, [each.detach() / self.scale for each in found[len(self.parameters) :]]

    def product(self, gradient: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
        """Return the Hessian times a vector (dim,), from a gradient with its graph."""
        if not gradient.requires_grad:  # a linear loss
            return torch.zeros_like(vector)
        self.cost.gradients += PRODUCT
        found = torch.autograd.grad(
            gradient, self.parameters, vector, retain_graph=True, materialize_grads=True
        )
        return _joined(found)


@dataclass(frozen=True)
class Spectrum:
    """The vectors found by Lanczos on the first minibatch; the other minibatches are measured along them.

    low, high: the ends of the spectrum.
    gain, gain_negative: (|H| + δ)⁻¹ g, and its part along negative curvature.
    stiff: a vector z with zᵀHz = λmax(D½HD½)/limit on the first minibatch; None if no limit is known, or if D
        is one number: then z is along the upper end.
    """

    low: End
    high: End
    gain: torch.Tensor
    gain_negative: torch.Tensor
    stiff: torch.Tensor | None


@dataclass(frozen=True)
class Measured:
    """The numbers of one measurement.

    row: estimates, by the names of `benchmarks.diagnosis.Record`.
    seen: change, gᵀs and sᵀHs on the minibatch of the step itself.
    positions, chain: positions along depth or time, from the output's end, and the gradient norms there.
    layers: by parameter, the norms of weight, gradient and step, and the share of units without gradient.
    """

    row: dict[str, float]
    seen: dict[str, float]
    positions: list[str]
    chain: list[float]
    layers: dict[str, dict[str, float]]


class Window:
    """A point w, the step s taken there, and independent minibatches ("draws"), all evaluated at w.

    The first draw is the minibatch of the step itself. A closure such as `lambda: loss(model(inputs), targets)`
    refers to the current batch, so we can't store it; instead the next few steps' batches are also evaluated
    at w. Each product of two means takes its factors from different draws, so that it is unbiased at a fixed K.
    With K gradients gᵢ at w:

        |m|² ≈ (|Σgᵢ|² − Σ|gᵢ|²)/K(K − 1)     tr S ≈ (Σ|gᵢ|² − |Σgᵢ|²/K)/(K − 1)
        mᵀs ≈ mean gᵢᵀs, sᵀHs ≈ mean sᵀHᵢs, and likewise the change of the loss, i ≥ 1: s depends on g₀
        mᵀHm ≈ mean gⱼᵀHᵢgᵢ₋₁ for j < i − 1     tr HS ≈ mean gᵢ₋₁ᵀHᵢgᵢ₋₁ − mᵀHm

    But K grows until the noise of the mean gradient is below the mean, by the same estimates: draws that agree by
    chance end the measurement early. So under much noise the recorded |m|² is too large on average, the more so the
    fewer directions the noise has; docs/doctor.md says by how much.

    The ends of the spectrum are found on the first minibatch, where they are more extreme than for the mean
    loss. vᵀHᵢv on the other minibatches, along the same vectors v, errs to the other side. The mean of vᵀHᵢv
    is recorded, and its distance from the first value is part of the residual.
    """

    def __init__(
        self, patient: Patient, step: int, start: torch.Tensor, distance: float, recent: list[float],
        before: tuple[RandomState, Buffers, float] | None, curvature: bool, full: bool,
        verify: bool, stability: Stability | None, generator: torch.Generator,
    ):  # fmt: skip
        """Begin a measurement of the step from `start` to the patient's present parameters.

        distance: |start − x₀|.
        recent: losses of the steps just before, averaged with those of the draws.
        before: the random state and the buffers with which the step's own closure was called, and its loss.
        curvature: measure second derivatives; full: the ends of the spectrum, too.
        verify: check the second derivatives first.
        """
        self._patient, self.step, self._start = patient, step, start
        self._recent, self._before, self._full, self._stability = recent, before, full, stability
        self._curvature, self._verify = curvature, verify
        self._generator = generator
        self._move = patient.vector - start
        self._numbers: dict[str, float] = {
            "step": float(step),
            "step_norm": self._move.norm().item(),
            "distance_start": distance,
        }
        self.verified = False
        self._losses: list[float] = []
        self._sums: dict[str, tuple[float, int]] = {}
        self._spectrum: Spectrum | None = None
        self.failure: str | None = None  # why second derivatives fail
        self._chain: list[float] = []
        self._positions: list[str] = []
        self._seen: dict[str, float] = {}  # on the minibatch of the step

    @property
    def cost(self) -> Cost:
        """Return what this measurement has cost so far."""
        return self._patient.cost

    @property
    def draws(self) -> int:
        """Return the number of draws so far."""
        return len(self._losses)

    @property
    def complete(self) -> bool:
        """True if there are enough draws: DRAWS, and more as long as tr S/K > |m|², up to MOST_DRAWS.

        This depends on the estimates that are recorded, and biases them (see the class).
        """
        if self.draws < DRAWS:
            return False
        row = self._estimates()
        return self.draws >= MOST_DRAWS or row["noise_sq"] <= self.draws * row["grad_sq"]

    def draw(self, closures: Sequence[Closure]) -> None:
        """Evaluate a step's closures at w: the loss is their mean, and curvature that of the first."""
        patient, first = self._patient, not self._losses
        random, kept, known = self._before if first and self._before else (None, None, None)
        with (
            randomness_restored(patient.devices, random) as here,
            aside(patient.model, patient.parameters, kept) as buffers,
        ):

            def begin() -> None:
                here.restore()
                buffers.restore()

            patient.place(self._start)
            loss, gradient, sloped = self._slope(closures, first)
            if known is not None:
                _repeats(known, loss)
            try:
                (self._begin if first else self._ask)(gradient, sloped)
            except RuntimeError as error:  # second derivatives may not fit into memory
                self.failure, self._spectrum = str(error).partition("\n")[0], None
            self.verified = first and self._verify and sloped is not None
            del sloped  # and with it the graph, which is invalid after the weights move
            if self.verified and self._contradicts(closures[0], begin):
                self.failure = "the gradient does not change as its derivative says"
                self._spectrum = None
                self._seen.pop("s_h_s", None)
            patient.place(self._start + self._move)
            begin()
            with torch.enable_grad():  # some losses contain derivatives
                moved = sum(parted(each())[0].item() for each in closures) / len(closures)
            self.cost.gradients += FORWARD * len(closures)
        self._losses.append(loss)
        if first:
            self._seen["change"] = moved - loss
        else:
            self._add("change", moved - loss)

    def _slope(
        self, closures: Sequence[Closure], first: bool
    ) -> tuple[float, torch.Tensor, torch.Tensor | None]:
        """Return the mean loss, the mean gradient, and the first closure's gradient with its graph, if any."""
        patient = self._patient
        values: list[float] = []
        total, sloped = None, None
        with torch.enable_grad():
            for k, closure in enumerate(closures):
                bent = self._curvature and self.failure is None and self.draws < BENT_DRAWS
                wanted = bent and k == 0
                if first and k == 0:
                    with outputs(patient.model) as seen:
                        loss, states = parted(closure())
                    named = {f"t={t}": state for t, state in enumerate(states, 1)} or seen
                    gradient, arrived = self._gradient(loss, list(named.values()), wanted)
                    self._chain = [each.double().norm().item() for each in reversed(arrived)]
                    self._positions = list(reversed(named))
                else:
                    loss, _ = parted(closure())
                    gradient, _ = self._gradient(loss, (), wanted)
                values.append(loss.item())
                if wanted and self.failure is None:
                    sloped = gradient
                gradient = gradient.detach()
                total = gradient if total is None else total + gradient
        assert total is not None
        return sum(values) / len(values), total / len(values), sloped

    def _gradient(
        self, loss: torch.Tensor, others: Sequence[torch.Tensor], graph: bool
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return the gradient, with its graph if possible: some operations have no second derivative."""
        if graph:
            try:
                gradient, arrived = self._patient.gradient(loss, others, graph=True)
                self._patient.product(gradient, torch.zeros_like(gradient))
                return gradient, arrived
            except (RuntimeError, NotImplementedError) as error:  # or the graph exceeds memory
                self.failure = str(error).partition("\n")[0]
        return self._patient.gradient(loss, others)

    def _begin(self, gradient: torch.Tensor, sloped: torch.Tensor | None) -> None:
        """Evaluate the first draw, the minibatch of the step itself."""
        self._previous = self._sum = gradient
        self._squares = gradient.square().sum().item()
        move = self._move
        self._seen["g_s"] = (gradient @ move).item()
        if sloped is None:
            return
        self._seen["s_h_s"] = (move @ self._patient.product(sloped, move)).item()
        if self._full and math.isfinite(self._squares):
            self._spectrum = self._look(gradient, sloped)

    def _contradicts(self, closure: Closure, begin: Callable[[], None]) -> bool:
        """True if, a short way v off, the gradient has not changed by H v, however short the way.

        A function whose backward has no derivative does not fail: autograd takes its gradient for a constant. A
        random way moves every layer, so that one such layer among many is found. ReLUs that switch within the way
        change the gradient, too, so the agreement of a single way is enough; only double precision resolves the
        change in ways so short that none switches. What cannot run in it is not doubted.
        """
        patient = self._patient

        def slope(graph: bool = False) -> torch.Tensor:
            begin()
            with torch.enable_grad():
                return patient.gradient(parted(closure())[0], graph=graph)[0]

        contradicted = False
        try:
            with double_precision(patient.parameters):
                start, gradient = patient.vector, slope(graph=True)
                way = self._normal(start)
                way *= start.norm() / way.norm()
                foretold, gradient = patient.product(gradient, way), gradient.detach()
                for length in WAYS:
                    patient.place(start + length * way)
                    change = slope() - gradient
                    off = (change - length * foretold).norm()
                    if off <= AGREES * change.norm():
                        return False
                    contradicted |= bool(off > ROUNDING * gradient.norm())
        except Exception:  # of a device or a kernel without double precision, or of the user's code
            return False
        return contradicted

    def _look(self, gradient: torch.Tensor, sloped: torch.Tensor) -> Spectrum:
        def product(vector: torch.Tensor) -> torch.Tensor:
            return self._patient.product(sloped, vector)

        from_gradient = ritz(product, gradient, FROM_GRADIENT)
        from_random = ritz(product, self._normal(gradient), FROM_RANDOM)
        low, high = ends(from_gradient, from_random)
        gain, negative = direction(from_gradient, max(-low.value, high.value))
        return Spectrum(low, high, gain, negative, self._stiffest(product, gradient))

    def _stiffest(
        self, product: Callable[[torch.Tensor], torch.Tensor], like: torch.Tensor
    ) -> torch.Tensor | None:
        if self._stability is None or self._stability.uniform is not None:
            return None
        limit = self._stability.limit
        root = torch.cat(
            [
                (each if isinstance(each, torch.Tensor) else torch.full_like(p, each)).flatten()
                for each, p in zip(self._stability.scale, self._patient.parameters, strict=True)
            ]
        )
        root = (root / limit).to(like.dtype).sqrt()
        found = ritz(lambda vector: root * product(root * vector), self._normal(like), PRECONDITIONED)  # fmt: skip
        return root * found.vectors[-1]

    def _normal(self, like: torch.Tensor) -> torch.Tensor:
        """Return standard normal numbers from the doctor's own generator on the CPU."""
        drawn = torch.randn(like.shape, generator=self._generator, dtype=torch.float32)
        return drawn.to(like)

    def _ask(self, gradient: torch.Tensor, sloped: torch.Tensor | None) -> None:
        """Evaluate a further draw, independent of the earlier ones."""
        previous, earlier = self._previous, self._sum - self._previous
        self._previous, self._sum = gradient, self._sum + gradient
        self._squares += gradient.square().sum().item()
        self._add("g_s", (gradient @ self._move).item())
        if (spectrum := self._spectrum) is not None:
            self._add("decrease", 0.5 * (gradient @ spectrum.gain).item())
            self._add("decrease_negative", 0.5 * (gradient @ spectrum.gain_negative).item())
        if sloped is None:
            return
        self._quadratic("s_h_s", self._move, sloped)
        product = self._patient.product(sloped, previous)
        self._add("quadratic", (previous @ product).item())
        if self.draws > 1:
            self._add("cross", (earlier @ product).item(), self.draws - 1)
        if spectrum is not None and self.draws < DRAWS:
            self._quadratic("lambda_min", spectrum.low.vector, sloped)
            self._quadratic("lambda_max", spectrum.high.vector, sloped)
            if spectrum.stiff is not None:
                self._quadratic("stability", spectrum.stiff, sloped)

    def _quadratic(self, name: str, vector: torch.Tensor, sloped: torch.Tensor) -> None:
        self._add(name, (vector @ self._patient.product(sloped, vector)).item())

    def _add(self, name: str, value: float, terms: int = 1) -> None:
        """Add an independent estimate, or the sum of several (`terms`)."""
        total, count = self._sums.get(name, (0.0, 0))
        self._sums[name] = total + value, count + terms

    def _estimates(self) -> dict[str, float]:
        """Return the estimates by name; quantities that could not be measured are missing."""
        count = self.draws
        known = [*self._losses, *self._recent]
        row = {**self._numbers, "loss": sum(known) / max(len(known), 1)}
        if count < 2:
            return row
        total = self._sum.square().sum().item()
        row["grad_sq"] = (total - self._squares) / (count * (count - 1))
        row["noise_sq"] = (self._squares - total / count) / (count - 1)
        row |= {name: value / terms for name, (value, terms) in self._sums.items()}
        quadratic = row.pop("quadratic", math.nan)
        row["g_h_g"] = row.pop("cross", math.nan)
        row["noise_h"] = quadratic - row["g_h_g"]
        if (spectrum := self._spectrum) is not None and "lambda_max" in row:
            rate = None if self._stability is None else self._stability.uniform
            if self._stability is not None and rate is not None:
                row["stability"] = rate * row["lambda_max"] / self._stability.limit
            row["residual"] = max(
                spectrum.low.residual, spectrum.high.residual,
                abs(spectrum.low.value - row["lambda_min"]),
                abs(spectrum.high.value - row["lambda_max"]),
            )  # fmt: skip
        return row

    def _layers(self) -> dict[str, dict[str, float]]:
        """Return, by parameter, the norms of weight, gradient and step, |step|/|weight|, the share of dead units."""
        patient = self._patient
        parts = [patient.parts(each) for each in (self._start, self._sum / self.draws, self._move)]
        norms = [[each.double().norm().item() for each in part] for part in parts]
        dead = dead_units(patient.model, patient.names, parts[1])
        return {
            name: {
                "weight": weight,
                "gradient": slope,
                "step": move,
                "step / weight": move / weight if weight > 0 else math.nan,
                "dead units": dead.get(name, math.nan),
            }
            for name, weight, slope, move in zip(patient.names, *norms, strict=True)
        }

    def result(self) -> Measured:
        """Return the numbers of the measurement, without its vectors."""
        return Measured(self._estimates(), self._seen, self._positions, self._chain, self._layers())


def _joined(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return tensors as one vector (dim,); gradients of embeddings may be sparse."""
    return torch.cat([each.to_dense().flatten() for each in parts])


def _repeats(loss: float, again: float) -> None:
    """Refuse a closure that draws a new batch at each call: it would also take batches from the training."""
    # Kernels that add in another order differ by a few roundings, about 1e-3 each in half precision.
    if math.isfinite(loss) and not abs(again - loss) <= 2e-3 * abs(loss) + 1e-6:
        raise Refused(
            f"the closure returned {loss:g}, and again with the same weights, buffers and random numbers {again:g}: "
            "take the next batch outside of it, and let it draw from torch's, numpy's or Python's global generator only"
        )
