"""Plugins: loaded one by one, so that an error in one does not affect the others."""

import inspect
import re
import warnings
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import Any, get_args

import pluggy
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from nstflow import builtin, hookspecs
from nstflow.errors import Problem, describe_exception, source_path_of, suggest
from nstflow.hookspecs import HOOKS
from nstflow.plugins.catalog import Catalog, Offer, RecipeOffer, name_of, title_of
from nstflow.plugins.observers import InvalidPluginError, Observers, PluginHooks
from nstflow.plugins.single_file import PluginFile
from nstflow.stages.slots import Slot, slot_of
from nstflow.stages.stage import Stage

BUILTIN = "nstflow"

_OFFERING = ("nstflow_stages", "nstflow_recipes")


@dataclass(frozen=True)
class PluginRow:
    """A plugin, as `nstflow plugins` shows it.

    Attributes:
        package: Its distribution and version.
        offers: Its stages and recipes, as `slot: name` and `recipes: name`, and its other hooks.
        error: Why it is not loaded, or an empty string.
    """

    name: str
    package: str
    offers: tuple[str, ...] = ()
    error: str = ""

    @property
    def fix(self) -> str:
        """What its user can do about the error."""
        package, _, version = self.package.partition(" ")
        if not version:
            return f"report it to its author, or leave it out: --block-plugin {self.name}"
        return (
            "install it again, with its dependencies, update it, or report it to its author;"
            f" `pip uninstall {package}` removes it, --block-plugin {package} leaves it out"
        )


class Plugins:
    """The plugins that are installed and not blocked.

    Args:
        blocked: Names of plugins, or of their distributions, to leave out.
        files: Files that are plugins, too.

    Raises:
        NstflowError: One of the files is not a valid plugin. An invalid package is a row.

    Attributes:
        files: Those files.
        blocked: Those names, sorted.
        rows: All plugins, including those that are invalid or blocked.
        catalog: The stages of the valid ones.
        recipes: The recipes of the valid ones, nstflow's first.
        layers: Their layers, which change a recipe (`--with`).
        unknown_blocks: Blocked names that no plugin has.
    """

    def __init__(self, blocked: Collection[str] = (), files: Sequence[PluginFile] = ()) -> None:
        self.files = tuple({file.sha256: file for file in files}.values())
        self.blocked = tuple(sorted(set(blocked)))
        self.rows: list[PluginRow] = []
        self._hooks: dict[str, PluginHooks] = {}  # of the valid plugins, by name
        self._offers: list[Offer] = []
        self.recipes: list[RecipeOffer] = []
        self.layers: list[RecipeOffer] = []
        self._add(BUILTIN, f"nstflow {metadata.version('nstflow')}", lambda: builtin)
        names: set[str] = set()  # that can be blocked
        for entry in sorted(metadata.entry_points(group=hookspecs.PROJECT)):
            package = _package_of(entry)
            own = {entry.name, package.split()[0]}
            names |= own
            if own & set(blocked):
                self.rows.append(PluginRow(entry.name, package, error="blocked"))
            else:
                self._add(entry.name, package, entry.load)
        for file in self.files:
            own = {file.name, file.name.removesuffix(".py")}
            names |= own
            if own & set(blocked):
                self.rows.append(PluginRow(file.name, file.package, error="blocked"))
                continue
            name = file.path if file.name in self._hooks else file.name
            file.load()  # with an error that names the option; executed once
            self._add(name, file.package, file.load)
            if error := self.rows[-1].error:
                raise file.invalid(error)
        self.catalog = Catalog(
            self._offers, {row.package: row.error for row in self.rows if row.error}
        )
        self.unknown_blocks = sorted(set(blocked) - names)

    def unknown(self, name: str) -> Problem:
        """Return the problem of one of the `unknown_blocks`."""
        names = [row.name for row in self.rows if row.name != BUILTIN]
        hint = f"{suggest(name, names)} Installed: {', '.join(names) or 'none'}.".strip()
        return Problem(f"--block-plugin {name}", "", f"there is no plugin '{name}' to block.", hint)

    def observers(self, extra: Iterable[object] = ()) -> Observers:
        """Return the observers of one run: the plugins, and other objects.

        Raises:
            TypeError: An object implements a hook that does not exist.
        """
        found = [
            (f"'{row.name}' ({title_of(row.package)})", self._hooks[row.name])
            for row in self.rows
            if not row.error
        ]
        for item in extra:
            name = getattr(item, "__name__", type(item).__name__)
            try:
                found.append((f"'{name}'", PluginHooks(name, item)))
            except InvalidPluginError as error:
                raise TypeError(f"the observer '{name}' can't be used: {error}") from error
        return Observers(found)

    def _add(self, name: str, package: str, load: Callable[[], object]) -> None:
        """Load a plugin, or record why that is not possible."""
        step, plugin = "import", None
        try:
            plugin = load()
            step = "nstflow_stages"
            for known, other in self._hooks.items():
                if known == name or other.plugin is plugin:  # a plugin may define ==
                    raise InvalidPluginError(
                        f"a plugin '{known}' is loaded already: block one, by its package's name"
                    )
            if inspect.isclass(plugin):
                raise InvalidPluginError("it is a class: let the entry point name an instance")
            hash(plugin)  # pluggy needs it
            hooks = PluginHooks(name, plugin)
            stages = _stages_of(hooks)
            step = "nstflow_recipes"
            recipes = _recipes_of(hooks, name, package)
        except InvalidPluginError as invalid:
            error = str(invalid)
        except pluggy.PluginValidationError as invalid:
            error = " ".join(str(invalid).split())
        except KeyboardInterrupt:
            raise
        except BaseException as raised:  # noqa: BLE001 - a plugin may raise anything
            error = f"{step} failed: {describe_exception(raised, source_path_of(plugin))}"
        else:
            self._hooks[name] = hooks
            self._offers += [Offer(stage, name, package) for stage in stages.values()]
            for offer in recipes.values():
                (self.layers if offer.kind == "layers" else self.recipes).append(offer)
            observed = [hook for hook in HOOKS if hook in hooks.names and hook not in _OFFERING]
            self.rows.append(PluginRow(name, package, (*stages, *recipes, *observed)))
            return
        self.rows.append(PluginRow(name, package, error=error))


