"""An image that no stage uses is mentioned, once, by each command that people read."""

from pathlib import Path
from typing import Any

import pytest

TINY = (Path(__file__).parents[1] / "tiny.yaml").read_text(encoding="utf-8")
STYLE = next(line for line in TINY.splitlines() if line.strip().startswith("style:"))
MORE = "{use: noise, height: 32, width: 24}"
SPARE = TINY.replace(STYLE, f"{STYLE}\n  spare: {MORE}")
LINE = SPARE.splitlines().index(f"  spare: {MORE}") + 1


@pytest.mark.parametrize("command", ["plan", "validate"])
def test_an_unused_image_is_mentioned(command: str, call: Any, write: Any) -> None:
    path = write(SPARE)
    answer = call(command, path)
    assert answer.code == 0
    assert answer.err == f"note: {path}:{LINE}:3: no stage uses the image 'spare'\n"


def test_a_run_mentions_it_too(
    call: Any, write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nstflow.cli.run.make_one", stop)
    answer = call("run", write(SPARE), "--out", tmp_path / "out", "--quiet")
    assert "no stage uses the image 'spare'" in answer.err


def test_to_prepare_an_image_is_not_to_use_it(call: Any, write: Any) -> None:
    text = SPARE.replace("preprocess: []", "preprocess: [{use: resize, only: [spare]}]")
    assert text != SPARE
    assert "no stage uses the image 'spare'" in call("plan", write(text)).err


USED = {
    "as a mask": "losses.look.region=spare",
    "as the mask of a style": "losses.more="
    "{use: gram, image: content, image_region: spare, layers: [image]}",
    "in a blend": "losses.look.blend={spare: 2}",
    "as the start": "start={image: spare}",
    "for the size": "start={image: content, like: spare}",
    "by a postprocessor": "postprocess=[{use: keep_color, image: spare}]",
    "by a preprocessor": "preprocess=[{use: match_color, image: spare, only: [style]}]",
    "in some runs of a matrix": "matrix={losses.look.image: [style, spare]}",
}


@pytest.mark.parametrize("setting", USED.values(), ids=USED.keys())
def test_what_counts_as_use(setting: str, call: Any, write: Any) -> None:
    answer = call("plan", write(SPARE), "--set", setting)
    assert (answer.code, answer.err) == (0, "")


def test_a_matrix_mentions_it_once(call: Any, write: Any) -> None:
    answer = call("validate", write(SPARE), "--set", "matrix={seed: [1, 2, 3]}")
    assert answer.err.count("no stage uses the image 'spare'") == 1
