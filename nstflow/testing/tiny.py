"""Small images and a small run to try a stage on."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nstflow import Image, Result, load_recipe, make_plan, run
from nstflow.plugins.single_file import PluginFile
from nstflow.recipe.yaml import to_yaml


def tiny_images() -> dict[str, Image]:
    """Return two images, `content` 24×16 and `style` 20×12 pixels, the same each time."""
    import numpy as np

    generator = np.random.default_rng(7)
    images = {}
    for name, (height, width) in (("content", (16, 24)), ("style", (12, 20))):
        ramp = np.linspace(0.1, 0.8, width, dtype=np.float32)[None, :, None]
        noise = generator.random((height, width, 3), np.float32)
        images[name] = Image(np.asarray(0.7 * ramp + 0.25 * noise, np.float32))
    return images


def run_tiny(
    folder: Path,
    *,
    steps: int = 3,
    plugins: tuple[PluginFile, ...] = (),
    observers: Iterable[object] = (),
    **slots: Any,
) -> Result:
    """Run a small recipe of two images, with random weights, for a few steps.

    Args:
        folder: Where to write the recipe and the run.
        steps: How many.
        plugins: Plugin files to use besides the installed plugins.
        observers: Objects whose methods are hooks, called during the run.
        slots: Other parts of the recipe: `losses={"mine": {"use": "mine"}}`, and so on.

    Raises:
        NstflowError: The recipe is not valid, or the run failed.
    """
    recipe = {
        "name": "tiny",
        "images": {
            "content": {"use": "noise", "height": 32, "width": 48},
            "style": {"use": "noise", "height": 32, "width": 32, "seed": 1},
        },
        "preprocess": [],
        "extractor": {"weights": "random"},
        "losses": {"content": {"use": "content", "layers": ["image"]}},
        "schedule": {"epochs": 1, "steps_per_epoch": steps},
        **slots,
    }
    path = folder / "recipe.yaml"
    path.write_text(to_yaml(recipe), encoding="utf-8")
    plan = make_plan(load_recipe(path, plugins=plugins))
    return run(plan, folder / "run", quiet=True, observers=observers)
