"""The observers of a run: called one by one, so that an error in one does not affect others."""

import warnings
from collections.abc import Sequence
from typing import Any

import pluggy

from nstflow import hookspecs
from nstflow.errors import NstflowWarning, describe_exception, source_path_of, suggest


class InvalidPluginError(Exception):
    """A plugin that does not meet its contract; the text says why."""


class PluginHooks:
    """The hooks of one plugin, or of another object that observes; `names` are those it has.

    Raises:
        InvalidPluginError: It implements a hook that does not exist.
        pluggy.PluginValidationError: A hook has an argument that does not exist.
    """

    def __init__(self, name: str, plugin: object) -> None:
        self.plugin = plugin
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._manager.register(plugin, name)
        self.names = [caller.name for caller in self._manager.get_hookcallers(plugin) or ()]
        for hook in self.names:
            if hook not in hookspecs.HOOKS:
                near = suggest(hook, hookspecs.HOOKS)
                near = f" ({near.replace('Did', 'did')})" if near else ""
                raise InvalidPluginError(f"there is no hook {hook}{near}")

    def call(self, hook: str, **arguments: Any) -> list[Any]:
        """Call a hook; the result is empty if the plugin does not implement it."""
        results: list[Any] = getattr(self._manager.hook, hook)(**arguments)
        return results


class Observers:
    """The observers of one run. One that raises is switched off, and the run continues.

    Args:
        observers: What each is called for people, and its hooks.
    """

    def __init__(self, observers: Sequence[tuple[str, PluginHooks]]) -> None:
        self._observers = list(observers)

    def notify(self, hook: str, **arguments: Any) -> None:
        """Call a hook of every observer."""
        for title, hooks in tuple(self._observers):
            try:
                hooks.call(hook, **arguments)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - the run continues
                self._observers.remove((title, hooks))
                warnings.warn(
                    f"the observer {title} is switched off: its {hook} raised"
                    f" {describe_exception(error, source_path_of(hooks.plugin))}",
                    NstflowWarning,
                    stacklevel=2,
                )
