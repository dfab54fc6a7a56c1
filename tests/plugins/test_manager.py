"""Plugins, as real installed packages: valid, broken, colliding, blocked, observing."""

import re
import textwrap
import types
import warnings
from pathlib import Path
from typing import Any

import pytest

from grey_plugin import GREY
from nstflow import hookimpl, hookspecs
from nstflow.errors import NstflowError, NstflowWarning
from nstflow.plan import make_plan
from nstflow.plugins.manager import PluginRow, Plugins
from nstflow.recipe.reader import load_recipe
from refusals import refused

LOADED = "a plugin '{}' is loaded already: block one, by its package's name"

RECIPE = """\
name: x
images: {content: {use: noise, height: 8, width: 8}}
extractor: {weights: random}
losses:
  a: {use: total_variation}
"""

WITH_GREY = RECIPE + "  b: {use: grey, layers: [image]}\n"


def row_of(plugins: Plugins, name: str) -> PluginRow:
    (row,) = [row for row in plugins.rows if row.name == name]
    return row


def body(text: str) -> str:
    return textwrap.dedent(text)


def test_plugin_offers_its_stages(install: Any, write: Any) -> None:
    install("nstflow-grey", GREY, version="1.2.3")
    plugins = Plugins()
    assert row_of(plugins, "nstflow-grey") == PluginRow(
        "nstflow-grey", "nstflow-grey 1.2.3", ("losses: grey",)
    )
    offer = plugins.catalog["losses"]["grey"]
    assert (offer.plugin, offer.package) == ("nstflow-grey", "nstflow-grey 1.2.3")
    recipe = load_recipe(write(WITH_GREY))
    assert recipe.losses["b"].model_dump()["level"] == 0.5
    assert make_plan(recipe).terms["b"].shares == {"image": 1}


def test_entry_point_may_be_called_otherwise_than_its_package(install: Any) -> None:
    install("nstflow-grey", GREY, plugin="grey")
    assert row_of(Plugins(), "grey").package == "nstflow-grey 1.0"


def test_the_built_in_stages_are_a_plugin_like_any_other() -> None:
    row = Plugins().rows[0]
    assert row.name == "nstflow"
    assert row.package.startswith("nstflow ")
    assert row.error == ""
    assert {"losses: gram", "optimizer: adam", "outputs: png"} <= set(row.offers)


def test_observing_plugin_shows_its_hooks(install: Any) -> None:
    install(
        "nstflow-watch",
        """
        from nstflow import hookimpl

        @hookimpl
        def nstflow_run_finished(): pass

        @hookimpl
        def nstflow_progress(progress): pass
        """,
    )
    row = row_of(Plugins(), "nstflow-watch")
    assert row.error == ""
    assert set(row.offers) == {"nstflow_progress", "nstflow_run_finished"}


def stage(base: str, lines: str, *, name: str = 'use: Literal["grey"] = "grey"') -> str:
    """Return a plugin that offers one stage."""
    return (
        f"import nstflow\nfrom typing import Literal\n"
        f"class Grey(nstflow.{base}):\n    '''Grey.'''\n    {name}\n"
        f"{textwrap.indent(body(lines), '    ')}\n"
        "@nstflow.hookimpl\ndef nstflow_stages(): return [Grey]\n"
    )


def stages(result: str) -> str:
    """Return a plugin whose hook does this."""
    return f"import nstflow\n@nstflow.hookimpl\ndef nstflow_stages(): {result}\n"


def observer(signature: str) -> str:
    return f"import nstflow\n@nstflow.hookimpl\ndef {signature}: pass\n"


SCORE = "def score(self, features, target): return 0.0"
RAISES = "class Odd(BaseException):\n    def __str__(self): raise ValueError\n"


def named(use: str) -> str:
    return stage("LossTerm", SCORE, name=f"use: {use}")


def offering(result: str) -> str:
    return stage("LossTerm", SCORE).replace("[Grey]", result)


