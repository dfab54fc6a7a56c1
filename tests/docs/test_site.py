"""The documentation as pages: built without a warning, complete."""

import dataclasses
import html
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nstflow import Plan, Progress, Result, hookspecs
from nstflow.plugins.manager import BUILTIN, Plugins
from nstflow.recipe.model import Recipe
from nstflow.recipe.stage_docs import summary_of
from nstflow.stages.slots import ALL_SLOTS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def text_of(page: Path) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")))


def plain(text: str | None) -> str:
    """Return a text of Markdown as it is seen."""
    return (text or "").replace("`", "")


def test_every_page_is_there(site: Path) -> None:
    pages = {page.stem for page in ROOT.glob("docs/*.md")}
    assert pages == {page.stem for page in site.glob("*.html")} - {"404"}
    assert not list(site.glob("*.py"))
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert all(f"{page}.md" in nav for page in pages)


def test_nothing_is_fetched_when_a_page_is_read(site: Path) -> None:
    for page in site.glob("*.html"):
        fetched = re.findall(
            r"<(?:script|link|img)[^>]+(?:src|href)=\"(https?:[^\"]+)", page.read_text()
        )
        assert not fetched, page.name


def test_every_stage_has_its_settings_and_an_example(site: Path) -> None:
    shown, count = text_of(site / "stages.html"), 0
    for slot in ALL_SLOTS:
        for offer in Plugins().catalog[slot].values():
            if offer.plugin != BUILTIN:
                continue
            count += 1
            fields = offer.stage.model_fields
            texts = [summary_of(offer.stage), *(fields[name].description for name in fields)]
            named = [f"{slot}: {offer.name}", f"use: {offer.name}", *fields]
            assert [text for text in (*map(plain, texts), *named) if text not in shown] == []
    assert count >= 20


def test_every_key_of_a_recipe_is_there(site: Path) -> None:
    shown = text_of(site / "recipe.html")
    for name, field in Recipe.model_fields.items():
        assert name in shown
        assert plain(field.description) in shown
    assert "every_seconds" in shown


def test_every_hook_is_there(site: Path) -> None:
    shown = text_of(site / "hooks.html")
    hooks = [name for name in vars(hookspecs) if name.startswith("nstflow_")]
    assert len(hooks) == 6
    for name in hooks:
        assert f"def {name}(" in shown
        first = (getattr(hookspecs, name).__doc__ or "").partition("\n")[0]
        assert plain(first) in shown


def test_what_hooks_receive_is_there(site: Path) -> None:
    shown = text_of(site / "hooks.html")
    for received in (Plan, Progress, Result):
        for field in dataclasses.fields(received):
            assert re.search(rf"\s{field.name}\s", shown), field.name
