"""A new plugin package, complete and working, to be changed into what one has in mind."""

from __future__ import annotations

import importlib.util
import keyword
import os
import re
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from nstflow.cli.new_plugin import files
from nstflow.cli.new_plugin.modules import OBSERVERS, SLOTS
from nstflow.errors import NstflowError, Problem, suggest
from nstflow.plugins.manager import Plugins

__all__ = ["KINDS", "new_plugin"]

KINDS = (*SLOTS, OBSERVERS)
"""What a package can be made for: slots, and observers."""

_LONGEST = 64
_TAKEN = {"True", "False", "None", "Null", "Literal", "Field", "Tensor", "Image", "Mapping"} | {
    *("StatisticTerm", "Preprocessor", "Postprocessor", "Progress", "Result")
}
"""Names of classes that a module of ours has already, or YAML's words."""

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def new_plugin(name: str, kind: str, parent: Path) -> Path:
    """Write a package into a folder of its own, and return the folder.

    Args:
        name: The distribution's name, and the folder's, such as `nstflow-moments`.
        kind: One of `KINDS`.
        parent: Where the folder is made.

    Raises:
        NstflowError: The name is none of a package, or taken; there is such a folder; or it can't
            be written.
    """
    label = f"nstflow new-plugin {name}"

    def refuse(got: str, hint: str = "") -> NstflowError:
        return NstflowError(Problem(label, "", got, hint))

    if kind not in KINDS:
        hint = f"{suggest(kind, KINDS)} Choose from {', '.join(KINDS)}.".strip()
        raise refuse(f"there is no template for '{kind}'.", hint)
    if not _NAME.fullmatch(name) or name == "nstflow" or len(name) > _LONGEST:
        hint = "Use small letters and digits, with hyphens between: nstflow-moments."
        raise refuse("this is no name for a package.", hint)
    module = name.replace("-", "_")
    use = module.removeprefix("nstflow_")
    title = "".join(part.capitalize() for part in use.split("_"))
    if not use.isidentifier() or keyword.iskeyword(use) or title in _TAKEN:
        raise refuse(f"'{use}' can't be the name of a stage.", "Choose another name.")
    if module in sys.stdlib_module_names or importlib.util.find_spec(module):
        raise refuse(f"there is a module '{module}' already.", "Choose another name.")
    offer = Plugins().catalog[kind].get(use) if kind in SLOTS else None
    if offer is not None:
        raise refuse(f"{offer.title} offers '{use}' already.", "Choose another name.")
    folder = parent / name
    if os.path.lexists(folder):
        raise refuse(f"'{folder}' is there already.", "Choose another name, or remove it.")
    words = {
        "NAME": name,
        "MODULE": module,
        "USE": use,
        "CLASS": title,
        "KIND": kind,
        "VERSION": version("nstflow"),
    }
    try:
        _write(folder, files.of(kind, words))
    except OSError as error:
        raise refuse(f"'{folder}' can't be written ({error.strerror or error}).") from error
    return folder


def _write(folder: Path, texts: dict[str, str]) -> None:
    """Write the files, so that the folder is whole or not there."""
    scratch = Path(tempfile.mkdtemp(prefix=".nstflow-new-", dir=folder.parent))
    try:
        for name, text in texts.items():
            path = scratch / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        scratch.chmod(0o755)
        scratch.rename(folder)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
