"""What somebody else's code raised, in one line: whatever it is, telling of it raises nothing."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from types import ModuleType

from nstflow.errors import printable

_LONGEST = 400


def told_of(error: BaseException, home: str | None = None) -> str:
    """Return the type of an error, its text and its place: `KeyError: 'x' (plugin.py:3)`.

    Args:
        error: What was raised.
        home: The file, or the folder, of the code that is to blame: the place is in it, if the
            error passed through it.
    """
    try:
        text = " ".join(str(error).split())
    except BaseException as broken:  # noqa: BLE001 - its own text raises
        text = f"with a text that raises {type(broken).__name__}"
    text = printable(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…")
    place = _place(error, home)
    return f"{type(error).__name__}: {text}" + (f" ({printable(place)})" if place else "")


def home_of(plugin: object) -> str | None:
    """Return where the module of something lies: its file, or the folder of its package."""
    module = plugin if isinstance(plugin, ModuleType) else sys.modules.get(_module_of(plugin))
    file = getattr(module, "__file__", None)
    if not isinstance(file, str):
        return None
    return str(Path(file).parent) if Path(file).name == "__init__.py" else file


def _module_of(plugin: object) -> str:
    return plugin.__module__ if isinstance(plugin, type) else type(plugin).__module__


def _place(error: BaseException, home: str | None) -> str:
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}" if error.lineno else ""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if home and frame.filename.startswith(home)]
    real = [frame for frame in frames if not frame.filename.startswith("<frozen")]
    chosen = (own or real or frames)[-1:]
    return "".join(f"{frame.filename}:{frame.lineno}" for frame in chosen)