# what is wrong -> the plugin, and a pattern of the error
BROKEN = {
    "misspelt hook": (
        observer("nstflow_progres(progress)"),
        r"no hook nstflow_progres \(did you mean 'nstflow_progress'\?\)",
    ),
    "misspelt hook of stages": (observer("nstflow_stage()"), "did you mean 'nstflow_stages'"),
    "unknown hook": (observer("before_the_run()"), "no hook before_the_run$"),
    "wrong signature": (observer("nstflow_progress(progress, canvas)"), "nstflow_progress.*canvas"),
    "second hook wrong": (GREY + observer("nstflow_run_failed(reason)"), "run_failed.*reason"),
    "import error": (
        "import a_module_that_is_nowhere",
        "import failed: ModuleNotFoundError.*a_module_that_is_nowhere.*nstflow_broken.py:1",
    ),
    "error at import": ("\n1 / 0\n", "ZeroDivisionError.*nstflow_broken.py:2"),
    "syntax error": ("def def", "import failed: SyntaxError.*nstflow_broken.py"),
    "exit at import": ("raise SystemExit(3)", "import failed: SystemExit"),
    "skips": ("import pytest\npytest.skip('no', allow_module_level=True)", "Skipped: "),
    "error without text": (
        f"{RAISES}raise Odd\n",
        r"import failed: nstflow_broken.Odd: <exception str\(\) failed>",
    ),
    "not hashable": (
        "import numpy, sys\nsys.modules[__name__] = numpy.zeros(3)",
        "unhashable type",
    ),
    "class": ("import sys\nclass A: pass\nsys.modules[__name__] = A\n", "it is a class"),
    "hook raises": (stages("1 / 0"), "nstflow_stages failed: ZeroDivisionError"),
    "hook raises no text": (
        RAISES + stages("raise Odd"),
        r"failed: nstflow_broken.Odd: .*nstflow_broken.py:5\)",
    ),
    "hook exits": (stages("raise SystemExit(3)"), "nstflow_stages failed: SystemExit"),
    "hook is async": (
        stages("return []").replace("def ", "async def "),
        "nstflow_stages is async or a generator",
    ),
    "hook returns no list": (stages("return 5"), "nstflow_stages failed: TypeError"),
    "hook returns a text": (stages("return 'grey'"), "'g' is not a stage class"),
    "hook returns junk": (stages("return [5]"), "5 is not a stage class"),
    "hook returns another class": (stages("return [int]"), "<class 'int'> is not a stage class"),
    "hook returns a base": (stages("return [nstflow.Stage]"), "Stage derives from Stage alone"),
    "hook returns a slot's base": (stages("return [nstflow.Loader]"), "Loader has no name"),
    "stage of no slot": (stage("Stage", "pass"), "Grey derives from Stage alone"),
    "no name": (named("float = 1"), """Grey has no name.*give it `use: Literal\\["x"\\] = "x"`"""),
    "name is any text": (named('str = "grey"'), "has no name"),
    "name and default differ": (named('Literal["grey"] = "gray"'), "has no name"),
    "two names for one stage": (named('Literal["grey", "gray"] = "grey"'), "has no name"),
    "name that YAML splits": (named('Literal["a: b"] = "a: b"'), "Grey can't be called 'a: b'"),
    "name that is null": (named('Literal["null"] = "null"'), "Grey can't be called 'null'"),
    "setting without a schema": (
        stage("LossTerm", f"{SCORE}\nlevel: 'Unknown' = 1"),
        "the settings of Grey have no schema",
    ),
    "stage lacks a method": (stage("LossTerm", "pass"), "Grey lacks score"),
    "stage lacks two methods": (stage("Loader", "pass"), "Grey lacks load, size"),
    "stage is an object": (offering("[Grey(layers=['image'])]"), "is not a stage class"),
    "stage is offered twice": (offering("[Grey, Grey]"), "'grey' twice, for losses"),
    "no hook at all": ("x = 1", "no function of it carries @nstflow.hookimpl"),
    "hook without its mark": ("def nstflow_stages(): return []", "carries @nstflow.hookimpl"),
}


