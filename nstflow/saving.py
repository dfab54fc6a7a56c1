"""When a run saves what it has."""

from __future__ import annotations

import time

from nstflow.optimization import Optimization
from nstflow.recipe.schema import Checkpoints
from nstflow.result import Progress
from nstflow.store import RunDirectory

SECONDS_PER_HISTORY = 2.0
"""How old the history on the disk may be at the end of an epoch."""


class Saving:
    """Writes the checkpoints and the history of a run, as often as its recipe says."""

    def __init__(
        self, directory: RunDirectory, optimization: Optimization, often: Checkpoints
    ) -> None:
        self._directory, self._optimization, self._often = directory, optimization, often
        self._saved = time.monotonic()
        self._written = 0.0

    def after(self, progress: Progress) -> None:
        """Save what is due after a dispatch; the last one is saved by `now`."""
        if progress.step == progress.steps:
            return
        seconds, steps = self._often.every_seconds, self._often.every_steps
        late = seconds is not None and time.monotonic() - self._saved >= seconds
        if late or (steps is not None and progress.step % steps == 0):
            self._directory.save(self._optimization.checkpoint())
            self._saved = time.monotonic()
        # the file is written whole each time: not for every one of many short epochs
        if progress.ends_epoch and time.monotonic() - self._written > SECONDS_PER_HISTORY:
            self._directory.write_history(self._optimization.history)
            self._written = time.monotonic()

    def now(self) -> None:
        """Save everything."""
        self._directory.save(self._optimization.checkpoint())
        self._directory.write_history(self._optimization.history)
