"""How a picture was made: the lock that it carries, and its inputs found again by their hashes."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from nstflow.errors import NstflowError, Problem
from nstflow.lockfile.build import relative
from nstflow.recipe.model import Lock, LockedFile, Recipe
from nstflow.recipe.paths import parse_path, with_value
from nstflow.recipe.reader import parse
from nstflow.recipe.source import Source, parse_source, read_source
from nstflow.recipe.validation import explain
from nstflow.recipe.yaml import to_yaml
from nstflow.storage.files import sha256_of
from nstflow.storage.run_record import LOCK_FILE, explain_not_a_run, read_run_record

_MOST_PIXELS = 64_000_000  # to decode for a text behind them, as a loader would


_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"


def read_anything(path: Path) -> tuple[Source, Path | None]:
    """Return what was written of a recipe, a lock, a run or a picture, and where its paths start.

    That is None for a picture, which carries names for paths. A lock that is there is sound.

    Raises:
        NstflowError: It is none of them.
    """
    try:
        facts = read_run_record(path) if path.is_dir() else None
        head = b""
        if path.is_file():
            with path.open("rb") as file:
                head = file.read(len(_PNG))
    except (OSError, ValueError) as error:
        raise NstflowError(Problem(str(path), "", f"it can't be read ({error}).")) from error
    if path.is_dir() and facts is None:
        raise NstflowError(Problem(str(path), "", *explain_not_a_run(path)))
    if head.startswith((_PNG, _JPEG)):
        source = parse_source(read_record(path), str(path))
        lock_of(source, needed=True)
        return source, None
    if facts is not None and not (path / LOCK_FILE).is_file():
        got = f"the run in this folder has no {LOCK_FILE}: it was killed before it could write one."
        raise NstflowError(Problem(str(path), "", got, "Let it go on, with --resume."))
    source = read_source(path if facts is None else path / LOCK_FILE)
    lock = lock_of(source, needed=facts is not None)
    if lock is None and "losses" not in source.data:
        got = "this is no recipe, no lock, no run's directory and no picture of nstflow."
        raise NstflowError(Problem(str(path), "", got, "Name one of them."))
    if facts is None:
        return source, path.parent
    if lock is not None and facts.state == "stopped":
        stopped = {**source.data["lock"], "stopped_at": facts.steps}
        source = source.with_data({**source.data, "lock": stopped})
    return source, path


def lock_of(source: Source, *, needed: bool) -> Lock | None:
    """Return the lock in what was written.

    Raises:
        NstflowError: It is damaged, or it is needed and not there.
    """
    data = source.data.get("lock")
    if data is None and needed:
        got = "this does not say what it was made of: there is no lock in it."
        hint = "A picture of nstflow, a run's directory or `nstflow lock` has one."
        raise NstflowError(Problem(source.label, "lock", got, hint), source.label)
    try:
        return None if data is None else Lock.model_validate(data, strict=True)
    except ValidationError as error:
        raise NstflowError(explain(error, source, ("lock",), Lock), source.label) from error


def read_record(path: Path) -> str:
    """Return the lock that a PNG carries, as text.

    Raises:
        NstflowError: It is no PNG, or it carries none.
    """
    import PIL.Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large ones: their texts are what is read
            with PIL.Image.open(path, formats=["PNG"]) as image:
                if "nstflow" not in image.info and math.prod(image.size) <= _MOST_PIXELS:
                    image.load()  # other programs put texts behind the pixels
                text = image.info.get("nstflow")
    except PIL.UnidentifiedImageError as error:
        hint = "Only PNG files carry how they were made."
        raise NstflowError(Problem(str(path), "", "this is no whole PNG file.", hint)) from error
    except Exception as error:  # decoders raise anything on damaged bytes
        raise NstflowError(Problem(str(path), "", f"it can't be read ({error}).")) from error
    if not isinstance(text, str):
        got = "this picture does not say how it was made."
        hint = (
            "nstflow writes that into PNG files, unless --no-metadata is said; other programs may "
            "drop it when they save."
        )
        raise NstflowError(Problem(str(path), "", got, hint))
    return str(text)


def recipe_of(picture: Path, images: Path) -> Recipe:
    """Return the recipe that made a picture, with its inputs found in a folder by their hashes.

    Args:
        picture: A PNG that nstflow wrote.
        images: Where to look for the inputs, in all folders below too.

    Raises:
        NstflowError: The picture carries no sound lock, or an input is not there.
    """
    source = parse_source(read_record(picture), str(picture), images)
    label = source.label
    lock = lock_of(source, needed=True)
    assert lock is not None  # noqa: S101 - it was needed
    if not images.is_dir():
        raise NstflowError(Problem(f"--images {images}", "", "there is no such folder."))
    recipe = parse(source).recipe_or_raise()
    named = recipe.origin.files()
    problems = []
    hint = "Run the recipe itself: `nstflow show --yaml` prints it."
    data = recipe.source.data
    found = _by_hash(images, [lock.files[name] for name in named if name in lock.files])
    for setting in named:
        what = lock.files.get(setting)
        if what is None:
            problems.append(Problem(label, setting, "the lock has no hash of this file.", hint))
        elif what.sha256 not in found:
            got = f"{named[setting].name} is not in '{images}': "
            got += f"no file of {what.bytes:,} bytes there has the sha256 {what.sha256}."
            problems.append(Problem(label, setting, got))
        else:
            data, _ = with_value(data, parse_path(data, setting), found[what.sha256])
    if problems:
        raise NstflowError(problems, label)
    return parse(parse_source(to_yaml(data), label, images)).recipe_or_raise()


def _by_hash(folder: Path, wanted: list[LockedFile]) -> dict[str, str]:
    """Return hash → path from the folder, of the files that are there."""
    found: dict[str, str] = {}
    hashes, sizes = {what.sha256 for what in wanted}, {what.bytes for what in wanted}
    for file in _files(folder):
        try:
            if file.is_file() and file.stat().st_size in sizes:
                str(file).encode()  # no recipe can name a file whose name is no text
                sha256 = sha256_of(file)
                if sha256 in hashes:
                    found.setdefault(sha256, relative(file, folder))
        except (OSError, UnicodeEncodeError):
            continue  # not ours to read, so not what is looked for
        if len(found) == len(hashes):
            break
    return found


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(parent, name) for name in sorted(names))
