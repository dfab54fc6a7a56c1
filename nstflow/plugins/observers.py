"""Observers of a run, called one by one, so that an error in one stops no other."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import pluggy

from nstflow import hookspecs
from nstflow.errors import NstflowWarning, describe_exception, source_path_of, suggest
from nstflow.hookspecs import HOOKS


class Observers:
    """Those who watch one run. One that raises is switched off, and the run goes on.

    Args:
        plugins: Name, package or an empty text, and the object whose methods are hooks.
    """

    def __init__(self, plugins: Sequence[tuple[str, str, object]]) -> None:
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._packages = {name: package for name, package, _ in plugins if package}
        for name, _, plugin in plugins:
            taken = self._manager.has_plugin(name)
            self._manager.register(plugin, None if taken else name)
            for caller in self._manager.get_hookcallers(plugin) or ():
                if not caller.has_spec():
                    hint = suggest(caller.name, HOOKS)
                    raise TypeError(f"{name} has {caller.name}, which is no hook. {hint}")

    def tell(self, hook: str, **news: Any) -> None:
        """Call a hook of every observer; `news` are its arguments."""
        for name, plugin in self._manager.list_name_plugin():
            others = [other for other in self._manager.get_plugins() if other is not plugin]
            try:
                self._manager.subset_hook_caller(hook, others)(**news)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - the run goes on
                self._manager.unregister(plugin)
                of = f" ({self._packages[name]})" if name in self._packages else ""
                warnings.warn(
                    f"the observer '{name}'{of} is switched off: its {hook} raised"
                    f" {describe_exception(error, source_path_of(plugin))}",
                    NstflowWarning,
                    stacklevel=2,
                )
