"""`run.json`: what a run says of itself, and what is not taken for it."""

import json
import os
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nstflow.storage.run_record import RUN_FILES, RUN_RECORD_FILE, RunRecord, read_run_record

RECORD = RunRecord(
    state="stopped",
    steps=7,
    seconds=0.1,
    compile_seconds=1 / 3,
    total_seconds=1e-300,
    files=("result.png", "film ä.gif"),
)


def read(folder: Path, content: str | bytes) -> RunRecord | None:
    data = content.encode() if isinstance(content, str) else content
    (folder / RUN_RECORD_FILE).write_bytes(data)
    return read_run_record(folder)


def test_a_record_comes_back(tmp_path: Path) -> None:
    for record in (RECORD, RunRecord()):
        assert read(tmp_path, record.model_dump_json()) == record


def test_what_is_left_out_is_as_at_the_start(tmp_path: Path) -> None:
    assert read(tmp_path, "{}") == RunRecord()
    assert read(tmp_path, '{"steps": 3, "of": "a later version"}') == RunRecord(steps=3)


def test_a_record_does_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        RECORD.steps = 8  # type: ignore[misc]


def test_a_folder_without_any(tmp_path: Path) -> None:
    assert read_run_record(tmp_path) is None
    assert read_run_record(tmp_path / "nowhere") is None
    (tmp_path / "file").touch()
    assert read_run_record(tmp_path / "file") is None


def test_a_name_that_holds_no_file(tmp_path: Path) -> None:
    path = tmp_path / RUN_RECORD_FILE
    path.mkdir()
    assert read_run_record(tmp_path) is None
    path.rmdir()
    path.symlink_to(tmp_path / "nowhere")
    assert read_run_record(tmp_path) is None
    path.unlink()
    path.symlink_to(path)
    assert read_run_record(tmp_path) is None
    path.unlink()
    os.mkfifo(path)  # would be waited for
    assert read_run_record(tmp_path) is None


LEAVING = "../x /etc/passwd a/b a/ ./a a/.. a/. //a . .. / .hidden .lock .part-x .old-x ...".split()


@pytest.mark.parametrize("name", [*LEAVING, "", "a\0b", "\0"])
def test_a_name_that_leaves_the_folder_or_hides_in_it(tmp_path: Path, name: str) -> None:
    assert read(tmp_path, json.dumps({"files": ["result.png"]})) is not None
    assert read(tmp_path, json.dumps({"files": [name]})) is None
    assert read(tmp_path, json.dumps({"files": ["result.png", name]})) is None


def test_names_of_ones_own_are_taken(tmp_path: Path) -> None:
    names = ("a b.png", "ä.png", "a..b", "~", "-rf", "*", "a\nb", "a\\b", *RUN_FILES)
    assert read(tmp_path, json.dumps({"files": names})) == RunRecord(files=names)


@pytest.mark.parametrize(
    "content",
    [
        *("", " ", "null", "[]", "7", '"run"', "{", "{}{}", "state: finished", "{'steps': 1}"),
        *(b"\xff\xfe", b"\x89PNG\r\n\x1a\n", b"\x80\x04K\x01.", bytes(100)),
        "[" * 100_000,
        '{"files": ' + "[" * 100_000,
        *('{"state": "won"}', '{"state": null}', '{"state": 1}', '{"state": ["finished"]}'),
        *('{"steps": "many"}', '{"steps": 1.5}', '{"steps": null}', '{"steps": [1]}'),
        '{"seconds": "long"}',
        '{"seconds": {}}',
        *('{"seconds": NaN}', '{"seconds": 1e999}', '{"seconds": Infinity}'),
        *('{"files": "result.png"}', '{"files": {"a": 1}}', '{"files": [1]}', '{"files": null}'),
        '{"files": ["\\ud800"]}',
        b'{"files": ["\xff"]}',
        *('{"steps": NaN}', '{"steps": 1e999}', '{"steps": Infinity}'),
        '{"steps": ' + "9" * 100_000 + "}",
    ],
    ids=lambda content: repr(content[:30]),
)
def test_what_is_not_a_record(tmp_path: Path, content: str | bytes) -> None:
    assert read(tmp_path, content) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(list(RunRecord.model_fields)), JSON) | JSON | st.binary())
def test_anything_is_a_record_or_none(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    folder = tmp_path_factory.getbasetemp()
    record = read(folder, data if isinstance(data, bytes) else json.dumps(data))
    if record is not None:
        for name in record.files:
            assert (folder / name).parent == folder
            assert name not in ("", ".", "..")


def test_a_folder_that_can_not_be_read_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail = Mock(side_effect=PermissionError(13, "Permission denied"))
    (tmp_path / RUN_RECORD_FILE).write_text("{}")
    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(PermissionError):
        read_run_record(tmp_path)
