"""What is printed of plans and weights."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from nstflow.cli.console.output import (
    duration_text,
    runs_text,
    show_facts,
    show_line,
    show_title,
    stdout,
)
from nstflow.errors import NstflowError, printable
from nstflow.lockfile.diff import text_of
from nstflow.matrix.plan import Matrix
from nstflow.plan import Plan, scaled
from nstflow.plugins.catalog import RecipeOffer
from nstflow.plugins.manager import BUILTIN
from nstflow.runner.timings import estimate
from nstflow.stages.types import Asset, size_text


def show_plan(plan: Plan) -> None:
    """Print what a run would do."""
    recipe = plan.recipe
    show_title(recipe.name, recipe.summary)
    rows: list[tuple[str, str | Text]] = [
        (f"image {name}", f"{size_text(plan.sources[name])} → {size_text(size)}")
        for name, size in plan.sizes.items()
    ]
    start = stage_text(recipe.start.model_dump(mode="json"))
    rows.append(("canvas", f"{size_text(plan.canvas)}, starts as {start}"))
    for name, term in plan.terms.items():
        layers = ", ".join(f"{share:.3g} {layer}" for layer, share in term.shares.items())
        rows.append((f"loss {name}", f"{term.weight:g} × {term.use} of {layers}"))
    rows.append(("optimizer", stage_text(recipe.optimizer.model_dump(mode="json"))))
    rows.append(("steps", _steps(plan)))
    rows.append(("arithmetic", _arithmetic(plan)))
    rows += _settled(plan)
    rows.append(("memory", _memory(plan)))
    if plan.checkpoint_size is not None:
        rows.append(("checkpoint", f"{plan.checkpoint_size / 1e6:,.1f} MB"))
    rows.append(("time", _time(plan)))
    rows += [(asset.name, _presence(asset)) for asset in plan.assets]
    show_facts(rows)


def show_recipes(recipes: Mapping[RecipeOffer, Plan | Matrix | NstflowError]) -> None:
    """Print the recipes that have a name, a row each; of one that is not valid, its error.

    Args:
        recipes: Recipe → what was planned, or why it could not be.
    """
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("recipe", "what it makes", "size", "time here"):
        table.add_column(column, no_wrap=column == "recipe")
    for offer, planned in recipes.items():
        origin = "" if offer.plugin == BUILTIN else f" ({offer.title})"
        if isinstance(planned, NstflowError):
            first = " ".join(str(planned.problems[0]).split())
            more = len(planned.problems) - 1
            error = first + (f" And {more} more." if more else "")
            made, size, time = Text(printable(f"{error}{origin}"), style="red"), "", ""
        else:
            plans = planned.plans if isinstance(planned, Matrix) else [planned]
            summary = planned.summary if isinstance(planned, Matrix) else planned.recipe.summary
            made = Text(printable(f"{summary}{origin}"))
            size = _canvas(plans) + (f", {runs_text(len(plans))}" if len(plans) > 1 else "")
            whole, unknown = _whole_time(plans)
            time = "" if unknown else f"about {duration_text(whole)}"
        table.add_row(Text(printable(offer.name), style="bold cyan"), made, size, time)
    stdout().print(table)


def show_matrix(matrix: Matrix) -> None:
    """Print what the runs of a matrix would do: how many, how long, how large."""
    plans = matrix.plans
    show_title(matrix.name, matrix.summary)
    largest = max(plans, key=lambda plan: plan.memory or 0)
    whole, unknown = _whole_time(plans)
    time = (
        f"about {duration_text(whole)} one after another, without compiling" if whole else "unknown"
    )
    if unknown:
        which = "them" if unknown == len(plans) else f"{unknown} of them"
        time += f"; no run like {which} on this machine yet"
    rows: list[tuple[str, str | Text]] = [
        ("runs", str(len(matrix))),
        ("canvas", _canvas(plans)),
        ("steps", f"{sum(plan.steps for plan in plans):,} in all"),
        ("memory", f"{_memory(largest)}, each"),
        ("time", time),
    ]
    rows += [(asset.name, _presence(asset)) for asset in matrix.assets]
    show_facts(rows)
    stdout().print()
    for cell in matrix.cells:
        show_line(f"  {cell.name}")


def _canvas(plans: Sequence[Plan]) -> str:
    """Return the size of the canvas, or the smallest and the largest."""
    sizes = sorted({plan.canvas for plan in plans}, key=lambda size: size[0] * size[1])
    return size_text(sizes[0]) + (f" to {size_text(sizes[-1])}" if sizes[1:] else "")


def _whole_time(plans: Sequence[Plan]) -> tuple[float, int]:
    """Return the seconds of all runs whose time can be estimated, and how many can't."""
    times = [estimate(plan) for plan in plans]
    return sum(known[0] for known in times if known), sum(known is None for known in times)


def show_weights(assets: list[Asset]) -> None:
    """Print the named weights, and whether they are there."""
    show_facts([(asset.name, _presence(asset)) for asset in assets])


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
    step = (plan.cost.forward + plan.cost.backward) / 1e9
    return f"{step:,.3g} GFLOP a step at full size, with convolutions computed directly"


def _settled(plan: Plan) -> list[tuple[str, str]]:
    """Return the extractor's settings that the plan has chosen."""
    written = plan.recipe.extractor.model_dump(mode="json")
    chosen = plan.extractor.model_dump(mode="json")
    return [
        (name, _grouped(value) if isinstance(value, dict) else text_of(value))
        for name, value in chosen.items()
        if value and value != written.get(name)
    ]


def _grouped(setting: dict[str, Any]) -> str:
    """Return a mapping by its values: `winograd: a, b; direct: c`."""
    values = dict.fromkeys(map(text_of, setting.values()))
    return "; ".join(
        f"{value}: {', '.join(name for name in setting if text_of(setting[name]) == value)}"
        for value in values
    )


def _memory(plan: Plan) -> str:
    if plan.memory is None:
        return "unknown until the extractor is built"
    return f"about {plan.memory / 1e9:.2g} GB at its peak on a CPU, estimated"


def _time(plan: Plan) -> str:
    known = estimate(plan)
    if known is None:
        return "unknown: no run like it on this machine yet"
    seconds, record = known
    run = f"this machine's run at {size_text(record.canvas)} on {record.date} ({record.device})"
    step = f"{seconds / plan.steps:.2g} s a step" + (
        "" if len(plan.phases) == 1 else ", on average"
    )
    return f"about {duration_text(seconds)}: {step}, by {run}"


def _presence(asset: Asset) -> Text:
    state = ("present", "green") if asset.present else ("not fetched yet", "yellow")
    return Text.assemble(state, f"; {asset.note}")


def stage_text(stage: Any) -> str:
    """Return a stage, as data of YAML, on one line.

    Mappings to texts are left out: an extractor's choice for each layer is long.
    """
    if not isinstance(stage, dict):
        return "" if stage is None else text_of(stage)
    settings = ", ".join(
        f"{text_of(name)} {text_of(value)}"
        for name, value in stage.items()
        if name != "use" and not _maps_to_texts(value)
    )
    if "use" not in stage:
        return settings
    return f"{text_of(stage['use'])} ({settings})" if settings else text_of(stage["use"])


def _maps_to_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())
