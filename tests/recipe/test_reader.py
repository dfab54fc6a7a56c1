"""From data to stages: every mistake is found, at its place, and none hides another."""

import time
from pathlib import Path
from typing import Any

import pytest

from nstflow.errors import NstflowError, Problem
from nstflow.recipe.model import with_defaults
from nstflow.recipe.reader import MAX_STAGES, ReadOptions, load_recipe, read
from nstflow.recipe.source import MAX_BYTES
from nstflow.recipe.yaml import parse_yaml
from refusals import refused

Found = list[tuple[str, str]]

HEAD = """\
name: x
images: {content: {use: noise}, style: {use: noise}}
"""
LOSSES = """\
losses:
  keep: {use: content}
"""
LAYER_X = "losses: {keep: {use: content, layers: [x]}}\n"
LONGEST = "preprocess.0.longest_side"
NO_IMAGE = "no image is called 'nope'. Declared: content, style."


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


def test_load_recipe_raises_all_mistakes() -> None:
    text = f"{HEAD}losses: {{keep: {{use: contents}}}}\nimagse: {{}}\n".replace("x", "X", 1)
    problems = problems_of(text)
    assert places(problems) == [("1:7", "name"), ("3:22", "losses.keep.use"), ("4:1", "imagse")]
    with pytest.raises(NstflowError) as caught:
        load_recipe("r.yaml")
    assert list(caught.value.problems) == problems
    assert caught.value.subject == "r.yaml"
    assert "r.yaml:3:22  losses.keep.use\n    no loss is called 'contents'." in str(caught.value)


def test_all_that_is_missing_is_reported() -> None:
    assert places(problems_of("summary: hello\n")) == [
        ("1:1", "name"),
        ("1:1", "images"),
        ("1:1", "losses"),
    ]
    assert places(problems_of("name: x\nimages:\nlosses: ~\n")) == [
        ("2:8", "images"),
        ("3:9", "losses"),
    ]


