"""A recipe with a matrix: which runs it stands for, and what is wrong with one, at its line."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from nstflow import NstflowError, load_recipe
from nstflow.plugins.single_file import read_plugin
from nstflow.recipe.matrix import MOST_CELLS
from nstflow.recipe.reader import Draft, ReadOptions, read
from refusals import refused

TINY = (Path(__file__).parents[1] / "tiny.yaml").read_text()
BASE = TINY.replace("preprocess: []\n", "") + "matrix:\n"
FIRST = BASE.count("\n") + 1  # the line of what is written below `matrix:`


@pytest.fixture
def cells(write: Any) -> Any:
    """Read the runs of the recipe above with a matrix."""

    def cells(matrix: str, *overrides: str) -> list[Draft]:
        path = write(BASE + textwrap.indent(textwrap.dedent(matrix), "  "))
        found = read(path, ReadOptions(overrides))
        assert {draft.recipe_or_raise().name for draft in found} == {"tiny"}
        return found

    return cells


@pytest.fixture
def problems(write: Any) -> Any:
    """Return what is wrong with a matrix: line and column in it, path, text."""

    def problems(matrix: str) -> list[str]:
        path = write(BASE + textwrap.indent(textwrap.dedent(matrix), "  "))
        with pytest.raises(NstflowError) as caught:
            read(path)
        found = []
        for problem in caught.value.problems:
            _, line, column = problem.where.rsplit(":", 2)
            text = f"{problem.got} {problem.hint}".strip()
            what = problem.what.removeprefix("matrix").removeprefix(".")
            found.append(f"{int(line) - FIRST + 1}:{column} {what}: {text}")
        return found

    return problems


def values(drafts: Sequence[Draft]) -> list[dict[str, Any]]:
    return [dict(draft.origin.cell.values) for draft in drafts if draft.origin.cell]


def names(drafts: Sequence[Draft]) -> list[str]:
    return [draft.origin.cell.name for draft in drafts if draft.origin.cell]


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        # the last axis is the fastest
        (
            "losses.look.weight: [1, 2.5]\nseed: [0, 3]\n",
            "weight-1_seed-0 weight-1_seed-3 weight-2.5_seed-0 weight-2.5_seed-3",
        ),
        # axes that end alike have different names
        (
            "losses.look.weight: [1]\nlosses.keep.weight: [2]\nimages.style.seed: [3]\n",
            "look.weight-1_keep.weight-2_seed-3",
        ),
        ("seed: [1, 2]\nimages.style.seed: [3]\n", "seed-1_style.seed-3 seed-2_style.seed-3"),
        ("weight: [{seed: 1}]\nlosses.look.weight: [3]\n", "1_look.weight-3"),
        # names that are alike get numbers
        (
            "images.style.seed: [1]\nsummary: [a/b, a b, A-B, c]\n",
            "seed-1_summary-a-b_1 seed-1_summary-a-b_2 seed-1_summary-A-B_3 seed-1_summary-c",
        ),
    ],
)
def test_names_of_runs(matrix: str, expected: str, cells: Any) -> None:
    assert names(cells(matrix)) == expected.split()


def test_what_is_excluded_is_left_out(cells: Any) -> None:
    found = cells("""\
        losses.look.weight: [1, 2]
        seed: [0, 3]
        exclude: [{losses.look.weight: 2, seed: 0}, {seed: 3, losses.look.weight: 1.0}]
        """)
    assert names(found) == ["weight-1_seed-0", "weight-2_seed-3"]


def test_a_long_name_is_cut(cells: Any) -> None:
    (name,) = names(cells(f"summary: [{'x' * 300}]\n"))
    assert len(name) <= 120


def test_each_run_has_its_values(cells: Any) -> None:
    found = cells("losses.look.weight: [1, 2.5]\nseed: [0, 3, 5]\n")
    assert values(found)[4] == {"losses.look.weight": 2.5, "seed": 3}
    assert [cell.origin.source.data["losses"]["look"]["weight"] for cell in found[::3]] == [1, 2.5]
    assert all("matrix" not in cell.origin.source.data for cell in found)


def test_a_group_sets_its_settings_together(cells: Any) -> None:
    found = cells("""\
        pair:
          - {images.content.seed: 1, images.style.height: 20}
          - {images.content.seed: 2}
        seed: [4, 5]
        """)
    assert names(found) == ["1-20_seed-4", "1-20_seed-5", "2_seed-4", "2_seed-5"]
    heights = [cell.origin.source.data["images"]["style"]["height"] for cell in found]
    assert heights == [20, 20, 16, 16]


def test_the_choices_of_a_group_may_have_names(cells: Any) -> None:
    found = cells("""\
        method:
          plain: {images.style.height: 20}
          two words: {losses.look: {use: gram, image: style, weight: 3}}
        seed: [4, 5]
        """)
    expected = ["plain_seed-4", "plain_seed-5", "two-words_seed-4", "two-words_seed-5"]
    assert names(found) == expected
    assert found[3].origin.source.data["losses"]["look"]["weight"] == 3
    assert values(found)[1] == {"images.style.height": 20, "seed": 5}


def test_values_of_any_kind_and_items_of_lists(cells: Any) -> None:
    found = cells("""\
        compute.deterministic: [true, false]
        losses.look.layers: [[image], {image: 2}]
        preprocess.0.longest_side: [20, 30]
        """)
    assert len(found) == 8
    assert names(found)[0] == "deterministic-true_layers-image_longest_side-20"
    assert found[-1].origin.source.data["preprocess"][0]["longest_side"] == 30
    assert len(set(names(found))) == 8


def test_runs_share_what_is_equal(cells: Any) -> None:
    one, two, three = (draft.recipe_or_raise() for draft in cells("losses.look.weight: [1, 2, 3]"))
    assert one.extractor is two.extractor is three.extractor
    assert one.losses["keep"] is two.losses["keep"]
    assert one.losses["look"] != two.losses["look"]
    assert one.installed is two.installed


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ("浮世絵.png ночь.png été.jpg", "浮世絵 ночь été"),
        ("e\u0301te\u0301.jpg हिन्दी.png ภาพวาด.png", "été हिन्दी ภาพวาด"),  # with marks
        ("👍🏽.png ٣.png a\u202eb.png", "x ٣ a-b"),  # no letters; a digit; one that turns the line
        ("\u2600\ufe0f.png \u3164.png a\u034f.png", "x_1 x_2 a"),  # what has no shape
        ("é.png e\u0301.png É.png", "é_1 é_2 É_3"),  # a file system may take them for one
        ("straße.png STRASSE.png ﬁn.png fin.png", "straße_1 STRASSE_2 ﬁn_3 fin_4"),
        ("aux.png Com1.tar.png auxiliary.png", "aux_1 Com1.tar_2 auxiliary"),  # of Windows
        ("SUMMARY.CSV.png 浮_1.png", "SUMMARY.CSV_1 浮_1"),
    ],
)
def test_names_of_files_in_any_script(cells: Any, files: str, expected: str) -> None:
    found = names(cells(f"images.content: [{', '.join(files.split())}]\n"))
    assert found == expected.split()


def test_a_long_name_of_long_letters_fits_a_file_system(cells: Any) -> None:
    one, two = names(cells(f"images.content: [{'浮' * 80}a.png, {'浮' * 80}b.png]\n"))
    assert max(len(one.encode()), len(two.encode())) <= 200
    assert (one[-3:], two[-3:]) == ("浮_1", "浮_2")


@pytest.mark.parametrize("name", ["../../up", "/etc", "a\\b", "..", ".", "~", "\u00e4", "con:"])
def test_no_value_leads_out_of_the_directory(cells: Any, name: str) -> None:
    (found,) = names(cells(f"summary: [{name!r}]\nseed: [1]\n"))
    assert not set(found) & set("/\\:~")
    assert not found.startswith(".")


def test_patterns_stand_for_files_sorted(write: Any, tmp_path: Path) -> None:
    for name in ("b.jpg", "a.jpg", "c.png", "sub/d.jpg"):
        write(b"", f"photos/{name}")
    write(b"", "photos/e.jpg/not_a_file.txt")
    recipe = """\
        name: grid
        images: {content: x.png}
        losses: {keep: {use: content}}
        matrix:
          images.content.path: PATTERN
        """
    write(b"", "photos/[1].jpg")
    literal = read(write(recipe.replace("PATTERN", '["photos/[1].jpg"]')))
    assert values(literal) == [{"images.content.path": "photos/[1].jpg"}]
    (tmp_path / "photos/[1].jpg").unlink()
    for link in ("photos/back", "photos/again"):  # a pattern that followed both would never end
        (tmp_path / link).symlink_to(".")
    deep = ["photos/a.jpg", "photos/b.jpg", "photos/sub/d.jpg"]
    for pattern in ("photos/**/*.jpg", "'**/*.jpg'", "./photos/**/**/*.jp?", "photos/**/**"):
        found = read(write(recipe.replace("PATTERN", pattern)))
        paths = [each["images.content.path"] for each in values(found)]
        assert [path for path in paths if path.endswith(".jpg")] == deep
    for pattern in ("photos/*.jpg", "[photos/*.jpg]", f"{tmp_path}/photos/*.jpg"):
        found = read(write(recipe.replace("PATTERN", pattern)))
        assert names(found) == ["a", "b"]
        paths = [each["images.content.path"] for each in values(found)]
        start = f"{tmp_path}/" if pattern.startswith("/") else ""
        assert paths == [f"{start}photos/a.jpg", f"{start}photos/b.jpg"]


MASKED = """\
from pathlib import Path
from typing import Literal
import nstflow

