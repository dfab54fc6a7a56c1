"""One run of a matrix as plain data: the job, its progress, its result; and how to stop it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from nstflow.errors import Problem

if TYPE_CHECKING:
    from nstflow.plugins.single_file import PluginFile


class Stop:
    """A request to stop a run after the current dispatch; may be made from any thread.

    Attributes:
        requested: Whether it was made.
        signal: The number of the signal that made it, or 0.
        polled: Whether the run checks it between dispatches; before that, a signal is raised as
            `KeyboardInterrupt`.
    """

    def __init__(self) -> None:
        self.requested = False
        self.signal = 0
        self.polled = False

    def request(self, number: int = 0) -> None:
        """Make the request."""
        self.requested, self.signal = True, number

    @property
    def patient(self) -> bool:
        """Return `polled`; the old name, deprecated."""
        return self.polled

    @patient.setter
    def patient(self, polled: bool) -> None:
        self.polled = polled


@dataclass(frozen=True)
class Job:
    """A run for a worker to make: text, numbers and paths only, so that it can be sent anywhere.

    Attributes:
        name: The name of the run in its matrix.
        lock: The lockfile of the run as text. The worker refuses the run if a file, the weights or
            a plugin differs. Relative paths in it start at `folder`.
        folder: The run directory.
        overwrite: Replace an existing run.
        resume: Resume an existing run; with `overwrite` too, replace one that can't be resumed.
        device: Where to compute: `auto`, `cpu` or `gpu`.
        metadata: Store the lockfile in the picture.
        plugins: Plugin files, with their contents.
        threads: The number of threads to compute with on a CPU; by default one per core.
    """

    name: str
    lock: str = field(repr=False)
    folder: Path
    overwrite: bool = False
    resume: bool = False
    device: Literal["auto", "cpu", "gpu"] = "auto"
    metadata: bool = True
    threads: int | None = None
    plugins: tuple[PluginFile, ...] = ()

    def again(self) -> Job:
        """Return the job for another worker, after the first one died during the run."""
        return replace(self, resume=True, overwrite=True)


@dataclass(frozen=True)
class JobProgress:
    """The progress of a job.

    Attributes:
        name: The name of the job.
        step: The number of steps so far; 0 when a worker starts the job.
        steps: The number of steps of the whole run.
        total: The sum of the losses at that step.
    """

    name: str
    step: int
    steps: int
    total: float = float("nan")


@dataclass(frozen=True)
class JobResult:
    """How the run of a job ended.

    Attributes:
        name: The name of the job.
        state: `finished`, `stopped` between two steps, or `failed`.
        steps: The number of steps taken.
        seconds: The time of these steps, without compilation.
        compile_seconds: The time of compiling, and of computing the features of the references.
        total_seconds: The time of the whole run, or of its last part if it was resumed.
        losses: `total` and each term → its value at the last step.
        halfway: The total after half of the steps.
        files: The files that the outputs wrote.
        device: The device that computed it.
        already: Whether the run had ended before, so that nothing was computed.
        resumed_from: The step of the checkpoint that it resumed from; 0 if it was not resumed.
        problems: Why it failed.
        trace: The traceback of a bug, or an empty string.
        notes: The warnings, in order.
    """

    name: str
    state: Literal["finished", "stopped", "failed"]
    steps: int = 0
    seconds: float = 0.0
    compile_seconds: float = 0.0
    total_seconds: float = 0.0
    losses: Mapping[str, float] = field(default_factory=dict)
    halfway: float = float("nan")
    files: tuple[Path, ...] = ()
    device: str = ""
    already: bool = False
    resumed_from: int = 0
    problems: tuple[Problem, ...] = ()
    trace: str = field(default="", repr=False)
    notes: tuple[str, ...] = ()

    @classmethod
    def lost(cls, name: str, what: str) -> JobResult:
        """Return the result of a job whose worker died."""
        hint = "`--resume` continues from its last checkpoint."
        return cls(name, "failed", problems=(Problem(name, "", what, hint),))


Tell: TypeAlias = Callable[[JobProgress], None]
Work: TypeAlias = Callable[[Job, Tell, Stop], JobResult]
"""Makes one run, reports its progress and never raises; a module-level function, so that it can be
pickled."""
