"""The contract tests can fail: a handful of the damages of `make mutate-spec`, and that each of them still fits the spec."""

import pytest

from scripts.mutate_spec import DAMAGES, Damage, run
from tests.support.spec import TEXT


def test_there_are_enough_damages_and_each_fits() -> None:
    """At least 30, each by a name of its own, and each changes the text."""
    assert len({damage.name for damage in DAMAGES}) == len(DAMAGES) >= 30
    assert not [damage.name for damage in DAMAGES if damage.apply(TEXT) == TEXT]


def test_a_damage_that_no_longer_fits_is_said() -> None:
    """The spec goes on; a damage that does nothing would count as one that got through."""
    with pytest.raises(ValueError, match="mend the damage"):
        Damage("gone", "paths:\n", "no such words", "").apply(TEXT)


@pytest.mark.slow
def test_damages_are_caught() -> None:
    """A type, a status and a required flag each fail a test. That a comment fails none, `make mutate-spec` itself wants."""
    chosen = {"a type", "a status is dropped", "a field of a request is not required"}
    outcomes = run([damage for damage in DAMAGES if damage.name in chosen])
    assert chosen == {outcome.damage.name for outcome in outcomes if outcome.caught_by}
