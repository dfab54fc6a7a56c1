"""From data to stages: every mistake is found, at its place, and none hides another."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from nstflow.errors import NstflowError, Problem
from nstflow.recipe.model import with_defaults
from nstflow.recipe.reader import MAX_STAGES, ReadOptions, load_recipe, read
from nstflow.recipe.source import MAX_BYTES

Found = list[tuple[str, str]]

HEAD = """\
name: x
images: {content: {use: noise}, style: {use: noise}}
"""
LOSSES = """\
losses:
  keep: {use: content}
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def problems_of(text: str) -> list[Problem]:
    Path("r.yaml").write_text(text)
    return read("r.yaml")[0].problems


def places(problems: list[Problem]) -> Found:
    return [(problem.where.removeprefix("r.yaml:"), problem.what) for problem in problems]


def only(text: str) -> Problem:
    (problem,) = problems_of(text)
    return problem


def loss(settings: str) -> Problem:
    """Return the one problem of a loss; its settings begin at 4:10."""
    return only(f"{HEAD}losses:\n  keep: {{{settings}}}\n")


def extractor(settings: str) -> Problem:
    """Return the one problem of an extractor; its settings begin at 5:13."""
    return only(f"{HEAD}{LOSSES}extractor: {{{settings}}}\n")


TEN_MISTAKES = """\
name: My Recipe
imagse: {}
images:
  content: {use: noise, height: "32"}
  Style: {use: noise}
losses:
  keep: {use: contents, image: content}
  total: {use: content, wieght: 3}
  look: {use: gram, image: styl, layers: [block1_conv1, block9_conv9]}
  smooth: {use: total_variation, layers: []}
preprocess:
  - {use: resize, longest_side: -5}
optimizer: {use: adam, learning_rate: true}
schedule: {use: epochs, epochs: .nan}
outputs:
  - {use: png}
  - {use: png}
"""


def test_ten_mistakes_are_told_at_once() -> None:
    problems = problems_of(TEN_MISTAKES)
    assert places(problems) == [
        ("1:7", "name"),
        ("2:1", "imagse"),
        ("4:33", "images.content.height"),
        ("5:3", "images.Style"),
        ("7:15", "losses.keep.use"),
        ("8:3", "losses.total"),
        ("8:25", "losses.total.wieght"),
        ("9:28", "losses.look.image"),
        ("9:57", "losses.look.layers.1"),
        ("10:42", "losses.smooth.layers"),
        ("12:33", "preprocess.0.longest_side"),
        ("13:39", "optimizer.learning_rate"),
        ("14:33", "schedule.epochs"),
        ("17:5", "outputs.1"),
    ]
    told = {problem.what: f"{problem.got} {problem.hint}" for problem in problems}
    assert "small letters" in told["name"]
    assert "the text 'My Recipe'" in told["name"]
    assert "Did you mean 'images'?" in told["imagse"]
    assert "a whole number, but is the text '32'" in told["images.content.height"]
    assert "no loss is called 'contents'. Did you mean 'content'?" in told["losses.keep.use"]
    assert "column of the history" in told["losses.total"]
    assert "Did you mean 'weight'?" in told["losses.total.wieght"]
    assert "no image is called 'styl'. Did you mean 'Style'?" in told["losses.look.image"]
    assert "Declared: content, Style" in told["losses.look.image"]
    assert "no layer 'block9_conv9'" in told["losses.look.layers.1"]
    assert "at least one layer" in told["losses.smooth.layers"]
    assert "at least 1, but is -5" in told["preprocess.0.longest_side"]
    assert "a number, but is true" in told["optimizer.learning_rate"]
    assert "a whole number, but is nan" in told["schedule.epochs"]
    assert "outputs.0 writes the same file" in told["outputs.1"]


def test_load_recipe_raises_them_all() -> None:
    Path("r.yaml").write_text(TEN_MISTAKES)
    with pytest.raises(NstflowError) as caught:
        load_recipe("r.yaml")
    assert list(caught.value.problems) == problems_of(TEN_MISTAKES)
    assert caught.value.subject == "r.yaml"
    assert "r.yaml:7:15  losses.keep.use\n    no loss is called 'contents'." in str(caught.value)


