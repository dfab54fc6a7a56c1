"""What recipes can name."""

from typing import Any, Literal

import pytest

from nstflow.errors import suggest
from nstflow.plugins.catalog import Catalog, Offer, name_of
from nstflow.stages.loss import LossTerm, StatisticTerm
from nstflow.stages.slots import SLOTS, slot_of
from nstflow.stages.stage import Stage


class Grey(LossTerm):
    """A loss."""

    use: Literal["grey"] = "grey"

    def score(self, features: Any, target: Any) -> Any: ...


class Gray(Grey):
    """Another of the same name."""


class Green(StatisticTerm):
    """A loss of another kind."""

    use: Literal["green"] = "green"

    def summarize(self, points: Any, weights: Any) -> Any: ...
    def distance(self, summary: Any, target: Any) -> Any: ...


MINE = Offer(Grey, "nstflow", "nstflow 1.0")
THEIRS = Offer(Gray, "other", "nstflow-other 2.0")
GREEN = Offer(Green, "forest", "nstflow-forest 0.1")


def test_offers_are_found_by_slot_and_name() -> None:
    catalog = Catalog([MINE, GREEN])
    assert dict(catalog["losses"]) == {"grey": MINE, "green": GREEN}
    assert {slot: list(catalog[slot]) for slot in SLOTS if slot != "losses"} == {
        slot: [] for slot in SLOTS if slot != "losses"
    }
    assert list(catalog.collisions()) == []


@pytest.mark.parametrize(
    ("catalog", "name", "expected"),
    [
        (
            Catalog([MINE, GREEN]),
            "grex",
            "Did you mean 'grey'? Installed: grey, green (nstflow-forest).",
        ),
        (
            Catalog([MINE], {"x 1.0": "import failed", "y 2.0": "blocked"}),
            "zzz",
            "Installed: grey. Not loaded: x 1.0 (import failed). Not loaded: y 2.0 (blocked).",
        ),
        (Catalog([]), "grey", "Installed: none."),
    ],
)
def test_a_missing_name_is_explained(catalog: Catalog, name: str, expected: str) -> None:
    assert catalog.explain_missing("losses", name) == (f"no loss is called '{name}'.", expected)


def test_offer_of_a_stage() -> None:
    catalog = Catalog([MINE, THEIRS])
    assert catalog.offer_of(Grey(layers=("image",))) == MINE
    assert catalog.offer_of(Gray(layers=("image",))) == THEIRS
    assert catalog.offer_of(Green(image="x")) is None


def test_names_and_slots_of_classes() -> None:
    assert [name_of(Grey), name_of(Green)] == ["grey", "green"]
    assert slot_of(Green) == SLOTS["losses"]
    assert slot_of(Stage) is None
    for slot in SLOTS.values():
        assert slot_of(slot.base) is slot


@pytest.mark.parametrize(
    ("got", "hint"),
    [
        ("gramm", "Did you mean 'gram'?"),
        ("contnet", "Did you mean 'content'?"),
        ("gram", "Did you mean 'gram'?"),
        ("zzz", ""),
        ("", ""),
    ],
)
def test_suggest(got: str, hint: str) -> None:
    assert suggest(got, ["gram", "content"]) == hint