@pytest.mark.parametrize(("source", "words"), BROKEN.values(), ids=BROKEN)
def test_broken_plugin_is_a_row_and_breaks_nothing_else(
    source: str, words: str, install: Any, write: Any, call: Any
) -> None:
    install("nstflow-aaa", GREY.replace("grey", "before"))
    install("nstflow-broken", source)
    install("nstflow-zzz", GREY.replace("grey", "after"))
    plugins = Plugins()
    row = row_of(plugins, "nstflow-broken")
    assert row.offers == ()
    assert row.package == "nstflow-broken 1.0"
    assert re.search(words, row.error)
    assert "\n" not in row.error
    assert {"before", "after", "gram"} <= set(plugins.catalog["losses"])
    assert "grey" not in plugins.catalog["losses"]
    assert list(plugins.catalog.collisions()) == []
    # it takes no part in a run either
    watching = [title for title, _ in plugins.observers()._observers]
    assert {"'nstflow-aaa' (nstflow-aaa 1.0)", "'nstflow-zzz' (nstflow-zzz 1.0)"} <= set(watching)
    assert not any("nstflow-broken" in title for title in watching)
    # and is fatal only to a recipe that needs it
    make_plan(load_recipe(write(RECIPE + "  b: {use: after, layers: [image]}\n")))
    problem = refused(load_recipe, write(WITH_GREY))
    assert problem.got == "no loss is called 'grey'."
    assert f"Not loaded: nstflow-broken 1.0 ({row.error})." in problem.hint
    assert call("plugins").code == call("schema").code == call("stages").code == 0


def test_metadata_that_names_no_package(install: Any, tmp_path: Path) -> None:
    install("nstflow-grey", GREY)
    (tmp_path / "site" / "nstflow_grey-1.0.dist-info" / "METADATA").write_text("Nothing: here\n")
    assert "grey" in Plugins().catalog["losses"]


def test_entry_point_that_leads_nowhere(install: Any, tmp_path: Path) -> None:
    install("nstflow-grey", GREY)
    entries = tmp_path / "site" / "nstflow_grey-1.0.dist-info" / "entry_points.txt"
    entries.write_text("[nstflow]\nnstflow-grey = nstflow_grey:nothing\n")
    assert "AttributeError" in row_of(Plugins(), "nstflow-grey").error


def test_plugin_may_be_an_object(install: Any, tmp_path: Path) -> None:
    install(
        "nstflow-grey",
        GREY.replace("def nstflow_stages():", "def other():")
        + body("""
        class Plugin:
            @hookimpl
            def nstflow_stages(self):
                return [Grey]

        plugin = Plugin()
    """),
    )
    entries = tmp_path / "site" / "nstflow_grey-1.0.dist-info" / "entry_points.txt"
    entries.write_text("[nstflow]\ngrey = nstflow_grey:plugin\n")
    assert row_of(Plugins(), "grey").offers == ("losses: grey",)


def test_one_module_under_two_entry_points_is_loaded_once(install: Any, tmp_path: Path) -> None:
    install("nstflow-grey", GREY + observer("nstflow_run_started()"))
    entries = tmp_path / "site" / "nstflow_grey-1.0.dist-info" / "entry_points.txt"
    entries.write_text("[nstflow]\na = nstflow_grey\nb = nstflow_grey\n")
    plugins = Plugins()
    assert row_of(plugins, "a").offers == ("losses: grey", "nstflow_run_started")
    assert "'a' is loaded already" in row_of(plugins, "b").error
    assert "grey" in plugins.catalog["losses"]
    titles = [title for title, _ in plugins.observers()._observers]
    assert "'a' (nstflow-grey 1.0)" in titles