class Masked(nstflow.Preprocessor):
    use: Literal["masked"] = "masked"
    mask: Path | None = None
    title: str = ""

    def size(self, size):
        return size

    def apply(self, image, images):
        return image

@nstflow.hookimpl
def nstflow_stages():
    return [Masked]
"""


@pytest.mark.parametrize(
    ("setting", "expected"),
    [("mask", {"a": "masks/a.png", "b": "masks/b.png"}), ("title", {"title-x": "masks/?.png"})],
)
def test_patterns_are_of_settings_whose_type_is_a_path(
    setting: str, expected: dict[str, str], write: Any
) -> None:
    plugin = read_plugin(write(MASKED, "masked.py"))
    for name in "ab":
        write(b"", f"masks/{name}.png")
    axis = f"  preprocess.0.{setting}: ['masks/?.png']\n"
    path = write(BASE.replace("losses:", "preprocess: [{use: masked}]\nlosses:") + axis)
    found = read(path, ReadOptions(plugins=(plugin,)))
    paths = [each[f"preprocess.0.{setting}"] for each in values(found)]
    assert dict(zip(names(found), paths, strict=True)) == expected


def test_overrides_come_before_the_matrix(cells: Any) -> None:
    (found,) = cells("seed: [3]\n", "name=tiny", "losses.look.weight=5")
    assert found.origin.source.data["seed"] == 3
    assert found.origin.source.data["losses"]["look"]["weight"] == 5


NEITHER = "this is neither a setting nor a group of settings."
MAPPING = "this must be a mapping of settings, but is"
NO_FILE = "The pattern starts at '"


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ("seed: 3", ["1:9 seed: this must be a list of values, but is 3."]),
        ("seed: []", ["1:9 seed: this must be a list of values, but is an empty list."]),
        ("losse.a: [1]", [f"1:3 losse.a: {NEITHER} Did you mean 'losses'?"]),
        (
            "pair: {seed: 1}",
            ["1:16 pair.seed: this must be a mapping of settings, but is 1."],
        ),
        (
            "pair: [{seed: 1}, 5, {}]",
            [f"1:21 pair.1: {MAPPING} 5.", f"1:24 pair.2: {MAPPING} an empty mapping."],
        ),
        (
            "pair: [{sed: 1, name: x}]",
            [
                "1:11 pair.0.sed: a matrix can't set this. Did you mean 'seed'?",
                "1:19 pair.0.name: a matrix can't set this.",
            ],
        ),
        (
            "seed: [1]\nexclude: [{sed: 1}, {seed: 2}, 3]",
            [
                "2:14 exclude.0.sed: the matrix does not set this. Did you mean 'seed'?",
                "2:30 exclude.1.seed: no run of the matrix has this value.",
                f"2:34 exclude.2: {MAPPING} 3.",
            ],
        ),
        (
            "seed: [1]\nexclude: {seed: 1}",
            ["2:12 exclude: this must be a list of mappings, but is a mapping."],
        ),
        ("seed: [1]\nexclude: 0", ["2:12 exclude: this must be a list of mappings, but is 0."]),
        ("seed: [1]\nexclude: [{seed: 1}]", ["2:12 exclude: no run is left."]),
        ("seed: [1, 2, 1]", ["1:16 seed.2: this is already in the list."]),
        (
            "seed: [1]\npair: [{seed: 2, summary: x}]",
            ["2:3 pair: 'seed' sets this too. Put both into one group."],
        ),
        (
            "a: [{seed: 1}]\nb: [{seed: 2}]\nseed: [3]",
            [
                "2:3 b: 'a' sets this too. Put both into one group.",
                "3:3 seed: 'a' sets this too. Put both into one group.",
            ],
        ),
        (
            "images.style.seed: [1]\nimages.style: [{use: noise}]",
            ["2:3 images.style: 'images.style.seed' sets this too. Put both into one group."],
        ),
        (
            "images.style.path: '~nobody/*'",
            [f"1:22 images.style.path: no file matches '~nobody/*'. {NO_FILE}"],
        ),
        (
            "images.content.path: photos/*.jpg",
            [f"1:24 images.content.path: no file matches 'photos/*.jpg'. {NO_FILE}"],
        ),
        (
            "preprocess.7.method: [lanczos3]",
            ["1:25 preprocess.7.method.0: preprocess is a list: its items go from 0 to 0, and 1"],
        ),
        (
            f"seed: {list(range(40))}\nimages.style.seed: {list(range(40))}",
            [f"1:3 : there are 1,600 runs: at most {MOST_CELLS:,} are allowed."],
        ),
    ],
)
def test_what_is_wrong_with_a_matrix(problems: Any, matrix: str, expected: list[str]) -> None:
    found = problems(f"{matrix}\n")
    assert len(found) == len(expected)
    assert [text[: len(start)] for text, start in zip(found, expected, strict=True)] == expected


@pytest.mark.parametrize("matrix", ["{}", "5", "[1]", "{exclude: []}"])
def test_a_matrix_that_is_none(write: Any, matrix: str) -> None:
    path = write(BASE.replace("matrix:", f"matrix: {matrix}"))
    with pytest.raises(NstflowError, match="this must be a mapping with an axis"):
        read(path)


def test_a_recipe_without_a_matrix_is_one_run(write: Any) -> None:
    for text in (BASE.replace("matrix:", ""), BASE):  # null: as if it were not there
        (draft,) = read(write(text))
        assert draft.origin.cell is None


def test_one_run_is_not_read_from_a_matrix(write: Any) -> None:
    path = write(f"{BASE}  seed: [1]\n")
    with pytest.raises(NstflowError, match="this recipe has a matrix") as caught:
        load_recipe(path)
    assert caught.value.problems[0].where.endswith(f":{FIRST - 1}:1")


def test_mistakes_in_values_are_reported_at_the_matrix(write: Any) -> None:
    path = write(f"{BASE}  seed: [1, x, 2]\n  losses.look.wieght: [1]\n")
    found = read(path)
    wheres = {(p.where.rsplit(":", 2)[1], p.what) for draft in found for p in draft.problems}
    assert wheres == {(str(FIRST), "seed"), (str(FIRST + 1), "losses.look.wieght")}


def test_a_lock_has_no_matrix(write: Any) -> None:
    with pytest.raises(NstflowError, match="a lock is of a single run"):
        read(write(f"{BASE}  seed: [1]\nlock: {{}}\n"))


def test_keys_of_a_setting_lead_nowhere_else(write: Any) -> None:
    found = read(write(f"{BASE}  losses./../../up/x.weight: [1]\n  losses.a\\nb: [2]\n"))
    (name,) = names(found)
    assert not set(name) & set("/\\\n")
    assert not name.startswith(".")


def test_true_is_not_one(cells: Any) -> None:
    found = cells("seed: [1, 2]\nsummary: [x]\nexclude: [{seed: 1.0}]\n")
    assert values(found) == [{"seed": 2, "summary": "x"}]


def test_a_pattern_for_an_image_in_short(write: Any) -> None:
    write(b"", "photos/a.jpg")
    text = BASE.replace("{use: noise, height: 32, width: 24}", "x.png")
    found = read(write(text + "  images.content: photos/*.jpg\n"))
    assert names(found) == ["a"]
    assert values(found) == [{"images.content": "photos/a.jpg"}]


def test_an_axis_can_be_set_from_the_command_line(cells: Any) -> None:
    axis = "losses.look.weight: [1, 2]\nseed: [3, 4]\n"
    found = cells(axis, "matrix.losses.look.weight=[5]", "matrix.seed=[6, 7, 8]")
    assert values(found) == [{"losses.look.weight": 5, "seed": seed} for seed in (6, 7, 8)]
    found = cells("seed: [3, 4]\n", "matrix.losses.look.weight=[5, 6]")
    assert len(found) == 4
    found = cells("pair: [{seed: 1}, {seed: 2}]\n", "matrix.pair.1.seed=9")
    assert [each["seed"] for each in values(found)] == [1, 9]


def test_a_matrix_can_be_set_from_the_command_line(write: Any) -> None:
    path = write(BASE.removesuffix("matrix:\n"))
    found = read(path, ReadOptions(("matrix.losses.look.weight=[5, 6]",)))
    assert [each["losses.look.weight"] for each in values(found)] == [5, 6]


@pytest.mark.parametrize(
    ("option", "setting"),
    [
        ("losses.look.weight=9", "losses.look.weight"),
        ("images.style.seed=9", "images.style.seed"),
    ],
)
def test_what_the_matrix_sets_can_not_be_set_in_vain(cells: Any, option: str, setting: str) -> None:
    matrix = "losses.look.weight: [1, 2]\nimages.style.seed: [3, 4]\n"
    problem = refused(cells, matrix, option)
    assert problem.where == f"--set {setting}"
    assert problem.got == "the matrix sets this in every run."
    assert problem.hint == f"Say which values it takes instead: --set 'matrix.{setting}=[…]'."
    assert len(cells(matrix, "losses.look={use: gram, image: style, layers: [image]}")) == 4
