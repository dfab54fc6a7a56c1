"""The notebook of the docs runs in a real kernel, and shows what it says."""

import base64
import io
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import PIL.Image
import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs" / "notebook.ipynb"

# What a reader does not see: the same at a size that a test can afford.
SIZE = '"size=256"'
SMALLER = [
    "size=48",
    "extractor.layers={content: [block1_conv1], style: [block1_conv1]}",
    "extractor.weights=random",
    "schedule={use: epochs, epochs: 2, steps_per_epoch: 40}",
]


class Client(nbclient.NotebookClient):
    """Keeps the messages that change outputs, which the finished notebook does not show."""

    def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
        if msg["msg_type"] in ("display_data", "update_display_data"):
            self.displays.append((cell_index, msg["msg_type"], msg["content"]["data"]))
        return super().process_message(msg, cell, cell_index)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # those of the kernel's client are not ours
def test_it_runs_from_the_photo_to_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("NSTFLOW_TENSORBOARD", "off")
    (tmp_path / "docs").mkdir()
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    notebook.cells = [
        cell for cell in notebook.cells if "install" not in cell.metadata.get("tags", ())
    ]
    (chosen,) = [cell for cell in notebook.cells if f"[{SIZE}]," in cell.source]
    chosen.source = chosen.source.replace(SIZE, ", ".join(map(repr, SMALLER)))
    client = Client(notebook, timeout=300, resources={"metadata": {"path": tmp_path / "docs"}})
    client.displays = []
    client.execute()

    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    outputs = {cell.source.partition(" = ")[0]: cell.outputs for cell in code}
    (shown,) = outputs["plan"]
    assert "<b>painting</b>" in shown.data["text/html"]
    assert "coffee" not in shown.data["text/plain"]
    assert len(shown.data["text/plain"]) < 100

    ended, result = outputs["result"]  # one output, whatever was shown before, and the picture
    assert ended.output_type == "display_data"
    assert ended.data["text/plain"].startswith("painting: finished, 80 steps in ")
    assert "runs/notebook/result.png" in ended.data["text/html"]
    picture = PIL.Image.open(io.BytesIO(base64.b64decode(result.data["image/png"])))
    written = PIL.Image.open(tmp_path / "docs" / "runs" / "notebook" / "result.png")
    assert picture.size == written.size == (48, 32)
    assert picture.convert("RGB").tobytes() == written.convert("RGB").tobytes()
    assert len(result.data["text/plain"]) < 150

    first, *updates = [(kind, data) for _, kind, data in client.displays]
    assert first[0] == "display_data"
    assert "compiling" in first[1]["text/plain"]
    assert len(updates) >= 2
    assert {kind for kind, _ in updates} == {"update_display_data"}  # in place: nothing is cleared
    assert "data:image/jpeg;base64," in updates[0][1]["text/html"]
    assert "/80, epoch " in updates[0][1]["text/plain"]
    assert "s left, loss " in updates[0][1]["text/plain"]
