"""Machines by fingerprint or by what they are."""

import pytest

from paretodet.errors import InputError
from paretodet.records.machines import Machine, choose, describe, short_names

MACHINES = (
    Machine("f6c8c4a4f801", "AMD EPYC, 2 cores, 23.5 GiB", 60),
    Machine("f6aa00000000", "AMD EPYC, 8 cores, 64 GiB", 1),
    Machine("a97cc59d5c9c", "Example GPU, Intel(R) Xeon(R), 2 cores", 45),
    Machine("", "an unnamed machine", 2),
)


@pytest.mark.parametrize(
    ("wanted", "place"), [("f6c", 0), ("F6AA", 1), (" xeon", 2), ("example gpu", 2), ("8 CORES", 1), ("unnamed", 3)]
)
def test_a_machine_is_chosen_by_its_fingerprint_or_name(wanted: str, place: int) -> None:
    assert choose(MACHINES, wanted) == MACHINES[place]


@pytest.mark.parametrize(
    ("wanted", "listed"), [("pi", (0, 1, 2, 3)), ("", (0, 1, 2, 3)), ("f6", (0, 1)), ("2 cores", (0, 2))]
)
def test_otherwise_the_machines_are_listed(wanted: str, listed: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"^machine: .*\[machine-unknown\]$") as caught:
        choose(MACHINES, wanted)
    assert [each.text in str(caught.value) for each in MACHINES] == [place in listed for place in range(4)]


def test_short_names_distinguish_machines() -> None:
    assert short_names(MACHINES) == {
        "f6c8c4a4f801": "AMD EPYC f6c8",
        "f6aa00000000": "AMD EPYC f6aa",
        "a97cc59d5c9c": "Example GPU",
        "": "an unnamed machine",
    }


def test_a_machine_is_described_by_what_is_known() -> None:
    facts = {"cpu": "C", "cores_logical": 8, "cores_allowed": 2, "memory_gib": 7.7, "system": "Linux", "release": "6.1"}
    assert describe(facts) == "C, 2 of 8 cores, 7.7 GiB, Linux 6.1"
    assert describe({"gpus": ["G"], "cpu": "C", "cores_logical": 4, "cores_allowed": 4}) == "G, C, 4 cores"
    assert describe({}) == "an unnamed machine"
    assert describe({"cpu": "C", "cores_logical": 4, "cpu_quota": 1.5}) == "C, 4 cores, CPU quota 1.5 cores"


def test_a_label_is_the_name_of_a_machine() -> None:
    board = {"label": "board-1", "cpu": "Cortex-A76", "cores_logical": 4}
    machines = [Machine(f"{place}abc", describe(board | {"label": f"board-{place}"}), 1) for place in (1, 10)]
    assert machines[0].name == "board-1, Cortex-A76, 4 cores"
    assert [choose(machines, wanted) for wanted in ("Board-1", "board-10")] == machines
    assert short_names(machines) == {"1abc": "board-1", "10abc": "board-10"}
