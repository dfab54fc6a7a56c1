"""What `nstflow plugins` and `nstflow stages` print."""

import inspect
import re
from typing import Any

import pytest

from grey_plugin import GREY
from nstflow.builtin.losses.gram import Gram


def facts_of(shown: str, plugin: str) -> dict[str, str]:
    """Return what is shown of a plugin: word → text."""
    block = re.search(rf"^{plugin}  .*\n((?:  .*\n)*)", shown, re.MULTILINE)
    assert block, shown
    lines = (re.split(r" {2,}", line.strip(), maxsplit=1) for line in block[1].splitlines())
    return dict(lines)


def test_a_plugin_is_shown_with_its_package_version_and_offers(call: Any, install: Any) -> None:
    install("nstflow-grey", GREY, version="2.5", plugin="grey")
    shown = call("plugins").out
    assert "grey  nstflow-grey 2.5\n" in shown
    assert facts_of(shown, "grey") == {"losses": "grey"}
    built_in = facts_of(shown, "nstflow")
    assert built_in["losses"] == "content, gram, mean_std, total_variation, wasserstein"
    assert built_in["recipes"].startswith("fast, gatys, mixed_style, painting, ")
    assert built_in["layers"] == "keep_color, match_color, only_color"
    assert len(built_in) == 12


def test_an_observer_is_shown_with_its_hooks_in_the_order_of_a_run(call: Any, install: Any) -> None:
    hooks = ("run_finished", "progress", "run_started")
    lines = "".join(f"@hookimpl\ndef nstflow_{hook}(): pass\n" for hook in hooks)
    install("nstflow-watch", f"from nstflow import hookimpl\n{lines}")
    shown = facts_of(call("plugins").out, "nstflow-watch")
    assert shown == {"observes": "run_started, progress, run_finished"}


@pytest.mark.parametrize(
    ("source", "reason", "remedy"),
    [
        (
            "import nowhere_at_all",
            "import failed: ModuleNotFoundError: No module named 'nowhere_at_all' (",
            "install it again, with its dependencies",
        ),
        (
            GREY.replace("def nstflow_stages", "def nstflow_stage"),
            "there is no hook nstflow_stage (did you mean 'nstflow_stages'?)",
            "update it, or report it to its author",
        ),
    ],
)
def test_a_broken_plugin_is_shown_with_the_reason_and_what_to_do(
    source: str, reason: str, remedy: str, call: Any, install: Any
) -> None:
    install("nstflow-broken", source, version="0.9")
    answer = call("plugins")
    assert answer.code == 0
    assert "nstflow-broken  nstflow-broken 0.9\n" in answer.out
    facts = facts_of(answer.out, "nstflow-broken")
    assert facts["not loaded"].startswith(reason)
    assert remedy in facts["what to do"]
    assert "`pip uninstall nstflow-broken` removes it" in facts["what to do"]
    assert "--block-plugin nstflow-broken leaves it out" in facts["what to do"]


def test_a_blocked_plugin_is_shown_as_one(call: Any, install: Any) -> None:
    install("nstflow-grey", GREY)
    answer = call("plugins", "--block-plugin", "nstflow-grey")
    assert facts_of(answer.out, "nstflow-grey") == {"blocked": "by --block-plugin"}
    assert call("stages", "losses", "grey").code == 0
    gone = call("stages", "losses", "grey", "--block-plugin", "nstflow-grey")
    assert gone.code == 2
    assert "no loss is called 'grey'" in gone.err


def test_a_collision_is_shown_with_both_packages_and_what_settles_it(
    call: Any, install: Any
) -> None:
    install("nstflow-one", GREY, version="1.1")
    install("nstflow-two", GREY, version="2.2")
    shown = call("plugins").out
    assert "losses: 'grey' is offered by nstflow-one 1.1 and nstflow-two 2.2" in shown
    assert "Leave one out with --block-plugin nstflow-one or --block-plugin nstflow-two." in shown
    settled = call("plugins", "--block-plugin", "nstflow-one").out
    assert "offered twice" not in settled


def test_a_file_is_shown_as_a_plugin(call: Any, write: Any) -> None:
    file = write(GREY, "mine.py")
    assert facts_of(call("plugins", "--plugin", file).out, "mine.py") == {"losses": "grey"}
    assert '"grey"' in call("schema", "--plugin", file).out
    assert '"grey"' not in call("schema").out
    shown = call("stages", "losses", "--plugin", file).out
    assert "Draw the canvas to [grey]." in shown
    broken = call("plugins", "--plugin", write("1 / 0", "broken.py"))
    assert broken.code == 2
    assert "broken.py" in broken.err


def test_a_stage_is_shown_whole(call: Any) -> None:
    shown = call("stages", "losses", "gram").out
    assert shown.startswith("gram (losses, from nstflow ")
    assert inspect.getdoc(Gram) in shown
    for name, field in Gram.model_fields.items():
        if name != "use":
            assert re.search(
                rf"^{name} .*{re.escape(field.description or '')}", shown, re.MULTILINE
            )
    example = (
        "losses:\n  gram: {use: gram, image: style, layers: style, weight: 1.0,"
        " scale: mean, centered: false}\n"
    )
    assert example in shown
    assert f"source: {inspect.getsourcefile(Gram)}" in shown


def test_brackets_in_a_stage_are_shown(call: Any, write: Any) -> None:
    shown = call("stages", "losses", "grey", "--plugin", write(GREY, "mine.py")).out
    assert "Draw the canvas to [grey]." in shown
    assert "The grey, in [0, 1]." in shown
