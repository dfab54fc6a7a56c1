"""The observers of a run: called one by one, so that an error in one does not affect others."""

import warnings
from collections.abc import Sequence
from typing import Any

import pluggy

from nstflow import hookspecs
from nstflow.errors import NstflowWarning, describe_exception, source_path_of, suggest
from nstflow.hookspecs import HOOKS


class InvalidPluginError(Exception):
    """A plugin that does not meet its contract; the text says why."""


class HookManager(pluggy.PluginManager):
    """Pluggy's manager, for nstflow's hooks; it can call a hook of one plugin."""

    def __init__(self) -> None:
        super().__init__(hookspecs.PROJECT)
        self.add_hookspecs(hookspecs)

    def hooks_of(self, plugin: object) -> list[str]:
        """Return the hooks that a registered plugin implements.

        Raises:
            InvalidPluginError: There is no hook of one of their names.
        """
        hooks = [caller.name for caller in self.get_hookcallers(plugin) or ()]
        for hook in hooks:
            if hook not in HOOKS:
                raise InvalidPluginError(f"there is no hook {hook}. {suggest(hook, HOOKS)}")
        return hooks

    def call(self, plugin: object, hook: str, **arguments: Any) -> list[Any]:
        """Call a hook of one plugin; the result is empty if it does not implement that."""
        others = [other for other in self.get_plugins() if other is not plugin]
        results: list[Any] = self.subset_hook_caller(hook, others)(**arguments)
        return results


class Observers:
    """The observers of one run. One that raises is switched off, and the run continues.

    Args:
        plugins: Name, package or an empty text, and the object whose methods are hooks.

    Raises:
        TypeError: An object implements a hook that does not exist.
    """

    def __init__(self, plugins: Sequence[tuple[str, str, object]]) -> None:
        self._manager = HookManager()
        self._packages = {name: package for name, package, _ in plugins if package}
        for name, _, plugin in plugins:
            taken = self._manager.has_plugin(name)
            self._manager.register(plugin, None if taken else name)
            try:
                self._manager.hooks_of(plugin)
            except InvalidPluginError as error:
                raise TypeError(f"the observer '{name}' can't be used: {error}") from error

    def notify(self, hook: str, **arguments: Any) -> None:
        """Call a hook of every observer."""
        for name, plugin in self._manager.list_name_plugin():
            try:
                self._manager.call(plugin, hook, **arguments)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - the run continues
                self._manager.unregister(plugin)
                of = f" ({self._packages[name]})" if name in self._packages else ""
                warnings.warn(
                    f"the observer '{name}'{of} is switched off: its {hook} raised"
                    f" {describe_exception(error, source_path_of(plugin))}",
                    NstflowWarning,
                    stacklevel=2,
                )
