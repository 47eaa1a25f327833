"""Find faults of the program: what no learning rate mends. Most are seen for nothing, the others by forward passes.

Hooks see the inputs, outputs and activations of a pass, autograd's graph shows what stands between the last layer and
the loss, and five questions are put to the model: what loss does the best constant output get, does it matter which
output meets which target, do the inputs matter, does an example change the outputs of the others, and which module is
the first whose output is not finite? They take at most 20 forward passes at the first three steps, and two at each
later measurement. If no output changes with the inputs but the loss does, each input takes one more.
"""

from __future__ import annotations

import math
import statistics
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import Any

import torch
from torch.nn.parameter import is_lazy
from torch.utils._pytree import tree_leaves, tree_map

from benchmarks.diagnosis import Evidence
from benchmarks.doctor.measurement import FORWARD, Closure, Patient, parted
from benchmarks.doctor.no_side_effects import RandomState, aside, randomness_restored

ASKED = 3  # first steps at which the constant output is fitted and tried
FITTING = 10  # forward passes for the best constant output
ROWS = 8  # examples of a batch from which a constant output is fitted
SPREAD = 100.0  # ratio of the scales of two inputs from which they are named
SAME = 1e-4  # the same for distances to a target, which a constant output brings to 0
MIXED = 1e-3  # change of the other examples' outputs, over their spread, from which an example mixes with them
# Outputs fit their own targets better, by a tenth of the loss, at each of the last 5 exchanges.
LAST, FITS = 5, 0.1
APART = 0.25  # share by which the loss of a constant output may differ between minibatches
ONE_KIND = 0.4  # loss of a constant output over the first loss, below which a batch has targets of one kind
FAR = 30.0  # inputs' root mean square over the bias's input 1, likewise
TARGETS = 100.0  # scale of the targets over that of the first outputs, likewise
ALIKE = 1e-5  # relative difference of two losses that are the same up to rounding
SATURATED = 0.5  # share of a layer's units without slope from which it is named
DEAD = 0.95  # share of a layer's units without gradient, likewise
NEAR = 5  # nodes of the graph, from a function's own, among which the layer before it is looked for
EDGE = 0.01  # distance to the ends of an activation's range, over its length, within which it has no slope
UNBOUNDED = 10.0  # times the size of the first loss, below 0: a constant output makes the loss fall without end
OVERFLOWS = 1e10  # size of a module's inputs from which its outputs may overflow
# A run stands still for want of a step if its rate is below this share of the largest in this share of its steps: many
# schedules end there on purpose.
DECAYED, STANDING = 1e-3, 0.5
# A warm-up is meant for steps, and stepped per epoch, if the rate still rises, is below this share of the rate that the
# optimizer was given, and has changed in at most this share of the steps.
WARMING, SELDOM = 0.1, 0.25
# A schedule is meant for epochs, and stepped per batch, if the rate falls to this share of its largest and comes back
# at least so many times, in at most so many steps each.
LOW, CYCLES, SHORT = 0.01, 5, 50
PACED = 1000  # first steps whose rates are kept

RANGES = {
    "Sigmoid": (0.0, 1.0), "Softmax": (0.0, 1.0), "Tanh": (-1.0, 1.0), "Relu": (0.0, math.inf),
}  # fmt: skip
LIMITED = ("Sigmoid", "Tanh")
ACTIVATIONS = (
    torch.nn.Sigmoid, torch.nn.Tanh, torch.nn.Softmax, torch.nn.ReLU, torch.nn.ReLU6, torch.nn.Hardtanh,
    torch.nn.Softsign, torch.nn.Softplus, torch.nn.LeakyReLU, torch.nn.ELU, torch.nn.GELU, torch.nn.SiLU,
)  # fmt: skip
BATCH_NORM = torch.nn.modules.batchnorm._BatchNorm
NORMS = (BATCH_NORM, torch.nn.LayerNorm, torch.nn.GroupNorm)
SEQUENTIAL = (
    torch.nn.RNNBase,
    torch.nn.MultiheadAttention,
)  # modules that take the time first unless told otherwise
UNITS = (torch.nn.Linear, torch.nn.modules.conv._ConvNd)
SHAPES = (
    "View", "Squeeze", "Unsqueeze", "Reshape", "Expand", "Transpose", "Permute", "ToCopy", "Slice", "Select", "Clone",
)  # fmt: skip
# A weight of the loss, or a penalty behind it; and what a regression's loss is made of if it is written by hand.
SCALES = ("Add", "Mul", "Div")
DIFFERENCES = ("Mean", "Sum", "Sqrt", "Pow", "Abs", "Sub", "Rsub")


@dataclass(frozen=True)
class Fault:
    """A fault that was found.

    Attributes:
        cause: Its name.
        why: What was seen, with numbers: a sentence.
        remedy: What to do: a sentence.
        evidence: The test behind it.
        chosen: True if it may be on purpose: it is none if the run learns.
        late: True if it was not yet so at the start: it is ranked behind all other causes.
    """

    cause: str
    why: str
    remedy: str
    evidence: Evidence
    chosen: bool = False
    late: bool = False


def fault(
    cause: str,
    why: str,
    remedy: str,
    formula: str,
    value: float,
    threshold: float,
    chosen: bool = False,
    late: bool = False,
) -> Fault:
    """Return a fault whose test is `why`, with the measured number and the one that it is compared with."""
    return Fault(
        cause,
        why,
        remedy,
        Evidence(cause, why, formula, value, threshold, True, "the program"),
        chosen,
        late,
    )


