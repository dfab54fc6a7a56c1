"""Executors: each run is made once, whatever happens to the processes."""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nstflow import Executor, Job, JobProgress, JobResult, NstflowError, Stop
from nstflow.builtin.executors import dask
from nstflow.builtin.executors import processes as module
from nstflow.builtin.executors.dask import Dask, probe
from nstflow.builtin.executors.machine import gpus_here
from nstflow.builtin.executors.processes import Processes
from nstflow.builtin.executors.serial import Serial


def jobs(folder: Path, count: int = 4) -> list[Job]:
    return [Job(f"job-{n}", "", folder / f"job-{n}") for n in range(count)]


def ignore(_: JobProgress) -> None:
    pass


# what workers do: functions of a module, so that another process finds them


def note(job: Job, tell: Any, stop: Stop) -> JobResult:  # noqa: ARG001 - what work takes
    """Leave a line with the process in the job's file."""
    tell(JobProgress(job.name, 1, 2))
    with job.folder.open("a") as file:
        file.write(f"{os.getpid()} {job.threads} {job.resume} {job.overwrite}\n")
    return JobResult(job.name, "finished", steps=2)


def die_once(job: Job, tell: Any, stop: Stop) -> JobResult:
    """End the process in the middle of job 1, the first time."""
    if job.name == "job-1" and not job.resume:
        tell(JobProgress(job.name, 1, 2))
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGKILL)
    return note(job, tell, stop)


def die_early(job: Job, tell: Any, stop: Stop) -> JobResult:
    """End the process before the first step of job 1, the first time."""
    mark = job.folder.with_suffix(".died")
    if job.name == "job-1" and not mark.exists():
        mark.touch()
        os._exit(3)
    return note(job, tell, stop)


def die(job: Job, tell: Any, stop: Stop) -> JobResult:
    """End the process in the middle of job 1, each time."""
    if job.name == "job-1":
        os._exit(3)
    return note(job, tell, stop)


def until_stopped(job: Job, tell: Any, stop: Stop) -> JobResult:
    """Work until it is time to stop."""
    for _ in range(600):
        tell(JobProgress(job.name, 1, 2))
        if stop.requested:
            return JobResult(job.name, "stopped", steps=1)
        time.sleep(0.05)
    return JobResult(job.name, "finished", steps=2)


