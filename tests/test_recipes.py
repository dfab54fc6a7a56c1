"""Every recipe that ships is valid, and the committed schema is current."""

import json
from importlib import metadata
from pathlib import Path

import jsonschema
import pytest

from nstflow.matrix.plan import Matrix, plan_recipe
from nstflow.plan import Plan, make_plan
from nstflow.plugins.manager import Plugins
from nstflow.recipe.json_schema import json_schema
from nstflow.recipe.reader import load_recipe
from nstflow.recipe.source import read_source

ROOT = Path(__file__).parents[1]
RECIPES = sorted([*ROOT.glob("recipes/*.yaml"), *ROOT.glob("plugins/*/*.yaml")])
SCHEMA = ROOT / "recipes" / "nstflow.schema.json"


def test_there_are_recipes() -> None:
    names = {recipe.name for recipe in RECIPES}
    assert {"quickstart.yaml", "single_style.yaml", "two_styles.yaml"} <= names
    assert list(ROOT.glob("plugins/*/*.yaml"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_recipe_is_valid(recipe: Path) -> None:
    planned = plan_recipe(recipe)
    plans = planned.plans if isinstance(planned, Matrix) else [planned]
    assert all(plan.steps > 0 for plan in plans)
    schema = json_schema(plans[0].recipe.installed.catalog)
    jsonschema.validate(read_source(recipe).data, schema)


def builtin_schema() -> str:
    others = {entry.name for entry in metadata.entry_points(group="nstflow")}
    return json.dumps(json_schema(Plugins(others).catalog), indent=2, ensure_ascii=False) + "\n"


def test_committed_schema_is_current() -> None:
    assert SCHEMA.read_text() == builtin_schema(), (
        "make it again, with no plugin installed: nstflow schema > recipes/nstflow.schema.json"
    )


def report_plans() -> list[tuple[int, Plan]]:
    """Return the plans that are the report's, each with its number of terms."""
    pairs = plan_recipe(ROOT / "recipes" / "report_ten_pairs.yaml")
    assert isinstance(pairs, Matrix)
    assert len({tuple(plan.files.values()) for plan in pairs.plans}) == 10
    single, two = (
        make_plan(load_recipe(ROOT / "recipes" / f"{name}.yaml"))
        for name in ("single_style", "two_styles")
    )
    return [(2, single), (3, two), *((2, plan) for plan in pairs.plans)]


def test_report_recipes_have_the_reports_settings() -> None:
    for terms, plan in report_plans():
        recipe = plan.recipe
        assert max(plan.canvas) == 512
        assert plan.steps == 1000
        assert plan.epochs == 10
        weights = [term.weight for term in plan.terms.values()]
        assert weights == [10000, 0.1, 0.1][:terms]
        assert dict(plan.terms["content"].shares) == {"block5_conv2": 1}
        style = next(term for term in plan.terms.values() if term.use == "gram")
        assert list(style.shares) == ["block1_conv1", "block3_conv1", "block5_conv1"]
        assert len(set(style.shares.values())) == 1
        adam = recipe.optimizer.model_dump()
        assert adam == {
            "use": "adam",
            "learning_rate": 0.02,
            "beta_1": 0.99,
            "beta_2": 0.999,
            "epsilon": 0.1,
            "decay": "none",
            "average": None,
            "carry_moments": True,  # at one size, it has no effect
        }
        assert recipe.start.model_dump() == {"use": "image", "like": "content", "image": "content"}