def test_all_that_is_missing_is_told() -> None:
    assert places(problems_of("summary: hello\n")) == [
        ("1:1", "name"),
        ("1:1", "images"),
        ("1:1", "losses"),
    ]
    assert places(problems_of("name: x\nimages:\nlosses: ~\n")) == [
        ("2:8", "images"),
        ("3:9", "losses"),
    ]


def test_stage_that_is_not_installed() -> None:
    problem = loss("use: gramm, image: style")
    assert places([problem]) == [("4:15", "losses.keep.use")]
    assert problem.got == "no loss is called 'gramm'."
    assert problem.hint.startswith("Did you mean 'gram'? Installed: content, gram, total_variation")


@pytest.mark.parametrize(
    ("slot", "noun"),
    [
        ("optimizer: {use: zzz}", "optimizer"),
        ("schedule: {use: zzz}", "schedule"),
        ("start: {use: zzz}", "start"),
        ("extractor: {use: zzz}", "extractor"),
        ("preprocess: [{use: zzz}]", "preprocessor"),
        ("postprocess: [{use: zzz}]", "postprocessor"),
        ("outputs: [{use: zzz}]", "output"),
    ],
)
def test_unknown_stage_in_every_slot(slot: str, noun: str) -> None:
    problem = only(f"{HEAD}{LOSSES}{slot}\n")
    assert problem.where.startswith("r.yaml:5:")
    assert problem.got == f"no {noun} is called 'zzz'."
    assert problem.hint.startswith("Installed: ")


def test_stage_of_another_slot_is_unknown() -> None:
    assert loss("use: adam").got == "no loss is called 'adam'."


@pytest.mark.parametrize("use", ["[gram]", "{gram: 1}", "5", "true", "[]"])
def test_use_that_is_no_name(use: str) -> None:
    problem = loss(f"use: {use}")
    assert places([problem]) == [("4:15", "losses.keep.use")]
    assert problem.got.startswith("this must be the name of a stage, but is ")
    assert "gram" in problem.hint


@pytest.mark.parametrize("settings", ["weight: 1", "use: ~, weight: 1"])
def test_use_that_is_missing(settings: str) -> None:
    problem = loss(settings)
    assert problem.what == "losses.keep"
    assert "`use:` is required" in problem.got
    assert "content, gram" in problem.hint


@pytest.mark.parametrize("item", ["gram", "5", "~", "[gram]", "''"])
def test_stage_that_is_no_mapping(item: str) -> None:
    problem = only(f"{HEAD}losses:\n  keep: {item}\n")
    assert places([problem]) == [("4:9", "losses.keep")]
    assert "this must be a mapping of settings" in problem.got
    assert "{use: …}" in problem.hint


def test_misspelt_setting() -> None:
    problem = loss("use: content, wieght: 2")
    assert places([problem]) == [("4:24", "losses.keep.wieght")]
    assert (problem.got, problem.hint) == ("unknown setting.", "Did you mean 'weight'?")


def test_setting_that_resembles_nothing() -> None:
    assert loss("use: content, zzzzz: 2").hint == "Known: use, image, layers, weight, scale."
    assert only(f"{HEAD}{LOSSES}zzzzz: 2\n").hint.startswith("Known: nstflow, name, summary, seed")
    problem = only(f"{HEAD}{LOSSES}compute: {{determinstic: 2}}\n")
    assert places([problem]) == [("5:11", "compute.determinstic")]
    assert problem.hint == "Did you mean 'deterministic'?"


