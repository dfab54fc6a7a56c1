"""Tabs and marks as YAML 1.2 reads them; each case is made like one of the YAML test suite.

The suite is at https://github.com/yaml/yaml-test-suite. A name in brackets is that of its case.
"""

import contextlib
import time
from typing import Any

import pytest

from nstflow.errors import NstflowError
from nstflow.recipe.source import MAX_BYTES
from nstflow.recipe.yaml import parse_yaml
from refusals import refused


def data_of(text: str) -> Any:
    return parse_yaml(text, "r.yaml")[0]


TABS = [
    ("name: q\t# a name\n", {"name": "q"}),  # the issue's
    ("seed:\t7\n", {"seed": 7}),
    ("seed\t: 7\n", {"seed": 7}),
    ('"seed"\t:\t7\t\n', {"seed": 7}),
    ("- a:\t b\n- - c\n  -\tc\n", [{"a": "b"}, ["c", "c"]]),  # 6BCT
    ("\t[\n\t]\n", []),  # 6CA3
    ("\t{}\n", {}),  # Q5MG
    ('{\n\t"a": {\n\t\t"b": [1,\t2]\n\t}\n}\n', {"a": {"b": [1, 2]}}),  # as JSON is written
    ("a:\n b: [  # c\n  x,\n  \ty   # c\n    ]\n", {"a": {"b": ["x", "y"]}}),  # 6HB6
    ("- [\n\t\n x\n ]\n", [["x"]]),  # Y79Y/02
    ("? a\n: -\tb\n  -  -\tc\n     - d\n", {"a": ["b", ["c", "d"]]}),  # A2M4
    ("a: b\t\nlist:\t\n - x\t\ny: z\t#X\n", {"a": "b", "list": ["x"], "y": "z"}),  # DC7X
    ("a:\n \tb\n", {"a": "b"}),  # DK95/00
    ('a: "b\n  \tc"\n', {"a": "b c"}),  # DK95/02
    (" \t\na: 1\n", {"a": 1}),  # DK95/03
    ("a: 1\n\t\nb: 2\n", {"a": 1, "b": 2}),  # DK95/04
    ("a: 1\n \t\nb: 2\n", {"a": 1, "b": 2}),  # DK95/05
    ("a:\n  b: 1\n\t# a comment\n  c: 2\n", {"a": {"b": 1, "c": 2}}),
    ("%YAML 1.2\n\t\n---\n", None),  # DK95/07
    ("first\n\n second \n\tthird\n", "first\nsecond third"),  # HS5T
    ('a: "b \t"\nc:\t|\n  d() {\n  \te;\n  }\n', {"a": "b \t", "c": "d() {\n\te;\n}\n"}),  # J3BT
    ("a: |\t\n  b\t\n  \tc\n", {"a": "b\t\n\tc\n"}),
    ("a: >-\t# c\n  b\n  c\n", {"a": "b c"}),
    ("a: |2+ \t\n   b\n\nc: |+1\t\n  d\n", {"a": " b\n\n", "c": " d\n"}),
    ("---\ta\n", "a"),  # K54U
    ("a:\n  b\n  c\n  \t\n  d\n", {"a": "b c\nd"}),  # NB6Z
    ("a:\n - b\n  \tb\n", {"a": ["b b"]}),  # UV7Q
    ("-\t-1\n", [-1]),  # Y79Y/10
    ("a: &x\t1\nb: *x\t\n", {"a": 1, "b": 1}),
    ("- &x\ta: 1\n", [{"a": 1}]),
    ("a\tb: c\td # e\n", {"a\tb": "c\td"}),  # inside of a text, it is text
    ("a: 'b\tc'\nd: [e\tf]\n", {"a": "b\tc", "d": ["e\tf"]}),
    ("a: b#c\td#e\t#f\n", {"a": "b#c\td#e"}),
    ("a: b\t\n...\n", {"a": "b"}),
    ("\ta\r\n\tb\r\n", "a b"),
]

MARKS = [
    ("{a: :b}", {"a": ":b"}),  # 58MP
    ('{"a"::b}', {"a": ":b"}),  # 5T43
    ('{"a":1, "b" :2, ? c :3}', {"a": 1, "b": 2, "c :3": None}),
    ("{ ?a: b,\nc: 42\n}\n", {"?a": "b", "c": 42}),  # 652Z
    ("- ::a\n- [ ::a, -1, b#c, http://d#e ]\n", ["::a", ["::a", -1, "b#c", "http://d#e"]]),  # DBG4
    ("[:a]\n", [":a"]),  # HM87/00
    ("[?a]\n", ["?a"]),  # HM87/01
    ("- a?b\n- [a?b, c ? d]\n- {e?: f? }\n", ["a?b", ["a?b", "c ? d"], {"e?": "f?"}]),  # JR7V
    ("a: &x A\nb: *x\nc: &x C\nd: *x\n", {"a": "A", "b": "A", "c": "C", "d": "C"}),  # 3GZX
    ("&a: b: &a c\nd:\n  *a:\n", {"b": "c", "d": "b"}),  # 2SXE
    ("- &😁 a\n- *😁\n", ["a", "a"]),  # 8XYN
    ('a: &:@*!$"<b>: c\nd: *:@*!$"<b>:\n', {"a": "c", "d": "c"}),  # W5VH
    ("a: &b:c d\n", {"a": "d"}),  # Y2GN
    ("[&a b, *a, c]", ["b", "b", "c"]),
]


