"""The text of a recipe: what was written, and where."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from nstflow.errors import NstflowError, Problem, describe_value
from nstflow.plugins.manager import Plugins
from nstflow.recipe.model import with_defaults
from nstflow.recipe.paths import Keys, format_path, with_value
from nstflow.recipe.shipped import find_recipe
from nstflow.recipe.yaml import Position, Positions, parse_yaml
from nstflow.storage.files import user_path

MAX_BYTES = 1 << 18

_TOO_LARGE = f"this is larger than {MAX_BYTES >> 10} KiB: no recipe is."


@dataclass(frozen=True)
class Source:
    """What was written, and where.

    Attributes:
        label: The file's name, as the user gave it.
        text: The file, as written.
        data: Dictionaries, lists, strings, numbers, booleans and None.
        positions: Path → where its key and its value are: in a file, or in a `--set` option.
        folders: Path → where relative paths in it start.
        files: The files that it was read from, in the order in which they count.
        layers: Those of them that are layers over the recipe.
    """

    label: str
    text: str = field(repr=False)
    data: Any
    positions: Positions = field(repr=False)
    folders: Mapping[Keys, Path] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()

    @cached_property
    def options(self) -> Mapping[Keys, str]:
        """Path → the option of the command line, or the layer (`--with`), that wrote it."""
        written = {keys: at.file for keys, (at, _) in self.positions.items() if not at.line}
        return {(): f"--with {self.layers[-1]}", **written} if self.layers else written

    def folder_of(self, keys: Keys = ()) -> Path:
        """Return where a relative path at `keys` starts: the folder of the nearest parent."""
        parents = (keys[:length] for length in range(len(keys), -1, -1))
        return next((self.folders[each] for each in parents if each in self.folders), Path())

    def position(self, keys: Keys, *, key: bool = False) -> Position:
        """Return where a value, or its key, is.

        If it is not written, it is where an option wrote a part of it, or the nearest parent.
        """
        if keys and keys not in self.positions:
            for path in self.options:
                if path[: len(keys)] == keys:
                    return self.positions[path][0]
        for length in range(len(keys), -1, -1):
            if found := self.positions.get(keys[:length]):
                return found[0 if key or length < len(keys) else 1]
        return Position(self.label)

    def problem(self, keys: Keys, got: str, hint: str = "", *, key: bool = False) -> Problem:
        """Return a problem with a value, or with its key."""
        at, what = self.position(keys, key=key), format_path(keys)
        what = "" if str(at) == f"--set {what}" else what
        number = self.files.index(at.file) if at.file in self.files else 0
        return Problem(str(at), what, got, hint, order=(number, at.line, at.column))

    def error(self, keys: Keys, got: str, hint: str = "", *, key: bool = False) -> NstflowError:
        """Return the error of a single problem."""
        return NstflowError(self.problem(keys, got, hint, key=key), self.label)

    def with_value(
        self, path: Sequence[str | int], value: Any, at: Position, folder: Path
    ) -> Source:
        """Return the source with a value at a path, as if it were written at a position.

        Args:
            path: Where it is put.
            value: The value.
            at: Where it was written.
            folder: Where relative paths in it start.

        Raises:
            LookupError: There is no such path; the text says where it ends.
        """
        data, keys = with_value(self.data, path, value)
        # this replaces all that was written below the path
        kept = {old: places for old, places in self.positions.items() if old[: len(keys)] != keys}
        folders = {old: each for old, each in self.folders.items() if old[: len(keys)] != keys}
        return replace(
            self,
            data=with_defaults(data),
            positions={**kept, keys: (at, at)},
            folders={**folders, keys: folder},
        )


def read_source(
    path: Path, installed: Callable[[], Plugins] = Plugins, *, layer: bool = False
) -> Source:
    """Read and parse a recipe file.

    Args:
        path: The file, or the name of a recipe that a plugin offers.
        installed: Finds the plugins; called if there is no such file.
        layer: The name may also be that of a layer.

    Raises:
        NstflowError: There is no such file or name, or the file is not a YAML mapping.
    """
    path = user_path(path)
    label = str(path)
    try:
        if path.is_dir():
            return read_source(find_recipe(path, installed(), layer=layer))
        if path.exists() and not path.is_file():
            raise _error(label, "this is not a regular file.", "Write the recipe to one.")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return read_source(find_recipe(path, installed(), layer=layer))
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise _error(label, f"the file can't be read ({error}).") from error
    if len(data) > MAX_BYTES:
        raise _error(label, _TOO_LARGE)
    zeros = [byte == 0 for byte in data[:4]]  # of two letters of ASCII, if there is no mark
    marked = data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    if marked or zeros in ([False, True, False, True], [True, False, True, False]):
        raise _error(label, "this is not text in UTF-8, but in UTF-16.", "Save it as UTF-8.")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        is_png = data.startswith(b"\x89PNG")
        hint = "`nstflow rerun` makes a picture again." if is_png else "Save it as UTF-8."
        raise _error(label, f"this is not text in UTF-8 (byte {error.start}).", hint) from None
    return parse_source(text, label, path.absolute().parent, controls=False)


def parse_source(
    text: str, label: str, folder: Path | None = None, *, controls: bool = True
) -> Source:
    """Parse the text of a recipe.

    Args:
        text: The recipe.
        label: What problems call it.
        folder: Where relative paths in it start; by default the working directory.
        controls: Let control characters pass, which YAML has escapes for.

    Raises:
        NstflowError: It is not a YAML mapping.
    """
    if len(text) > MAX_BYTES:
        raise _error(label, _TOO_LARGE)
    data, positions = parse_yaml(text.removeprefix("\ufeff"), label, controls=controls)
    if data is None:
        raise _error(label, "the recipe is empty.", "It needs at least name, images and losses.")
    if not isinstance(data, dict):
        kind = describe_value(data)
        raise _error(label, f"a recipe is a mapping of keys to values, but this is {kind}.")
    return Source(label, text, data, positions, {(): folder or Path()}, (label,))


def _error(label: str, got: str, hint: str = "") -> NstflowError:
    """Return the error of a whole file."""
    return NstflowError(Problem(label, "", got, hint), label)
