"""What plugins offer: recipes, and stages as slot → name → stage class."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from nstflow.errors import suggest
from nstflow.stages.slots import ALL_SLOTS, slot_of
from nstflow.stages.stage import Stage

_HASH = 64  # digits of sha256


@dataclass(frozen=True)
class Offer:
    """A stage, and the plugin that offers it.

    Attributes:
        plugin: The name that `--block-plugin` takes.
        package: The distribution and its version, such as `nstflow-laplacian 0.1.0`.
    """

    stage: type[Stage]
    plugin: str
    package: str

    @property
    def title(self) -> str:
        """The package and its version, for people."""
        return title_of(self.package)

    @property
    def name(self) -> str:
        """The value of `use:` in a recipe."""
        return name_of(self.stage)


@dataclass(frozen=True)
class RecipeOffer:
    """A recipe file, and the plugin that offers it.

    Attributes:
        plugin: The name that `--block-plugin` takes.
        package: The distribution and its version.
    """

    path: Path
    plugin: str
    package: str

    @property
    def title(self) -> str:
        """The package and its version, for people."""
        return title_of(self.package)

    @property
    def name(self) -> str:
        """What commands take in place of its path."""
        return self.path.stem

    @property
    def kind(self) -> str:
        """`layers` for a file in a folder of this name, which only `--with` takes; or `recipes`."""
        return "layers" if self.path.parent.name == "layers" else "recipes"


def title_of(package: str) -> str:
    """Return a package and its version for people; a hash as a version is shortened."""
    name, _, version = package.partition(" ")
    return f"{name} {version[:12]}" if len(version) == _HASH else package


def name_of(stage: type[Stage]) -> str:
    """Return the name of a stage class: the default of its field `use`."""
    return str(stage.model_fields["use"].default)


class Catalog:
    """All stages that are installed.

    Args:
        offers: The stages. If two have one name in one slot, neither can be used.
        not_loaded: Package → why its plugin is not loaded, for hints about missing names.
    """

    def __init__(
        self, offers: Iterable[Offer], not_loaded: Mapping[str, str] | None = None
    ) -> None:
        self._not_loaded = dict(not_loaded or {})
        self._slots: dict[str, dict[str, list[Offer]]] = {slot: {} for slot in ALL_SLOTS}
        for offer in offers:
            slot = slot_of(offer.stage)
            if slot is not None:
                self._slots[slot.name].setdefault(offer.name, []).append(offer)

    def __getitem__(self, slot: str) -> Mapping[str, Offer]:
        """Return name → offer of one slot, collisions left out."""
        return {name: offers[0] for name, offers in self._slots[slot].items() if len(offers) == 1}

    def collisions(self) -> Iterator[tuple[str, str, list[Offer]]]:
        """Yield slot, name and offers, for each name that two plugins have."""
        for slot, names in self._slots.items():
            for name, offers in names.items():
                if len(offers) > 1:
                    yield slot, name, offers

    def explain_missing(self, slot: str, name: str) -> tuple[str, str]:
        """Return why a name can't be used, and what to do: `got` and `hint` of a `Problem`."""
        offers = self._slots[slot].get(name, [])
        if offers:
            both = " and ".join(offer.title for offer in offers)
            plugins = [o.plugin for o in offers if o.plugin != "nstflow"]  # which can't be left out
            options = " or ".join(f"--block-plugin {plugin}" for plugin in plugins)
            return f"'{name}' is offered by {both}.", f"Leave one out with {options}."
        installed = ", ".join(
            name if offer.plugin == "nstflow" else f"{name} ({offer.package.split()[0]})"
            for name, offer in self[slot].items()
        )
        hint = f"{suggest(name, self[slot])} Installed: {installed or 'none'}.".strip()
        for package, error in self._not_loaded.items():
            hint += f" Not loaded: {package} ({error})."
        return f"no {ALL_SLOTS[slot].noun} is called '{name}'.", hint

    def offer_of(self, stage: Stage) -> Offer | None:
        """Return the offer of a stage's class, or None if no plugin offers it."""
        offers = (o for names in self._slots.values() for same in names.values() for o in same)
        return next((offer for offer in offers if offer.stage is type(stage)), None)
