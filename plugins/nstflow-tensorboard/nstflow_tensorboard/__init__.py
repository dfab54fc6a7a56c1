"""Shows runs of nstflow in TensorBoard."""

from __future__ import annotations

import io
import os
import socket
import time
from pathlib import Path
from typing import Any

from nstflow import Image, Progress, Result, hookimpl
from nstflow.toolkit import to_bytes

_NAMES = "events.out.tfevents.*.nstflow"


class TensorBoard:
    """Writes an event file into each run's directory, so TensorBoard shows the directory's name.

    It contains the weighted losses of every step, `loss/total` and `loss/<term>`, and the canvas at
    the end of each epoch. Set the environment variable `NSTFLOW_TENSORBOARD` to `off` to switch it
    off.
    """

    def __init__(self) -> None:
        self._files: dict[Path, EventFile] = {}  # of the current runs

    @hookimpl
    def nstflow_progress(self, progress: Progress, folder: Path) -> None:
        """Write the losses of a few steps, and the canvas."""
        if os.environ.get("NSTFLOW_TENSORBOARD", "").lower() in ("off", "0", "no", "false"):
            return
        first = progress.step - len(progress.total) + 1
        if folder not in self._files:
            self._files[folder] = EventFile(folder, first)
        try:
            _write_progress(self._files[folder], progress, first)
        except BaseException:
            self._files.pop(folder).close()
            raise

    @hookimpl
    def nstflow_run_finished(self, result: Result) -> None:
        """Close the file, and remove the files of a run that was overwritten."""
        if file := self._files.pop(result.folder, None):
            file.close()
            file.remove_replaced()

    @hookimpl
    def nstflow_run_failed(self, folder: Path) -> None:
        """Close the file, and remove it if the run leaves no other files."""
        if file := self._files.pop(folder, None):
            file.close()
            record = folder / "run.json"
            if record.is_file() and '"failed"' in record.read_text(encoding="utf-8"):
                file.remove_replaced()
            else:  # the folder is as it was before the run
                file.path.unlink(missing_ok=True)


class EventFile:
    """One event file.

    Args:
        folder: The folder of the file.
        first: The first step. If it is 1, the file replaces the existing event files.
    """

    def __init__(self, folder: Path, first: int) -> None:
        # tensorboard is imported here: a recipe is checked without it
        from tensorboard.compat.proto.event_pb2 import SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        existing = sorted(folder.glob(_NAMES))
        stamps = [file.name.split(".")[3] for file in existing]
        # files are read in the order of their names
        stamp = max([int(time.time()), *(int(s) + 1 for s in stamps if s.isdecimal())])
        self._replaced = existing if first == 1 else []
        name = f"{stamp:010}.{socket.gethostname()}.{os.getpid()}"
        self.path = folder / _NAMES.replace("*", name)
        self._writer = RecordWriter(self.path.open("wb"))
        self._write(file_version="brain.Event:2")
        self._write(step=first, session_log=SessionLog(status=SessionLog.START))

    def write(self, step: int, values: list[dict[str, Any]]) -> None:
        """Write the values of a step."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        summary = Summary(value=[Summary.Value(**value) for value in values])
        self._write(step=step, summary=summary)

    def flush(self) -> None:
        """Flush the file to disk."""
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()

    def remove_replaced(self) -> None:
        """Remove the files of the run that was overwritten."""
        for file in self._replaced:
            file.unlink(missing_ok=True)

    def _write(self, **fields: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._writer.write(Event(wall_time=time.time(), **fields).SerializeToString())


def _write_progress(file: EventFile, progress: Progress, first: int) -> None:
    columns = {"total": progress.total, **progress.losses}
    for offset in range(len(progress.total)):
        losses = {f"loss/{name}": float(loss[offset]) for name, loss in columns.items()}
        file.write(first + offset, [{"tag": t, "simple_value": x} for t, x in losses.items()])
    if progress.ends_epoch:
        file.write(progress.step, [{"tag": "canvas", "image": _encoded(progress.canvas())}])
    file.flush()


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
