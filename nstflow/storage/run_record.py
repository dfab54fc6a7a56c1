"""What a run says of itself in its directory: how far it came, what it took, what it wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

RECIPE_FILE, LOCK_FILE, HISTORY_FILE = "recipe.yaml", "recipe.lock.yaml", "history.csv"


CHECKPOINT_FILE = "checkpoint.safetensors"


RUN_RECORD_FILE = "run.json"
"""A folder that holds one is a run's."""


OWN = (RUN_RECORD_FILE, RECIPE_FILE, LOCK_FILE, HISTORY_FILE, CHECKPOINT_FILE)
"""What a run writes beside its outputs."""


SUMMARY_FILE, SHEET_FILE = "summary.csv", "contact_sheet.png"
"""What the runs of a matrix leave beside their directories."""


_LARGEST = 1 << 20


def _plain_name(name: str) -> str:
    if not name or "\0" in name or Path(name).name != name or name.startswith("."):
        raise ValueError("a file of a run lies in its directory")
    return name


class RunRecord(BaseModel):
    """The content of `run.json`.

    Attributes:
        state: Whether the run is at work or was killed, was stopped, broke off with an error, or
            took its last step.
        steps: Steps taken, as of the last time that this was written.
        seconds: Time of all steps, compiling left out.
        compile_seconds: Time that compiling took, and describing the references.
        total_seconds: Time of the whole run; of the last part of one that was resumed.
        files: What the outputs wrote, in the recipe's order.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    state: Literal["running", "stopped", "failed", "finished"] = "running"
    steps: int = 0
    seconds: float = 0.0
    compile_seconds: float = 0.0
    total_seconds: float = 0.0
    files: tuple[Annotated[str, AfterValidator(_plain_name)], ...] = ()


def read_run_record(folder: Path) -> RunRecord | None:
    """Return the facts of a run directory, or None for a folder that is none.

    Raises:
        OSError: The folder can't be read.
    """
    path = folder / RUN_RECORD_FILE
    if not path.is_file() or path.stat().st_size > _LARGEST:
        return None
    try:
        return RunRecord.model_validate_json(path.read_bytes())
    except ValidationError:
        return None


def has_steps(folder: Path) -> bool:
    """Say whether a folder holds a run with a step to show.

    Raises:
        OSError: The folder can't be read.
    """
    facts, history = read_run_record(folder), folder / HISTORY_FILE
    if facts is None:
        return False
    if facts.state != "running" or (folder / CHECKPOINT_FILE).is_file():
        return True
    if not history.is_file():
        return False
    with history.open("rb") as file:
        file.readline()  # the names of the columns
        return bool(file.readline())


def explain_not_a_run(folder: Path) -> tuple[str, str]:
    """Say what a folder is that is no run's, and what to name instead."""
    runs = sorted(file.parent for file in folder.glob(f"*/{RUN_RECORD_FILE}"))
    if runs:
        return f"this folder holds {len(runs)} runs.", f"Name one of them, such as {runs[0]}."
    return "this folder holds no run.", "Name a run directory."
