"""State machines: what a map allows, and what a refusal says."""

from types import SimpleNamespace

import pytest
from django.db import models

from fintech_core.exceptions import InvalidTransition
from fintech_core.values.states import StateMap, may_transition, require_transition, transition, wrong_state


class Light(models.TextChoices):
    RED = "RED"
    GREEN = "GREEN"


LIGHTS = StateMap(
    {Light.RED: frozenset({Light.GREEN}), Light.GREEN: frozenset()},
    subject="The light",
    shown_as="light_colour",
    field="colour",
)


def test_a_state_changes_as_the_map_says_and_the_one_before_is_returned() -> None:
    row = SimpleNamespace(colour="RED")

    assert may_transition(row, Light.GREEN, LIGHTS)
    assert transition(row, Light.GREEN, LIGHTS) is Light.RED
    assert row.colour == Light.GREEN


@pytest.mark.parametrize("to", list(Light))
def test_a_change_against_the_map_is_refused_with_the_state_and_changes_nothing(to: Light) -> None:
    row = SimpleNamespace(colour="GREEN")

    assert not may_transition(row, to, LIGHTS)
    for change in (transition, require_transition):
        with pytest.raises(InvalidTransition) as refused:
            change(row, to, LIGHTS)
        assert (refused.value.detail, refused.value.extensions) == ("The light is GREEN.", {"light_colour": "GREEN"})
    assert row.colour == "GREEN"


def test_a_refusal_may_say_why_and_may_hide_the_state() -> None:
    silent = StateMap(LIGHTS, subject="The light", field="colour")

    refusal = wrong_state(SimpleNamespace(colour="RED"), silent, "It is night.")

    assert (refusal.detail, refusal.extensions) == ("It is night.", {})