def lines(job: Job) -> list[list[str]]:
    return [line.split() for line in job.folder.read_text().splitlines()]


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let other processes import this module by the name that it has here."""
    folder = Path(__file__).parent
    module = sys.modules[__name__]
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setitem(sys.modules, "test_executors", module)
    for function in (note, die_once, die_early, die, until_stopped, report_gpu):
        monkeypatch.setattr(function, "__module__", "test_executors")


ALL = [
    Serial(),
    Processes(workers=2, threads=1),
    Processes(workers=9, threads=3),
    Dask(workers=2, threads=1),
]


@pytest.mark.parametrize("executor", ALL, ids=str)
def test_every_run_is_made_once(executor: Executor, tmp_path: Path) -> None:
    events: list[JobProgress] = []
    given = jobs(tmp_path)
    results = list(executor.run(given, note, events.append, Stop()))
    assert sorted(result.name for result in results) == [job.name for job in given]
    assert sorted(event.name for event in events) == [job.name for job in given]
    made = [lines(job) for job in given]
    assert [len(each) for each in made] == [1] * 4
    threads = getattr(executor, "threads", None)
    assert {each[0][1] for each in made} == {str(threads)}
    processes = {each[0][0] for each in made}
    assert (str(os.getpid()) in processes) == isinstance(executor, Serial)
    assert len(processes) <= (1 if isinstance(executor, Serial) else executor.workers or 0)


@pytest.mark.parametrize("executor", ALL, ids=str)
def test_no_run_begins_after_a_request_to_stop(executor: Executor, tmp_path: Path) -> None:
    stop = Stop()
    stop.request()
    assert list(executor.run(jobs(tmp_path), note, ignore, stop)) == []
    assert not any(tmp_path.iterdir())
    assert list(executor.run([], note, ignore, Stop())) == []


@pytest.mark.parametrize("executor", [ALL[0], ALL[1], ALL[3]], ids=str)
def test_current_runs_are_asked_to_stop(executor: Executor, tmp_path: Path) -> None:
    stop = Stop()

    def tell(_: JobProgress) -> None:
        stop.request()

    results = list(executor.run(jobs(tmp_path), until_stopped, tell, stop))
    assert {result.state for result in results} == {"stopped"}
    assert len(results) in ((1,) if isinstance(executor, Serial) else (1, 2))


@pytest.mark.parametrize("executor", [ALL[1], ALL[3]], ids=str)
@pytest.mark.parametrize("work", [die_once, die_early])
def test_a_run_is_resumed_in_another_process(
    tmp_path: Path, executor: Executor, work: Callable[..., JobResult]
) -> None:
    given = jobs(tmp_path)
    results = list(executor.run(given, work, ignore, Stop()))
    assert sorted((r.name, r.state) for r in results) == [(j.name, "finished") for j in given]
    assert [line[2:] for line in lines(given[1])] == [["True", "True"]]  # resume, or begin anew
    assert [len(lines(job)) for job in given] == [1] * 4


def test_a_process_that_dies_while_idle(tmp_path: Path) -> None:
    given = jobs(tmp_path, 3)
    ends = []
    for result in Processes(workers=1).run(given, note, ignore, Stop()):
        ends.append(result)
        if len(ends) == 1:
            pid = int(lines(given[0])[0][0])
            os.kill(pid, signal.SIGKILL)
            time.sleep(0.3)
    assert [(end.name, end.state) for end in ends] == [(job.name, "finished") for job in given]


def test_a_run_whose_process_dies_twice_has_failed(tmp_path: Path) -> None:
    given = jobs(tmp_path)
    results = {o.name: o for o in Processes(workers=2).run(given, die, ignore, Stop())}
    assert {name: each.state for name, each in results.items()} == {
        **{job.name: "finished" for job in given},
        "job-1": "failed",
    }
    assert results["job-1"].problems[0].got == "its process died (exit code 3)."


def test_no_process_is_left_when_the_caller_stops_asking(tmp_path: Path) -> None:
    running = Processes(workers=2, threads=1).run(jobs(tmp_path), note, ignore, Stop())
    next(running)
    assert len(multiprocessing.active_children()) == 2
    running.close()  # type: ignore[attr-defined]  # a generator
    assert multiprocessing.active_children() == []


def test_gpus_are_those_that_this_process_may_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("0000:01:00.0", "0000:41:00.0"):
        (tmp_path / name).mkdir()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpus_here(tmp_path) == ["0", "1"]
    assert gpus_here(tmp_path / "none") == []
    for value, expected in (("3", ["3"]), ("", []), ("-1", []), ("2, GPU-ab", ["2", "GPU-ab"])):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
        assert gpus_here(tmp_path) == expected


def test_each_process_has_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    given = jobs(tmp_path, 2)
    results = list(Processes().run(given, report_gpu, ignore, Stop()))
    assert {result.device for result in results} == {"5", "7"}
    cpu = [Job(job.name, "", job.folder, device="cpu") for job in given]
    results = list(Processes(workers=1).run(cpu, report_gpu, ignore, Stop()))
    assert {result.device for result in results} == {"5,7"}


def report_gpu(job: Job, tell: Any, stop: Stop) -> JobResult:  # noqa: ARG001 - what work takes
    time.sleep(1)  # so that none takes both
    return JobResult(job.name, "finished", device=os.environ["CUDA_VISIBLE_DEVICES"])


@pytest.mark.parametrize(
    ("options", "cores", "count", "threads"),
    [
        ({}, 4, 3, 2),
        ({}, 8, 3, 2),  # no more workers than runs
        ({"workers": 2}, 8, 3, 4),
        ({"workers": 2, "threads": 5}, 8, 2, 5),
        ({"workers": 3}, 2, 3, 1),
    ],
)
def test_cores_are_shared(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, int],
    cores: int,
    count: int,
    threads: int,
) -> None:
    monkeypatch.setattr(module, "cores", lambda: cores)
    given = jobs(tmp_path, count)
    list(Processes(**options).run(given, note, ignore, Stop()))
    assert {lines(job)[0][1] for job in given} == {str(threads)}


def test_an_existing_cluster(tmp_path: Path) -> None:
    """Each run takes a GPU of those that the workers say they have."""
    from distributed import LocalCluster

    given = jobs(tmp_path)
    cluster = LocalCluster(
        n_workers=2, threads_per_worker=2, resources={"GPU": 1}, dashboard_address=":0"
    )
    with cluster:
        executor = Dask(scheduler=cluster.scheduler_address, threads=1)
        results = list(executor.run(given, note, ignore, Stop()))
        again = [Job(job.name, "", tmp_path / f"{job.name}-again") for job in given]
        assert len(list(executor.run(again, note, ignore, Stop()))) == 4  # it still exists
    assert sorted(result.name for result in results) == [job.name for job in given]
    assert [len(lines(job)) for job in given] == [1] * 4
    assert not list(tmp_path.glob(".nstflow-*"))


class Cluster:
    """A client whose workers give these answers."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers

    def nthreads(self) -> dict[str, int]:
        return dict.fromkeys(self.answers, 1)

    def run(self, *_: object, **__: object) -> dict[str, Any]:
        return self.answers


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"tcp://a:1": False, "tcp://b:2": OSError("it is full")}, "b:2 (it is full"),
        ({"tcp://a:1": ModuleNotFoundError("No module named 'nstflow'")}, "a:1 (No module"),
        ({}, "the cluster has no worker"),
    ],
)
def test_workers_that_can_not_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: dict[str, Any], words: str
) -> None:
    monkeypatch.setattr(dask, "START_TIMEOUT", 0)
    with pytest.raises(NstflowError) as caught:
        dask._check_workers(Cluster(answers), tmp_path, Stop())
    assert words in str(caught.value)
    stop = Stop()
    stop.request()
    assert not dask._check_workers(Cluster({}), tmp_path, stop)  # no need to wait for workers


def test_a_worker_that_can_not_use_the_folder(tmp_path: Path) -> None:
    worker = SimpleNamespace(state=SimpleNamespace(total_resources={"GPU": 1}))
    with pytest.raises(FileNotFoundError):
        probe(tmp_path, worker)
    (tmp_path / "owner").write_text("another")
    with pytest.raises(OSError, match="the storage is not shared"):
        probe(tmp_path, worker)
    (tmp_path / "owner").write_text(tmp_path.name)
    assert probe(tmp_path, worker)
    worker.state.total_resources = {}
    assert not probe(tmp_path, worker)


def test_flags_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    old = tmp_path / ".nstflow-dask-0123"
    old.mkdir()
    (old / "owner").touch()
    with dask._flag_folder(tmp_path / ".nstflow-dask-new"):
        assert [path.name for path in tmp_path.iterdir()] == [".nstflow-dask-new"]
    assert not list(tmp_path.iterdir())