@pytest.mark.parametrize(("text", "data"), TABS + MARKS)
def test_what_is_read(text: str, data: Any) -> None:
    assert data_of(text) == data


NOT_READ = {
    "{a\n: b}\n": "4MUZ: a key and its colon are on two lines",
    '{ "a" # c\n  :b }\n': "5MUD, K3WX: as above",
    "- { a\n  b: c}\n": "NJ66, 9SA2, VJP3/01: a key is on two lines",
    "--- >\na\n# b\nc\n": "DK3J, FP8R: a text without indentation, which is no recipe",
}
"""Valid, and refused: this would need another scanner, and nobody writes it."""


@pytest.mark.parametrize("text", NOT_READ)
def test_what_is_valid_and_not_read(text: str) -> None:
    assert "not valid YAML" in refused(parse_yaml, text, "r.yaml").got


def test_spaces_after_the_last_line_of_a_text() -> None:
    assert data_of("a: |\n  b\n   ") == {"a": "b\n "}  # L24T/01: a line break is missing at the end


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("name: x\n\timages: 3\n", "2:1"),
        ("a:\n  b: 1\n  \tc: 2\n", "3:3"),  # DK95/06
        ("a:\n  b: 1\n\tc: 2\n", "3:1"),
        ("a:\n  b:\n\tc\n", "3:1"),
        ("- [\n\tx,\n x\n ]\n", "2:1"),  # Y79Y/03
        ("a: [b,\n\tc]\n", "2:1"),
        ("a: [b\n\tc]\n", "2:1"),
        ("- \t-\n", "1:3"),  # Y79Y/05
        ("-\t- a\n", "1:2"),  # Y79Y/04
        ("- a: 1\n-\tb: 1\n  c: 2\n", "2:2"),
        ("-\t&x b: 1\n", "1:2"),
        ("?\t-\n", "1:2"),  # Y79Y/06
        ("? -\n:\t-\n", "2:2"),  # Y79Y/07
        ("?\tkey:\n", "1:2"),  # Y79Y/08
        ("a: |\n  b\n\tc\n", "3:1"),
    ],
)
def test_a_tab_that_indents_is_refused_where_it_is(text: str, place: str) -> None:
    problem = refused(parse_yaml, text, "r.yaml")
    assert (problem.where, problem.what) == (f"r.yaml:{place}", "")
    assert problem.got == "this is not valid YAML: a tab indents this line."
    assert problem.hint == "YAML indents with spaces, never with tabs."


@pytest.mark.parametrize(
    "text",
    [
        "a:\tb: c",
        "name: x\n \timages: 3\n",
        "a: 'b'\t- c",
        "[-, -]",
        "a: & b",
        "a: |#\t\n b",
        "a: |1-1\t\n b",
    ],
)
def test_other_mistakes_are_refused_too(text: str) -> None:
    assert "not valid YAML" in refused(parse_yaml, text, "r.yaml").got


def test_a_tab_is_one_column() -> None:
    text = "a:\tb\nlist: [x,\ty]\t# c\n\t\nlong:\tone\n \ttwo\nd:\te\n"
    data, positions = parse_yaml(text, "r.yaml")
    assert data == {"a": "b", "list": ["x", "y"], "long": "one two", "d": "e"}
    places = {
        keys: f"{at.line}:{at.column} {to.line}:{to.column}" for keys, (at, to) in positions.items()
    }
    assert places["a",] == "1:1 1:4"
    assert places["list", 1] == "2:11 2:11"
    assert places["long",] == "4:1 4:7"
    assert places["d",] == "6:1 6:4"


@pytest.mark.parametrize("part", ["\t", "a\t\n", "- |\t\n", "? ", "&a ", "[:", "a:\n\t"])
def test_any_text_is_read_soon(part: str) -> None:
    start = time.process_time()
    with contextlib.suppress(NstflowError):
        data_of(part * (MAX_BYTES // 4 // len(part)))
    assert time.process_time() - start < 4
