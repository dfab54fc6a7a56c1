"""Every hook there is, in the order in which a run calls them: a plugin author's table of contents.

A plugin is a module, or any object, whose functions carry `@nstflow.hookimpl` and one of these
names. It is found through an entry point of the group `nstflow`. A hook may leave out arguments
that it does not need. `folder` is the run's directory: what tells runs of one process apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from pathlib import Path

    from nstflow.plan import Plan
    from nstflow.stages.result import Progress, Result
    from nstflow.stages.stage import Stage


PROJECT = "nstflow"


hookspec = pluggy.HookspecMarker(PROJECT)


hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def nstflow_stages() -> list[type[Stage]]:  # type: ignore[empty-body]  # a specification
    """Offer stages, of any slot. Called once, before a recipe is read."""


@hookspec
def nstflow_run_started(plan: Plan, folder: Path) -> None:
    """Observe that a run begins: its directory exists, nothing is computed yet."""


@hookspec
def nstflow_progress(progress: Progress, folder: Path) -> None:
    """Observe a dispatch, a few times a second. The run waits until the hook returns.

    An observer that raises is disabled with a warning, and the run continues. This holds for all
    four observing hooks.
    """


@hookspec
def nstflow_run_finished(result: Result) -> None:
    """Observe that a run ended, at its last step or interrupted; its files are written."""


@hookspec
def nstflow_run_failed(plan: Plan, error: BaseException, folder: Path) -> None:
    """Observe that a run failed with an error."""


HOOKS = tuple(name for name in dict(globals()) if name.startswith(f"{PROJECT}_"))
"""The names of all of them, in that order."""
