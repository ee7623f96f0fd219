"""The contract tests can fail: a handful of the damages of `make mutate-spec`, and that each of them still fits the spec."""

import pytest

from scripts.mutate_spec import DAMAGES, NONE, Damage, run
from tests.contract.test_spec import TEXT


def test_there_are_enough_damages_and_each_fits() -> None:
    """At least 30, each by a name of its own, and each changes the text."""
    assert len({damage.name for damage in DAMAGES}) == len(DAMAGES) >= 30
    assert not [damage.name for damage in DAMAGES if damage.apply(TEXT) == TEXT]


def test_a_damage_that_no_longer_fits_is_said() -> None:
    """The spec goes on; a damage that does nothing would count as one that got through."""
    with pytest.raises(ValueError, match="mend the damage"):
        Damage("gone", "paths:\n", "no such words", "").apply(TEXT)


def test_damages_are_caught_and_a_comment_is_not() -> None:
    """A type, a status and a required flag each fail a test; a comment fails none, with its client and its mock."""
    chosen = {"a type", "a status is dropped", "a field of a request is not required"}
    damages = [damage for damage in DAMAGES if damage.name in chosen]
    control, *others = run([NONE, *damages])
    assert not control.caught_by
    assert chosen == {outcome.damage.name for outcome in others if outcome.caught_by}
