"""What a person sees of a plan: labels and values, for every kind of display."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from nstflow.engine.memory import available
from nstflow.errors import NstflowError
from nstflow.plan.fitting import fitting_size
from nstflow.plan.timings import estimate
from nstflow.stages.text import amount_text, duration_text, number_text, stage_text, text_of
from nstflow.stages.types import scaled, size_text

if TYPE_CHECKING:
    from nstflow.plan import Plan
    from nstflow.stages.types import Asset

_MINUTE = 60  # seconds


def facts_of(plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield label and value of everything that a plan decides; its assets are left out."""
    recipe = plan.recipe
    masks = {region.mask for term in plan.terms.values() for region in term.regions if region}
    for name, size in plan.sizes.items():
        cover = _cover(plan, name) if name in masks else ""
        yield f"image {name}", f"{size_text(plan.sources[name])} → {size_text(size)}{cover}"
    start = stage_text(recipe.start.model_dump(mode="json"))
    yield "canvas", f"{size_text(plan.canvas)}, starts as {start}"
    for name, term in plan.terms.items():
        layers = ", ".join(f"{share:.3g} {layer}" for layer, share in term.shares.items())
        shares = [f"{share:.0%} {image}" for image, share in term.references.items()]
        mixed = f", with {', '.join(shares)}" if shares[1:] else ""
        yield f"loss {name}", f"{text_of(term.weight)} × {term.use} of {layers}{mixed}"
    yield "optimizer", stage_text(recipe.optimizer.model_dump(mode="json"))
    yield "steps", _steps(plan)
    yield "arithmetic", _arithmetic(plan)
    yield from _settled(plan)
    yield "memory", memory_text(plan)
    if plan.checkpoint_size is not None:
        yield "checkpoint", amount_text(plan.checkpoint_size, "B")
    yield "time", _time(plan)


def _cover(plan: Plan, mask: str) -> str:
    """Return which part of its image a mask covers, as loaded."""
    try:
        with plan.recipe.asking("images", mask) as loader:
            alpha = loader.load(plan.recipe.folder).alpha
    except NstflowError as error:
        return f", not a mask: {error.problems[0].got}"
    if alpha is None:
        return ", not a mask: it has no transparency"
    return f", a mask of {float(alpha.mean()):.1%}"


def _steps(plan: Plan) -> str:
    """Return the number of steps, and of those at each size."""
    most = "at most " if any(phase.stop for phase in plan.phases) else ""
    text = f"{most}{plan.steps} in {plan.epochs} epochs"
    if len(plan.phases) == 1:
        return text
    sizes = [size_text(scaled(plan.canvas, phase.scale)) for phase in plan.phases]
    parts = [f"{n} at {size}" for n, size in zip(plan.steps_of, sizes, strict=True)]
    return f"{text}: {', '.join(parts)}"


def _arithmetic(plan: Plan) -> str:
    if plan.cost is None:
        return "unknown until the extractor is built"
    step = amount_text(plan.cost.forward + plan.cost.backward, "FLOP", 3)
    return f"{step} a step at full size, with convolutions computed directly"


def _settled(plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield the extractor's settings that the plan has chosen."""
    written = plan.recipe.extractor.model_dump(mode="json")
    for name, value in plan.extractor.model_dump(mode="json").items():
        if value and value != written.get(name):
            yield name, _grouped(value) if isinstance(value, dict) else text_of(value)


def _grouped(setting: dict[str, Any]) -> str:
    """Return a mapping by its values: `winograd: a, b; direct: c`."""
    values = dict.fromkeys(map(text_of, setting.values()))
    return "; ".join(
        f"{value}: {', '.join(name for name in setting if text_of(setting[name]) == value)}"
        for value in values
    )


def memory_text(plan: Plan, *, each: bool = False) -> str:
    """Return how much memory a run takes, whether it fits, and which size would.

    Args:
        plan: The run's.
        each: It is one of several.
    """
    if plan.memory is None:
        return "unknown until the extractor is built"
    text = f"about {amount_text(plan.memory, 'B')}{' each' * each} at its peak on a CPU, estimated"
    there_is = available()
    if there_is is None:
        return text
    here = f"{text}; {amount_text(there_is, 'B')} can be used here"
    if plan.memory <= there_is:
        return f"{here}, so it fits"
    smaller = fitting_size(plan, there_is) or "No size would fit."
    return f"{here}, so it does not fit on the CPU. {smaller}"


def _time(plan: Plan) -> str:
    known = estimate(plan)
    if known is None:
        return "unknown: no run like it on this machine yet"
    seconds, record = known
    run = f"this machine's run at {size_text(record.canvas)} on {record.date} ({record.device})"
    of_one = seconds / plan.steps
    step = duration_text(of_one) if of_one >= _MINUTE else f"{number_text(of_one)} s"
    step += " a step" + ("" if len(plan.phases) == 1 else ", on average")
    return f"about {duration_text(seconds)}: {step}, by {run}"


def presence_text(asset: Asset) -> str:
    """Return whether a file that a run needs is there, and what it is."""
    return f"{'present' if asset.present else 'not fetched yet'}; {asset.note}"
