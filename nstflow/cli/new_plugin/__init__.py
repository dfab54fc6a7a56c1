"""The command that writes a new plugin package, from the files in `templates`.

A package is written from `templates/common` and from the folder named like its slot. In the files
and in their names, each of the words in capitals stands for what `new_plugin` puts there.
"""

import importlib.util
import keyword
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from nstflow.cli.console import output as console
from nstflow.errors import NstflowError, Problem, suggest

KINDS = ("losses", "preprocess", "postprocess", "observers")
"""What a package can be made for: slots, and observers."""

_TEMPLATES = Path(__file__).with_name("templates")

_OTHER_NAMES = {"Field", "Image", "Literal", "Mapping", "Progress", "Result", "Tensor"}
_OTHER_NAMES |= {"Postprocessor", "Preprocessor", "StatisticTerm"}  # that templates import
_OTHER_NAMES |= {"True", "False", "None", "Null"}  # of Python, or of YAML

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The package's name, and folder's.")],
    slot: Annotated[
        str,
        typer.Option(metavar="SLOT", help="losses, preprocess, postprocess, or observers."),
    ] = "losses",
) -> None:
    """Write a new plugin package that works, ready to be changed."""
    folder = new_plugin(name, slot, Path())
    console.show_ok(str(folder), "written")
    try_it = f"pip install -e './{folder}[test]' && pytest {folder}"
    module = folder / f"{name.replace('-', '_')}.py"
    console.show_facts([("try it", try_it), ("change it", str(module))])


def new_plugin(name: str, kind: str, parent: Path) -> Path:
    """Write a package into a new folder, and return the folder.

    Args:
        name: The distribution's name, and the folder's, such as `nstflow-moments`.
        kind: One of `KINDS`.
        parent: Where the folder is made.

    Raises:
        NstflowError: The name is not valid, or taken; the folder exists; or it can't be written.
    """
    from importlib.metadata import version

    from nstflow.plugins.manager import Plugins

    def refusal(got: str, hint: str = "Choose another name.") -> NstflowError:
        return NstflowError(Problem(f"nstflow new-plugin {name}", "", got, hint))

    if kind not in KINDS:
        hint = f"{suggest(kind, KINDS)} Choose from {', '.join(KINDS)}.".strip()
        raise refusal(f"there is no template for '{kind}'.", hint)
    if not _NAME.fullmatch(name):
        hint = "Use lower-case letters and digits, with hyphens between: nstflow-moments."
        raise refusal("this is not a valid name for a package.", hint)
    module = name.replace("-", "_")
    use = module.removeprefix("nstflow_")
    title = "".join(part.capitalize() for part in use.split("_"))
    if not use.isidentifier() or keyword.iskeyword(use) or title in _OTHER_NAMES:
        raise refusal(f"'{use}' can't be the name of a stage.")
    if module in sys.stdlib_module_names or importlib.util.find_spec(module):
        raise refusal(f"there is a module '{module}' already.")
    offer = Plugins().catalog[kind].get(use) if kind != "observers" else None
    if offer is not None:
        raise refusal(f"{offer.title} offers '{use}' already.")
    folder = parent / name
    if os.path.lexists(folder):
        raise refusal(f"'{folder}' exists already.", "Choose another name, or remove it.")
    words = {"NAME": name, "MODULE": module, "USE": use, "CLASS": title, "KIND": kind}
    words["VERSION"] = version("nstflow")
    try:
        _write(folder, [_TEMPLATES / "common", _TEMPLATES / kind], words)
    except OSError as error:
        raise refusal(f"'{folder}' can't be written ({error.strerror or error}).", "") from error
    return folder


def _write(folder: Path, templates: list[Path], words: dict[str, str]) -> None:
    """Write the filled templates, later ones over earlier; the folder is complete or absent."""

    def filled(text: str) -> str:
        for word, value in words.items():
            text = text.replace(word, value)
        return text

    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".nstflow-new-") as scratch:
        for template in templates:
            for file in template.rglob("*.*"):
                if file.suffix == ".pyc":  # pip compiles every module that it installs
                    continue
                path = Path(scratch, folder.name, filled(str(file.relative_to(template))))
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(filled(file.read_text(encoding="utf-8")), encoding="utf-8")
        Path(scratch, folder.name).rename(folder)