@pytest.mark.parametrize(
    ("settings", "place", "what", "words"),
    [
        # the stage itself
        ("use: gramm", "4:15", ".use", "'gramm'. Did you mean 'gram'? Installed: content, gram"),
        ("use: adam", "4:15", ".use", "no loss is called 'adam'."),
        ("use: [gram]", "4:15", ".use", "must be the name of a stage, but is a list. Installed: "),
        ("use: {gram: 1}", "4:15", ".use", "must be the name of a stage, but is a mapping."),
        ("use: 5", "4:15", ".use", "must be the name of a stage, but is 5."),
        ("use: []", "4:15", ".use", "must be the name of a stage, but is an empty list."),
        ("weight: 1", "4:9", "", "`use:` is required: the name of a stage. Installed: content"),
        ("use: ~, weight: 1", "4:9", "", "`use:` is required"),
        # its settings
        ("use: content, wieght: 2", "4:24", ".wieght", "unknown setting. Did you mean 'weight'?"),
        ("use: content, zzzzz: 2", "4:24", ".zzzzz", "Known: use, image, layers, weight, region, "),
        ("use: content, weight: '3'", "4:32", ".weight", "a number, but is the text '3'"),
        ("use: content, weight: true", "4:32", ".weight", "a number, but is true"),
        ("use: content, weight: [1]", "4:32", ".weight", "a number, but is a list"),
        ("use: content, weight: ~", "4:32", ".weight", "a number, but is nothing"),
        ("use: content, weight: .nan", "4:32", ".weight", "a finite number, but is nan"),
        ("use: content, weight: -1e999", "4:32", ".weight", "a finite number, but is -inf"),
        ("use: content, image: 5", "4:31", ".image", "a text, but is 5"),
        ("use: content, layers: 5", "4:32", ".layers", "a text or a list or a mapping, but is 5"),
        ("use: content, layers: [5]", "4:33", ".layers.0", "a text, but is 5"),
        ("use: content, layers: {image: x}", "4:40", ".layers.image", "a number, but is the text"),
        ("use: content, layers: {image: .nan}", "4:40", ".layers.image", "a finite number, but is"),
        (
            "use: content, scale: man",
            "4:31",
            ".scale",
            "'sum', but is the text 'man'. Did you mean",
        ),
        ("use: content, scale: 5", "4:31", ".scale", "'mean' or 'sum', but is 5"),
        ("use: total_variation, image: style", "4:39", ".image", "left out"),
        ("use: content, layers: []", "4:32", ".layers", "a loss needs at least one layer."),
        ("use: content, layers: {}", "4:32", ".layers", "a loss needs at least one layer."),
        ("use: content, layers: [image, image]", "4:32", ".layers", "a layer is listed twice."),
        # what others declare
        (
            "use: gram, image: styl",
            "4:28",
            ".image",
            "no image is called 'styl'. Did you mean 'style'? Declared: content, style.",
        ),
        (
            "use: content, layers: [block1_conv1, block1_conv9]",
            "4:47",
            ".layers.1",
            "the extractor has no layer 'block1_conv9'. Did you mean 'block1_conv",
        ),
        (
            "use: content, layers: {image: 1, block1_conv9: 2}",
            "4:43",
            ".layers.block1_conv9",
            "the extractor has no layer 'block1_conv9'. Did you mean 'block1_conv",
        ),
        (
            "use: content, layers: [relu]",
            "4:33",
            ".layers.0",
            "There are block1_conv1 to block5_conv4, and image.",
        ),
        (
            "use: content, layers: block1_conv1",
            "4:32",
            ".layers",
            "called 'block1_conv1'. For the layer alone, write [block1_conv1].",
        ),
        ("use: content, layers: image", "4:32", ".layers", "For the layer alone, write [image]."),
        (
            "use: content, layers: styles",
            "4:32",
            ".layers",
            "no group of layers called 'styles'. Did you mean 'style'? Groups: content, style.",
        ),
    ],
)
def test_a_mistake_in_a_loss(settings: str, place: str, what: str, words: str) -> None:
    problem = only(f"{HEAD}losses:\n  keep: {{{settings}}}\n")
    assert places([problem]) == [(place, f"losses.keep{what}")]
    assert words in f"{problem.got} {problem.hint}"


