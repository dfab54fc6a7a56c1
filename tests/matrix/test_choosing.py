"""Which executor an option names."""

from typing import Any

import pytest

from nstflow.builtin.executors.dask import Dask
from nstflow.builtin.executors.processes import Processes
from nstflow.builtin.executors.serial import Serial
from nstflow.matrix.run import choose_executor
from nstflow.plugins.manager import Plugins
from refusals import problems_of


@pytest.mark.parametrize(
    ("written", "settings", "expected"),
    [
        ("serial", {}, Serial()),
        ("processes", {"workers": 3, "threads": None}, Processes(workers=3)),
        ("{use: processes, threads: 2}", {"workers": 4}, Processes(workers=4, threads=2)),
        ("{use: processes, workers: 2}", {"workers": 4}, Processes(workers=4)),
        (None, {"workers": None, "scheduler": None}, Serial()),
        (None, {"threads": 2}, Serial(threads=2)),
        (None, {"workers": 4, "threads": 2}, Processes(workers=4, threads=2)),
        (None, {"scheduler": "tcp://x:1", "workers": None}, Dask(scheduler="tcp://x:1")),
    ],
)
def test_an_executor_by_name_or_as_a_stage(
    written: str | None, settings: dict[str, Any], expected: object
) -> None:
    assert choose_executor(written, settings, Plugins()) == expected


@pytest.mark.parametrize(
    ("written", "settings", "where", "words"),
    [
        ("dsk", {}, "--executor", "no executor is called 'dsk'. Did you mean 'dask'?"),
        ("serial", {"workers": 2}, "--workers", "unknown setting"),
        ("processes", {"workers": 0}, "--workers", "at least 1"),
        ("processes", {"scheduler": "tcp://x:1"}, "--scheduler", "unknown setting"),
        ("{use: processes, wokers: 2}", {}, "--executor", "Did you mean 'workers'?"),
        ("[serial]", {}, "--executor", "must be the name of a stage"),
        ("{", {}, "--executor", ""),
        ("''", {}, "--executor", "no executor is called ''"),
    ],
)
def test_executors_that_are_refused(
    written: str, settings: dict[str, Any], where: str, words: str
) -> None:
    problem = problems_of(choose_executor, written, settings, Plugins())[0]
    assert problem.where.startswith(where)
    assert words in str(problem)


def test_a_plugin_can_offer_one(install: Any) -> None:
    install(
        "nstflow-somewhere",
        """
        from typing import Literal
        from nstflow import Executor, hookimpl

        class Somewhere(Executor):
            \"\"\"Elsewhere.\"\"\"

            use: Literal["somewhere"] = "somewhere"
            queue: str = "short"

            def run(self, jobs, work, tell, stop):
                for job in jobs:
                    yield work(job, tell, stop)

        @hookimpl
        def nstflow_stages():
            return [Somewhere]
        """,
    )
    chosen = choose_executor("{use: somewhere, queue: long}", {}, Plugins())
    assert chosen.queue == "long"  # type: ignore[attr-defined]  # of the plugin's class
