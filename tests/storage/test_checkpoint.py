"""Checkpoints: to the bit, or refused."""

import hashlib
import json
import pickle
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from safetensors.numpy import save

from nstflow.storage.checkpoint import Checkpoint, DamagedCheckpointError, read_checkpoint
from nstflow.storage.run_directory import RunDirectory
from nstflow.storage.run_record import CHECKPOINT_FILE
from refusals import refused

HISTORY = {"step": [1, 2, 3], "total": [0.1, 1e-300, 5e-324], "seconds": [1 / 3, 2.0, 1e300]}


def example(**changes: Any) -> Checkpoint:
    canvas = np.random.default_rng(0).normal(size=(1, 2, 3, 3)).astype(np.float32)
    checkpoint = Checkpoint(
        step=3,
        phases=(2,),
        canvas=canvas,
        state={"m": canvas * 2, "steps": np.array(3, np.int64)},
        history=HISTORY,
    )
    return replace(checkpoint, **changes)


def unpack(data: bytes) -> Checkpoint:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        return read_checkpoint(Path(file.name))


def assert_equal(one: Checkpoint, other: Checkpoint) -> None:
    assert (one.step, one.phases) == (other.step, other.phases)
    for name, array in {**other.state, "": other.canvas}.items():
        got = {**one.state, "": one.canvas}[name]
        assert (got.dtype, got.shape) == (array.dtype, array.shape)
        assert got.tobytes() == array.tobytes()
    assert one.state.keys() == other.state.keys()
    assert list(one.history) == list(other.history)  # in order: they are the columns of a file
    for name, values in other.history.items():
        assert [(type(value), value) for value in one.history[name]] == [
            (int if name == "step" else float, value) for value in values
        ]


# --- there and back ---


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"state": {}},
        {"step": 0, "phases": (), "history": {name: [] for name in HISTORY}},
        {"step": 2**53 - 1, "history": {**HISTORY, "step": [1, 2, 2**53 - 1]}},
        {"history": {"seconds": [0.5], 'look, at: "it" ä': [1.0], "total": [1.0], "step": [1]}},
    ],
    ids=["whole", "no state", "no steps", "large numbers", "names"],
)
def test_a_checkpoint_comes_back(changes: dict[str, Any]) -> None:
    checkpoint = example(**changes)
    assert_equal(unpack(checkpoint.pack()), checkpoint)


BITS = np.array([0, 0x80000000, 1, 0x7F800000, 0xFF800000, 0x7FC00001, 0xFFFFFFFF], np.uint32)


