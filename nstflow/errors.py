"""The one error type for everything that a user can put right, and the warning beside it."""

import difflib
import re
import sys
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

_HALF_A_LETTER = re.compile("[\ud800-\udfff]")

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # tabs and ends of lines are text

_ARGUMENTS = {
    "block-plugin": "block",
    "device": "device",
    "executor": "executor",
    "image": "images",
    "images": "images",
    "locked": "locked=True",
    "no-metadata": "metadata=False",
    "out": "out=DIR",
    "overwrite": "overwrite=True",
    "plugin": "plugins",
    "resume": "resume=True",
    "scheduler": "scheduler",
    "set": "overrides",
    "threads": "threads",
    "workers": "workers",
    "with": "layers",
}
"""Option of the command line, without its dashes → the argument that says the same in Python."""

_NAMES = "|".join(sorted(_ARGUMENTS, key=len, reverse=True))

_OPTION = re.compile(
    rf"(?<![\w-])--(?P<name>{_NAMES})(?![\w-])"
    # its value, where it has one: a setting, or the name after an option that takes one
    r"(?: (?P<set>'[^']*'|[\w.]+=\S+?)(?=[.,;)]?(?:\s|$))"
    r"|(?<=-set) options|(?<=-device|-plugin) (?P<value>[\w-]+))?"
)

_PLACE = re.compile(rf"--(?P<name>{_NAMES}) (?P<value>(?!--).+)", re.DOTALL)


def in_python(text: str) -> str:
    """Return a text with the arguments of Python's functions in place of command-line options.

    All texts are written for the command line: "start again with --overwrite". What Python shows of
    an error or a warning says "start again with overwrite=True".
    """
    return _OPTION.sub(_argument, text)


def _argument(option: re.Match[str]) -> str:
    argument = _ARGUMENTS[option["name"]]
    if option["set"]:
        return f'{argument}=["{option["set"].strip(chr(39))}"]'
    if option["value"]:
        value = f'"{option["value"]}"'
        return f"{argument}={value}" if argument == "device" else f"{argument}=[{value}]"
    return argument


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, in words that say what to do next.

    As text, for Python, it names arguments in place of command-line options.

    Attributes:
        where: A place that an editor can open, `file:line:column`, or a command-line option. A
            stage leaves it empty: the plan knows where in the recipe the stage was named.
        what: The path in the recipe (`losses.style.use`); from a stage, the name of the setting.
        got: What is wrong, with what was received.
        hint: The nearest valid name, or the fix; may be empty.
        order: Where it sorts among others: number of the file, line and column.
    """

    where: str
    what: str
    got: str
    hint: str = ""
    order: tuple[int, ...] = field(default=(0, 0, 0), repr=False, compare=False)

    def __str__(self) -> str:
        option = _PLACE.fullmatch(self.where)
        where = (
            f"{_ARGUMENTS[option['name']]}: {option['value']}" if option else in_python(self.where)
        )
        head = "  ".join(part for part in (where, self.what) if part)
        body = " ".join(part for part in (self.got, self.hint) if part)
        return f"{head}\n    {in_python(body)}"


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

    def _render_traceback_(self) -> list[str]:
        """Show the problems in a notebook, where the way through the code would hide them."""
        return [f"{type(self).__name__}:", *str(self).splitlines()]


STOPPED = "the run stopped"
"""What `NstflowError.closing` says after a run has taken a step."""


class NstflowWarning(UserWarning):
    """Something a user should know that does not stop the run."""

    def __str__(self) -> str:
        return in_python(super().__str__())


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


_ADDRESS = re.compile(r"(^|[/\\])(https?|ftps?|sftp|s3|gs|file):[/\\]", re.IGNORECASE)

FETCH = "Download the file, and write the path of the copy."

SINGLE_QUOTES = "In double quotes, \\ begins an escape: write a Windows path in single quotes."


def is_address(path: object) -> bool:
    """Return whether what should be a path is a web address, also after a folder was put first."""
    return bool(_ADDRESS.search(str(path)))


def flaw_of(text: str, *, controls: bool = False) -> str:
    """Return which character of a text must not reach a file or a terminal, or an empty string."""
    if _HALF_A_LETTER.search(text):
        return "half of a surrogate pair, which is not a letter"
    found = None if controls else _CONTROLS.search(text)
    return f"the control character U+{ord(found[0]):04X}, which no recipe needs" if found else ""


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
