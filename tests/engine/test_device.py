"""Where the engine computes, with a GPU and without, and what decides how it rounds."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from nstflow.engine.device import choose_device, environment, processor, use_threads
from refusals import refused


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: [])


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("choice", ["auto", "cpu"])
@pytest.mark.parametrize("deterministic", [True, False])
def test_without_a_gpu_the_cpu_computes(choice: str, deterministic: bool) -> None:
    device = choose_device(choice, deterministic=deterministic)
    assert device.name == "/CPU:0"
    assert device.title.startswith("CPU ")


def test_the_cpu_computes_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    grows = []
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: ["one"])
    monkeypatch.setattr(
        tf.config.experimental,
        "set_memory_growth",
        lambda gpu, enable: grows.append(gpu),  # noqa: ARG005
    )
    assert choose_device("cpu", deterministic=True).name == "/CPU:0"
    assert grows == ["one"]  # a later run of this process may take it


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="only Linux has it")
def test_the_title_counts_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5, 7})
    threads = tf.config.threading, "get_intra_op_parallelism_threads"
    monkeypatch.setattr(*threads, lambda: 0)
    assert choose_device("auto", deterministic=True).title == f"{processor()}, 3 threads"
    monkeypatch.setattr(*threads, lambda: 2)
    assert choose_device("auto", deterministic=True).title == f"{processor()}, 2 threads"


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize(("value", "count"), [("7", 7), ("0", 3), ("many", 3), ("", 3)])
def test_the_title_has_the_threads_that_the_environment_sets(
    value: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nstflow.engine.device._affinity", lambda: 3)
    monkeypatch.setattr(tf.config.threading, "get_intra_op_parallelism_threads", lambda: 0)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", value)
    device = choose_device("auto", deterministic=True)
    assert device.title == f"{processor()}, {count} threads"
    chosen: list[int] = []
    monkeypatch.setattr(tf.config.threading, "set_intra_op_parallelism_threads", chosen.append)
    use_threads(count)
    assert chosen == []
    use_threads(2)
    assert chosen == [2]


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize(
    ("limit", "variable", "running", "chosen"),
    [(4, "", False, 4), (64, "", False, 16), (4, "9", False, 9), (4, "", True, 16)],
)
def test_a_container_limits_the_threads(
    limit: int, variable: str, running: bool, chosen: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = [0]

    def set_count(value: int) -> None:
        if running:
            raise RuntimeError("it is too late")
        count[0] = value

    threading = tf.config.threading
    monkeypatch.setattr("nstflow.engine.device._affinity", lambda: 16)
    monkeypatch.setattr("nstflow.engine.device.core_limit", lambda *_: limit)
    monkeypatch.setattr(threading, "get_intra_op_parallelism_threads", lambda: count[0])
    monkeypatch.setattr(threading, "set_intra_op_parallelism_threads", set_count)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", variable)
    device = choose_device("cpu", deterministic=True)
    assert device.title == f"{processor()}, {chosen} threads"
    assert device.whole


@pytest.mark.usefixtures("no_gpu")
def test_the_title_has_onednn_where_other_code_started_tensorflow_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "oneDNN" not in choose_device("auto", deterministic=True).title
    port = importlib.import_module("tensorflow.python.util._pywrap_util_port")
    monkeypatch.setattr(port, "IsMklEnabled", lambda: True)
    assert choose_device("auto", deterministic=True).title.startswith(f"{processor()}, oneDNN, ")


def test_onednn_is_off_whatever_the_environment_says() -> None:
    program = (
        "from nstflow.stages.tensorflow import tf\n"
        "tf.constant(1)\n"
        "from nstflow.engine.device import choose_device\n"
        "print(choose_device('cpu', deterministic=True).title)\n"
        "from tensorflow.python.util._pywrap_util_port import IsMklEnabled\n"
        "print(IsMklEnabled())\n"
    )
    variables = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "1"}
    lines = subprocess.check_output([sys.executable, "-c", program], text=True, env=variables)
    title, enabled = lines.splitlines()
    assert "oneDNN" not in title
    assert enabled == "False"


@pytest.mark.parametrize(
    ("name", "value", "recorded"),
    [
        ("NVIDIA_TF32_OVERRIDE", "0", "0"),
        ("ONEDNN_MAX_CPU_ISA", "AVX2", "AVX2"),
        ("OPENBLAS_CORETYPE", "Haswell", "Haswell"),
        ("XLA_FLAGS", " --xla_a=1   --xla_b ", "--xla_a=1 --xla_b"),
        ("XLA_FLAGS", "--xla_dump_to=dump --xla_a", "--xla_a"),
        ("XLA_FLAGS", "--xla_dump_to=/home/me/dump", None),
        ("TF_XLA_FLAGS", "--tf_xla_auto_jit=2", "--tf_xla_auto_jit=2"),
        ("TF_XLA_FLAGS", "--tf_xla_persistent_cache_directory=cache", None),
        ("TF_XLA_FLAGS", "--tf_xla_a=/home/me/a --tf_xla_b=C:\\me", None),
        ("XLA_FLAGS", "/no/such/file", None),
        ("XLA_FLAGS", "", None),
        ("XLA_FLAGS", "--xla_a=\udcff", "--xla_a=?"),
        ("TF_VAR_password", "secret", None),  # of Terraform
        ("TF_ENABLE_ONEDNN_OPTS", "1", None),  # nstflow sets it
        ("TF_NUM_INTRAOP_THREADS", "1", None),  # in the device's title
    ],
)
def test_environment_that_changes_how_numbers_round(
    name: str, value: str, recorded: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = environment()
    monkeypatch.setenv(name, value)
    assert environment() == before | ({name: recorded} if recorded else {})


def test_flags_in_a_file_are_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "flags").write_text("--xla_a=1\n--xla_b\n")
    monkeypatch.setenv("XLA_FLAGS", str(tmp_path / "flags"))
    assert environment()["XLA_FLAGS"] == "--xla_a=1 --xla_b"


@pytest.mark.usefixtures("no_gpu")
def test_a_gpu_that_is_asked_for_and_missing_is_an_error() -> None:
    problem = refused(choose_device, "gpu", deterministic=True)
    assert problem.where == "--device gpu"
    assert "TensorFlow sees no GPU" in problem.got
    assert "--device auto" in problem.hint


@pytest.mark.parametrize("choice", ["auto", "gpu"])
@pytest.mark.parametrize("deterministic", [True, False])
def test_the_first_gpu_is_taken_and_shared(
    choice: str, deterministic: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    grows, determined, rounds = [], [], []
    experimental = tf.config.experimental
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: ["one", "two"])
    monkeypatch.setattr(
        experimental, "set_memory_growth", lambda gpu, enable: grows.append((gpu, enable))
    )
    monkeypatch.setattr(experimental, "enable_op_determinism", lambda: determined.append(1))
    monkeypatch.setattr(experimental, "enable_tensor_float_32_execution", rounds.append)
    details = {"one": {"device_name": "The First"}, "two": {"device_name": "The Second"}}
    monkeypatch.setattr(experimental, "get_device_details", details.get)
    device = choose_device(choice, deterministic=deterministic)
    assert (device.name, device.title) == ("/GPU:0", "The First")
    assert grows == [("one", True), ("two", True)]
    assert bool(determined) is deterministic
    assert rounds == [False]


@pytest.mark.usefixtures("no_gpu")
def test_a_scope_computes_there() -> None:
    with choose_device("auto", deterministic=True).scope():
        assert tf.constant(1).device.endswith("CPU:0")


def test_the_processor_and_its_width(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text(
        "processor\t: 0\nmodel name\t: Some  CPU @ 2 GHz\nflags\t\t: fpu avx2 avx512f\n\n"
    )
    assert processor(info) == "CPU Some CPU @ 2 GHz (AVX-512)"
    info.write_text("model name\t: Some CPU\nflags\t\t: fpu avx avx2\n")
    assert processor(info) == "CPU Some CPU (AVX2)"
    info.write_text("CPU architecture: 8\n")
    assert processor(info).startswith("CPU ")
    assert processor(tmp_path / "nothing") == processor(info)


@pytest.mark.usefixtures("no_gpu")
def test_a_process_that_was_forked_from_one_that_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    device = choose_device("cpu", deterministic=True)
    with device.scope():
        pass
    monkeypatch.setattr(os, "getpid", lambda: -1)
    problem = refused(device.scope)
    assert "was forked" in problem.got
    assert "spawn" in problem.hint
