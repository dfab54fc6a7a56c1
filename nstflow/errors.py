"""The one error type for everything that a user can put right, and the warning beside it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, in words that say what to do next.

    Attributes:
        where: A place that an editor can open, `file:line:column`, or a command-line option. A
            stage leaves it empty: the plan knows where in the recipe the stage was named.
        what: The path in the recipe (`losses.style.use`); from a stage, the name of the setting.
        got: What is wrong, with what was received.
        hint: The nearest valid name, or the fix; may be empty.
    """

    where: str
    what: str
    got: str
    hint: str = ""

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
        closing: What came of it, for the same line.
    """

    closing = "nothing was run"

    def __init__(self, problems: Problem | Sequence[Problem], subject: str = "") -> None:
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        self.subject = subject
        super().__init__(*self.problems)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


STOPPED = "the run stopped"
"""What closes the problems of a run that had begun to compute."""


class NstflowWarning(UserWarning):
    """Something a user should know that does not stop the run."""


def suggest(got: str, choices: Iterable[str]) -> str:
    """Return "Did you mean 'x'?" for the choice nearest to `got`, or an empty string."""
    near = difflib.get_close_matches(got, list(choices), n=1, cutoff=0.6)
    return f"Did you mean '{near[0]}'?" if near else ""


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