def test_two_packages_with_one_entry_point_name(install: Any) -> None:
    install("nstflow-one", GREY, plugin="same")
    install("nstflow-two", GREY.replace("grey", "gray"), plugin="same")
    plugins = Plugins()
    rows = [row for row in plugins.rows if row.name == "same"]
    assert [row.package for row in rows] == ["nstflow-one 1.0", "nstflow-two 1.0"]
    assert [row.error for row in rows] == [
        "",
        LOADED.format("same"),
    ]
    assert Plugins(["nstflow-one"]).catalog["losses"]["gray"].package == "nstflow-two 1.0"


def test_plugin_called_nstflow_does_not_replace_the_built_in_stages(install: Any) -> None:
    install("nstflow-impostor", GREY, plugin="nstflow")
    plugins = Plugins()
    rows = {row.package.split()[0]: row.error for row in plugins.rows if row.name == "nstflow"}
    assert rows == {
        "nstflow": "",
        "nstflow-impostor": LOADED.format("nstflow"),
    }
    assert "gram" in plugins.catalog["losses"]


# collisions


def collide(install: Any) -> None:
    install("nstflow-one", GREY, plugin="one")
    install("nstflow-two", GREY, plugin="two", version="2.0")


def test_collision_names_both_packages(install: Any, write: Any) -> None:
    collide(install)
    path = write(WITH_GREY)
    problem = refused(load_recipe, path)
    assert problem.where == f"{path}:6:12"
    assert problem.got == "'grey' is offered by nstflow-one 1.0 and nstflow-two 2.0."
    assert "--block-plugin one or --block-plugin two" in problem.hint
    load_recipe(write(RECIPE))  # a recipe that does not name it is not affected
    ((slot, name, offers),) = Plugins().catalog.collisions()
    assert (slot, name) == ("losses", "grey")
    assert [offer.plugin for offer in offers] == ["one", "two"]


@pytest.mark.parametrize(
    ("blocked", "left"),
    [("one", "two"), ("two", "one"), ("nstflow-one", "two"), ("nstflow-two", "one")],
)
def test_collision_is_settled_by_blocking(
    blocked: str, left: str, install: Any, write: Any
) -> None:
    collide(install)
    by_option = load_recipe(write(WITH_GREY), block=[blocked])
    by_recipe = load_recipe(write(f"{WITH_GREY}plugins: {{block: [{blocked}]}}\n"))
    by_set = load_recipe(write(WITH_GREY), [f"plugins.block=[{blocked}]"])
    for recipe in (by_option, by_recipe, by_set):
        assert recipe.installed.catalog["losses"]["grey"].plugin == left
        rows = {row.name: row.error for row in recipe.installed.rows}
        assert (rows["one"], rows["two"]) == (("", "blocked") if left == "one" else ("blocked", ""))


def test_collision_with_a_built_in_stage(install: Any, write: Any) -> None:
    install("nstflow-rival", GREY.replace("grey", "gram"), plugin="rival")
    path = write(RECIPE + "  b: {use: gram, image: content, layers: [image]}\n")
    problem = refused(load_recipe, path)
    assert "by nstflow " in problem.got
    assert "nstflow-rival 1.0" in problem.got
    assert "--block-plugin rival" in problem.hint
    assert "--block-plugin nstflow" not in problem.hint  # which would not help
    assert load_recipe(path, block=["rival"]).losses["b"].use == "gram"


def test_one_name_in_two_slots_is_no_collision(install: Any) -> None:
    install("nstflow-png", GREY.replace("grey", "png"))
    catalog = Plugins().catalog
    assert list(catalog.collisions()) == []
    assert catalog["losses"]["png"].package == "nstflow-png 1.0"
    assert catalog["outputs"]["png"].plugin == "nstflow"


def test_blocked_plugin_is_not_even_imported(install: Any, write: Any, tmp_path: Path) -> None:
    marker = tmp_path / "imported"
    install("nstflow-grey", f"open({str(marker)!r}, 'w').close()\n{GREY}", plugin="grey")
    row = row_of(Plugins(["grey"]), "grey")
    assert (row.error, row.offers) == ("blocked", ())
    assert not marker.exists()
    with pytest.raises(NstflowError, match=r"Not loaded: nstflow-grey 1\.0 \(blocked\)"):
        load_recipe(write(WITH_GREY), block=["grey"])
    Plugins()
    assert marker.exists()