@dataclass
class Seen:
    """What one forward pass has shown.

    step: number of the step. inputs: root mean square and standard deviation of each input feature, two tensors
    (features,), or None if they are no numbers. normalized: True if a normalization comes before any layer. output:
    the model's output, or the first of several; None if it is no tensor, or not all that the loss is computed from.
    chain: what stands between the loss and the last layer, from the loss on. unit: what computes the output, if it is
    among it; elements: then, numbers that the loss is the mean of. single: True if a softmax has one
    unit. saturated: share of units without slope, by sigmoid or tanh. unregistered: shapes of leaves that belong to no
    module. last: the last module that was called. source: the module whose output it is: the model, or its last layer
    if the model returns a dict or computes its own loss. several: True if the loss is computed from this output of the
    model and from others.
    """

    step: int
    inputs: tuple[torch.Tensor, torch.Tensor] | None = None
    normalized: bool = False
    output: torch.Tensor | None = None
    chain: tuple[str, ...] = ()
    unit: str = ""
    elements: int = 0
    single: bool = False
    saturated: dict[str, float] = field(default_factory=dict)
    unregistered: tuple[tuple[int, ...], ...] = ()
    last: torch.nn.Module | None = None
    alike: tuple[str, ...] = ()
    over_batch: bool = False
    source: torch.nn.Module | None = None
    several: bool = False


