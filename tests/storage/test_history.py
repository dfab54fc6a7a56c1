"""The history of a run: as it was recorded, to the last digit, or no history at all."""

import csv
import io
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nstflow.errors import STOPPED, NstflowError
from nstflow.plan import Plan, make_plan
from nstflow.recipe.reader import load_recipe
from nstflow.runner.optimization import columns_of, not_finite, record
from nstflow.storage.history import from_csv, to_csv


@pytest.fixture
def plan() -> Plan:
    return make_plan(load_recipe(Path(__file__).parents[1] / "tiny.yaml"))


def empty(plan: Plan) -> dict[str, list[float]]:
    return {column: [] for column in columns_of(plan)}


# --- recording ---


def test_columns_are_in_the_recipes_order(plan: Plan) -> None:
    assert columns_of(plan) == ("step", "total", "keep", "look", "seconds")


def test_the_steps_of_a_dispatch_share_its_time(plan: Plan) -> None:
    history = empty(plan)
    record(history, plan, [[1.0, 0.5], [0.25, 2.0]], 3.0, 2)
    record(history, plan, [[8.0, 0.0]], 0.5, 3)
    assert history == {
        "step": [1, 2, 3],
        "total": [1.5, 2.25, 8.0],
        "keep": [1.0, 0.25, 8.0],
        "look": [0.5, 2.0, 0.0],
        "seconds": [1.5, 3.0, 3.5],
    }
    assert all(type(step) is int for step in history["step"])


def test_recording_goes_on_from_a_history_that_was_read(plan: Plan) -> None:
    history = empty(plan)
    record(history, plan, [[1.0, 0.5]], 0.1, 1)
    again = from_csv(to_csv(history))
    for target in (history, again):
        record(target, plan, [[2.0, 0.5]], 0.2, 2)
    assert again == history


def test_no_rows_are_no_steps(plan: Plan) -> None:
    history = empty(plan)
    record(history, plan, [], 1.0, 0)
    assert history == empty(plan)


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_is_named(plan: Plan, loss: float) -> None:
    history = empty(plan)
    with pytest.raises(NstflowError) as caught:
        record(history, plan, [[1.0, 1.0], [2.0, loss], [loss, 3.0]], 1.0, 13)
    (problem,) = caught.value.problems
    assert problem.where.endswith("tiny.yaml:9:9")
    assert problem.what == "losses.look"
    assert problem.got == (
        f"the loss ({loss}) is not finite at step 12: the numbers have run out of range."
    )
    assert "optimizer.learning_rate" in problem.hint
    assert caught.value.closing == STOPPED
    assert history["step"] == [11]  # the last valid ones, in every column
    assert {len(values) for values in history.values()} == {1}


def test_not_finite_names_its_place(plan: Plan) -> None:
    (problem,) = not_finite(plan, ("losses", "keep"), "the gradient", 7).problems
    assert (problem.where.rpartition("/")[2], problem.what) == ("tiny.yaml:8:9", "losses.keep")
    assert "the gradient is not finite at step 7" in problem.got


# --- there and back ---

WHOLE = {
    "step": [1, 2, 3],
    "total": [0.1, 1e-300, 5e-324],
    "a": [1 / 3, 1e22, -0.0],
    "seconds": [0.5, 1.7976931348623157e308, 3.0],
}


def test_the_text_is_the_shortest_that_comes_back() -> None:
    assert to_csv(WHOLE) == (
        "step,total,a,seconds\n"
        "1,0.1,0.3333333333333333,0.5\n"
        "2,1e-300,1e+22,1.7976931348623157e+308\n"
        "3,5e-324,-0.0,3.0\n"
    )


def test_other_programs_read_it() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(WHOLE))))
    assert [float(row["total"]) for row in rows] == WHOLE["total"]


def bits(history: dict[str, list[float]]) -> dict[str, list[tuple[type, str]]]:
    """Return what tells -0.0 from 0.0 and 1 from 1.0."""
    return {name: [(type(value), repr(value)) for value in history[name]] for name in history}


def test_every_number_comes_back_to_the_bit() -> None:
    assert bits(from_csv(to_csv(WHOLE))) == bits(WHOLE)
    assert list(from_csv(to_csv(WHOLE))) == list(WHOLE)


def test_a_history_without_steps_comes_back() -> None:
    assert to_csv({"step": [], "total": []}) == "step,total\n"
    assert from_csv("step,total\n") == {"step": [], "total": []}


@settings(deadline=None)
@given(
    st.lists(st.floats(allow_nan=False), min_size=1, max_size=5),
    st.from_regex(r"[a-z][a-z0-9_]*", fullmatch=True).filter(lambda name: name != "step"),
)
def test_any_floats_and_any_name_come_back(values: list[float], name: str) -> None:
    history = {"step": list(range(1, len(values) + 1)), name: values}
    assert bits(from_csv(to_csv(history))) == bits(history)


def test_columns_of_two_lengths_are_not_written() -> None:
    with pytest.raises(ValueError, match="shorter"):
        to_csv({"step": [1, 2], "total": [1.0]})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "total,seconds\n1.0,2.0\n",
        "step,step\n1,2\n",
        "step,total\n1\n",
        "step,total\n1,2,3\n",
        "step,total\n1,2.0\n2\n",
        "step,total\n\n",
        "step,total\n1,\n",
        "step,total\n1,one\n",
        "step,total\n1.5,2.0\n",
        "step,total\ninf,2.0\n",
        "step,total\nnan,2.0\n",
        f"step,total\n{'9' * 5000},2.0\n",
        'step,total\n1,"2.0\n',
        'step,total\n1,"2"0\n',
        f"step,total\n1,{'0' * 200_000}\n",
        "\x89PNG\r\n\x1a\n" + "\0" * 20,
        "step,total\r1,2.0\r\0",
    ],
    ids=lambda text: repr(text[:30]),
)
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of any text
        from_csv(text)


@settings(deadline=None)
@given(st.text())
def test_any_text_is_a_history_or_refused(text: str) -> None:
    try:
        history = from_csv(text)
    except ValueError:
        return
    assert all(isinstance(step, int) for step in history["step"])
    assert len({len(values) for values in history.values()}) == 1