def test_block_that_names_nothing(install: Any) -> None:
    install("nstflow-grey", GREY, plugin="grey")
    assert Plugins(["grey"]).unknown_blocks == []
    assert Plugins(["nstflow-grey"]).unknown_blocks == []
    assert Plugins(["nope", "grey", "nstflow"]).unknown_blocks == ["nope", "nstflow"]


def test_block_that_names_nothing_is_reported_with_the_nearest(install: Any, write: Any) -> None:
    install("nstflow-grey", GREY, plugin="grey")
    with pytest.raises(NstflowError, match=r"no plugin 'gray' to block\. Did you mean 'grey'\?"):
        load_recipe(write(RECIPE), block=["gray"])


# observers


class Watch:
    """Records the hooks that are called."""

    def __init__(self) -> None:
        self.events: list[str] = []

    @hookimpl
    def nstflow_run_started(self) -> None:
        self.events.append("started")

    @hookimpl
    def nstflow_progress(self, progress: Any) -> None:
        self.events.append(f"progress {progress}")

    @hookimpl
    def nstflow_run_finished(self, result: Any) -> None:
        self.events.append(f"finished {result}")

    @hookimpl
    def nstflow_run_failed(self, plan: Any, error: BaseException) -> None:
        self.events.append(f"failed {plan} {error}")


class Raises:
    """Raises at its second call."""

    def __init__(self) -> None:
        self.count = 0

    @hookimpl
    def nstflow_progress(self) -> None:
        self.count += 1
        if self.count == 2:
            raise KeyError("lost")

    @hookimpl
    def nstflow_run_finished(self) -> None:
        self.count += 100


def test_observers_are_reported_in_turn() -> None:
    watch = Watch()
    observers = Plugins({"tensorboard"}).observers([watch])
    observers.notify("nstflow_run_started", plan=1, folder=Path())
    observers.notify("nstflow_progress", progress=2, folder=Path())
    observers.notify("nstflow_run_finished", result=3)
    observers.notify("nstflow_run_failed", plan=4, error=5, folder=Path())
    assert watch.events == ["started", "progress 2", "finished 3", "failed 4 5"]


def test_observer_that_raises_is_switched_off_and_the_others_are_reported() -> None:
    first, bad, last = Watch(), Raises(), Watch()
    observers = Plugins({"tensorboard"}).observers([first, bad, last])
    observers.notify("nstflow_progress", progress=1, folder=Path())
    with pytest.warns(NstflowWarning) as caught:
        observers.notify("nstflow_progress", progress=2, folder=Path())
    (warning,) = caught
    text = str(warning.message)
    assert "the observer 'Raises' is switched off: its nstflow_progress raised" in text
    assert "KeyError: 'lost'" in text
    assert "test_manager.py:" in text
    with warnings.catch_warnings(action="error"):
        observers.notify("nstflow_progress", progress=3, folder=Path())
        observers.notify("nstflow_run_finished", result=4)
    assert bad.count == 2
    events = ["progress 1", "progress 2", "progress 3", "finished 4"]
    assert first.events == last.events == events


def test_plugin_that_raises_while_it_watches_is_named(install: Any) -> None:
    install(
        "nstflow-watch",
        """
        import nstflow

        @nstflow.hookimpl
        def nstflow_progress(progress):
            raise RuntimeError("no room")
        """,
    )
    observers = Plugins().observers()
    with pytest.warns(NstflowWarning, match=r"'nstflow-watch' \(nstflow-watch 1.0\) is .*no room"):
        observers.notify("nstflow_progress", progress=1, folder=Path())
    # another run of the same plugins asks it again
    observers = Plugins().observers()
    with pytest.warns(NstflowWarning, match="nstflow-watch"):
        observers.notify("nstflow_progress", progress=1, folder=Path())