class Program:
    """What is known about the program: what it does with its data, beside any optimization.

    Args:
        model: The network.
    """

    def __init__(self, model: torch.nn.Module):
        self._model = model
        self.first: Seen | None = None
        self.without_gradient: set[str] | None = None
        self.exchanged: list[float] = []  # relative rise of the loss if outputs meet other targets
        self.ignores = False  # True if neither outputs nor layers notice other inputs
        self.mixing = 0.0  # change of the other outputs, over their spread, if one example changes
        self._sizes: dict[
            torch.nn.Parameter, float
        ] = {}  # norms, at the start, of what is not held
        self._constant: torch.Tensor | None = None
        self._constants: list[float] = []
        self.first_loss = math.nan
        self.fitted = (
            math.nan
        )  # the loss of the best constant output on the minibatch that it was fitted to
        self.largest_rate = self.rate = math.nan
        self._steps = self._standing = 0  # all, and those at a rate that has decayed
        self._given = math.nan
        self._rates = array("d")  # of the first steps
        self._changes = self._looks = 0  # of the rate, and how often it was looked at
        self._rises = False  # at its last change
        self.cost = 0.0
        self._others: dict[
            torch.Tensor, int
        ] = {}  # of other models, and how often they had changed
        self.whole = True  # False if other closures of a step may have other targets
        self.moving = (
            False  # True if weights of another model change the loss, as in a game of two networks
        )

    @property
    def constant(self) -> float:
        """Return the loss of the best constant output; NaN if it is unknown.

        On the minibatch that it was fitted to the loss is too low, and on the next ones too high; where these two
        differ by more than a quarter, as in small batches, it is unknown.
        """
        if len(self._constants) < 2:
            return math.nan
        low, *others = self._constants
        high = sum(others) / len(others)
        return (low + high) / 2 if high - low <= APART * abs(low) else math.nan

    @property
    def activation(self) -> torch.nn.Module | None:
        """Return the activation behind the last layer; None if there is none."""
        last = None if self.first is None else self.first.last
        return last if isinstance(last, ACTIVATIONS) else None

    @property
    def best_constant(self) -> torch.Tensor | None:
        return self._constant

    def begin(self, patient: Patient) -> None:
        """Note, before the first update, the weights that the optimizer does not hold."""
        self._sizes = {p: _size(p) for _, p in self.not_held(patient) if not is_lazy(p)}

    def ask(
        self, step: int, patient: Patient, closure: Closure, beginning: RandomState | None
    ) -> None:
        """Ask the model, at the present weights, on the minibatch of this closure."""
        with (
            randomness_restored(patient.devices, beginning) as here,
            aside(self._model, patient.parameters),
            torch.enable_grad(),
        ):
            asks_inputs = step == ASKED - 1 or self.ignores  # layers that start at 0 have moved
            with self._layers_given() if asks_inputs else nullcontext([]) as given:
                seen, loss = self._look(step, closure)
            self.cost += FORWARD
            begins = self.first is None
            self.first = self.first or seen
            self.first_loss = loss if math.isnan(self.first_loss) else self.first_loss
            output = seen.output
            if not math.isfinite(loss):
                return
            if output is None and seen.several:
                here.restore()
                self._exchange(closure, self._model, loss)
            if output is None or seen.source is None or output.ndim == 0:
                return
            if asks_inputs:
                self._ask_inputs(closure, seen, output, given, loss, here)
            elif len(output) > 1 and _vary(output):
                here.restore()
                self._exchange(closure, seen.source, loss)
                if begins and self._takes_sequences:
                    here.restore()
                    self._ask_mixing(closure, seen, output)
            if step < ASKED and len(output) >= ROWS:
                here.restore()
                self._ask_constant(closure, seen, output)

    def _exchange(self, closure: Closure, source: torch.nn.Module, loss: float) -> None:
        """Note by how much the loss rises if each target meets the output of another example."""
        with _output(source, lambda out: out.roll(1, 0)):
            other = parted(closure(), graph=False)[0].item()
        self.cost += FORWARD
        self.exchanged.append((other - loss) / max(abs(loss), 1e-30))

    @property
    def pairing(self) -> float:
        """Return the median change of the loss if outputs meet other targets; NaN if it was not asked."""
        return statistics.median(map(abs, self.exchanged)) if self.exchanged else math.nan

    @property
    def heeds(self) -> bool:
        """True if outputs fit their own targets better, by a tenth of the loss, at each of the last 5 exchanges."""
        last = self.exchanged[-LAST:]
        return len(last) == LAST and min(last) > FITS

    def _look(self, step: int, closure: Closure) -> tuple[Seen, float]:
        """Call the closure once, and return what hooks and the graph show, and the loss."""
        seen = Seen(step)
        outputs: list[Any] = []
        made: dict[Any, str] = {}  # the module that made a node of the graph
        layers: list[
            tuple[torch.nn.Module, torch.Tensor]
        ] = []  # in the order of their calls, with outputs

        def leaf(module: torch.nn.Module, inputs: Any, out: Any) -> None:
            if seen.last is None and isinstance(module, NORMS):
                seen.normalized = True
            seen.last = module
            if isinstance(out, torch.Tensor) and out.grad_fn is not None:
                made[out.grad_fn] = names[module]
                layers.append((module, out))

        def top(module: torch.nn.Module, inputs: Any, keywords: Any, out: Any) -> None:
            outputs.append(out)
            given = next(
                (x for x in (*inputs, *keywords.values()) if isinstance(x, torch.Tensor)), None
            )
            if (
                seen.inputs is None
                and given is not None
                and _is_plain(given)
                and given.is_floating_point()
                and given.ndim > 1
            ):
                feature = 1 if given.ndim > 3 else given.ndim - 1
                x = given.detach().movedim(feature, -1).flatten(0, -2).double()
                seen.inputs = x.square().mean(0).sqrt(), x.std(0, correction=0)

        names = {
            module: name or type(module).__name__ for name, module in self._model.named_modules()
        }
        leaves = [each for each in self._model.modules() if not any(True for _ in each.children())]
        handles = [each.register_forward_hook(leaf) for each in leaves]
        handles.append(self._model.register_forward_hook(top, with_kwargs=True))
        try:
            loss, _ = parted(closure())
        finally:
            for handle in handles:
                handle.remove()
        if len(outputs) == 1:
            seen.output, seen.source = _tensor(outputs[0]), self._model
        given = outputs[0] if len(outputs) == 1 and type(outputs[0]) in (tuple, list) else outputs
        if len(outputs) == 1 and _has_the_loss(outputs[0]):
            seen.output, seen.source = _last_layer(loss, layers)
            given = [seen.output]
        if seen.output is not None and (met := _met(loss, given)) != {seen.output.grad_fn}:
            seen.several = (
                seen.output.grad_fn in met and seen.output.ndim > 1 and len(seen.output) > 1
            )
            seen.output = None
        self._read(seen, loss)
        seen.saturated = _saturated(loss, made, _met(loss, given))
        if seen.output is not None:
            seen.output = seen.output.detach()
        return seen, loss.item()

    def _read(self, seen: Seen, loss: torch.Tensor) -> None:
        """Read the graph: what stands between the loss and the last layer, and leaves of no module."""
        names, single, elements = [], False, 0
        node, end = loss.grad_fn, None if seen.output is None else seen.output.grad_fn
        while node is not None and len(names) < 12:
            name = _name(node)
            scales = name in SCALES and not names
            if not scales and not any(name.startswith(each) for each in SHAPES):
                names.append(name)
            if node is end:
                seen.unit, seen.elements = name, elements
            elements = max(elements, _elements(node))
            softmax = name in ("Softmax", "LogSoftmax")
            single |= softmax and _classes(node) == 1
            seen.over_batch |= softmax and _over_batch(node)
            following = [each for each, _ in node.next_functions if each is not None]
            if len(following) != 1 or any("AccumulateGrad" in each.name() for each in following):
                following = following[:1] if name in _LOSSES or scales else []
            node = following[0] if following else None
        seen.chain, seen.single = tuple(names), single
        alike = tuple(
            name for name, module in self._model.named_modules()
            if isinstance(module, UNITS) and len(module.weight) > 1 and bool((module.weight == module.weight[0]).all())
        )  # fmt: skip
        seen.alike = (
            alike if len(alike) > 1 else ()
        )  # targets, or the next layer's weights, tell apart those of one
        own = {id(each) for each in self._model.parameters()}
        leaves = (getattr(node, "variable", None) for node in _graph(loss))
        others = [each for each in leaves if each is not None and id(each) not in own]
        kept = {id(each) for each in _unregistered(self._model)} if others else set()
        seen.unregistered = tuple(tuple(each.shape) for each in others if id(each) in kept)
        if not self._others:
            weights = (
                each for each in others if isinstance(each, torch.nn.Parameter) or id(each) in kept
            )
            self._others = {each: each._version for each in weights}
        self.moving |= any(each._version != version for each, version in self._others.items())

    @contextmanager
    def _layers_given(self) -> Iterator[list[object]]:
        """Collect, inside the context, a number for each call of a layer that depends on the inputs and their order."""
        given: list[object] = []

        def note(module: torch.nn.Module, inputs: Any, keywords: Any) -> None:
            for each in tree_leaves((inputs, keywords)):
                if _is_plain(each):
                    x = each.detach().flatten().double()
                    given.append((x @ torch.arange(1, len(x) + 1).to(x)).item())
                elif isinstance(each, torch.Tensor):
                    given.append(object())  # which equals nothing, so the question stays open

        layers = [
            each
            for each in self._model.modules()
            if each is not self._model and any(True for _ in each.parameters(recurse=False))
        ]
        handles = [each.register_forward_pre_hook(note, with_kwargs=True) for each in layers]
        try:
            yield given
        finally:
            for handle in handles:
                handle.remove()

    def _ask_inputs(
        self,
        closure: Closure,
        seen: Seen,
        output: torch.Tensor,
        given: Sequence[object],
        loss: float,
        here: RandomState,
    ) -> None:
        """Note whether nothing changes if every example gets the inputs of the first.

        It is left open if an input is neither a number nor a tensor with one row for each example, or if no tensor
        tells the examples apart. An input that changes the loss alone, such as a target or a weight, is not ignored.
        Of a model that computes its own loss it is left open, too, if none does: one of them may be a target.
        """

        def asked(only: int | None = None) -> tuple[int, float] | None:
            """Return how many inputs can change, and the loss, if no layer notices a change of all or of one."""
            changes: list[bool] = []  # False where an input could not be changed

            def repeat(x: Any) -> Any:
                if x is None or isinstance(x, (int, float)):
                    return x
                if not _is_plain(x) or x.ndim == 0 or len(x) != len(output):
                    changes.append(False)
                    return x
                repeated = x[:1].expand_as(x).clone()
                if torch.equal(repeated, x):
                    return x
                changes.append(True)
                return repeated if only in (None, len(changes) - 1) else x

            here.restore()
            self.cost += FORWARD
            try:
                with (
                    self._other_inputs(repeat, seen.source) as outputs,
                    self._layers_given() as others,
                ):
                    other = parted(closure(), graph=False)[0].item()
            except Exception:  # the model may refuse them, as lengths that are no longer sorted
                return None
            same = len(outputs) == 1 and outputs[0] is not None and torch.equal(outputs[0], output)
            repeated = len(changes) > 0 and all(changes)
            unnoticed = repeated and len(given) > 0 and others == given and same
            return (len(changes), other) if unnoticed else None

        found = asked()
        if found is not None and found[1] == loss:
            self.ignores = seen.source is self._model
        elif found is not None:
            self.ignores = any(asked(k) == (found[0], loss) for k in range(found[0]))

    @contextmanager
    def _other_inputs(
        self, change: Callable[[Any], Any], source: torch.nn.Module | None
    ) -> Iterator[list[torch.Tensor | None]]:
        """Change, inside the context, each of the model's inputs, and collect the outputs of a module."""
        assert source is not None
        outputs: list[torch.Tensor | None] = []

        def changed(module: torch.nn.Module, inputs: Any, keywords: Any) -> Any:
            return tree_map(change, inputs), tree_map(change, keywords)

        def keep(module: torch.nn.Module, inputs: Any, out: Any) -> None:
            outputs.append(_tensor(out))

        handles = [
            self._model.register_forward_pre_hook(changed, with_kwargs=True),
            source.register_forward_hook(keep),
        ]
        try:
            yield outputs
        finally:
            for handle in handles:
                handle.remove()

    @property
    def _takes_sequences(self) -> bool:
        """True if a module takes the time first and the examples second, and none normalizes over the examples."""
        modules = list(self._model.modules())
        time_first = any(isinstance(m, SEQUENTIAL) and not m.batch_first for m in modules)
        return time_first and not any(isinstance(m, BATCH_NORM) for m in modules)

    def _ask_mixing(self, closure: Closure, seen: Seen, output: torch.Tensor) -> None:
        """Note how much the other outputs change if the first example becomes a copy of the second.

        Only where the output has one row for each example; in outputs along time, later ones rightly depend on earlier
        inputs.
        """
        if output.ndim > 2:
            return

        def copy_second(x: Any) -> Any:
            if not isinstance(x, torch.Tensor) or x.ndim < 2 or len(x) != len(output):
                return x
            if x.shape[0] == x.shape[1]:  # either may be the time
                return x
            return torch.cat([x[1:2], x[1:]])

        with self._other_inputs(copy_second, seen.source) as outputs:
            parted(closure(), graph=False)
        self.cost += FORWARD
        if len(outputs) == 1 and outputs[0] is not None and outputs[0].shape == output.shape:
            change = (outputs[0].detach() - output)[1:].abs().max()
            self.mixing = (change / (output - output.roll(1, 0)).abs().max()).item()

    def _ask_constant(self, closure: Closure, seen: Seen, output: torch.Tensor) -> None:
        """Fit the best constant output on the first minibatch; ask for its loss on the next ones."""
        shape = _constant_shape(output)
        if self._constant is None:
            within = _within(seen, len(shape))
            value = torch.zeros(shape, dtype=output.dtype, device=output.device, requires_grad=True)
            search = torch.optim.LBFGS(
                [value], max_iter=FITTING, max_eval=FITTING, line_search_fn="strong_wolfe"
            )

            def evaluate() -> torch.Tensor:
                search.zero_grad()
                with _output(seen.source, lambda out: within(value).expand_as(out)):
                    loss = parted(closure())[0]
                self.cost += FORWARD
                (value.grad,) = torch.autograd.grad(loss, [value])
                return loss

            try:
                search.step(evaluate)
            except RuntimeError:  # the loss does not depend on the output alone
                return
            self._constant = within(value.detach())
        constant = self._constant
        if constant.shape != shape:  # sequences of another length
            return
        with _output(seen.source, lambda out: constant.expand_as(out)):
            loss = parted(closure(), graph=False)[0].item()
        self.cost += FORWARD
        if not self._constants:
            self.fitted = loss
        if math.isfinite(loss) and loss > -UNBOUNDED * (1 + abs(self.first_loss)):
            self._constants.append(loss)

    def without(self, patient: Patient) -> None:
        """Note which parameters backward has left without a gradient."""
        none = {
            name
            for name, p in zip(patient.names, patient.parameters, strict=True)
            if p.grad is None
        }
        self.without_gradient = (
            none if self.without_gradient is None else self.without_gradient & none
        )

    def note(self, rate: float, steps: int, given: float) -> None:
        """Note the learning rate of so many steps, and that which the optimizer was given before any schedule."""
        self._given = given
        if self._looks and rate != self.rate:
            self._changes += 1
            self._rises = rate > self.rate
        self._looks += 1
        if steps == 1 and len(self._rates) < PACED:
            self._rates.append(rate)
        self.rate = rate
        if not rate <= self.largest_rate:  # which is NaN at first
            self.largest_rate = rate
        self._steps += steps
        self._standing += steps * (rate < DECAYED * self.largest_rate)

    @property
    def pace(self) -> str:
        """Return a sentence about a rate that falls to almost 0 and comes back every few steps; else nothing."""
        low, times = False, 0
        for rate in self._rates:
            if rate <= LOW * self.largest_rate:
                low = True
            elif low and rate >= (1 - LOW) * self.largest_rate:
                low, times = False, times + 1
        if times < CYCLES or len(self._rates) > SHORT * times:
            return ""
        return (
            f"The learning rate fell to almost 0 and came back {times} times in the first {len(self._rates)} steps: if "
            "its schedule counts epochs, let it step once an epoch instead of once a batch."
        )

    def not_held(self, patient: Patient) -> list[tuple[str, torch.nn.Parameter]]:
        """Return the model's parameters that its optimizer does not move, nor anyone else has moved so far."""
        held = {id(each) for each in patient.parameters}
        return [
            (name, p)
            for name, p in self._model.named_parameters()
            if id(p) not in held and (p not in self._sizes or _size(p) == self._sizes[p])
        ]

    def faults(
        self, patient: Patient, layers: Sequence[dict[str, dict[str, float]]], lowest: float
    ) -> Iterator[Fault]:
        """Yield the faults that were found, the most certain first.

        Args:
            patient: The parameters that the optimizer moves.
            layers: Norms and shares of dead units by parameter, of each measurement.
            lowest: The lowest loss so far.
        """
        yield from self._of_the_parameters(patient)
        if self.first is not None:
            yield from self._of_the_loss(self.first)
        least = -UNBOUNDED * (1 + abs(self.first_loss))
        if self.fitted < least and lowest < least / UNBOUNDED and not self.moving:
            yield fault(
                "no_critical_point",
                f"the loss falls without end: it has come to {lowest:.3g}, and a constant output gets "
                f"{self.fitted:.3g}",
                "Look for a wrong sign, or a logarithm that is missing: a loss to be minimized has a lower bound.",
                "loss of a constant output", self.fitted, least,
            )  # fmt: skip
        if self.first is not None:
            yield from self._of_the_scales(self.first)
            yield from self._of_the_units(self.first)
        yield from self._of_the_dead(layers)
        if self._standing > STANDING * self._steps:
            yield fault(
                "step_too_small",
                f"the learning rate has fallen from {self.largest_rate:.2g} to {self.rate:.2g}, and was below a "
                f"thousandth of it in {self._standing} of {self._steps} steps",
                "Let the schedule step once an epoch instead of once a batch, or decay less: the run stands still for "
                "want of a step.",
                "share of the steps at less than a thousandth of the largest rate",
                self._standing / self._steps, STANDING,
            )  # fmt: skip
        if self._warms:
            yield fault(
                "step_too_small",
                f"the learning rate still rises: it has come to {self.rate:.2g} in {self._steps} steps and "
                f"{self._changes + 1} stages, not yet a tenth of the {self._given:.2g} that the optimizer was given",
                "Let the warm-up step once a batch instead of once an epoch, or shorten it.",
                "learning rate/rate that the optimizer was given", self.rate / self._given, WARMING, chosen=True,
            )  # fmt: skip

    @property
    def _warms(self) -> bool:
        """True if a warm-up has hardly begun, and goes in stages."""
        staged = 1 < self._changes < SELDOM * self._looks
        return staged and self._rises and self.largest_rate == self.rate < WARMING * self._given

    def _of_the_parameters(self, patient: Patient) -> Iterator[Fault]:
        missing = self.not_held(patient)
        held = sum(each.numel() for each in patient.parameters)
        if missing:
            count = sum(each.numel() for _, each in missing)
            off = [name for name, each in missing if not each.requires_grad]
            chosen = len(off) == len(missing)
            how = "requires_grad is off" if chosen else "the optimizer does not hold them"
            yield fault(
                "frozen_weights",
                f"{_named([name for name, _ in missing])} stay as they are ({how}): {count} of {count + held} weights",
                "Give the optimizer model.parameters(), after the last layer was added or replaced, and let all of "
                "them require gradients; if they are frozen on purpose, train more of them.",
                "weights that are not trained/all weights", count / (count + held), 0.0, chosen=chosen,
            )  # fmt: skip
        none = sorted(self.without_gradient or ())
        if none:
            yield fault(
                "cut_graph",
                f"{_named(none)} get no gradient: the way back from the loss is cut before them, or they are not used",
                "Look for detach(), .data, .item(), numpy or torch.tensor(…) of a result between these layers and the "
                "loss, and for layers that forward() does not call.",
                "parameters without gradient", float(len(none)), 0.0,
            )  # fmt: skip
        shapes = self.first.unregistered if self.first is not None and not self.moving else ()
        if shapes:
            yield fault(
                "unregistered_weights",
                f"weights of shape {_named([str(each) for each in shapes])} take part in the loss, but are no "
                "parameters of the model, so that the optimizer does not hold them",
                "Keep layers in nn.ModuleList or nn.ModuleDict instead of a list or dict, and weights in nn.Parameter: "
                "what model.parameters() does not list is not trained.",
                "weights outside of the model", float(len(shapes)), 0.0,
            )  # fmt: skip

    def _of_the_loss(self, seen: Seen) -> Iterator[Fault]:
        output, chain = seen.output, seen.chain
        if self.ignores:
            yield fault(
                "ignored_inputs",
                "the outputs stay the same to the last digit if each example gets the inputs of another, and so do the "
                "inputs of all layers",
                "Look in forward() at what is made of the inputs before the first layer: a wrong variable, zeros_like, "
                "a product with 0, a cast to whole numbers.",
                "change of the outputs if examples get other inputs", 0.0, 0.0,
            )  # fmt: skip
        if output is not None and self.pairing < ALIKE:
            shape = tuple(output.shape)
            if seen.elements > output.numel():
                yield fault(
                    "broadcast_shapes",
                    f"the loss compares each output with every target: outputs of shape {shape} give "
                    f"{seen.elements} differences, and which output meets which target does not matter",
                    "Give outputs and targets one shape: targets[:, None], or outputs.squeeze(1). Shapes (N, 1) and "
                    "(N,) broadcast to (N, N).",
                    "change of the loss if outputs meet other targets", self.pairing, ALIKE,
                )  # fmt: skip
            elif (
                seen.unit
                and chain[0] in _LOSSES
                and self.fitted < (SAME if chain[0] in DISTANCES else ONE_KIND) * self.first_loss
                and not self.moving
                and self.whole
            ):
                yield fault(
                    "same_targets",
                    "which output meets which target does not matter: the targets of a batch are all the same",
                    "Shuffle the data, so that each batch has targets of all kinds.",
                    "change of the loss if outputs meet other targets", self.pairing, ALIKE,
                )  # fmt: skip
        if self.mixing > MIXED:
            yield fault(
                "mixed_examples",
                f"an example changes the outputs of the others in its batch, by {self.mixing:.2g} of what tells them "
                "apart: a layer takes the examples for the steps of one sequence",
                "Give recurrent and attention layers batch_first=True, or inputs of shape (time, examples, features).",
                "change of the other outputs/difference between outputs", self.mixing, MIXED,
            )  # fmt: skip
        if seen.over_batch:
            yield fault(
                "output_unit",
                "the softmax runs over the examples of the batch (dim=0) instead of the classes",
                "Give the softmax the dimension of the classes: dim=1, or dim=-1.",
                "dimension of the softmax", 0.0, 1.0,
            )  # fmt: skip
            return
        if seen.single:
            yield fault(
                "output_unit",
                "the softmax has a single unit, so that its output is 1 whatever the input",
                "Use one output with binary_cross_entropy_with_logits, or one output for each class.",
                "units under the softmax", 1.0, 2.0,
            )  # fmt: skip
            return
        for loss, following in pairwise(chain):
            if loss in ("LogSoftmax", "BinaryCrossEntropyWithLogits") and following in RANGES:
                wants = (
                    "cross_entropy" if loss == "LogSoftmax" else "binary_cross_entropy_with_logits"
                )
                yield fault(
                    "output_unit",
                    f"{wants} is given the outputs of a {following.lower()}, and applies one of its own",
                    f"Remove the {following.lower()} behind the last layer: the loss takes the layer's own outputs "
                    "(logits).",
                    f"{following.lower()} before {wants}", 1.0, 0.0,
                )  # fmt: skip
                return
        if (
            chain
            and chain[0].startswith("NllLoss")
            and len(chain) > 1
            and chain[1] not in ("LogSoftmax", "Log")
        ):
            yield fault(
                "output_unit",
                "nll_loss is given outputs that are no log-probabilities, so that it falls without end",
                "Use cross_entropy, which takes the layer's own outputs, or put log_softmax before nll_loss.",
                "log_softmax before nll_loss", 0.0, 1.0,
            )  # fmt: skip
            return
        best = self.best_constant if self._constants else None
        unit = next((each for each in chain if each not in (*_LOSSES, *DIFFERENCES)), None)
        if unit in RANGES and chain[:1] != (unit,) and best is not None:
            low, high = RANGES[unit]
            beyond = max((low - best.min()).item(), (best.max() - high).item())
            if beyond > 0.1 * min(high - low, 1.0):
                yield fault(
                    "output_unit",
                    f"the outputs end at a {unit.lower()}, from {low:g} to {high:g}, but the best constant output "
                    f"would be {_range(best)}: targets out of its range",
                    f"Remove the {unit.lower()} behind the last layer, or scale the targets into its range: until "
                    "then the outputs saturate.",
                    "distance of the best constant output from the range", beyond, 0.0,
                )  # fmt: skip

    def _of_the_scales(self, seen: Seen) -> Iterator[Fault]:
        if seen.inputs is not None and not seen.normalized:
            sizes, deviations = (each[seen.inputs[1] > 0] for each in seen.inputs)
            trim = len(deviations) // 10  # features that are nearly constant, as pixels in a corner
            small, large = deviations.sort().values, sizes.sort().values
            if len(small):
                low, high = small[trim].item(), large[len(large) - 1 - trim].item()
                spread, far = high / low, high
                if spread > SPREAD or far > FAR:
                    yield fault(
                        "ill_conditioning",
                        f"the inputs are not of one scale: the smallest standard deviation is {low:.2g}, and the "
                        f"largest root mean square {high:.4g}",
                        "Standardize the inputs: subtract the mean of each feature, and divide by its standard "
                        "deviation; a normalization in front of the first layer does it, too.",
                        "largest root mean square/smallest standard deviation of an input", spread, SPREAD,
                    )  # fmt: skip
        best, output = self.best_constant if self._constants else None, seen.output
        if best is not None and output is not None:
            size = max(best.abs().max().item(), math.sqrt(max(self.constant, 0.0)))
            outputs = max(output.double().square().mean().sqrt().item(), 1.0)
            if size > TARGETS * outputs and not any(each in RANGES for each in seen.chain):
                yield fault(
                    "unscaled_targets",
                    f"the targets are of size {size:.2g}, {size / outputs:.2g} times that of the first outputs",
                    "Standardize the targets: subtract their mean, divide by their standard deviation, and undo both "
                    "in predictions.",
                    "size of the targets/size of the first outputs", size / outputs, TARGETS,
                )  # fmt: skip

    def _of_the_units(self, seen: Seen) -> Iterator[Fault]:
        if seen.alike:
            yield fault(
                "saddle",
                f"all units of {_named(seen.alike)} start with the same weights, so they get the same gradient and "
                "stay alike: a saddle that descent does not leave",
                "Start with random weights (each layer's reset_parameters(), He, orthogonal): units that begin alike "
                "stay alike.",
                "difference between the units' weights", 0.0, 0.0, chosen=True,
            )  # fmt: skip
        for name, share in seen.saturated.items():
            if share >= SATURATED:
                yield fault(
                    "vanishing_gradient",
                    f"{share:.0%} of the outputs of {name} are at the ends of its range at the start, where it has no "
                    "slope",
                    "Start with smaller weights, scale the inputs (standardize), or use units that do not saturate "
                    "(ReLU).",
                    "share of saturated outputs", share, SATURATED,
                )  # fmt: skip

    def _of_the_dead(self, layers: Sequence[dict[str, dict[str, float]]]) -> Iterator[Fault]:
        if len(layers) < 2:  # a single one may be of weights that start at 0
            return
        first, last = dead_layers(layers[0]), dead_layers(layers[-1])
        for late in (False, True):
            off = {name: share for name, share in last.items() if (name not in first) == late}
            if off:
                yield fault(
                    "no_signal",
                    f"no gradient reaches {_named([*off])}, {'at the end' if late else 'from the start to the end'}: "
                    "the units are all off",
                    "Restart with a smaller learning rate, or leaky units: units that have died stay off." if late else
                    "Restart with smaller biases, another initialization (He) or leaky units: no learning rate helps.",
                    "share of units without gradient", max(off.values()), DEAD, chosen=late, late=late,
                )  # fmt: skip


