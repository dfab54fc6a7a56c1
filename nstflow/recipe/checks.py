"""What no stage can see by itself: names that others declare."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Annotated, Any, get_args, get_origin

from nstflow.errors import Problem, suggest
from nstflow.fields import IMAGE_REF
from nstflow.recipe.parsing import Keys, dotted
from nstflow.recipe.schema import RESERVED
from nstflow.recipe.source import Source
from nstflow.stages import Extractor, Output, Stage
from nstflow.terms import LossTerm
from nstflow.values import PIXELS

_MOST_HINTS, _MOST_CHOICES, _MOST_LISTED = 50, 200, 20


class _Names:
    """What else a name may be. The first mistakes are told alone: comparing names takes time."""

    def __init__(self) -> None:
        self.hints = 0

    def nearest(self, got: str, choices: Iterable[str]) -> str:
        """Return what `suggest` does, or nothing for all but the first mistakes."""
        self.hints += 1
        return suggest(got, islice(choices, _MOST_CHOICES)) if self.hints <= _MOST_HINTS else ""

    def hint(self, got: str, title: str, choices: Collection[str]) -> str:
        """Return the choice that is nearest to `got`, and a list of them."""
        near = self.nearest(got, choices)
        if self.hints > _MOST_HINTS:
            return ""
        listed = ", ".join(islice(choices, _MOST_LISTED)) or "none"
        more = len(choices) - _MOST_LISTED
        return f"{near} {title}: {listed}{f' and {more} more' if more > 0 else ''}.".strip()


def check(source: Source, stages: Mapping[Keys, Stage]) -> Iterator[Problem]:
    """Yield what is wrong between stages, each of which is right by itself.

    Args:
        source: The recipe as written; images that are broken are declared all the same.
        stages: Path → stage, of those that validated.
    """
    names = _Names()
    images = source.data.get("images")
    if isinstance(images, dict):  # else that is the mistake, and no name can be judged
        for keys, stage in stages.items():
            yield from _images_are_declared(source, keys, stage, images, names)
    losses = source.data.get("losses")
    for name in RESERVED:
        if isinstance(losses, dict) and name in losses:
            path = ("losses", name)
            got = f"'{name}' is a column of the history: no loss can be called that."
            yield Problem(source.where(path, key=True), dotted(path), got)
    extractor = stages.get(("extractor",))
    if isinstance(extractor, Extractor):
        yield from _groups_exist(source, extractor, names)
        for keys, stage in stages.items():
            if isinstance(stage, LossTerm):
                yield from _layers_exist(source, keys, stage, extractor, names)
    yield from _outputs_differ(source, stages)


def _images_are_declared(
    source: Source, keys: Keys, stage: Stage, images: Collection[str], names: _Names
) -> Iterator[Problem]:
    told = set()
    # a stage's own fields before those of its contract
    for name, field in reversed(type(stage).model_fields.items()):
        if not _refers(field.annotation, list(field.metadata)):
            continue
        value = getattr(stage, name)
        if value is None:
            continue
        for image in [value] if isinstance(value, str) else value:
            if image not in images and image not in told:
                told.add(image)  # once a stage: what a field left out follows from another
                path = (*keys, name)
                got = f"no image is called '{image}'."
                hint = names.hint(image, "Declared", images)
                yield Problem(source.where(path), dotted(path), got, hint)


def _refers(annotation: Any, metadata: list[Any]) -> bool:
    """Say whether a field's type is, or holds, an `ImageRef`."""
    if IMAGE_REF in metadata:
        return True
    if get_origin(annotation) is Annotated:
        return IMAGE_REF in annotation.__metadata__ or _refers(annotation.__origin__, [])
    return any(_refers(argument, []) for argument in get_args(annotation))


def _groups_exist(source: Source, extractor: Extractor, names: _Names) -> Iterator[Problem]:
    known = extractor.layer_names()
    for group, layers in extractor.layers.items():
        path = ("extractor", "layers", group)
        if not layers:
            yield Problem(source.where(path), dotted(path), "a group needs at least one layer.")
        seen = set()
        for index, layer in enumerate(layers):
            place = source.where((*path, index))
            if layer in seen:
                yield Problem(place, dotted(path), f"the layer '{layer}' is listed twice.")
            seen.add(layer)
            if known is not None and layer not in (*known, PIXELS):
                yield Problem(place, dotted(path), *_no_layer(layer, known, names))


def _layers_exist(
    source: Source, keys: Keys, term: LossTerm, extractor: Extractor, names: _Names
) -> Iterator[Problem]:
    path = (*keys, "layers")
    known = extractor.layer_names()
    if isinstance(term.layers, str):
        if term.layers in extractor.layers:
            return
        hint = names.hint(term.layers, "Groups", extractor.layers)
        if known is not None and term.layers in (*known, PIXELS):
            hint = f"For the layer alone, write [{term.layers}]."
        got = f"the extractor has no group of layers called '{term.layers}'."
        yield Problem(source.where(path), dotted(path), got, hint)
    elif known is not None:
        for index, layer in enumerate(term.layers):
            if layer not in (*known, PIXELS):
                item = layer if isinstance(term.layers, dict) else index
                place = source.where((*path, item), key=isinstance(term.layers, dict))
                yield Problem(place, dotted(path), *_no_layer(layer, known, names))


def _no_layer(layer: str, known: Any, names: _Names) -> tuple[str, str]:
    hint = names.nearest(layer, known) or f"There are {known[0]} to {known[-1]}, and {PIXELS}."
    return f"the extractor has no layer '{layer}'.", hint


def _outputs_differ(source: Source, stages: Mapping[Keys, Stage]) -> Iterator[Problem]:
    seen: dict[tuple[str, Any], Keys] = {}
    for keys, stage in stages.items():
        if isinstance(stage, Output):
            file = stage.use, getattr(stage, "name", None)
            if file in seen:
                got = f"{dotted(seen[file])} writes the same file."
                yield Problem(source.where(keys), dotted(keys), got, "Give one another name.")
            seen.setdefault(file, keys)
