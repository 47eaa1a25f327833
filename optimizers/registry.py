"""The registries of optimizers and of the wrappers around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from optimizers.optimizer import Optimizer
from ravine import Refused, Registry, nearest

if TYPE_CHECKING:
    from optimizers.wrapper import Wrapper

AND = "+"  # `adam+clip+decay`: Adam, clipped, with a decaying learning rate


class Wrappers(Registry["Wrapper"]):
    """Wrappers by the name after a plus. A prototype wraps an example, and `around` puts it around any optimizer."""

    def register(
        self, name: str, entry: Any = None, *, around: Optimizer | None = None, summary: str = ""
    ) -> Any:
        """Register a wrapped optimizer, or, as a decorator, a class with an example of an optimizer to wrap.

        Args:
            name: The name after a plus.
            entry: The wrapped optimizer, without a decorator.
            around: The example, for a decorator.
            summary: What the wrapped optimizer does, in a line; see `Registry.register`.

        Returns:
            The entry, or the decorator.
        """
        if around is None:
            return super().register(name, entry, summary=summary)

        def add(given: Callable[[Optimizer], Wrapper]) -> Any:
            super(Wrappers, self).register(name, given(around))
            return given

        return add


class Optimizers(Registry[Optimizer]):
    """Optimizers by name. `adam+clip+decay` is an optimizer with wrappers around it, the innermost first."""

    def __getitem__(self, name: str) -> Optimizer:
        name, *wrappers = name.split(AND)
        optimizer = super().__getitem__(name)
        for each in wrappers:
            optimizer = WRAPPERS[each].around(optimizer)
        return optimizer

    def find(self, name: str) -> Optimizer:
        """Return the prototype of this name.

        Args:
            name: The name of an optimizer, with those of wrappers after a plus each.

        Returns:
            The optimizer with its default hyperparameters.

        Raises:
            Refused: If a part of the name is not registered, with the nearest name.
        """
        inner, *wrappers = name.split(AND)
        for each in wrappers:
            if each not in WRAPPERS:
                raise Refused(f"unknown wrapper {each!r} in {name!r}: {nearest(each, WRAPPERS)}")
        if inner not in self:
            raise Refused(f"unknown optimizer {inner!r}: {nearest(inner, self)}")
        return self[name]


WRAPPERS = Wrappers("wrapper", package="optimizers")
OPTIMIZERS = Optimizers("optimizer", package="optimizers")
register = OPTIMIZERS.register