def dead_layers(layers: dict[str, dict[str, float]]) -> dict[str, float]:
    """Return the share of dead units of each layer of a measurement whose units are all, or nearly all, off."""
    shares = {name: row["dead units"] for name, row in layers.items()}
    return {name: share for name, share in shares.items() if share >= DEAD}


@dataclass(frozen=True)
class NotFinite:
    """Where a run first met a number that is not finite.

    step: number of the step. what: "the loss is nan". where: what broke first, a sentence. at: the same in a word,
    "weights", "data", "overflow", "module", "loss", "gradient", or "unseen" for weights that a step has broken whose
    gradient was not looked at.
    """

    step: int
    what: str
    where: str
    at: str

    @property
    def sentence(self) -> str:
        return f"{self.what} from step {self.step} on. {self.where}"


def not_finite(
    step: int, model: torch.nn.Module, patient: Patient, closures: Sequence[Closure], loss: float,
    beginning: RandomState | None, seen: bool,
) -> NotFinite:  # fmt: skip
    """Find what broke first: a weight, the batch, a module's output, or the loss behind it; or else a gradient.

    `seen` is true if the gradient of the step before was looked at, and was finite.
    """
    what = f"the loss is {loss}" if not math.isfinite(loss) else "the gradient is not finite"
    bad = [name for name, p in model.named_parameters() if not torch.isfinite(p).all()]
    if bad:
        where = f"The step before had made {_named(bad)} not finite"
        if seen:
            return NotFinite(step, what, f"{where}.", "weights")
        return NotFinite(step, what, f"{where}; its gradient was not looked at.", "unseen")
    with (
        randomness_restored(patient.devices, beginning),
        aside(model, patient.parameters),
        torch.enable_grad(),
    ):
        found: list[tuple[str, str]] = []
        called: list[str] = []
        largest = 0.0

        def look(module: torch.nn.Module, inputs: Any, out: Any) -> None:
            given = [x for x in inputs if isinstance(x, torch.Tensor) and x.is_floating_point()]
            nonlocal largest
            out = _tensor(out)
            name = names[module]
            if out is not None and out.numel():
                largest = max(largest, out.detach().abs().max().item())
            if any(not torch.isfinite(x).all() for x in given):
                rows = next(_broken_rows(x) for x in given if not torch.isfinite(x).all())
                if called:
                    where = f"What is computed between {called[-1]} and {name} is the first that is not finite."
                    found.append((where, "module"))
                else:
                    where = f"The inputs of this batch are not finite (examples {rows}): look at your data."
                    found.append((where, "data"))
            elif any(x.numel() and x.abs().max() > OVERFLOWS for x in given):
                found.append(
                    (f"The outputs before {name} grow until {name} overflows.", "overflow")
                )
            elif out is not None and not torch.isfinite(out).all():
                where = (
                    f"The output of {name} is the first that is not finite: its inputs still are."
                )
                found.append((where, "module"))
            called.append(name)

        names = {module: name or type(module).__name__ for name, module in model.named_modules()}
        leaves = [each for each in model.modules() if not any(True for _ in each.children())]
        handles = [each.register_forward_hook(look) for each in leaves]
        try:
            for closure in closures:
                parted(closure(), graph=False)
        finally:
            for handle in handles:
                handle.remove()
    if found:
        return NotFinite(step, what, *found[0])
    if not math.isfinite(loss) and largest > OVERFLOWS:
        return NotFinite(
            step,
            what,
            f"The outputs have grown to {largest:.2g}, and the loss overflows.",
            "overflow",
        )
    if not math.isfinite(loss):
        return NotFinite(
            step, what, "All outputs of the model were finite, so it is the loss itself: a logarithm or root of 0, a "
            "division by 0, or targets that are not finite.", "loss",
        )  # fmt: skip
    broken = [
        name for name, p in zip(patient.names, patient.parameters, strict=True)
        if p.grad is not None and not torch.isfinite(p.grad.to_dense()).all()
    ]  # fmt: skip
    if not broken:
        return NotFinite(
            step, what, "Each of its numbers is finite, but its norm overflows.", "overflow"
        )
    return NotFinite(
        step,
        what,
        f"The loss was finite; the gradient of {_named(broken[-3:])} was not: perhaps of a root or norm at 0.",
        "gradient",
    )


