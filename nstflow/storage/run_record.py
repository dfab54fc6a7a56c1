"""`run.json`, the record of a run, and the names of the files in a run directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

RUN_RECORD_FILE = "run.json"
"""A folder with a valid one is a run directory."""

RECIPE_FILE = "recipe.yaml"

LOCK_FILE = "recipe.lock.yaml"

HISTORY_FILE = "history.csv"

CHECKPOINT_FILE = "checkpoint.safetensors"

RUN_FILES = (RUN_RECORD_FILE, RECIPE_FILE, LOCK_FILE, HISTORY_FILE, CHECKPOINT_FILE)
"""The files of a run, its outputs left out."""

SUMMARY_FILE, SHEET_FILE = "summary.csv", "contact_sheet.png"
"""The files of a matrix beside the directories of its runs."""


def _check_name(name: str) -> str:
    if not name or "\0" in name or Path(name).name != name or name.startswith("."):
        raise ValueError("a file of a run lies in its directory")
    return name


class RunRecord(BaseModel):
    """The content of `run.json`.

    Attributes:
        state: `running` of a run that was killed, too; `failed` of one that ended with an error.
        steps: Steps taken, as of the last time that this was written.
        seconds: Time of all steps, compiling left out.
        compile_seconds: Time that compiling took, and describing the references.
        total_seconds: Time of the whole run; of the last part of one that was resumed.
        phases: Steps that each phase took, in a run that has ended.
        files: What the outputs wrote, in the recipe's order.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    state: Literal["running", "stopped", "failed", "finished"] = "running"
    steps: int = 0
    seconds: float = 0.0
    compile_seconds: float = 0.0
    total_seconds: float = 0.0
    phases: tuple[int, ...] = ()
    files: tuple[Annotated[str, AfterValidator(_check_name)], ...] = ()


def read_run_record(folder: Path) -> RunRecord | None:
    """Return the record of a run directory, or None for any other folder.

    Raises:
        OSError: The folder can't be read.
    """
    path = folder / RUN_RECORD_FILE
    if not path.is_file():
        return None
    try:
        return RunRecord.model_validate_json(path.read_bytes())
    except ValidationError:
        return None


def explain_not_a_run(folder: Path) -> tuple[str, str]:
    """Return what is wrong with a folder that is not a run directory, and the fix."""
    if not folder.is_dir():
        return "there is no such folder.", "Name a run directory."
    runs = sorted(file.parent for file in folder.glob(f"*/{RUN_RECORD_FILE}"))
    if runs:
        return f"this folder holds {len(runs)} runs.", f"Name one of them, such as {runs[0]}."
    return "this folder holds no run.", "Name a run directory."