@pytest.mark.parametrize(
    ("settings", "place", "got"),
    [
        ("use: content, weight: '3'", "4:32", "a number, but is the text '3'"),
        ("use: content, weight: true", "4:32", "a number, but is true"),
        ("use: content, weight: [1]", "4:32", "a number, but is a list"),
        ("use: content, weight: {a: 1}", "4:32", "a number, but is a mapping"),
        ("use: content, weight: ~", "4:32", "a number, but is nothing"),
        ("use: content, weight: .nan", "4:32", "a finite number, but is nan"),
        ("use: content, weight: .inf", "4:32", "a finite number, but is inf"),
        ("use: content, weight: -1e999", "4:32", "a finite number, but is -inf"),
        ("use: content, image: 5", "4:31", "a text, but is 5"),
        ("use: content, image: [style]", "4:31", "a text, but is a list"),
        ("use: content, layers: 5", "4:32", "a text or a list or a mapping, but is 5"),
        ("use: content, layers: ~", "4:32", "a text or a list or a mapping, but is nothing"),
        ("use: content, layers: [5]", "4:33", "a text, but is 5"),
        ("use: content, layers: {image: x}", "4:40", "a number, but is the text 'x'"),
        ("use: content, layers: {image: .nan}", "4:40", "a finite number, but is nan"),
        ("use: content, scale: man", "4:31", "'mean' or 'sum', but is the text 'man'"),
        ("use: content, scale: 5", "4:31", "'mean' or 'sum', but is 5"),
    ],
)
def test_wrong_type_in_a_loss(settings: str, place: str, got: str) -> None:
    problem = loss(settings)
    assert problem.where == f"r.yaml:{place}"
    assert got in problem.got


def test_choice_has_a_suggestion() -> None:
    assert loss("use: content, scale: man").hint == "Did you mean 'mean'?"
    assert extractor("pooling: maxx").hint == "Did you mean 'max'?"


@pytest.mark.parametrize(
    ("line", "place", "what", "got"),
    [
        ("seed: '5'", "5:7", "seed", "a whole number, but is the text '5'"),
        ("seed: 1.5", "5:7", "seed", "a whole number, but is 1.5"),
        ("seed: true", "5:7", "seed", "a whole number, but is true"),
        ("seed: -1", "5:7", "seed", "at least 0, but is -1"),
        ("seed: 2147483648", "5:7", "seed", "less than 2147483648"),
        ("summary: 5", "5:10", "summary", "a text, but is 5"),
        ("summary: [a]", "5:10", "summary", "a text, but is a list"),
        ("nstflow: 2", "5:10", "nstflow", "1, but is 2"),
        ("compute: 5", "5:10", "compute", "a mapping, but is 5"),
        ("compute: {deterministic: 'no'}", "5:26", "compute.deterministic", "true or false"),
        ("compute: {deterministic: no}", "5:26", "compute.deterministic", "is the text 'no'"),
        ("compute: {deterministic: 1}", "5:26", "compute.deterministic", "true or false, but is 1"),
        ("compute: {precision: float64}", "5:22", "compute.precision", "is the text 'float64'"),
        ("plugins: [x]", "5:10", "plugins", "a mapping, but is a list"),
        ("plugins: {block: x}", "5:18", "plugins.block", "a list, but is the text 'x'"),
        ("plugins: {block: [5]}", "5:19", "plugins.block.0", "a text, but is 5"),
        ("preprocess: {use: resize}", "5:13", "preprocess", "a list, but is a mapping"),
        ("preprocess: 5", "5:13", "preprocess", "a list, but is 5"),
        ("postprocess: [5]", "5:15", "postprocess.0", "a mapping of settings, but is 5"),
        ("outputs: []", "5:10", "outputs", "not empty, but is an empty list"),
        ("outputs: png", "5:10", "outputs", "a list, but is the text 'png'"),
        ("extractor: vgg19", "5:12", "extractor", "mapping of settings, but is the text 'vgg19'"),
        ("extractor: []", "5:12", "extractor", "a mapping of settings, but is an empty list"),
        (
            "preprocess: [{use: resize, longest_side: 0}]",
            "5:42",
            "preprocess.0.longest_side",
            "at least 1, but is 0",
        ),
        (
            "preprocess: [{use: resize, longest_side: 99999}]",
            "5:42",
            "preprocess.0.longest_side",
            "at most 16384, but is 99999",
        ),
        (
            "preprocess: [{use: resize, longest_side: 64.0}]",
            "5:42",
            "preprocess.0.longest_side",
            "a whole number, but is 64.0",
        ),
        (
            "preprocess: [{use: resize, antialias: 'yes'}]",
            "5:39",
            "preprocess.0.antialias",
            "true or false, but is the text 'yes'",
        ),
        ("preprocess: [{use: crop, aspect: 0}]", "5:34", "preprocess.0.aspect", "more than 0"),
        ("schedule: {epochs: -1}", "5:20", "schedule.epochs", "at least 1, but is -1"),
        (
            "schedule: {steps_per_epoch: 1e2}",
            "5:29",
            "schedule.steps_per_epoch",
            "a whole number, but is 100.0",
        ),
        ("optimizer: {learning_rate: 0}", "5:28", "optimizer.learning_rate", "more than 0"),
        ("optimizer: {beta_1: 1}", "5:21", "optimizer.beta_1", "less than 1.0, but is 1"),
        (
            "optimizer: {beta_2: 0.99999999}",
            "5:21",
            "optimizer.beta_2",
            "in float32, 0.99999999 is 1, which ignores every gradient.",
        ),
        ("optimizer: {epsilon: 1e-50}", "5:22", "optimizer.epsilon", "in float32, 1e-50 is 0."),
        ("outputs: [{use: png, name: ''}]", "5:28", "outputs.0.name", "a name"),
        ("outputs: [{use: png, name: ../x}]", "5:28", "outputs.0.name", "a name"),
        ("outputs: [{use: jpeg, quality: 101}]", "5:32", "outputs.0.quality", "at most 100"),
    ],
)
def test_wrong_value(line: str, place: str, what: str, got: str) -> None:
    problem = only(f"{HEAD}{LOSSES}{line}\n")
    assert places([problem]) == [(place, what)]
    assert got in problem.got