DISTANCES = ("MseLoss", "L1Loss", "SmoothL1Loss", "HuberLoss")
_LOSSES = ("MseLoss", "L1Loss", "SmoothL1Loss", "HuberLoss", "BinaryCrossEntropy", "BinaryCrossEntropyWithLogits",
           "NllLoss", "NllLoss2D", "NllLossNd", "KlDiv", "SoftMarginLoss")  # fmt: skip


def _size(weights: torch.Tensor) -> float:
    return weights.detach().double().norm().item()


def _tensor(output: Any) -> torch.Tensor | None:
    """Return a model's output if it is a tensor of floats, or the first of several."""
    if type(output) in (tuple, list) and output:
        output = output[0]
    return output if isinstance(output, torch.Tensor) and output.is_floating_point() else None


def _is_plain(given: Any) -> bool:
    """True for a tensor of real numbers with all its elements in order."""
    plain = isinstance(given, torch.Tensor) and given.layout == torch.strided
    return plain and not given.is_complex() and not given.is_nested


def _has_the_loss(output: Any) -> bool:
    """True if a model returns a mapping, or its own loss, alone or first."""
    if type(output) in (tuple, list) and output:
        output = output[0]
    return isinstance(output, Mapping) or (isinstance(output, torch.Tensor) and output.ndim == 0)


