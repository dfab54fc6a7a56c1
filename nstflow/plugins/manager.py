"""The plugins: found one by one, so that a broken one breaks nothing but itself."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any, cast, get_args

import pluggy
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from nstflow import builtin, hookspecs
from nstflow.errors import Problem, describe_exception, source_path_of, suggest
from nstflow.hookspecs import HOOKS
from nstflow.plugins.catalog import Catalog, Offer, name_of, title_of
from nstflow.plugins.observers import Observers
from nstflow.plugins.single_file import PluginFile
from nstflow.stages.slots import slot_of
from nstflow.stages.stage import Stage

BUILTIN = "nstflow"


_IMPORT = "import failed: "


_TAKEN = "is loaded already: block one, by its package's name"


@dataclass(frozen=True)
class PluginRow:
    """One plugin, as `nstflow plugins` shows it.

    Attributes:
        package: Its distribution and version.
        offers: The stages, as `slot: name`, and the hooks that observe.
        error: Why it was not loaded, or an empty string.
    """

    name: str
    package: str
    offers: tuple[str, ...] = ()
    error: str = ""

    @property
    def fix(self) -> str:
        """What its user can do about it."""
        package, _, version = self.package.partition(" ")
        if self.error.endswith(_TAKEN):
            return f"leave one out: --block-plugin {package}"
        if not version:
            return f"tell its author, or leave it out: --block-plugin {self.name}"
        how = "install it again, with all that it needs, or update it"
        if not self.error.startswith(_IMPORT):
            how = "update it, or tell its author"
        return (
            f"{how}, from where you had it; `pip uninstall {package}` removes it,"
            f" --block-plugin {self.name} leaves it out"
        )


class Plugins:
    """Everything that is installed, less what is blocked.

    Args:
        blocked: Names of plugins, or of their distributions, to leave out.
        files: Files that are plugins too.

    Raises:
        NstflowError: One of the files is no sound plugin. A package that is none is a row.

    Attributes:
        files: Those files.
        blocked: Those names, sorted.
        rows: All plugins, broken and blocked ones too.
        catalog: The stages that the sound ones offer.
    """

    def __init__(self, blocked: Collection[str] = (), files: Sequence[PluginFile] = ()) -> None:
        self.files = tuple({file.sha256: file for file in files}.values())
        self.blocked = tuple(sorted(set(blocked)))
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self.rows: list[PluginRow] = []
        self._offers: list[Offer] = []
        self._add(BUILTIN, f"nstflow {metadata.version('nstflow')}", builtin)
        for entry in sorted(metadata.entry_points(group=hookspecs.PROJECT)):
            package = _package_of(entry)
            if blocked and {entry.name, package.split()[0]} & set(blocked):
                self.rows.append(PluginRow(entry.name, package, error="blocked"))
            else:
                self._load(entry, package)
        for file in self.files:
            names = {file.name, file.name.removesuffix(".py")}
            if names & set(blocked):
                self.rows.append(PluginRow(file.name, file.package, error="blocked"))
                continue
            taken = self._manager.has_plugin(file.name)
            self._add(file.path if taken else file.name, file.package, file.load())
            if error := self.rows[-1].error:
                raise file.unsound(error)
        self.catalog = Catalog(
            self._offers, {row.package: row.error for row in self.rows if row.error}
        )
        others = [row for row in self.rows if row.name != BUILTIN]
        self.unknown_blocks = sorted(
            set(blocked)
            - {name for row in others for name in (row.name, row.name.removesuffix(".py"))}
            - {row.package.split()[0] for row in others}
        )

    def unknown(self, name: str) -> Problem:
        """Return what to say of one of the `unknown_blocks`."""
        names = [row.name for row in self.rows if row.name != BUILTIN]
        hint = f"{suggest(name, names)} Installed: {', '.join(names) or 'none'}.".strip()
        return Problem(f"--block-plugin {name}", "", f"there is no plugin '{name}' to block.", hint)

    def _load(self, entry: metadata.EntryPoint, package: str) -> None:
        try:
            plugin = entry.load()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - an import may raise anything
            self.rows.append(
                PluginRow(entry.name, package, error=f"{_IMPORT}{describe_exception(error)}")
            )
        else:
            self._add(entry.name, package, plugin)

    def _add(self, name: str, package: str, plugin: object) -> None:
        """Register a plugin, or record why it can't be."""
        plugins = self._manager.list_name_plugin()  # told apart by identity: == may do anything
        same = next((known for known, other in plugins if known == name or other is plugin), None)
        if same is not None:
            error = f"a plugin '{same}' {_TAKEN}"
            self.rows.append(PluginRow(name, package, error=error))
            return
        try:
            if inspect.isclass(plugin):
                raise InvalidPluginError("it is a class: let the entry point name an instance")
            hash(plugin)  # pluggy needs it
            self._manager.register(plugin, name)
            stages = self._check(plugin)
        except InvalidPluginError as invalid:
            error = str(invalid)
        except pluggy.PluginValidationError as invalid:
            error = " ".join(str(invalid).split())
        except KeyboardInterrupt:
            raise
        except BaseException as raised:  # noqa: BLE001 - a hook may raise anything
            error = f"nstflow_stages failed: {describe_exception(raised, source_path_of(plugin))}"
        else:
            self._offers += [Offer(stage, name, package) for stage in stages]
            offered = [f"{slot.name}: {name_of(s)}" for s in stages if (slot := slot_of(s))]
            hooks = self._hooks_of(plugin)
            observed = [hook for hook in HOOKS if hook in hooks and hook != "nstflow_stages"]
            self.rows.append(PluginRow(name, package, (*offered, *observed)))
            return
        if self._manager.get_plugin(name) is plugin:
            self._manager.unregister(name=name)
        self.rows.append(PluginRow(name, package, error=error))

    def _check(self, plugin: object) -> list[type[Stage]]:
        for hook in self._hooks_of(plugin):
            if hook not in HOOKS:
                raise InvalidPluginError(f"there is no hook {hook}. {suggest(hook, HOOKS)}")
        if not self._hooks_of(plugin):
            raise InvalidPluginError("no function of it carries @nstflow.hookimpl")
        for hook in self._hooks_of(plugin):
            function = getattr(plugin, hook, None)
            if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
                raise InvalidPluginError(f"its {hook} is async or a generator: nobody would run it")
        found = [stage for stages in self._ask(plugin, "nstflow_stages") for stage in stages]
        for stage in found:
            check_stage(stage)
            if plugin is not builtin:
                check_schema(stage)
        names = [(slot_of(stage), name_of(stage)) for stage in found]
        for index, (slot, name) in enumerate(names):
            if slot is not None and (slot, name) in names[:index]:
                raise InvalidPluginError(f"it offers '{name}' twice, for {slot.name}")
        return cast("list[type[Stage]]", found)

    def _hooks_of(self, plugin: object) -> list[str]:
        return [caller.name for caller in self._manager.get_hookcallers(plugin) or ()]

    def _ask(self, plugin: object, hook: str, **arguments: Any) -> list[Any]:
        others = [other for other in self._manager.get_plugins() if other is not plugin]
        answers: list[Any] = self._manager.subset_hook_caller(hook, others)(**arguments)
        return answers

    def observers(self, extra: Iterable[object] = ()) -> Observers:
        """Return those who watch one run: the plugins, and the objects given."""
        package = {row.name: row.package for row in self.rows if not row.error}
        plugins = self._manager.list_name_plugin()
        return Observers(
            [
                *((name, title_of(package[name]), plugin) for name, plugin in plugins),
                *((getattr(item, "__name__", type(item).__name__), "", item) for item in extra),
            ]
        )


