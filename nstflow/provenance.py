"""How a picture was made: the lock that it carries, and its inputs found again by their hashes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from nstflow.digest import sha256_of
from nstflow.errors import NstflowError, Problem
from nstflow.facts import LOCK_FILE, read_facts
from nstflow.lock import keys_in, put
from nstflow.plan import named_files
from nstflow.recipe import draft_of
from nstflow.recipe.draft import Draft
from nstflow.recipe.parsing import parse_yaml
from nstflow.recipe.schema import Lock, LockedFile, Recipe
from nstflow.recipe.source import Source, parse_source, read_source
from nstflow.recipe.writing import to_yaml

_PNG = b"\x89PNG\r\n\x1a\n"


def read_anything(path: Path) -> tuple[Source, Path]:
    """Return what was written, and where its paths start, of a recipe, a lock, a run or a picture.

    Raises:
        NstflowError: It is none of them.
    """
    try:
        is_folder = path.is_dir()
        is_png = path.is_file() and path.open("rb").read(len(_PNG)) == _PNG
    except (OSError, ValueError) as error:
        raise NstflowError(Problem(str(path), "", f"it can't be read ({error}).")) from error
    if is_folder:
        if read_facts(path) is None:
            got = f"this folder holds no run: there is no {LOCK_FILE} with its facts."
            raise NstflowError(Problem(str(path), "", got, "Name a run directory."))
        return read_source(path / LOCK_FILE), path
    if is_png:
        return parse_source(read_record(path), str(path)), path.parent
    return read_source(path), path.parent


def read_record(path: Path) -> str:
    """Return the lock that a PNG carries, as text.

    Raises:
        NstflowError: It is no PNG, or it carries none.
    """
    import PIL.Image

    try:
        with PIL.Image.open(path, formats=["PNG"]) as image:
            text = image.info.get("nstflow")
    except PIL.UnidentifiedImageError as error:
        hint = "Only PNG files carry how they were made."
        raise NstflowError(Problem(str(path), "", "this is no PNG file.", hint)) from error
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
    source = parse_source(read_record(picture), str(picture))
    label = source.label
    try:
        lock = Lock.model_validate(source.data.get("lock"), strict=True)
    except ValidationError as error:
        got = "the lock of this picture is damaged."
        raise NstflowError(Problem(label, "lock", got), label) from error
    if not images.is_dir():
        raise NstflowError(Problem(f"--images {images}", "", "there is no such folder."))
    made = _sound(draft_of(source, images))
    named = named_files(made, made.stages.items(), images)
    problems = []
    data = source.data
    found = _by_hash(images, [lock.files[name] for name in named if name in lock.files])
    for setting in named:
        what = lock.files.get(setting)
        if what is None:
            problems.append(Problem(label, setting, "the lock has no hash of this file."))
        elif what.sha256 not in found:
            name = Path(str(named[setting])).name
            got = f"{name} is not in '{images}': no file of {what.bytes} bytes there has the "
            got += f"sha256 {what.sha256}."
            problems.append(Problem(label, setting, got, "Name its folder with --images."))
        else:
            put(data, keys_in(data, setting), found[what.sha256])
    if problems:
        raise NstflowError(problems, label)
    text = to_yaml(data)
    ready = Source(label, text, *parse_yaml(text, label))
    recipe = _sound(draft_of(ready, images)).recipe
    assert recipe is not None  # noqa: S101 - it is sound
    return recipe


def _sound(made: Draft) -> Draft:
    if made.recipe is None:
        raise NstflowError(made.problems, made.source.label)
    return made


def _by_hash(folder: Path, wanted: list[LockedFile]) -> dict[str, str]:
    """Return hash → path from the folder, of the files that are there."""
    found: dict[str, str] = {}
    hashes, sizes = {what.sha256 for what in wanted}, {what.bytes for what in wanted}
    for file in _files(folder):
        try:
            if file.is_file() and file.stat().st_size in sizes:
                sha256 = sha256_of(file)
                if sha256 in hashes:
                    found.setdefault(sha256, file.relative_to(folder).as_posix())
        except OSError:
            continue  # not ours to read, so not what is looked for
        if len(found) == len(hashes):
            break
    return found


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(parent, name) for name in sorted(names))