@pytest.mark.parametrize(
    ("line", "got"),
    [
        ("images: 5", "a mapping, but is 5"),
        ("images: photo.png", "a mapping, but is the text 'photo.png'"),
        ("images: [photo.png]", "a mapping, but is a list"),
        ("images: {}", "not empty, but is an empty mapping"),
        ("images: true", "a mapping, but is true"),
    ],
)
def test_images_that_are_no_mapping(line: str, got: str) -> None:
    problems = [p for p in problems_of(f"name: x\n{line}\n{LOSSES}") if p.what == "images"]
    assert places(problems) == [("2:9", "images")]
    assert got in problems[0].got


def test_unreadable_images_are_not_told_as_undeclared() -> None:
    assert [p.what for p in problems_of(f"name: x\nimages: photo.png\n{LOSSES}")] == ["images"]


@pytest.mark.parametrize(
    ("losses", "got"),
    [
        ("{}", "not empty, but is an empty mapping"),
        ("[a]", "a mapping, but is a list"),
        ("gram", "a mapping, but is the text 'gram'"),
    ],
)
def test_losses_that_are_no_mapping(losses: str, got: str) -> None:
    problem = only(f"{HEAD}losses: {losses}\n")
    assert places([problem]) == [("3:9", "losses")]
    assert got in problem.got


@pytest.mark.parametrize("name", ["Style", "1st", "a-b", "'a b'", "ä", "_a", "''", f"{'a' * 65}"])
@pytest.mark.parametrize("slot", ["images", "losses", "recipe", "group"])
def test_bad_name(name: str, slot: str) -> None:
    if slot == "images":
        problem = only(
            f"name: x\nimages: {{content: {{use: noise}}, {name}: {{use: noise}}}}\n{LOSSES}"
        )
        place = "2:33"
    elif slot == "losses":
        problem = only(f"{HEAD}losses:\n  {name}: {{use: content}}\n")
        place = "4:3"
    elif slot == "group":
        problem = extractor(f"layers: {{{name}: [image]}}")
        place = "5:22"
    else:
        problem = only(f"name: {name}\n{HEAD.partition(chr(10))[2]}{LOSSES}")
        place = "1:7"
    assert problem.where == f"r.yaml:{place}"
    assert ("64 letters" if len(name) > 64 else "a name: small letters") in problem.got