def _package_of(entry: metadata.EntryPoint) -> str:
    """Return the distribution and its version, or the module where its metadata tell neither."""
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
    """Pydantic's generator, for which a type that it can't describe is one of any values."""

    def handle_invalid_for_json_schema(
        self,
        schema: Any,  # noqa: ARG002 - pydantic's
        error_info: str,  # noqa: ARG002
    ) -> JsonSchemaValue:
        """Return what any value fits: only the plugin can judge its own types."""
        return {}


class InvalidPluginError(Exception):
    """A plugin that does not keep to the contract; the text says where."""


def check_stage(stage: Any) -> None:
    """Raise where something is no stage, or lacks what every one has."""
    if not (inspect.isclass(stage) and issubclass(stage, Stage)):
        raise InvalidPluginError(f"nstflow_stages gives {stage!r}, which is no stage class")
    if slot_of(stage) is None:
        raise InvalidPluginError(f"{stage.__name__} derives from no slot's base class")
    use = stage.model_fields["use"]
    if not isinstance(use.default, str) or get_args(use.annotation) != (use.default,):
        raise InvalidPluginError(f'{stage.__name__} has no name: give it `use: Literal["x"] = "x"`')
    if not _NAME.fullmatch(use.default) or use.default in ("null", "true", "false"):
        raise InvalidPluginError(
            f"{stage.__name__} can't be called '{use.default}': a name is of small letters, digits"
            " and _, and begins with a letter"
        )
    if abstract := ", ".join(sorted(stage.__abstractmethods__)):
        raise InvalidPluginError(f"{stage.__name__} lacks {abstract}")


def check_schema(stage: type[Stage]) -> None:
    """Raise where a stage would break the schema of all recipes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            stage.model_json_schema(schema_generator=Lenient)
        except Exception as error:
            raise InvalidPluginError(
                f"the settings of {stage.__name__} have no schema: {describe_exception(error)}"
            ) from error
