"""One run after another, in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

from pydantic import Field

from nstflow import Executor, Job, JobResult, Stop, Tell, Work


class Serial(Executor):
    """Carry out one run after another, in this process."""

    use: Literal["serial"] = "serial"
    threads: int | None = Field(
        None, ge=1, le=1024, description="Threads to compute with; by default all cores."
    )

    def run(self, jobs: Sequence[Job], work: Work, tell: Tell, stop: Stop) -> Iterator[JobResult]:
        """Yield how each run ended."""
        for job in jobs:
            if stop.requested:
                return
            yield work(replace(job, threads=self.threads), tell, stop)