def test_bad_name_of_a_broken_stage_is_not_hidden() -> None:
    text = "name: x\nimages:\n  Content: {use: nosie}\nlosses:\n  Keep: {use: contents}\n"
    assert places(problems_of(text + "start: {use: nope}\n")) == [
        ("3:3", "images.Content"),
        ("3:18", "images.Content.use"),
        ("5:3", "losses.Keep"),
        ("5:15", "losses.Keep.use"),
        ("6:14", "start.use"),
    ]


@pytest.mark.parametrize("name", ["step", "total", "seconds"])
@pytest.mark.parametrize("settings", ["use: content", "use: content, wieght: 1", "use: nope"])
def test_reserved_loss_name(name: str, settings: str) -> None:
    problems = problems_of(f"{HEAD}losses:\n  {name}: {{{settings}}}\n")
    assert places(problems)[0] == ("4:3", f"losses.{name}")
    assert f"'{name}' is a column of the history" in problems[0].got
    assert len(problems) == (1 if settings == "use: content" else 2)


def test_every_reserved_name_is_told() -> None:
    lines = "".join(f"  {name}: {{use: content}}\n" for name in ("step", "a", "total"))
    assert places(problems_of(f"{HEAD}losses:\n{lines}")) == [
        ("4:3", "losses.step"),
        ("6:3", "losses.total"),
    ]


def test_image_that_no_one_declared() -> None:
    problem = loss("use: gram, image: styl")
    assert places([problem]) == [("4:28", "losses.keep.image")]
    assert problem.got == "no image is called 'styl'."
    assert problem.hint == "Did you mean 'style'? Declared: content, style."


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("start: {like: nope}", [("5:15", "start.like")]),
        ("start: {use: blend, image: nope}", [("5:28", "start.image")]),
        ("preprocess: [{use: crop, only: [content, nope]}]", [("5:32", "preprocess.0.only")]),
        ("postprocess: [{use: keep_color, image: nope}]", [("5:40", "postprocess.0.image")]),
    ],
)
def test_image_that_no_one_declared_in_every_slot(line: str, found: Found) -> None:
    problems = problems_of(f"{HEAD}{LOSSES}{line}\n")
    assert places(problems) == found
    assert "no image is called 'nope'. Declared: content, style." in str(problems[0])


def test_image_that_is_broken_is_declared_all_the_same() -> None:
    problems = problems_of(
        "name: x\nimages: {content: {use: nosie}}\nlosses: {keep: {use: content}}\n"
    )
    assert places(problems) == [("2:25", "images.content.use")]


def test_start_needs_its_default_image() -> None:
    problems = problems_of(
        "name: x\nimages: {photo: {use: noise}}\nlosses: {keep: {use: content, image: photo}}\n"
    )
    assert places(problems) == [("1:1", "start.image")]
    assert "Declared: photo" in problems[0].hint


@pytest.mark.parametrize(
    ("layers", "place"),
    [
        ("[block1_conv1, block1_conv9]", "4:47"),
        ("{block1_conv1: 1, block1_conv9: 2}", "4:50"),
    ],
)
def test_layer_that_the_extractor_lacks(layers: str, place: str) -> None:
    problem = loss(f"use: content, layers: {layers}")
    key = "block1_conv9" if layers.startswith("{") else 1
    assert places([problem]) == [(place, f"losses.keep.layers.{key}")]
    assert problem.got == "the extractor has no layer 'block1_conv9'."
    assert problem.hint.startswith("Did you mean 'block1_conv")


def test_layer_that_resembles_none() -> None:
    assert loss("use: content, layers: [relu]").hint == (
        "There are block1_conv1 to block5_conv4, and image."
    )


