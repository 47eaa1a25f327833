"""The one file that uses Hydra: to read words, compose the groups in `conf/`, and launch jobs by number.

It does not use `@hydra.main`, whose sweeper makes folders before all jobs are checked and stops at the first failure.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from hydra import compose, initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Quote, QuotedString
from hydra.core.plugins import Plugins
from hydra.errors import OverrideParseException
from hydra.experimental.callback import Callback
from hydra.types import HydraContext
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from benchmarks.catalog.loading import CONF
from benchmarks.runner.launchers.launcher import NAMES, Launcher, found, limit, raised, watching
from benchmarks.runner.worker import Task
from ravine import Refused, nearest

KINDS = {"bool": "true or false", "int": "a whole number", "float": "a number", "str": "a word"}
LAUNCHER = "hydra/launcher"


class Value(NamedTuple):
    """An option's value in a word of the command, and its text."""

    value: Any
    text: str


class Option:
    """One word of a command: `key=value`, `key=value,value`, `key=glob(*)`.

    Attributes:
        key: the option's name, without a plus in front.
        line: the word.
        adds: True if a plus is in front.
        varies: True if the word gives several values, or a range of them.

    Raises Refused for any other word.
    """

    def __init__(self, word: str):
        try:
            (override,) = OverridesParser.create().parse_overrides([word])
        except OverrideParseException as error:
            allowed = "name=value, name=value,value, 'name=[low,high]'"
            raise Refused(
                f"{word!r} cannot be read (allowed: {allowed}; quotes around odd characters)"
            ) from error
        if override.is_delete() or override.package is not None:
            raise Refused(f"{word!r} is not an option: an option is written name=value")
        self._override = override
        self.key, self.line = override.key_or_group, word
        self.adds = override.is_add() or override.is_force_add()
        self.varies = override.is_sweep_override()

    def values(self) -> list[Value]:
        """Return the values, in order. Raises Refused for a range without steps."""
        given: Any = self._override.value()
        if not self.varies:
            return [Value(given, self._override.get_value_element_as_str())]
        if isinstance(given, Glob):
            return []
        if self._override.is_interval_sweep():
            raise Refused(f"{self.line}: a range to be searched is written '{self.key}=[low,high]'")
        texts = self._override.sweep_string_iterator()
        return [value for text in texts for value in Option(f"{self.key}={text}").values()]

    def names(self, offered: Collection[str]) -> list[str]:
        """Return the names in the word; a pattern stands for all offered names that match it.

        Raises Refused for a list, a table or a range.
        """
        given: Any = self._override.value()
        if isinstance(given, Glob):
            return given.filter(sorted(offered))
        is_range = self.varies and not self._override.is_choice_sweep()
        if is_range or isinstance(given, (list, dict)):
            raise Refused(
                f"{self.line}: several names are written {self.key}=a,b or '{self.key}=glob(*)'"
            )
        return [] if given in (None, "") else [str(each.value) for each in self.values()]


def typed(schema: type, option: str, given: Value) -> Any:
    """Return a value as the type that a dataclass states for an option. Raises Refused for another type."""
    options = OmegaConf.structured(schema)
    try:
        OmegaConf.update(options, option, given.value)
    except OmegaConfBaseException as error:
        kinds = [
            KINDS[each]
            for each in str(schema.__annotations__[option]).split(" | ")
            if each in KINDS
        ]
        wanted = " or ".join(kinds) or "what --help says"
        raise Refused(f"{option} is {given.text}, but must be {wanted}") from error
    converted: Any = OmegaConf.to_container(options)
    return converted[option]


def composed(groups: Mapping[str, str]) -> dict[str, Any]:
    """Return the options that files in `conf/` set, given the file's name by group; the last file wins."""
    if not groups:
        return {}
    with _initialized():
        found: Any = compose(overrides=[f"+{group}={name}" for group, name in groups.items()])
    return OmegaConf.to_container(found)  # type: ignore[return-value]


def as_yaml(config: Mapping[str, Any]) -> str:
    """Return a job's configuration as YAML."""
    return OmegaConf.to_yaml(OmegaConf.create(dict(config)))


def launcher(options: Sequence[Option], folder: Path) -> Launcher:
    """Return the launcher that a command names: one of ours, or one of Hydra's that is installed.

    Args:
        options: `hydra/launcher` and `hydra.launcher.*`.
        folder: the folder of the sweep, where a launcher may keep its own files.

    Raises:
        Refused: for a launcher that is not installed, or an option that it does not have.
    """
    named = [value for each in options if each.key == LAUNCHER for value, _ in each.values()]
    name = str(named[-1]) if named else "basic"
    options = [each for each in options if each.key != LAUNCHER]
    if name in NAMES:
        config = OmegaConf.create({"hydra": {"launcher": OmegaConf.structured(found(name))}})
        OmegaConf.set_readonly(config.hydra.launcher, False)  # as frozen dataclasses are
        for option in options:
            _set(config, option)
        made: Any = OmegaConf.to_object(config.hydra.launcher)
        limit(made.n_jobs)
        return made
    with _initialized() as loader:
        offered = [*NAMES, *loader.get_group_options(LAUNCHER)]
        if name not in offered:
            raise Refused(f"unknown {LAUNCHER} {name!r}: {nearest(name, offered)}")
        overrides = [f"hydra.sweep.dir={_quoted(folder)}", f"{LAUNCHER}={name}"]
        config = compose("config", overrides, return_hydra_config=True)
        for option in options:
            _set(config, option)
        # A launcher calls the callbacks of a run; this public class does nothing.
        context = HydraContext(loader, Callback())  # type: ignore[arg-type]

    def launch(
        task: Task, count: int, watch: Callable[[], None], say: Callable[[str], None]
    ) -> list[Exception]:
        hydras = Plugins.instance().instantiate_launcher(context, _Job(task), config)
        with watching(watch):
            ended = hydras.launch([[f"job={k}"] for k in range(count)], initial_job_idx=0)
        return raised(each.return_value for each in ended)

    return launch


@dataclass(frozen=True)
class _Job:
    """A job as Hydra's launchers call it."""

    task: Task

    def __call__(self, config: Any) -> Exception | None:
        return self.task.attempt(config.job)


def _set(config: Any, option: Option) -> None:
    """Set an option of the launcher."""
    ((value, text),) = option.values()
    owner, _, name = option.key.rpartition(".")
    known = [str(each) for each in OmegaConf.select(config, owner) or () if each != "_target_"]
    if name not in known and not option.adds:
        raise Refused(f"unknown option {option.key}: {nearest(name, known)}")
    if name == "n_jobs" and value is not None and (not isinstance(value, int) or value == 0):
        raise Refused(
            f"{option.key} is {text}, but must be a whole number other than 0 (-1: all cores)"
        )
    try:
        OmegaConf.update(config, option.key, value, force_add=option.adds)
    except OmegaConfBaseException as error:
        raise Refused(f"{option.key} is {text}, but must be what its launcher accepts") from error


@contextmanager
def _initialized() -> Iterator[ConfigLoader]:
    with initialize_config_dir(str(CONF), job_name="ravine", version_base="1.3"):
        yield GlobalHydra.instance().config_loader()


def _quoted(path: Path) -> str:
    """Return a path, quoted so that Hydra reads it back unchanged."""
    text = str(path).replace("${", r"\${")
    return QuotedString(text, Quote.single).with_quotes()
