"""What every display shows of a run: how much of it is done, how fast it is, how it ended."""

from __future__ import annotations

from collections.abc import Mapping

from nstflow.plan import Plan
from nstflow.stages.result import Progress, Result
from nstflow.stages.text import duration_text, loss_text
from nstflow.storage.run_record import HISTORY_FILE


class FractionDone:
    """How much of a run's time is over, from 0 to 1: a step takes as long as its pixels are many.

    A phase that ends before its last step counts as done.
    """

    def __init__(self, plan: Plan) -> None:
        self._steps, self._scales = plan.steps_of, [phase.scale for phase in plan.phases]
        self._total = self._work(len(self._steps), 0)
        self._phase, self._first = -1, 0

    def after(self, progress: Progress) -> float:
        """Return what is done after a dispatch; each dispatch is passed once, in order."""
        if progress.phase != self._phase:
            before = progress.step - len(progress.total)
            is_known = self._phase >= 0  # else it was resumed, perhaps in the middle of the phase
            self._first = before if is_known else min(before, sum(self._steps[: progress.phase]))
            self._phase = progress.phase
        return self._work(progress.phase, progress.step - self._first) / self._total

    def _work(self, phase: int, steps: int) -> float:
        """Return what the phases before one and some of its steps take, in steps at full size."""
        counts = [*self._steps[:phase], steps]
        return sum(n * scale**2 for n, scale in zip(counts, self._scales, strict=False))


def rate_text(progress: Progress) -> str:
    """Return how fast the steps are, on average."""
    rate = progress.step / progress.seconds[-1]
    return f"{rate:.2f} steps/s" if rate >= 1 else f"{1 / rate:.2f} s/step"


def losses_text(losses: Mapping[str, float]) -> list[str]:
    """Return each loss with its name, the total left out."""
    return [f"{name} {loss_text(value)}" for name, value in losses.items() if name != "total"]


def facts_of(result: Result, *, show_files: bool = True) -> list[tuple[str, str]]:
    """Return label and value of what a person wants to know of a run that has ended."""
    steps = len(result.history["step"])
    compiling = duration_text(result.compile_seconds)
    rest = f"{compiling} to compile, {duration_text(result.total_seconds)} in all"
    total, terms = loss_text(result.losses["total"]), ", ".join(losses_text(result.losses))
    rows = [
        ("time", f"{duration_text(result.seconds)} for {steps} steps; {rest}"),
        ("loss so far" if result.interrupted else "final loss", f"{total}  ({terms})"),
        ("device", result.device),
    ]
    if result.interrupted:
        rows.insert(0, ("stopped", f"after step {steps} of {result.plan.steps}"))
    if show_files:
        rows += [("picture", str(file)) for file in result.files]
        rows.append(("history", str(result.folder / HISTORY_FILE)))
    return rows
