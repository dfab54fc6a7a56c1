"""The result of a run that has ended, read back from its directory."""

from __future__ import annotations

from pathlib import Path

from nstflow.builtin.loaders.decode import decode
from nstflow.builtin.loaders.header import FORMATS
from nstflow.errors import NstflowError, Problem
from nstflow.plan import Plan
from nstflow.runner.optimization import columns_of
from nstflow.stages.result import Result
from nstflow.stages.types import Image
from nstflow.storage.files import check_regular
from nstflow.storage.history import from_csv
from nstflow.storage.run_record import HISTORY_FILE, RunRecord


def read_result(plan: Plan, folder: Path, record: RunRecord, device: str) -> Result:
    """Return the result of a finished run; the picture is that in its first image file.

    Raises:
        NstflowError: A file of it is missing or damaged.
    """
    files = [folder / name for name in record.files]
    try:
        history = from_csv(check_regular(folder / HISTORY_FILE).read_text("utf-8"))
        if tuple(history) != columns_of(plan) or not history["step"]:
            raise ValueError(f"{HISTORY_FILE} is not one of this recipe")
        if missing := [file.name for file in files if not file.is_file()]:
            raise ValueError(f"{missing[0]} is missing")
        image = _read_picture(files)
    except (OSError, ValueError) as error:
        got = f"this run has ended, but its files are not whole ({error})."
        hint = "Run it again with --overwrite."
        raise NstflowError(Problem(str(folder), "", got, hint)) from error
    return Result(
        plan=plan,
        image=image,
        history=history,
        seconds=record.seconds,
        compile_seconds=record.compile_seconds,
        total_seconds=record.total_seconds,
        device=device,
        folder=folder,
        files=files,
        phases=record.phases,
        already=True,
    )


def _read_picture(files: list[Path]) -> Image | None:
    import numpy as np
    import PIL.Image

    for file in files:
        try:
            with PIL.Image.open(file) as image:
                if image.format not in (*FORMATS, "AVIF", "HEIF"):  # of an output of a plugin
                    return Image(np.asarray(image.convert("RGB"), np.float32) / np.float32(255))
            decoded = decode(file, keep_profile=True)
        except PIL.UnidentifiedImageError:
            continue  # an output of another kind
        except NstflowError as error:
            raise ValueError(error.problems[0].got) from error
        except Exception as error:  # decoders raise anything on damaged bytes
            raise ValueError(f"{file.name} is damaged: {error}") from error
        return Image(decoded.on_white(), decoded.alpha, decoded.profile)
    return None