@pytest.mark.parametrize(
    "array",
    [
        np.array(7, np.int32),
        np.array(-(2**63), np.int64),
        np.array(2**64 - 1, np.uint64),
        np.array(0.1, np.float32),
        np.array(True),
        np.zeros((0, 3), np.float32),
        np.array([0.1, 1e-300, -0.0, np.inf, np.nan]),
        BITS.view(np.float32),
        np.arange(24, dtype=np.float32).reshape(2, 3, 4).T,
        np.arange(24, dtype=np.int64)[::-2],
        np.asfortranarray(np.arange(6, dtype=np.float16).reshape(2, 3)),
        np.broadcast_to(np.float32(3), (2, 3)),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_every_kind_of_state_comes_back_to_the_bit(array: Any) -> None:
    checkpoint = example(state={"a": array, "a/b": np.array(1), "": np.array(2)}, canvas=array)
    assert_equal(unpack(checkpoint.pack()), checkpoint)


def test_a_long_history_comes_back_to_the_bit() -> None:
    values = np.random.default_rng(0).normal(size=20_000) * 10.0 ** np.arange(-300, 300, 0.03)
    history = {"step": list(range(1, 20_001)), "total": values.tolist()}
    assert_equal(unpack(example(history=history).pack()), example(history=history))


def test_packing_changes_nothing_of_ones_own() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    before = array.copy()
    checkpoint = example(canvas=array)
    checkpoint.pack()
    assert checkpoint.canvas is array
    np.testing.assert_array_equal(array, before)


def test_the_format_is_safetensors_with_nothing_else() -> None:
    data = example().pack()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    metadata = header.pop("__metadata__")
    names = "canvas state/m state/steps history/step history/total history/seconds"
    assert set(header) == set(names.split())
    assert header["canvas"]["dtype"] == "F32"
    assert header["history/total"]["dtype"] == "F64"
    assert [metadata[name] for name in ("step", "phases")] == ["3", "[2]"]
    assert len(data) == 8 + size + 18 * 4 * 2 + 8 + 9 * 8


# --- damage ---


def assert_damaged(data: bytes) -> str:
    with pytest.raises(DamagedCheckpointError) as caught:
        unpack(data)
    return str(caught.value)


SMALL = example(
    canvas=np.ones((1, 1, 1, 3), np.float32),
    state={"s": np.array(1, np.int64)},
    history={"step": [1], "total": [0.1]},
)


def test_every_flipped_bit_is_refused() -> None:
    whole = SMALL.pack()
    for offset in range(len(whole)):
        for bit in range(8):
            data = bytearray(whole)
            data[offset] ^= 1 << bit
            assert_damaged(bytes(data))
    assert_equal(unpack(whole), SMALL)


def test_every_truncation_is_refused() -> None:
    whole = SMALL.pack()
    for size in range(len(whole)):
        assert_damaged(whole[:size])
        assert_damaged(whole[size + 1 :])
        assert_damaged(whole[:size] + bytes(len(whole) - size - 1))


def test_what_follows_is_refused() -> None:
    whole = SMALL.pack()
    for more in (b"\0", b" ", whole):
        assert_damaged(whole + more)


def test_blocks_that_never_reached_the_disk_are_refused() -> None:
    whole = example(canvas=np.ones((1, 64, 64, 3), np.float32)).pack()
    for start in range(0, len(whole), 4096):
        assert_damaged(whole[:start] + bytes(4096) + whole[start + 4096 :])


def test_parts_of_two_checkpoints_are_no_third() -> None:
    one, other = (
        example(canvas=np.full((1, 9, 9, 3), value, np.float32), history=HISTORY).pack()
        for value in (1, 2)
    )
    assert len(one) == len(other)
    for size in (len(one) // 2, len(one) - 100):
        assert "sha256" in assert_damaged(one[:size] + other[size:])


def with_header(header: object, body: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


class Bomb:
    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return Path.touch, (Path("exploded"),)  # type: ignore[return-value]


def tensor(dtype: str, shape: list[int], *offsets: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


FOREIGN = {
    "nothing": b"",
    "zeros": bytes(100),
    "text": b"step: 3\n" * 20,
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "weights": save({"kernel": np.ones((3, 3), np.float32)}),
    "weights with a note": save({"canvas": np.ones(3, np.float32)}, {"format": "np"}),
    "no tensors": save({}),
    "a header of exabytes": (2**63).to_bytes(8, "little") + bytes(100),
    "a header of all ones": b"\xff" * 100,
    "a header longer than the file": (10**8 - 1).to_bytes(8, "little") + b"{}",
    "a header that is no object": with_header([1, 2]),
    "a header that is no JSON": (8).to_bytes(8, "little") + b"{{{{{{{{",
    "a header that is no text": (8).to_bytes(8, "little") + b"\xff\xfe" * 4,
    "a header without end": (10**5).to_bytes(8, "little") + b"[" * 10**5,
    "a giant shape": with_header({"canvas": tensor("F32", [2**62, 2**62], 0, 12)}, bytes(12)),
    "a giant shape of nothing": with_header({"canvas": tensor("F32", [0, 2**62, 2**62], 0, 0)}),
    "a shape beyond its data": with_header({"canvas": tensor("F32", [2**40], 0, 2**42)}, b"12"),
    "offsets before the data": with_header({"canvas": tensor("F32", [1], -4, 0)}, bytes(4)),
    "offsets turned about": with_header({"canvas": tensor("F32", [1], 4, 0)}, bytes(4)),
    "tensors that overlap": with_header(
        {"a": tensor("F32", [1], 0, 4), "b": tensor("F32", [1], 0, 4)}, bytes(4)
    ),
    "a kind of number without a name": with_header({"canvas": tensor("F7", [1], 0, 4)}, bytes(4)),
    "a kind of number that numpy lacks": with_header(
        {"canvas": tensor("F8_E4M3", [4], 0, 4), "__metadata__": {}}, bytes(4)
    ),
    "metadata that is no text": with_header({"__metadata__": {"step": 3}}),
    "metadata that is a list": with_header({"__metadata__": [1]}),
}


@pytest.mark.parametrize("data", FOREIGN.values(), ids=FOREIGN)
def test_foreign_bytes_are_refused(data: bytes) -> None:
    assert "it can't be read" in assert_damaged(data)


def test_a_pickle_is_refused_and_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        data = pickle.dumps(Bomb(), protocol)
        assert_damaged(data)
        assert_damaged(len(data).to_bytes(8, "little") + data)
        assert_damaged(save({"canvas": np.frombuffer(data, np.uint8)}, {"columns": str(data)}))
    assert not (tmp_path / "exploded").exists()
    pickle.loads(data)  # noqa: S301 - it would have
    assert (tmp_path / "exploded").exists()


def signed(
    arrays: Mapping[str, Any] | None = None, numbers: Mapping[str, str] | None = None
) -> bytes:
    """Pack what someone altered who knows how the sha256 is made."""
    arrays = {
        "canvas": np.ones((1, 1, 1, 3), np.float32),
        "history/step": np.array([1.0]),
        **(arrays or {}),
    }
    numbers = {"step": "1", "phases": "[]", "columns": '["step"]', **(numbers or {})}
    digest = hashlib.sha256(json.dumps(numbers, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(json.dumps([name, str(array.dtype), array.shape]).encode() + array.tobytes())
    return save(dict(arrays), {**numbers, "sha256": digest.hexdigest()})


def test_the_sha256_is_as_described() -> None:
    assert_equal(
        unpack(signed()),
        Checkpoint(1, (), np.ones((1, 1, 1, 3), np.float32), {}, {"step": [1]}),
    )


@pytest.mark.parametrize(
    ("arrays", "numbers"),
    [
        ({}, {"step": "one"}),
        ({}, {"step": "1.5"}),
        ({}, {"phases": "[" + "9" * 5000 + "]"}),
        ({}, {"columns": "7"}),
        ({}, {"columns": "null"}),
        ({}, {"columns": "[1]"}),
        ({}, {"columns": "[]"}),
        ({}, {"columns": '["step", "total"]'}),
        ({}, {"columns": "["}),
        ({}, {"columns": "[" * 100_000}),
        ({"history/step": np.array([np.inf])}, {}),
        ({"history/step": np.array([np.nan])}, {}),
        ({"history/step": np.array(1.0)}, {}),
        ({"history/step": np.array([[1.0, 2.0]])}, {}),
        ({"history/total": np.array(["1"]).view(np.uint8)[:0]}, {"columns": '["total"]'}),
    ],
    ids=lambda value: None if not value else str(value)[:40],
)
def test_an_altered_checkpoint_with_a_right_sha256_is_refused(
    arrays: dict[str, Any], numbers: dict[str, str]
) -> None:
    assert "it can't be read" in assert_damaged(signed(arrays, numbers))


# --- in a run directory ---


@pytest.mark.parametrize("damage", ["altered", "unreadable"])
def test_a_damaged_checkpoint_in_a_run_directory_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    fail = Mock(side_effect=OSError(5, "Input/output error"))
    path = tmp_path / "x" / CHECKPOINT_FILE
    with RunDirectory(tmp_path / "x") as directory:
        directory.write_record(state="running")
        directory.write_checkpoint(example())
    if damage == "unreadable":
        monkeypatch.setattr("safetensors.safe_open", fail)
    else:
        path.write_bytes(path.read_bytes()[:-1])
    before = path.read_bytes()
    with RunDirectory(tmp_path / "x", resume=True) as directory:
        problem = refused(directory.read_checkpoint)
        directory.fail()
    if damage == "unreadable":
        assert "Input/output error" in problem.got
    else:
        assert problem.where == str(path)
        assert problem.got.startswith("the checkpoint can't be used: it")
        assert problem.hint == "Start again with --overwrite."
    assert path.read_bytes() == before
