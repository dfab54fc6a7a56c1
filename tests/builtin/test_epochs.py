"""The schedule `epochs`."""

import pytest
from pydantic import ValidationError

from nstflow import Phase
from nstflow.builtin.schedules.epochs import Epochs


def test_one_phase_at_full_size() -> None:
    assert Epochs(epochs=3, steps_per_epoch=7).phases((10, 20)) == [Phase(21, 7, 1.0, None)]
    (phase,) = Epochs().phases((10, 20))
    assert (phase.steps, phase.epochs, phase.stop) == (1000, 10, None)


@pytest.mark.parametrize("settings", [{"epochs": 0}, {"steps_per_epoch": 0}, {"epochs": 1.5}])
def test_settings_have_bounds(settings: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(settings))):
        Epochs(**settings)
