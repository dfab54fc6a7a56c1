"""How a picture was made: the lockfile stored in it, and its inputs found by their hashes."""

import contextlib
import math
import os
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from nstflow.errors import NstflowError, Problem
from nstflow.plugins.manager import Plugins
from nstflow.recipe.layers import EXTENDS, with_layers
from nstflow.recipe.model import Lock, LockedFile, Recipe
from nstflow.recipe.paths import relative, with_settings
from nstflow.recipe.reader import NO_OPTIONS, ReadOptions, parse
from nstflow.recipe.shipped import named_recipe
from nstflow.recipe.source import Source, parse_source, read_source
from nstflow.recipe.validation import explain
from nstflow.recipe.yaml import to_yaml
from nstflow.storage.files import check_regular, sha256_of
from nstflow.storage.run_record import LOCK_FILE, explain_not_a_run, read_run_record

_MOST_PIXELS = 64_000_000  # to decode for a text behind them, as a loader would

_PNG = b"\x89PNG\r\n\x1a\n"
_PICTURES = (_PNG, b"\xff\xd8\xff", b"RIFF", b"II*\0", b"MM\0*")  # JPEG, WebP, TIFF


def read_anything(
    path: Path, installed: Callable[[], Plugins] = Plugins
) -> tuple[Source, Path | None]:
    """Return the text of a recipe, a lockfile, a run or a picture, and where its paths start.

    A picture has file names and no paths, so that is None. A lock in the text is valid.

    Args:
        path: The file, the run directory, or the name of a recipe.
        installed: Finds the plugins, which may offer recipes.

    Raises:
        NstflowError: It is none of them.
    """
    try:
        is_run = path.is_dir() and read_run_record(path) is not None
        if is_run or (path.is_dir() and named_recipe(path, installed()) is None):
            return _read_run(path), path
        head = b""
        if path.is_file():
            with path.open("rb") as file:
                head = file.read(len(_PNG))
    except (OSError, ValueError) as error:
        raise NstflowError(Problem(str(path), "", f"it can't be read ({error}).")) from error
    is_picture = head.startswith(_PICTURES)
    source = (
        parse_source(read_record(path), str(path)) if is_picture else read_source(path, installed)
    )
    if EXTENDS in source.data and not is_picture:
        source = with_layers(source, (), installed)
    if lock_of(source, needed=is_picture) is None and "losses" not in source.data:
        got = "this is not a recipe, a lockfile, a run directory or a picture of nstflow."
        raise NstflowError(Problem(str(path), "", got, "Name one of them."))
    return source, None if is_picture else source.folder_of()


def _read_run(folder: Path) -> Source:
    record = read_run_record(folder)
    if record is None:
        raise NstflowError(Problem(str(folder), "", *explain_not_a_run(folder)))
    if not (folder / LOCK_FILE).is_file():
        got = f"the run in this folder has no {LOCK_FILE}: it was killed before it could write one."
        raise NstflowError(Problem(str(folder), "", got, "Resume it with --resume."))
    source = read_source(folder / LOCK_FILE)
    lock_of(source, needed=True)
    if record.state == "stopped":
        lock = {**source.data["lock"], "stopped_at": record.steps}
        source = replace(source, data={**source.data, "lock": lock})
    return source


def lock_of(source: Source, *, needed: bool) -> Lock | None:
    """Return the lock in a text, or None if it has none.

    Raises:
        NstflowError: It is damaged, or it is needed and not there.
    """
    data = source.data.get("lock")
    if data is None and needed:
        got = "there is no lock in it, so it does not say what it was made of."
        hint = "A picture of nstflow, a run directory or a file that `nstflow lock` wrote has one."
        raise NstflowError(Problem(source.label, "lock", got, hint), source.label)
    try:
        return None if data is None else Lock.model_validate(data, strict=True)
    except ValidationError as error:
        raise NstflowError(explain(error, source, ("lock",), Lock), source.label) from error


def read_record(path: Path) -> str:
    """Return the text of the lockfile that is stored in a PNG.

    Raises:
        NstflowError: It is not a PNG, or there is none in it.
    """
    import PIL.Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about large images: only the text is read
            with PIL.Image.open(check_regular(path), formats=["PNG"]) as image:
                if "nstflow" not in image.info and math.prod(image.size) <= _MOST_PIXELS:
                    image.load()  # other programs put texts behind the pixels
                text = image.info.get("nstflow")
    except PIL.UnidentifiedImageError as error:
        hint = "Only PNG files say how they were made."
        raise NstflowError(Problem(str(path), "", "this is not a whole PNG file.", hint)) from error
    except Exception as error:  # decoders raise anything on damaged bytes
        raise NstflowError(Problem(str(path), "", f"it can't be read ({error}).")) from error
    if not isinstance(text, str):
        got = "this picture does not say how it was made."
        hint = (
            "nstflow writes that into PNG files, but not with --no-metadata; other programs may "
            "drop it when they save."
        )
        raise NstflowError(Problem(str(path), "", got, hint))
    return str(text)


def recipe_of(picture: Path, images: Path, options: ReadOptions = NO_OPTIONS) -> Recipe:
    """Return the recipe that made a picture, with its inputs found in a folder by their hashes.

    Args:
        picture: A PNG that nstflow wrote.
        images: Where to look for the inputs, in all folders below too.
        options: Plugin files, and blocked plugins.

    Raises:
        NstflowError: There is no valid lock in the picture, or an input is not in the folder.
    """
    source = parse_source(read_record(picture), str(picture), images)
    label = source.label
    lock = lock_of(source, needed=True)
    if not images.is_dir():
        raise NstflowError(Problem(f"--images {images}", "", "there is no such folder."))
    recipe = parse(source, options).recipe_or_raise()
    named = recipe.origin.files()
    known = lock.files if lock else {}
    found = _by_hash(images, [known[setting] for setting in named if setting in known])
    problems, paths = [], {}
    for setting, file in named.items():
        if setting not in known:
            got = "the lock has no hash of this file."
            hint = "Run the recipe itself: `nstflow show --yaml` prints it."
            problems.append(Problem(label, setting, got, hint))
        elif (what := known[setting]).sha256 not in found:
            got = f"{file.name} is not in '{images}': "
            got += f"no file of {what.bytes:,} bytes there has the sha256 {what.sha256}."
            problems.append(Problem(label, setting, got))
        else:
            paths[setting] = found[what.sha256]
    if problems:
        raise NstflowError(problems, label)
    text = to_yaml(with_settings(recipe.source.data, paths))
    return parse(parse_source(text, label, images), options).recipe_or_raise()


def _by_hash(folder: Path, wanted: list[LockedFile]) -> dict[str, str]:
    """Return hash → path from the folder, of the files that are there."""
    found: dict[str, str] = {}
    hashes, sizes = {what.sha256 for what in wanted}, {what.bytes for what in wanted}
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for file in [Path(parent, name) for name in sorted(names)]:
            # a file that can't be read, or whose name is not text, can't be an input
            with contextlib.suppress(OSError, UnicodeEncodeError):
                if file.is_file() and file.stat().st_size in sizes:
                    str(file).encode()
                    if (sha256 := sha256_of(file)) in hashes:
                        found.setdefault(sha256, relative(file, folder))
            if len(found) == len(hashes):
                return found
    return found