@pytest.mark.parametrize(
    ("line", "place", "what", "words"),
    [
        ("zzzzz: 2", "5:1", "zzzzz", "Known: nstflow, extends, name, summary, seed"),
        ("compute: {determinstic: 2}", "5:11", "compute.determinstic", "mean 'deterministic'?"),
        ("seed: '5'", "5:7", "seed", "a whole number, but is the text '5'"),
        ("seed: 1.5", "5:7", "seed", "a whole number, but is 1.5"),
        ("seed: true", "5:7", "seed", "a whole number, but is true"),
        ("seed: -1", "5:7", "seed", "at least 0, but is -1"),
        ("seed: 2147483648", "5:7", "seed", "less than 2147483648"),
        ("summary: [a]", "5:10", "summary", "a text, but is a list"),
        ("nstflow: 2", "5:10", "nstflow", "1, but is 2"),
        ("compute: 5", "5:10", "compute", "a mapping, but is 5"),
        ("compute: {deterministic: no}", "5:26", "compute.deterministic", "is the text 'no'"),
        ("compute: {deterministic: 1}", "5:26", "compute.deterministic", "true or false, but is 1"),
        ("compute: {precision: float64}", "5:22", "compute.precision", "is the text 'float64'"),
        ("plugins: [x]", "5:10", "plugins", "a mapping, but is a list"),
        ("plugins: {block: x}", "5:18", "plugins.block", "a list, but is the text 'x'"),
        ("plugins: {block: [5]}", "5:19", "plugins.block.0", "a text, but is 5"),
        ("plugins: {block: [nope]}", "5:19", "plugins.block.0", "no plugin 'nope' to block"),
        ("plugins: {block: [nstflow]}", "5:19", "plugins.block.0", "no plugin 'nstflow' to block"),
        ("preprocess: {use: resize}", "5:13", "preprocess", "a list, but is a mapping"),
        ("preprocess: 5", "5:13", "preprocess", "a list, but is 5"),
        (
            "preprocess: [{use: zzz}]",
            "5:20",
            "preprocess.0.use",
            "no preprocessor is called 'zzz'.",
        ),
        ("preprocess: [{use: resize, longest_side: 0}]", "5:42", LONGEST, "at least 1, but is 0"),
        ("preprocess: [{use: resize, longest_side: 99999}]", "5:42", LONGEST, "at most 16384, but"),
        ("preprocess: [{use: resize, longest_side: 64.5}]", "5:42", LONGEST, "number, but is 64.5"),
        ("preprocess: [{use: crop, aspect: 0}]", "5:34", "preprocess.0.aspect", "more than 0"),
        ("preprocess: [{use: crop, only: [content, nope]}]", "5:32", "preprocess.0.only", NO_IMAGE),
        ("extractor: vgg19", "5:12", "extractor", "mapping of settings, but is the text 'vgg19'"),
        ("extractor: []", "5:12", "extractor", "a mapping of settings, but is an empty list"),
        ("extractor: {use: zzz}", "5:18", "extractor.use", "no extractor is called 'zzz'."),
        ("extractor: {pooling: maxx}", "5:22", "extractor.pooling", "Did you mean 'max'?"),
        ("extractor: {layers: {mine: []}}", "5:28", "extractor.layers.mine", "at least one layer"),
        (
            "extractor: {layers: {style: [image, block6_conv1]}}",
            "5:37",
            "extractor.layers.style.1",
            "no layer 'block6_conv1'",
        ),
        (
            "extractor: {layers: {mine: [block1_conv1, image, block1_conv1]}}",
            "5:50",
            "extractor.layers.mine.2",
            "listed twice",
        ),
        ("start: {use: zzz}", "5:14", "start.use", "no start is called 'zzz'."),
        ("start: {like: nope}", "5:15", "start.like", NO_IMAGE),
        ("start: {use: blend, image: nope}", "5:28", "start.image", NO_IMAGE),
        ("optimizer: {use: zzz}", "5:18", "optimizer.use", "no optimizer is called 'zzz'."),
        ("optimizer: {learning_rate: 0}", "5:28", "optimizer.learning_rate", "more than 0"),
        ("optimizer: {beta_1: 1}", "5:21", "optimizer.beta_1", "less than 1.0, but is 1"),
        ("optimizer: {beta_2: 0.99999999}", "5:21", "optimizer.beta_2", "0.99999999 rounds to 1"),
        ("optimizer: {epsilon: 1e-50}", "5:22", "optimizer.epsilon", "in float32, 1e-50 is 0."),
        ("schedule: {use: zzz}", "5:17", "schedule.use", "no schedule is called 'zzz'."),
        ("schedule: {epochs: -1}", "5:20", "schedule.epochs", "at least 1, but is -1"),
        ("postprocess: [5]", "5:15", "postprocess.0", "a mapping of settings, but is 5"),
        ("postprocess: [{use: zzz}]", "5:21", "postprocess.0.use", "no postprocessor is called"),
        ("postprocess: [{use: keep_color, image: nope}]", "5:40", "postprocess.0.image", NO_IMAGE),
        ("outputs: []", "5:10", "outputs", "not empty, but is an empty list"),
        ("outputs: png", "5:10", "outputs", "a list, but is the text 'png'"),
        ("outputs: [{use: zzz}]", "5:17", "outputs.0.use", "no output is called 'zzz'."),
        ("outputs: [{use: png, name: ''}]", "5:28", "outputs.0.name", "a name"),
        ("outputs: [{use: png, name: ../x}]", "5:28", "outputs.0.name", "a name"),
        ("outputs: [{use: jpeg, quality: 101}]", "5:32", "outputs.0.quality", "at most 100"),
        (
            "outputs: [{use: png}, {use: jpeg}, {use: png, name: result}]",
            "5:36",
            "outputs.2",
            "outputs.0 writes the same file. Give one another name.",
        ),
    ],
)
def test_a_mistake_elsewhere(line: str, place: str, what: str, words: str) -> None:
    problem = only(f"{HEAD}{LOSSES}{line}\n")
    assert places([problem]) == [(place, what)]
    assert words in f"{problem.got} {problem.hint}"