def test_layer_in_a_group_that_the_extractor_lacks() -> None:
    problem = extractor("layers: {style: [block1_conv1, block6_conv1]}")
    assert places([problem]) == [("5:44", "extractor.layers.style.1")]
    assert "no layer 'block6_conv1'" in problem.got


@pytest.mark.parametrize("group", ["content", "style", "mine"])
def test_group_with_a_layer_twice(group: str) -> None:
    problem = extractor(f"layers: {{{group}: [block1_conv1, image, block1_conv1]}}")
    assert problem.what == f"extractor.layers.{group}.2"
    assert problem.where == f"r.yaml:5:{22 + len(group) + 3 + 21}"
    assert "listed twice" in problem.got


def test_empty_group() -> None:
    problem = extractor("layers: {mine: []}")
    assert places([problem]) == [("5:28", "extractor.layers.mine")]
    assert "at least one layer" in problem.got


def test_layer_written_as_a_group_has_a_hint() -> None:
    problem = loss("use: content, layers: block1_conv1")
    assert places([problem]) == [("4:32", "losses.keep.layers")]
    assert "no group of layers called 'block1_conv1'" in problem.got
    assert problem.hint == "For the layer alone, write [block1_conv1]."
    assert loss("use: content, layers: image").hint == "For the layer alone, write [image]."


def test_group_that_does_not_exist() -> None:
    problem = loss("use: content, layers: styles")
    assert "no group of layers called 'styles'" in problem.got
    assert problem.hint == "Did you mean 'style'? Groups: content, style."


@pytest.mark.parametrize("layers", ["[]", "{}"])
def test_loss_without_layers(layers: str) -> None:
    problem = loss(f"use: content, layers: {layers}")
    assert places([problem]) == [("4:32", "losses.keep.layers")]
    assert problem.got == "a loss needs at least one layer."


def test_layer_listed_twice() -> None:
    problem = loss("use: content, layers: [image, block1_conv1, image]")
    assert places([problem]) == [("4:32", "losses.keep.layers")]
    assert problem.got == "a layer is listed twice."


def test_layers_are_not_judged_without_an_extractor() -> None:
    problems = problems_of(
        f"{HEAD}losses:\n  keep: {{use: content, layers: [x]}}\nextractor: {{use: vgg16}}\n"
    )
    assert places(problems) == [("5:18", "extractor.use")]


def test_total_variation_has_no_image() -> None:
    problem = loss("use: total_variation, image: style")
    assert places([problem]) == [("4:39", "losses.keep.image")]
    assert "left out" in problem.got


def test_output_written_twice() -> None:
    lines = "outputs:\n  - {use: png}\n  - {use: jpeg}\n  - {use: png, name: result}\n"
    problem = only(HEAD + LOSSES + lines)
    assert places([problem]) == [("8:5", "outputs.2")]
    assert problem.got == "outputs.0 writes the same file."
    assert problem.hint == "Give one another name."
    assert problems_of(HEAD + LOSSES + lines.replace("result", "other")) == []


def test_unknown_block() -> None:
    problem = only(f"{HEAD}{LOSSES}plugins: {{block: [nope]}}\n")
    assert places([problem]) == [("5:19", "plugins.block.0")]
    assert "no plugin 'nope' to block" in problem.got


def test_unknown_block_of_the_command_line_is_placed_there() -> None:
    Path("r.yaml").write_text(HEAD + LOSSES)
    (problem,) = read("r.yaml", ReadOptions(block=("nope",)))[0].problems
    assert problem.where == "--block-plugin nope"
    assert "no plugin 'nope' to block" in problem.got


def test_built_in_stages_can_not_be_blocked() -> None:
    problem = only(f"{HEAD}{LOSSES}plugins: {{block: [nstflow]}}\n")
    assert "no plugin 'nstflow' to block" in problem.got