def test_interrupt_is_no_error_of_an_observer() -> None:
    class Interrupts:
        @hookimpl
        def nstflow_progress(self) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Plugins({"tensorboard"}).observers([Interrupts()]).notify(
            "nstflow_progress", progress=1, folder=Path()
        )


def test_every_hook_is_documented() -> None:
    hooks = [item for item in vars(hookspecs).values() if hasattr(item, "nstflow_spec")]
    assert tuple(hook.__name__ for hook in hooks) == hookspecs.HOOKS
    assert [hook.__name__ for hook in hooks if not hook.__doc__] == []


# errors of stages while a recipe is planned

LOADER = """
def load(self, folder): ...
def size(self, folder): RAISE
"""
EXTRACTOR = """
def layer_names(self): return ["one"]
def build(self, layers, folder): ...
"""

# the place of the stage in a recipe, its base, its methods, the recipe's line
PLANNED = [
    ("images.content", "Loader", LOADER, "images: {content: {use: grey}}"),
    (
        "preprocess.0",
        "Preprocessor",
        "def apply(self, image, images): ...\ndef size(self, size): RAISE",
        "preprocess: [{use: grey}]",
    ),
    ("schedule", "Schedule", "def phases(self, size): RAISE", "schedule: {use: grey}"),
    (
        "losses.a",
        "LossTerm",
        f"{SCORE}\ndef share_of_each(self, count): RAISE",
        "losses: {a: {use: grey, layers: [image]}}",
    ),
    *(
        ("extractor", "Extractor", EXTRACTOR + methods, "extractor: {use: grey}")
        for methods in (
            "def cost(self, layers, size): RAISE",
            "def cost(self, layers, size): ...\ndef assets(self, folder): RAISE",
        )
    ),
]
PLAIN = """\
images: {content: {use: noise}}
losses: {a: {use: total_variation}}
extractor: {weights: random}
"""


@pytest.mark.parametrize(("place", "base", "methods", "line"), PLANNED)
def test_bug_met_while_planning_names_its_stage_and_package(
    place: str, base: str, methods: str, line: str, install: Any, write: Any
) -> None:
    noted = "error = KeyError('a bug'); error.add_note('mine'); raise error"
    install("nstflow-bug", stage(base, methods.replace("RAISE", noted)), version="0.3")
    key = line.partition(":")[0]
    others = [other for other in PLAIN.splitlines() if not other.startswith(f"{key}:")]
    with pytest.raises(KeyError) as caught:
        make_plan(load_recipe(write("\n".join(["name: x", *others, line]))))
    note = f"Raised in {place} (use: grey), provided by nstflow-bug 0.3."
    assert caught.value.__notes__ == ["mine", note]


def test_problem_that_a_stage_finds_is_placed_in_the_recipe(install: Any, write: Any) -> None:
    problem = "raise nstflow.NstflowError(nstflow.Problem('', 'path', 'no good.', 'Try another.'))"
    install("nstflow-bug", stage("Loader", LOADER.replace("RAISE", problem)))
    path = write("name: x\nimages:\n  content: {use: grey}\nlosses: {a: {use: total_variation}}\n")
    found = refused(lambda: make_plan(load_recipe(path, ["extractor.weights=random"])))
    assert (found.where, found.what) == (f"{path}:3:3", "images.content.path")
    assert (found.got, found.hint) == (
        "no good.",
        "Try another. 'grey' is provided by nstflow-bug 1.0.",
    )


def test_observer_that_is_a_module_is_named() -> None:
    module = types.ModuleType("my_watch")
    exec("import nstflow\n@nstflow.hookimpl\ndef nstflow_run_finished(): 1 / 0", module.__dict__)  # noqa: S102
    observers = Plugins({"tensorboard"}).observers([module])
    with pytest.warns(NstflowWarning, match=r"'my_watch' is switched off.*ZeroDivisionError"):
        observers.notify("nstflow_run_finished", result=1)