@pytest.mark.parametrize("item", ["gram", "5", "~", "[gram]", "''"])
def test_stage_that_is_no_mapping(item: str) -> None:
    problem = only(f"{HEAD}losses:\n  keep: {item}\n")
    assert places([problem]) == [("4:9", "losses.keep")]
    assert "this must be a mapping of settings" in problem.got
    assert "{use: …}" in problem.hint


@pytest.mark.parametrize(
    ("held", "got"),
    [
        ("5", "a mapping, but is 5"),
        ("photo.png", "a mapping, but is the text 'photo.png'"),
        ("[photo.png]", "a mapping, but is a list"),
        ("{}", "not empty, but is an empty mapping"),
    ],
)
def test_images_and_losses_that_are_no_mapping(held: str, got: str) -> None:
    problems = problems_of(f"name: x\nimages: {held}\n{LOSSES}")
    of_images = [problem for problem in problems if problem.what == "images"]
    assert places(of_images) == [("2:9", "images")]
    if held != "{}":  # else the default of start is undeclared, too
        assert problems == of_images
    of_losses = only(f"{HEAD}losses: {held}\n")
    assert places([of_losses]) == [("3:9", "losses")]
    assert all(got in problem.got for problem in (*of_images, of_losses))


@pytest.mark.parametrize("name", ["Style", "1st", "a-b", "'a b'", "ä", "_a", "''", f"{'a' * 65}"])
@pytest.mark.parametrize(
    ("text", "place"),
    [
        (f"name: x\nimages: {{content: {{use: noise}}, NAME: {{use: noise}}}}\n{LOSSES}", "2:33"),
        (f"{HEAD}losses:\n  NAME: {{use: content}}\n", "4:3"),
        (f"{HEAD}{LOSSES}extractor: {{layers: {{NAME: [image]}}}}\n", "5:22"),
        (f"{HEAD}{LOSSES}".replace("name: x", "name: NAME"), "1:7"),
    ],
    ids=["image", "loss", "group", "recipe"],
)
def test_bad_name(text: str, place: str, name: str) -> None:
    problem = only(text.replace("NAME", name))
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


@pytest.mark.parametrize("settings", ["use: content", "use: content, wieght: 1", "use: nope"])
def test_reserved_loss_names(settings: str) -> None:
    lines = "".join(f"  {name}: {{{settings}}}\n" for name in ("step", "a", "total", "seconds"))
    problems = problems_of(f"{HEAD}losses:\n{lines}")
    found = [problem for problem in problems if "is a column of the history" in problem.got]
    assert places(found) == [
        ("4:3", "losses.step"),
        ("6:3", "losses.total"),
        ("7:3", "losses.seconds"),
    ]
    assert len(problems) == (3 if settings == "use: content" else 7)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        # an image that is broken is declared all the same
        (
            "images: {content: {use: nosie}}\nlosses: {keep: {use: content}}\n",
            [("1:25", "images.content.use")],
        ),
        # the default of start
        (
            "images: {photo: {use: noise}}\nlosses: {keep: {use: content, image: photo}}\n",
            [("1:1", "start.image")],
        ),
        # no layer is known without an extractor
        (
            f"images: {{content: {{use: noise}}}}\nextractor: {{use: vgg16}}\n{LAYER_X}",
            [("2:18", "extractor.use")],
        ),
    ],
)
def test_one_mistake_is_not_reported_as_two(text: str, found: Found) -> None:
    assert places(problems_of(f"{text}name: x\n")) == found