def _stages_of(hooks: PluginHooks) -> dict[str, type[Stage]]:
    """Check a plugin, and return its stages, by `slot: name`."""
    if not hooks.names:
        raise InvalidPluginError("no function of it carries @nstflow.hookimpl")
    for hook in hooks.names:
        function = getattr(hooks.plugin, hook, None)
        if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
            raise InvalidPluginError(f"its {hook} is async or a generator: use a function")
    stages: dict[str, type[Stage]] = {}
    for stage in chain(*hooks.call("nstflow_stages")):
        slot, name = check_stage_class(stage).name, name_of(stage)
        if hooks.plugin is not builtin:
            check_schema(stage)
        if f"{slot}: {name}" in stages:
            raise InvalidPluginError(f"it offers '{name}' twice, for {slot}")
        stages[f"{slot}: {name}"] = stage
    return stages


def _recipes_of(hooks: PluginHooks, plugin: str, package: str) -> dict[str, RecipeOffer]:
    """Return the recipes and layers of a plugin, by `recipes: name` and `layers: name`."""
    recipes: dict[str, RecipeOffer] = {}
    for path in chain(*hooks.call("nstflow_recipes")):
        if not (isinstance(path, Path) and path.is_absolute() and path.suffix == ".yaml"):
            raise InvalidPluginError(
                f"its nstflow_recipes gives {path!r}: give the absolute Path of a .yaml file"
            )
        offer = RecipeOffer(path, plugin, package)
        if f"{offer.kind}: {offer.name}" in recipes:
            raise InvalidPluginError(f"it offers the {offer.kind[:-1]} '{offer.name}' twice")
        recipes[f"{offer.kind}: {offer.name}"] = offer
    return recipes


def _package_of(entry: metadata.EntryPoint) -> str:
    """Return the distribution and its version, or the module if the metadata have no name."""
    try:
        with warnings.catch_warnings():  # of a backport that other packages bring
            warnings.simplefilter("ignore", DeprecationWarning)
            if entry.dist and entry.dist.name:
                return f"{entry.dist.name} {entry.dist.version or 'of no version'}"
    except KeyError:
        pass
    return entry.value


_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Lenient(GenerateJsonSchema):
    """Pydantic's generator, which accepts any value where it can't describe a type."""

    def handle_invalid_for_json_schema(
        self,
        schema: Any,  # noqa: ARG002 - pydantic's
        error_info: str,  # noqa: ARG002
    ) -> JsonSchemaValue:
        """Return a schema of any value: only the plugin knows its types."""
        return {}


def check_stage_class(stage: Any) -> Slot:
    """Check that something is a stage class with a slot, a name and all methods; return the slot.

    Raises:
        InvalidPluginError: It is not; the text says why.
    """
    if not (inspect.isclass(stage) and issubclass(stage, Stage)):
        raise InvalidPluginError(
            f"{stage!r} is not a stage class: derive one from LossTerm, Loader, …"
        )
    title = stage.__name__
    slot = slot_of(stage)
    if slot is None:
        raise InvalidPluginError(f"{title} derives from Stage alone: derive it from a slot's base")
    use = stage.model_fields["use"]
    if not isinstance(use.default, str) or get_args(use.annotation) != (use.default,):
        raise InvalidPluginError(f'{title} has no name: give it `use: Literal["x"] = "x"`')
    if not _NAME.fullmatch(use.default) or use.default in ("null", "true", "false"):
        raise InvalidPluginError(
            f"{title} can't be called '{use.default}': a name is of small letters, digits and _,"
            " and begins with a letter"
        )
    if abstract := ", ".join(sorted(stage.__abstractmethods__)):
        raise InvalidPluginError(f"{title} lacks {abstract}: its slot's contract requires it")
    return slot


def check_schema(stage: type[Stage]) -> None:
    """Check that the schema of recipes can contain a stage.

    Raises:
        InvalidPluginError: Its settings have no schema.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            stage.model_json_schema(schema_generator=Lenient)
        except Exception as error:
            raise InvalidPluginError(
                f"the settings of {stage.__name__} have no schema: {describe_exception(error)}"
            ) from error
