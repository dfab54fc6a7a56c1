"""The progress of a run in a notebook: one output, updated in place."""

from __future__ import annotations

import base64
import html
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from nstflow.errors import NstflowError, printable
from nstflow.hookspecs import hookimpl
from nstflow.runner.progress import FractionDone, facts_of, losses_text, rate_text
from nstflow.stages.text import duration_text, html_table, loss_text
from nstflow.stages.types import Image, size_text

if TYPE_CHECKING:
    from nstflow.plan import Plan
    from nstflow.stages.result import Progress, Result

_EVERY = 0.5
"""Seconds between two updates, at least: more of them would flicker."""

_PICTURE_EVERY, _PICTURE_SHARE = 2.0, 0.05
"""Seconds between two pictures, at least, and the share of the time that they may take."""

_LONGEST_SIDE, _QUALITY = 384, 85
"""Of the pictures: JPEG files in the notebook until the next update."""


def is_notebook() -> bool:
    """Return whether this is the process of a notebook: IPython with a kernel, not a terminal's."""
    ask = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return getattr(ask() if ask else None, "kernel", None) is not None


def displays(observers: Iterable[object], *, quiet: bool) -> list[object]:
    """Return the display that a run needs here, if any, in a list.

    There is none if the output is not a notebook's, or if an observer is a display: it has the
    attribute `shows_progress = True`.
    """
    shown = quiet or any(getattr(each, "shows_progress", False) for each in observers)
    return [] if shown or not is_notebook() else [NotebookDisplay()]


class NotebookDisplay:
    """Watches one run, as the output of the cell that runs it.

    While the run lasts: a bar, the time left, the losses and, now and then, the picture. In the
    end: the times, the losses and the files. A frontend without HTML shows one line of text.
    """

    shows_progress = True

    def __init__(self) -> None:
        self._handle: Any = None
        self._picture = ""
        self._next = self._next_picture = 0.0

    @hookimpl
    def nstflow_run_started(self, plan: Plan) -> None:
        """Show what is about to be done."""
        recipe = plan.recipe
        self._name, self._summary = recipe.name, recipe.summary
        self._fraction = FractionDone(plan)
        missing = [asset for asset in plan.assets if asset.fetch and not asset.present]
        first = "".join(f"fetching the {asset.name} ({asset.note}), " for asset in missing)
        what = f"{size_text(plan.canvas)} pixels, {plan.steps} steps"
        self._show(0.0, [what, f"{first}compiling"])

    @hookimpl
    def nstflow_progress(self, progress: Progress) -> None:
        """Update the output, if the last update is long enough ago."""
        done = self._fraction.after(progress)
        self._lines = [
            f"step {progress.step}/{progress.steps}, epoch {progress.epoch}/{progress.epochs}",
            rate_text(progress),
        ]
        now = time.monotonic()
        if now < self._next:
            return
        if now >= self._next_picture:
            self._take(progress)
        left = round(progress.seconds[-1] * (1 - done) / done)
        terms = losses_text({name: values[-1] for name, values in progress.losses.items()})
        losses = f"loss {loss_text(progress.total[-1])} ({', '.join(terms)})"
        self._show(done, [*self._lines, f"about {duration_text(left)} left"], losses)
        self._next = time.monotonic() + _EVERY

    @hookimpl
    def nstflow_run_finished(self, result: Result) -> None:
        """Show the times, the losses and the files; the result itself shows the picture."""
        rows = facts_of(result)
        total = loss_text(result.losses["total"])
        state = "stopped" if result.interrupted else "finished"
        steps = f"{len(result.history['step'])} steps in {duration_text(result.seconds)}"
        files = ", ".join(str(file) for file in result.files)
        text = f"{self._name}: {state}, {steps}, loss {total}, {files}"
        self._update(text, html_table(self._name, self._summary, rows))

    @hookimpl
    def nstflow_run_failed(self, error: BaseException) -> None:
        """Say where the run ended; the error is shown by the notebook."""
        how = "stopped" if isinstance(error, KeyboardInterrupt) else "failed"
        self._picture = ""
        self._show(None, [how, *getattr(self, "_lines", ["before the first step"])])

    def _take(self, progress: Progress) -> None:
        """Take the picture as it is now; the next one is taken later if this took long."""
        began = time.monotonic()
        try:
            self._picture = _html_of(progress.canvas())
        except NstflowError:  # numbers that are not finite: the run says so
            self._picture = ""
        ended = time.monotonic()
        self._next_picture = ended + max(_PICTURE_EVERY, (ended - began) / _PICTURE_SHARE)

    def _show(self, done: float | None, parts: list[str], losses: str = "") -> None:
        """Show the state of a run that lasts, with a bar unless `done` is None."""
        value = f' value="{done:.4f}"' if done else ""  # without one, the bar moves to and fro
        bar = "" if done is None else f'<progress max="1"{value}></progress> '
        lines = [f"<b>{html.escape(self._name)}</b> {html.escape(printable(self._summary))}"]
        lines += [bar + html.escape(" · ".join(parts)), html.escape(losses), self._picture]
        text = ", ".join(filter(None, [*parts, losses]))
        self._update(f"{self._name}: {text}", "<br>".join(filter(None, lines)))

    def _update(self, text: str, markup: str) -> None:
        from IPython.display import display

        data = {"text/plain": text, "text/html": markup}
        if self._handle is None:
            self._handle = display(data, raw=True, display_id=True)
        else:
            self._handle.update(data, raw=True)


def _html_of(image: Image) -> str:
    """Return a small picture as HTML, decoded with the rest, so that the output does not blink."""
    data, (height, width) = image.encode("JPEG", _LONGEST_SIDE, quality=_QUALITY)
    source = f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
    size = f'width="{width}" height="{height}"'
    return f'<img src="{source}" {size} decoding="sync" alt="the picture so far">'
