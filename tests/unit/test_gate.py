"""The gate of a client: it closes for a time after a refusal, and then lets fewer requests run at a time."""

import os

import attrs
import pytest

from kayrros_ext import Retries
from kayrros_ext._http.client import Gate, _Call


@attrs.define
class Clock:
    now_s: float = 0

    def __call__(self) -> float:
        return self.now_s


class Call(_Call):
    """A call without a request."""

    def __init__(self) -> None:
        pass


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gate(clock: Clock) -> Gate:
    """A gate whose jitter is the largest: a second after the first refusal."""
    return Gate(Retries(clock=clock, jitter=lambda _, most: most))


def entered(gate: Gate, count: int) -> list[Call]:
    """Return the calls that get a slot when `count` of them, which have waited, ask for one."""
    calls = [waited(gate) for _ in range(count)]
    return [call for call in calls if gate.enter(call) == 0]


def waited(gate: Gate) -> Call:
    """Return a call that has waited for the last closing."""
    call = Call()
    call.closings = gate.closings
    return call


def test_it_limits_nothing_before_a_refusal(gate: Gate) -> None:
    """A thousand calls get a slot each."""
    assert len(entered(gate, 1000)) == 1000


def test_a_refusal_halves_the_requests_in_flight(gate: Gate) -> None:
    """From 16 to 8, 4, 2 and 1, and never to none."""
    calls = entered(gate, 16)
    for most in (8, 4, 2, 1, 1):
        gate.close(calls[0], 0)
        gate.in_flight.clear()
        calls = entered(gate, 16)
        assert len(calls) == most


def test_each_round_of_successes_allows_one_more(gate: Gate) -> None:
    """From 1 to 2 with the next success, to 3 after two or three more."""
    gate.close(Call(), 0)
    limits = []
    for _ in range(6):
        gate.leave(waited(gate), is_success=True)
        gate.in_flight.clear()
        limits.append(len(entered(gate, 16)))
    assert limits == [2, 2, 2, 3, 3, 3]


def test_refusals_of_one_burst_count_once(gate: Gate, clock: Clock) -> None:
    """Requests that were in flight together are refused together: the number halves once, and the latest time counts."""
    calls = entered(gate, 16)
    for call, seconds in zip(calls, (5, 4, 5, 9), strict=False):
        gate.close(call, seconds)
    assert [call.closings for call in calls[:5]] == [1, 0, 0, 2, 0]
    assert gate.refusals == 1
    assert gate.enter(calls[0]) == 9 + 1  # those who wait for the first time wait for the second, too
    clock.now_s = 9
    gate.in_flight.clear()
    assert len(entered(gate, 16)) == 8


def test_a_success_from_before_a_refusal_opens_nothing(gate: Gate) -> None:
    """Its answer was on the way when the other request was refused. A later success opens the gate."""
    gate.close(Call(), 5)
    gate.leave(Call(), is_success=True)
    assert gate.enter(Call()) == 6
    gate.leave(waited(gate), is_success=True)
    assert (gate.enter(Call()), gate.refusals) == (0, 0)


def test_those_who_wait_wake_up_at_different_times(clock: Clock) -> None:
    """The jitter is random, and grows with the refusals in a row."""
    gate = Gate(Retries(clock=clock))
    for spread in (1, 2, 4):
        gate.close(waited(gate), 5)
        waits = [gate.enter(Call()) - 5 for _ in range(100)]
        assert 0 <= min(waits) < spread / 4
        assert spread * 3 / 4 < max(waits) <= spread


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_has_slots_of_its_own(gate: Gate) -> None:
    """The calls of its parent's threads never end there."""
    entered(gate, 2)
    gate.close(Call(), 0)  # one at a time
    if not (child := os.fork()):
        os._exit(len(entered(gate, 2)))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert entered(gate, 2) == []
