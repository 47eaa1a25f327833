"""What Hydra refuses, in our words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import CompactHydraException, MissingConfigException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from benchmarks.catalog import loading
from benchmarks.catalog.defaults import TWINS
from benchmarks.cli.options import Config
from benchmarks.runner.setup import key_of
from ravine import Refused, nearest

KINDS = {"bool": "true or false", "int": "a whole number", "float": "a number", "str": "a word"}


@contextmanager
def explaining() -> Iterator[None]:
    """Refuse in our words what Hydra refuses: it advises to add with a plus whatever it does not know."""
    try:
        yield
    except MissingConfigException as error:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        raise Refused(f"unknown {group} {name!r}: {nearest(name, error.options or ())}") from error
    except CompactHydraException as error:
        raise _refusal(error, error.__cause__) from error


def _refusal(error: CompactHydraException, cause: BaseException | None) -> Refused:
    if not isinstance(cause, OmegaConfBaseException) or cause.full_key is None:
        return Refused(str(error))
    owner, _, key = str(cause.full_key).rpartition(".")
    parent = cause.parent_node
    if isinstance(cause, (AttributeError, KeyError)) and isinstance(parent, DictConfig):
        hidden = ("name", "hydra", "adopted", "_target_", *map(key_of, TWINS))
        allowed = [str(each) for each in parent if each not in hidden]
        if owner in loading.REGISTRIES:
            owner = parent["name"]
        return Refused(
            f"unknown option {owner}{'.' if owner else ''}{key}: {nearest(key, allowed)}"
        )
    option, _, value = str(error).rpartition("override ")[2].partition("=")
    kinds = [
        KINDS[each]
        for each in str(Config.__annotations__.get(option)).split(" | ")
        if each in KINDS
    ]
    return Refused(f"{option} is {value}, but must be {' or '.join(kinds) or 'what --help says'}")


def quoted(text: object) -> str:
    """A word as Hydra's grammar takes it, whatever is in it."""
    return QuotedString(str(text), Quote.single).with_quotes()
