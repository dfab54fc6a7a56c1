"""All hooks, in the order in which a run calls them.

A plugin is a module, or any object, with functions that have one of these names and the decorator
`@nstflow.hookimpl`. It is found through an entry point in the group `nstflow`. A hook can leave out
arguments that it does not need. `folder` is the run's directory; use it to distinguish the runs of
one process.
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
    """Return stage classes, of any slot. Called before a recipe is read."""


@hookspec
def nstflow_recipes() -> list[Path]:  # type: ignore[empty-body]  # a specification
    """Return recipe files, such as `Path(__file__).with_name("dots.yaml")`. Called as above.

    The name of this recipe is `dots`. `nstflow recipes` lists it with its package, and commands
    take the name in place of a path. Pictures must be in the recipe's folder or below it:
    `nstflow copy` copies them with the recipe.

    A file in a folder called `layers` is a layer: it has only the keys that it changes, and
    `--with` takes its name.
    """


@hookspec
def nstflow_run_started(plan: Plan, folder: Path) -> None:
    """Called when a run starts. Its directory exists; nothing is computed yet."""


@hookspec
def nstflow_progress(progress: Progress, folder: Path) -> None:
    """Called after each dispatch, a few times a second. The run waits until the hook returns.

    If this hook or one of the `nstflow_run_…` hooks raises an exception, the observer is switched
    off with a warning, and the run continues.
    """


@hookspec
def nstflow_run_finished(result: Result) -> None:
    """Called when a run has ended, finished or interrupted. Its files are written."""


@hookspec
def nstflow_run_failed(plan: Plan, error: BaseException, folder: Path) -> None:
    """Called when a run has failed with an error."""


HOOKS = (
    "nstflow_stages",
    "nstflow_recipes",
    "nstflow_run_started",
    "nstflow_progress",
    "nstflow_run_finished",
    "nstflow_run_failed",
)
"""The names of all hooks, in that order."""
