"""The contract tests can fail: they catch a few mutations of `make mutate-spec`, and each mutation still fits the spec."""

import pytest

from scripts.mutate_spec import MUTATIONS, Mutation, put, run
from tests.support.spec import SPEC


def test_there_are_enough_mutations_and_each_fits() -> None:
    """There are at least 30, each has a name of its own and changes the spec."""
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS) >= 30
    for mutation in MUTATIONS:
        mutation.apply(SPEC)


@pytest.mark.parametrize(
    "mutation",
    [
        put("a place that is gone", "DatasetMetadata properties no_such_field type", "string"),
        put("the same again", "SharedOption type", "string"),
    ],
)
def test_a_mutation_without_effect_is_an_error(mutation: Mutation) -> None:
    """It would count as one that the tests missed."""
    with pytest.raises(ValueError, match=mutation.name):
        mutation.apply(SPEC)


@pytest.mark.slow
def test_mutations_are_caught() -> None:
    """A type, a status and a required field each fail a test."""
    chosen = {"a type", "a status is dropped", "a field of a request is not required"}
    outcomes = run([mutation for mutation in MUTATIONS if mutation.name in chosen])
    assert {outcome.mutation.name for outcome in outcomes if outcome.caught_by} == chosen
