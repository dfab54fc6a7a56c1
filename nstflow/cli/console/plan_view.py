"""What is printed of plans and weights."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from nstflow.cli.console.output import duration_text, show_facts, show_line, show_title, stdout
from nstflow.matrix.plan import Matrix
from nstflow.plan import Plan
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
    rows.append(("canvas", f"{size_text(plan.canvas)}, starts as {_settings(recipe.start)}"))
    for name, term in plan.terms.items():
        layers = ", ".join(f"{share:.3g} {layer}" for layer, share in term.shares.items())
        rows.append((f"loss {name}", f"{term.weight:g} × {term.use} of {layers}"))
    rows.append(("optimizer", _settings(recipe.optimizer)))
    rows.append(("steps", f"{plan.steps} in {plan.epochs} epochs"))
    rows.append(("arithmetic", _arithmetic(plan)))
    rows += _settled(plan)
    rows.append(("memory", _memory(plan)))
    rows.append(("time", _time(plan)))
    rows += [(asset.name, _presence(asset)) for asset in plan.assets]
    show_facts(rows)


def show_matrix(matrix: Matrix) -> None:
    """Print what the runs of a matrix would do: how many, how long, how large."""
    plans = matrix.plans
    show_title(matrix.name, matrix.summary)
    sizes = sorted({plan.canvas for plan in plans}, key=lambda size: size[0] * size[1])
    canvas = size_text(sizes[0]) + (f" to {size_text(sizes[-1])}" if sizes[1:] else "")
    largest = max(plans, key=lambda plan: plan.memory or 0)
    times = [estimate(plan) for plan in plans]
    unknown = sum(known is None for known in times)
    whole = sum(known[0] * plan.steps for known, plan in zip(times, plans, strict=True) if known)
    time = (
        f"about {duration_text(whole)} one after another, compiling left out"
        if whole
        else "unknown"
    )
    if unknown:
        which = "them" if unknown == len(times) else f"{unknown} of them"
        time += f"; no run like {which} on this machine yet"
    rows: list[tuple[str, str | Text]] = [
        ("runs", str(len(matrix))),
        ("canvas", canvas),
        ("steps", f"{sum(plan.steps for plan in plans):,} in all"),
        ("memory", f"{_memory(largest)}, each"),
        ("time", time),
    ]
    rows += [(asset.name, _presence(asset)) for asset in matrix.assets]
    show_facts(rows)
    stdout().print()
    for cell in matrix.cells:
        show_line(f"  {cell.name}")


def show_weights(assets: list[Asset]) -> None:
    """Print the named weights, and whether they are there."""
    show_facts([(asset.name, _presence(asset)) for asset in assets])


def _arithmetic(plan: Plan) -> str:
    if plan.cost is None:
        return "unknown until the extractor is built"
    step = (plan.cost.forward + plan.cost.backward) / 1e9
    return f"{step:,.3g} GFLOP a step at full size, with convolutions computed directly"


def _settled(plan: Plan) -> list[tuple[str, str]]:
    """Return the extractor's settings that the plan has settled."""
    fields = type(plan.extractor).model_fields
    settled = {name: getattr(plan.extractor, name) for name in fields}
    return [
        (name, _grouped(value))
        for name, value in settled.items()
        if value and value != getattr(plan.recipe.extractor, name, None)
    ]


def _grouped(value: Any) -> str:
    """Return a mapping of names to names by its values: `winograd: a, b; direct: c`."""
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        return _value(value)
    return "; ".join(
        f"{item}: {', '.join(name for name in value if value[name] == item)}"
        for item in dict.fromkeys(value.values())
    )


def _memory(plan: Plan) -> str:
    if plan.memory is None:
        return "unknown until the extractor is built"
    return f"about {plan.memory / 1e9:.2g} GB at its peak on a CPU, by a model of the network"


def _time(plan: Plan) -> str:
    known = estimate(plan)
    if known is None:
        return "unknown: no run like it on this machine yet"
    seconds, record = known
    run = f"this machine's run at {size_text(record.canvas)} on {record.date} ({record.device})"
    return f"about {duration_text(seconds * plan.steps)}: {seconds:.2g} s a step, by {run}"


def _presence(asset: Asset) -> Text:
    state = ("present", "green") if asset.present else ("not fetched yet", "yellow")
    return Text.assemble(state, f"; {asset.note}")


def _settings(stage: Any) -> str:
    settings = stage.model_dump(exclude={"use"})
    return f"{stage.use} ({', '.join(f'{k} {_value(v)}' for k, v in settings.items())})"


def _value(value: Any) -> str:
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_value(item)}' for key, item in value.items())}}}"
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else str(value)