def test_unknown_block_of_the_command_line_is_placed_there() -> None:
    Path("r.yaml").write_text(HEAD + LOSSES)
    (problem,) = read("r.yaml", ReadOptions(block=("nope",)))[0].problems
    assert problem.where == "--block-plugin nope"
    assert "no plugin 'nope' to block" in problem.got


DEFAULTS = """\
nstflow: 1
name: x
summary: ""
seed: 0
images:
  content: {use: file, path: a.png, max_megapixels: 64.0, transparency: weight, profile: srgb}
  style: {use: file, path: b.png, max_megapixels: 64.0, transparency: weight, profile: srgb}
preprocess: [{use: resize, only: ~, longest_side: 512, scale: 1.0, method: lanczos3,
  antialias: true, enlarge: true}]
extractor:
  use: vgg19
  weights: imagenet
  layers: {content: [block5_conv2], style: [block1_conv1, block3_conv1, block5_conv1]}
  filters: trained
  padding: zeros
  pooling: max
  pooling_gain: 1.0
  convolution: auto
start: {use: image, like: content, image: content}
losses:
  content: {use: content, image: content, layers: content, weight: 1.0, region: ~, edge: ~, grow: ~,
    scale: mean, normalize: ~}
  style: {use: gram, image: style, layers: style, weight: 1.0, region: ~, edge: ~, grow: ~,
    image_region: ~, blend: {}, scale: mean, centered: false, normalize: ~}
optimizer: {use: adam, learning_rate: 0.02, beta_1: 0.99, beta_2: 0.999, epsilon: 0.1, decay: none,
  average: ~, carry_moments: true}
schedule: {use: epochs, epochs: 10, steps_per_epoch: 100}
postprocess: []
outputs: [{use: png, name: result, bits: 8, exif: false}]
compute: {precision: float32, deterministic: true}
checkpoints: {every_seconds: 30, every_steps: 100}
plugins: {block: []}
extends: ~
options: {}
matrix: ~
lock: ~
"""


def test_defaults_are_those_of_the_design() -> None:
    Path("r.yaml").write_text(
        "name: x\nimages: {content: a.png, style: b.png}\n"
        "losses: {content: {use: content}, style: {use: gram, image: style}}\n"
    )
    assert load_recipe("r.yaml").model_dump(mode="json") == parse_yaml(DEFAULTS, "")[0]


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


def test_with_defaults_leaves_what_is_wrong_to_be_reported() -> None:
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
def test_thousands_of_mistakes_are_reported_soon(text: str) -> None:
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


WHOLE = {
    "schedule.epochs": "1e3",
    "seed": "2.0",
    "checkpoints.every_steps": "5e+1",
    "images.style.height": "1.6e1",
}


@pytest.mark.parametrize(("setting", "value"), WHOLE.items())
def test_a_whole_number_may_be_written_as_a_float(setting: str, value: str, write: Any) -> None:
    path = write((Path(__file__).parents[1] / "tiny.yaml").read_text(encoding="utf-8"))
    recipe = load_recipe(path, [f"{setting}={value}"]).model_dump(mode="json")
    plain = load_recipe(path, [f"{setting}={int(float(value))}"]).model_dump(mode="json")
    assert str(recipe) == str(plain)  # 2.0 == 2, but not as texts


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("seed=1.5", "a whole number, but is 1.5."),
        ("schedule.epochs=.inf", "a whole number, but is inf."),
        ("schedule.epochs=1e300", "at most 1000000, but is a number of 301 digits."),
        ("seed=-1e0", "at least 0, but is -1."),
        ("schedule.epochs=true", "a whole number, but is true."),
        ("schedule.epochs='1e3'", "a whole number, but is the text '1e3'."),
    ],
)
def test_what_is_no_whole_number(setting: str, words: str, write: Any) -> None:
    path = write((Path(__file__).parents[1] / "tiny.yaml").read_text(encoding="utf-8"))
    assert words in refused(load_recipe, path, [setting]).got
