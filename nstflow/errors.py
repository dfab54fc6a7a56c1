"""The one error type for everything that a user can put right, and the warning beside it."""

import difflib
import sys
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, in words that say what to do next.

    Attributes:
        where: A place that an editor can open, `file:line:column`, or a command-line option. A
            stage leaves it empty: the plan knows where in the recipe the stage was named.
        what: The path in the recipe (`losses.style.use`); from a stage, the name of the setting.
        got: What is wrong, with what was received.
        hint: The nearest valid name, or the fix; may be empty.
        order: Where it sorts among others: line and column.
    """

    where: str
    what: str
    got: str
    hint: str = ""
    order: tuple[int, ...] = field(default=(0, 0), repr=False, compare=False)

    def __str__(self) -> str:
        head = "  ".join(part for part in (self.where, self.what) if part)
        body = " ".join(part for part in (self.got, self.hint) if part)
        return f"{head}\n    {body}"


class NstflowError(Exception):
    """Everything that was found wrong, all at once.

    The command line prints it without a traceback and exits with status 2.

    Attributes:
        problems: At least one `Problem`, in the order of the file.
        subject: What the problems were found in, for the closing line; may be empty.
        closing: What came of the run, for the same line; empty if none has taken a step.
    """

    def __init__(self, problems: Problem | Sequence[Problem], subject: str = "") -> None:
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        self.subject = subject
        self.closing = ""
        super().__init__(*self.problems)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


STOPPED = "the run stopped"
"""What `NstflowError.closing` says after a run has taken a step."""


class NstflowWarning(UserWarning):
    """Something a user should know that does not stop the run."""


_MOST_CHOICES = 200  # to compare: it takes time


def suggest(got: str, choices: Iterable[str]) -> str:
    """Return "Did you mean 'x'?" for the choice nearest to `got`, or an empty string."""
    near = difflib.get_close_matches(got, islice(choices, _MOST_CHOICES), n=1, cutoff=0.6)
    return f"Did you mean '{near[0]}'?" if near else ""


def describe_value(value: Any) -> str:
    """Name a value of YAML as a person would: "the text 'abc'", "a list"."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case str():
            return f"the text '{value}'" if len(value) < 80 else f"a text of {len(value)} letters"  # noqa: PLR2004
        case dict():
            return "a mapping" if value else "an empty mapping"
        case list():
            return "a list" if value else "an empty list"
        case _:
            text = str(value)
            return text if len(text) < 40 else f"a number of {len(text)} digits"  # noqa: PLR2004


def printable(text: str, *, lines: bool = False) -> str:
    """Return a text whose control characters are written out: they could command a terminal.

    Args:
        text: From a recipe, a file's name, or a lock.
        lines: Leave the ends of lines as they are.
    """
    return "".join(
        letter
        if letter.isprintable() or (lines and letter == "\n")
        else letter.encode("unicode_escape").decode()
        for letter in text
    )


_LONGEST = 400


def describe_exception(error: BaseException, source_path: str | None = None) -> str:
    """Return the type of an error, its text and its place: `KeyError: 'x' (plugin.py:3)`.

    Args:
        error: What was raised.
        source_path: The file, or the folder, of the code whose error it is: the place is in it,
            if the error passed through it.
    """
    lines = traceback.format_exception_only(error)
    # of a syntax error, the lines before show the code
    text = " ".join(next(line for line in lines if not line.startswith("  ")).split())
    text = printable(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…")
    if isinstance(error, SyntaxError):
        place = f"{error.filename}:{error.lineno}" if error.lineno else ""
    else:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if source_path and frame.filename.startswith(source_path)]
        real = [frame for frame in frames if not frame.filename.startswith("<frozen")]
        chosen = (own or real or frames)[-1:]
        place = "".join(f"{frame.filename}:{frame.lineno}" for frame in chosen)
    return f"{text} ({printable(place)})" if place else text


def source_path_of(plugin: object) -> str | None:
    """Return where the module of something is: its file, or the folder of its package."""
    name = getattr(plugin if isinstance(plugin, type) else type(plugin), "__module__", None)
    module = plugin if isinstance(plugin, ModuleType) else sys.modules.get(str(name))
    file = getattr(module, "__file__", None)
    if not isinstance(file, str):
        return None
    return str(Path(file).parent) if Path(file).name == "__init__.py" else file
