"""Watch nstflow's runs in TensorBoard."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nstflow import Image, Progress, hookimpl
from nstflow.toolkit import to_bytes

if TYPE_CHECKING:
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

_SUFFIX = ".nstflow"


class TensorBoard:
    """Writes an event file into each run's directory: the run is then called as its folder.

    Every step has the weighted losses, as in `history.csv`: `loss/total` and `loss/<term>`. The
    end of each epoch has the canvas. With the environment variable `NSTFLOW_TENSORBOARD` set to
    `off`, nothing is written.
    """

    def __init__(self) -> None:
        self._folder = Path()
        self._writer: EventFileWriter | None = None

    @hookimpl
    def nstflow_run_started(self, folder: Path) -> None:
        """Remember where the run is; nothing is written before it has a step to show."""
        self._close()
        self._folder = folder

    @hookimpl
    def nstflow_progress(self, progress: Progress) -> None:
        """Write the losses of a few steps, and the canvas."""
        if os.environ.get("NSTFLOW_TENSORBOARD") == "off":
            return
        first = progress.step - len(progress.total) + 1
        if self._writer is None:
            self._open(first)
        columns = {"total": progress.total, **progress.losses}
        for offset in range(len(progress.total)):
            losses = {f"loss/{name}": float(loss[offset]) for name, loss in columns.items()}
            self._write(first + offset, [{"tag": t, "simple_value": x} for t, x in losses.items()])
        if progress.ends_epoch and self._writer is not None:
            image = _encoded(progress.canvas())
            self._write(progress.step, [{"tag": "canvas", "image": image}])
            self._writer.flush()

    @hookimpl
    def nstflow_run_finished(self) -> None:
        """Close the file."""
        self._close()

    @hookimpl
    def nstflow_run_failed(self) -> None:
        """Close the file."""
        self._close()

    def _open(self, first: int) -> None:
        """Begin a file whose steps, from `first` on, stand for those of earlier files."""
        # tensorboard is imported here: a recipe is checked without it
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        if first == 1:
            for old in self._folder.glob(f"events.out.tfevents.*{_SUFFIX}"):
                old.unlink()
        self._writer = EventFileWriter(str(self._folder), filename_suffix=_SUFFIX)
        start = SessionLog(status=SessionLog.START)
        self._writer.add_event(Event(wall_time=time.time(), step=first, session_log=start))

    def _write(self, step: int, values: list[dict[str, Any]]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        if self._writer is not None:
            summary = Summary(value=[Summary.Value(**value) for value in values])
            self._writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _encoded(image: Image) -> dict[str, Any]:
    """Return an image as the fields of a `Summary.Image`."""
    import PIL.Image

    data = io.BytesIO()
    PIL.Image.fromarray(to_bytes(image)).save(data, "PNG")
    height, width = image.size
    return {
        "height": height,
        "width": width,
        "colorspace": 3,  # RGB
        "encoded_image_string": data.getvalue(),
    }


plugin = TensorBoard()
