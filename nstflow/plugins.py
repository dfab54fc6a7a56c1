"""The plugins: found one by one, so that a broken one breaks nothing but itself."""

from __future__ import annotations

import inspect
import traceback
import warnings
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any, cast, get_args

import pluggy

from nstflow import hookspecs
from nstflow.catalog import Catalog, Offer, name_of
from nstflow.errors import suggest
from nstflow.observers import HOOKS, Observers
from nstflow.plugin_files import PluginFile
from nstflow.slots import slot_of
from nstflow.stages import Stage

BUILTIN = "nstflow"
_IMPORT = "import failed: "


@dataclass(frozen=True)
class PluginRow:
    """One plugin, as `nstflow plugins` shows it.

    Attributes:
        package: Its distribution and version.
        offers: The stages, as `slot: name`, and the hooks that observe.
        trouble: Why it was not loaded, or an empty string.
    """

    name: str
    package: str
    offers: tuple[str, ...] = ()
    trouble: str = ""

    @property
    def remedy(self) -> str:
        """What its user can do about the trouble."""
        package = self.package.split()[0]
        how = "reinstall" if self.trouble.startswith(_IMPORT) else "update"
        option = "--force-reinstall" if how == "reinstall" else "--upgrade"
        return (
            f"{how} it with `pip install {option} {package}`, tell its author, or remove it with"
            f" `pip uninstall {package}`"
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
        self.files = tuple(dict.fromkeys(files))
        self.blocked = tuple(sorted(set(blocked)))
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self.rows: list[PluginRow] = []
        self._offers: list[Offer] = []
        from nstflow import builtin

        self._add(BUILTIN, f"nstflow {metadata.version('nstflow')}", builtin)
        for entry in sorted(metadata.entry_points(group=hookspecs.PROJECT)):
            package = _package_of(entry)
            if blocked and {entry.name, package.split()[0]} & set(blocked):
                self.rows.append(PluginRow(entry.name, package, trouble="blocked"))
            else:
                self._load(entry, package)
        for file in self.files:
            self._add(file.name.removesuffix(".py"), file.package, file.load())
            if trouble := self.rows[-1].trouble:
                raise file.unsound(trouble)
        self.catalog = Catalog(
            self._offers, {row.package: row.trouble for row in self.rows if row.trouble}
        )
        others = [row for row in self.rows if row.name != BUILTIN]
        self.unknown_blocks = sorted(
            set(blocked) - {row.name for row in others} - {row.package.split()[0] for row in others}
        )

    def _load(self, entry: metadata.EntryPoint, package: str) -> None:
        try:
            plugin = entry.load()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - an import may raise anything
            where = traceback.extract_tb(error.__traceback__)[-1]
            reason = f"{type(error).__name__}: {error} ({where.filename}:{where.lineno})"
            self.rows.append(PluginRow(entry.name, package, trouble=f"{_IMPORT}{reason}"))
        else:
            self._add(entry.name, package, plugin)

    def _add(self, name: str, package: str, plugin: object) -> None:
        """Register a plugin, or record why it can't be."""
        same = self._manager.get_name(plugin) or (name if self._manager.has_plugin(name) else None)
        if same is not None:
            trouble = f"a plugin '{same}' is loaded already: block one, by its package's name"
            self.rows.append(PluginRow(name, package, trouble=trouble))
            return
        try:
            self._manager.register(plugin, name)
            stages = self._check(plugin)
        except _UnsoundPluginError as error:
            trouble = str(error)
        except pluggy.PluginValidationError as error:
            trouble = " ".join(str(error).split())
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a hook may raise anything
            trouble = f"nstflow_stages failed: {type(error).__name__}: {error}"
        else:
            self._offers += [Offer(stage, name, package) for stage in stages]
            offered = [f"{slot.name}: {name_of(s)}" for s in stages if (slot := slot_of(s))]
            hooks = self._hooks_of(plugin)
            observed = [hook for hook in HOOKS if hook in hooks and hook != "nstflow_stages"]
            self.rows.append(PluginRow(name, package, (*offered, *observed)))
            return
        if self._manager.is_registered(plugin):
            self._manager.unregister(plugin)
        self.rows.append(PluginRow(name, package, trouble=trouble))

    def _check(self, plugin: object) -> list[type[Stage]]:
        for hook in self._hooks_of(plugin):
            if hook not in HOOKS:
                raise _UnsoundPluginError(f"there is no hook {hook}. {suggest(hook, HOOKS)}")
        if not self._hooks_of(plugin):
            raise _UnsoundPluginError("no function of it carries @nstflow.hookimpl")
        found = [stage for stages in self._ask(plugin, "nstflow_stages") for stage in stages]
        for stage in found:
            _check_stage(stage)
        names = [(slot_of(stage), name_of(stage)) for stage in found]
        for index, (slot, name) in enumerate(names):
            if slot is not None and (slot, name) in names[:index]:
                raise _UnsoundPluginError(f"it offers '{name}' twice, for {slot.name}")
        return cast("list[type[Stage]]", found)

    def _hooks_of(self, plugin: object) -> list[str]:
        return [caller.name for caller in self._manager.get_hookcallers(plugin) or ()]

    def _ask(self, plugin: object, hook: str, **arguments: Any) -> list[Any]:
        others = [other for other in self._manager.get_plugins() if other is not plugin]
        answers: list[Any] = self._manager.subset_hook_caller(hook, others)(**arguments)
        return answers

    def observers(self, extra: Iterable[object] = ()) -> Observers:
        """Return those who watch one run: the plugins, and the objects given."""
        package = {row.name: row.package for row in self.rows if not row.trouble}
        plugins = self._manager.list_name_plugin()
        return Observers(
            [
                *((name, package[name], plugin) for name, plugin in plugins),
                *((type(item).__name__, "", item) for item in extra),
            ]
        )


def _package_of(entry: metadata.EntryPoint) -> str:
    """Return the distribution and its version, or the module where its metadata tell neither."""
    try:
        with warnings.catch_warnings():  # of a backport that other packages bring
            warnings.simplefilter("ignore", DeprecationWarning)
            return f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value
    except KeyError:
        return entry.value


def _check_stage(stage: Any) -> None:
    if not (inspect.isclass(stage) and issubclass(stage, Stage)):
        raise _UnsoundPluginError(f"nstflow_stages gives {stage!r}, which is no stage class")
    if slot_of(stage) is None:
        raise _UnsoundPluginError(f"{stage.__name__} derives from no slot's base class")
    use = stage.model_fields["use"]
    if not isinstance(use.default, str) or get_args(use.annotation) != (use.default,):
        raise _UnsoundPluginError(
            f'{stage.__name__} has no name: give it `use: Literal["x"] = "x"`'
        )
    if abstract := ", ".join(sorted(stage.__abstractmethods__)):
        raise _UnsoundPluginError(f"{stage.__name__} lacks {abstract}")


class _UnsoundPluginError(Exception):
    """A plugin that does not keep to the contract; the text says where."""