def _last_layer(
    loss: torch.Tensor, layers: Sequence[tuple[torch.nn.Module, torch.Tensor]]
) -> tuple[torch.Tensor | None, torch.nn.Module | None]:
    """Return the one output of a layer that the loss is computed from directly, and the layer, if it is called once.

    A module whose output is a single number is no layer: it is the criterion.
    """
    layers = [(module, out) for module, out in layers if out.ndim > 0]
    met = _met(loss, [out for _, out in layers])
    found = [(module, out) for module, out in layers if out.grad_fn in met]
    if len(met) != 1 or sum(module is found[-1][0] for module, _ in layers) > 1:
        return None, None
    module, out = found[-1]
    return out, module


@contextmanager
def _output(
    module: torch.nn.Module | None, change: Callable[[torch.Tensor], torch.Tensor]
) -> Iterator[None]:
    """Change a module's output inside the context."""
    assert module is not None

    def hook(module: torch.nn.Module, inputs: Any, out: Any) -> Any:
        if isinstance(out, torch.Tensor):
            return change(out)
        return type(out)([change(out[0]), *out[1:]]) if type(out) in (tuple, list) else out

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _within(seen: Seen, dims: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return what keeps a constant output of so many dimensions where the loss is defined: at (log-)probabilities."""
    axis = 0 if dims == 3 else -1  # of the classes, see `_constant_shape`
    if seen.unit == "LogSoftmax":
        return lambda value: value.log_softmax(axis) if value.ndim else value
    if seen.unit == "Softmax" and "Log" in seen.chain:
        return lambda value: value.softmax(axis)
    return torch.sigmoid if seen.chain[:1] == ("BinaryCrossEntropy",) else lambda value: value


def _constant_shape(output: torch.Tensor) -> tuple[int, ...]:
    """Return the shape of a constant output: one number for each feature, channel or class."""
    if output.ndim < 2:
        return ()
    if output.ndim == 4:
        return (output.shape[1], 1, 1)
    return (output.shape[-1],)


def _vary(output: torch.Tensor) -> bool:
    """True if the outputs of a batch differ by more than rounding."""
    difference = (output - output.roll(1, 0)).abs().max()
    return bool(difference > 1e-3 * output.abs().max())


def _elements(node: Any) -> int:
    """Return how many numbers a node of the graph takes the mean, the sum or the loss of; 0 if it does not say."""
    saved = getattr(node, "_saved_self", None)
    if isinstance(saved, torch.Tensor):
        return saved.numel()
    sizes = getattr(node, "_saved_self_sym_sizes", None)
    return math.prod(sizes) if sizes is not None else 0


def _over_batch(node: Any) -> bool:
    return node._saved_dim == 0 and node._saved_result.ndim > 1


def _classes(node: Any) -> int:
    result, axis = node._saved_result, node._saved_dim
    return int(result.shape[axis if axis < result.ndim else axis - 2**64])


def _name(node: Any) -> str:
    return node.name().partition("Backward")[0]


def _graph(loss: torch.Tensor, ends: Sequence[Any] = ()) -> Iterator[Any]:
    """Yield the nodes of a graph, largest graphs aside, but none behind these ends."""
    yield from _behind(loss.grad_fn, ends)


def _behind(node: Any, ends: Sequence[Any] = ()) -> Iterator[Any]:
    """Yield this node and those that it is computed from."""
    waiting: list[Any] = [node]
    known: set[Any] = {None}
    while waiting and len(known) < 100_000:
        node = waiting.pop()
        if node in known:
            continue
        known.add(node)
        yield node
        if node not in ends:
            waiting += [each for each, _ in node.next_functions]


def _met(loss: torch.Tensor, outputs: Any) -> set[Any]:
    """Return the nodes of those outputs that the loss is computed from directly, not by way of another of them."""
    ends = [
        each.grad_fn
        for each in outputs
        if isinstance(each, torch.Tensor) and each.grad_fn is not None
    ]
    return {node for node in _graph(loss, ends) if node in ends}


def _saturated(
    loss: torch.Tensor, made: dict[Any, str], outputs: Iterable[Any]
) -> dict[str, float]:
    """Return the share of outputs without slope of each sigmoid and tanh in the graph.

    The last units and gates, sigmoids by which something is multiplied, do not count. The name of a module is its own,
    that of a function says which module's output it is computed from; several calls count together.
    """
    nodes = list(_graph(loss))
    gates = _before_shapes(
        gate for node in nodes if _name(node) == "Mul" for gate in _factors(node)
    )
    last = _before_shapes(outputs)
    shares: dict[str, list[float]] = {}
    for node in nodes:
        unit = _name(node)
        gate = unit == "Sigmoid" and node in gates
        if unit not in LIMITED or not hasattr(type(node), "_saved_result") or node in last or gate:
            continue  # the derivative of a tanh has its name, too
        try:
            out = node._saved_result.detach()
        except RuntimeError:  # it was changed in place, and backward will say so
            continue
        low, high = RANGES[unit]
        edge = EDGE * (high - low)
        if out.ndim > 1:
            before = next(
                (made[each] for each in islice(_behind(node), NEAR) if each in made), None
            )
            behind = f"the {unit.lower()}" + (f" behind {before}" if before else "")
            off = ((out < low + edge) | (out > high - edge)).float().mean().item()
            shares.setdefault(made.get(node, behind), []).append(off)
    return {name: statistics.fmean(each) for name, each in shares.items()}


def _before_shapes(nodes: Iterable[Any]) -> set[Any]:
    """Return these nodes of the graph, and what they only bring into another shape."""
    found: set[Any] = set()
    for node in nodes:
        while node is not None and node not in found:
            found.add(node)
            shaped = any(_name(node).startswith(each) for each in SHAPES)
            node = node.next_functions[0][0] if shaped else None
    return found


def _factors(node: Any) -> Iterator[Any]:
    """Yield the factors of a product in the graph, unless they multiply a constant: a number or a mask, as of dropout.

    A constant of more than two different numbers may be the inputs.
    """
    factors = [each for each, _ in node.next_functions]
    if None not in factors or not hasattr(type(node), "_saved_self"):
        yield from factors
        return
    one, other = factors
    try:
        given = node._saved_self if one is None else node._saved_other
    except RuntimeError:  # it was changed in place, and backward will say so
        return
    if isinstance(given, torch.Tensor) and len(given.unique()) > 2:
        yield other if one is None else one


def _unregistered(model: torch.nn.Module) -> Iterator[torch.Tensor]:
    """Yield the weights that a model's modules keep without registering them: in lists, in dicts, or as tensors."""
    for module in model.modules():
        for value in list(vars(module).values()):
            for each in (
                value.values()
                if type(value) is dict
                else value
                if type(value) in (list, tuple)
                else (value,)
            ):
                if isinstance(each, torch.Tensor):
                    yield each
                elif isinstance(each, torch.nn.Module):
                    yield from each.parameters()


def _broken_rows(given: torch.Tensor) -> str:
    rows = (
        (~torch.isfinite(given.reshape(len(given) if given.ndim else 1, -1)))
        .any(1)
        .nonzero()
        .flatten()
        .tolist()
    )
    return _named([str(each) for each in rows])


def _named(names: Sequence[str]) -> str:
    """Return a few names, and how many more there are."""
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def _range(values: torch.Tensor) -> str:
    low, high = values.min().item(), values.max().item()
    return f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