def test_defaults_are_those_of_the_design() -> None:
    Path("r.yaml").write_text(
        "name: x\nimages: {content: a.png, style: b.png}\n"
        "losses: {content: {use: content}, style: {use: gram, image: style}}\n"
    )
    dumped = load_recipe("r.yaml").model_dump(mode="json")
    file = {"use": "file", "max_megapixels": 64.0, "transparency": "white"}
    assert dumped == {
        "nstflow": 1,
        "name": "x",
        "summary": "",
        "seed": 0,
        "images": {"content": {**file, "path": "a.png"}, "style": {**file, "path": "b.png"}},
        "preprocess": [
            {
                "use": "resize",
                "only": None,
                "longest_side": 512,
                "method": "lanczos3",
                "antialias": True,
            }
        ],
        "extractor": {
            "use": "vgg19",
            "weights": "imagenet",
            "layers": {
                "content": ["block5_conv2"],
                "style": ["block1_conv1", "block3_conv1", "block5_conv1"],
            },
            "pooling": "max",
            "convolution": "auto",
        },
        "start": {"use": "image", "like": "content", "image": "content"},
        "losses": {
            "content": {
                "use": "content",
                "image": "content",
                "layers": "content",
                "weight": 1.0,
                "scale": "mean",
            },
            "style": {
                "use": "gram",
                "image": "style",
                "layers": "style",
                "weight": 1.0,
                "scale": "mean",
            },
        },
        "optimizer": {
            "use": "adam",
            "learning_rate": 0.02,
            "beta_1": 0.99,
            "beta_2": 0.999,
            "epsilon": 0.1,
        },
        "schedule": {"use": "epochs", "epochs": 10, "steps_per_epoch": 100},
        "postprocess": [],
        "outputs": [{"use": "png", "name": "result"}],
        "compute": {"precision": "float32", "deterministic": True},
        "checkpoints": {"every_seconds": 30, "every_steps": 100},
        "plugins": {"block": []},
        "matrix": None,
        "lock": None,
    }


def test_what_is_said_replaces_a_default_and_no_more() -> None:
    Path("r.yaml").write_text(
        HEAD + LOSSES + "extractor: {layers: {mine: [image]}}\nschedule: {epochs: 2}\n"
        "start: {image: style}\npreprocess: []\noptimizer: {}\noutputs: ~\n"
    )
    recipe = load_recipe("r.yaml")
    assert recipe.extractor.layers == {
        "content": ("block5_conv2",),
        "style": ("block1_conv1", "block3_conv1", "block5_conv1"),
        "mine": ("image",),
    }
    assert recipe.schedule.model_dump() == {"use": "epochs", "epochs": 2, "steps_per_epoch": 100}
    assert recipe.start.model_dump() == {"use": "image", "like": "content", "image": "style"}
    assert recipe.preprocess == []
    assert recipe.optimizer.use == "adam"
    assert [output.use for output in recipe.outputs] == ["png"]


def test_canvas_without_a_content_has_the_size_of_what_it_starts_from() -> None:
    Path("r.yaml").write_text(
        "name: x\nimages: {photo: {use: noise}, other: {use: noise}}\nstart: {image: photo}\n"
        "losses: {keep: {use: content, image: photo}}\n"
    )
    assert load_recipe("r.yaml").start.like == "photo"
    assert load_recipe("r.yaml", ["start.image=other"]).start.like == "other"
    assert load_recipe("r.yaml", ["start.like=other"]).start.like == "other"


def test_with_defaults_leaves_what_is_wrong_to_be_told() -> None:
    data = {"images": {"a": "x.png", "b": 5}, "losses": [1], "extractor": "vgg19"}
    full = with_defaults(data)
    assert full["images"] == {"a": {"use": "file", "path": "x.png"}, "b": 5}
    assert full["losses"] == [1]
    assert full["extractor"] == "vgg19"
    assert data["images"] == {"a": "x.png", "b": 5}


def test_recipe_knows_its_folder_and_what_was_written(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "r.yaml").write_text(HEAD + LOSSES)
    recipe = load_recipe("sub/r.yaml")
    assert recipe.folder == tmp_path / "sub"
    assert recipe.source.label == "sub/r.yaml"
    assert recipe.source.text == HEAD + LOSSES
    assert recipe.installed.catalog["losses"]["gram"].package.startswith("nstflow ")


def test_recipes_are_frozen() -> None:
    Path("r.yaml").write_text(HEAD + LOSSES)
    recipe = load_recipe("r.yaml")
    with pytest.raises(ValueError, match="frozen"):
        recipe.seed = 5  # type: ignore[misc]
    with pytest.raises(ValueError, match="frozen"):
        recipe.losses["keep"].weight = 5  # type: ignore[misc]


# a great many mistakes


def filled(head: str, line: str, tail: str = "", most: int = 9000) -> str:
    """Return a text of as many numbered lines as a recipe may have bytes and values."""
    count = min(most, (MAX_BYTES - len(head) - len(tail)) // (len(line) + 4))
    return head + "".join(line.replace("#", str(number)) for number in range(count)) + tail


IMAGES = "".join(f"  image{number}: {{use: noise}}\n" for number in range(MAX_STAGES))


@pytest.mark.parametrize(
    "text",
    [
        filled(f"{HEAD}{LOSSES}", "image#: 1\n"),
        filled(f"{HEAD}{LOSSES}optimizer:\n", "  learning_rat#: 1\n"),
        filled(f"{HEAD}{LOSSES}extractor:\n  convolution:\n", "    a#: winogard\n"),
        filled(f"{HEAD}{LOSSES}extractor:\n  layers:\n    g: [", "block1_conv#, ", "]\n"),
        filled(f"{HEAD}{LOSSES}extractor:\n  layers:\n", "    g#: [block#_conv]\n"),
        filled(f"{HEAD}losses: {{keep: {{use: content, layers: [", "block#, ", "]}}\n"),
        filled(f"{HEAD}losses: {{keep: {{use: content, layers: {{", "block#: x, ", "}}}\n"),
        filled(f"{HEAD}{LOSSES}plugins:\n  block: [", "laplace#, ", "]\n"),
        filled(f"{HEAD}{LOSSES}lock:\n  files:\n", "    a#: {}\n"),
        filled(f"{HEAD}{LOSSES}preprocess: [{{use: crop, only: [", "style#, ", "]}]\n"),
        filled(
            f"name: x\nimages:\n{IMAGES}losses:\n", "  l#: {use: gram, image: imag#}\n", "", 999
        ),
        filled(
            f"name: x\nimages:\n{IMAGES}{LOSSES}preprocess: [{{use: crop, only: [",
            "imag#, ",
            "]}]\n",
        ),
    ],
    ids=lambda text: text[-12:].strip(),
)
def test_thousands_of_mistakes_are_told_soon(text: str) -> None:
    start = time.process_time()
    problems = problems_of(text)
    assert time.process_time() - start < 4
    assert len(problems) > 900
    assert len(str(NstflowError(problems))) < 4_000_000


def test_stages_of_a_slot_are_limited() -> None:
    lines = "".join(f"  l{number}: {{use: content}}\n" for number in range(MAX_STAGES))
    assert problems_of(f"{HEAD}losses:\n{lines}") == []
    problem = only(f"{HEAD}losses:\n{lines}  more: {{use: contents}}\n")
    assert places([problem]) == [("4:3", "losses")]
    assert problem.got == f"there are {MAX_STAGES + 1} stages: at most {MAX_STAGES} are allowed."
    problem = only(f"{HEAD}{LOSSES}outputs: [{'5, ' * 2000}5]\n")
    assert places([problem]) == [("5:10", "outputs")]


def test_long_list_of_images_is_cut_short() -> None:
    images = "".join(f"  image{number}: {{use: noise}}\n" for number in range(50))
    losses = "losses:\n  keep: {use: gram, image: iamge7}\n"
    problem = only(f"name: x\nimages:\n{images}  content: {{use: noise}}\n{losses}")
    assert problem.hint.startswith("Did you mean 'image7'? Declared: image0, image1, ")
    assert problem.hint.endswith(", image19 and 31 more.")
