"""Commands on a store with the rows of two machines."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from paretodet.records.measurement import Measurement
from paretodet.records.row_id import with_id
from paretodet.records.store import Store
from paretodet.sweep.machines import machine_to_name

Run = Callable[..., tuple[int, str, str]]
FACTS = {"a1b2c3": {"cpu": "Example EPYC", "cores_logical": 8}, "d4e5f6": {"cpu": "Example Cortex", "cores_logical": 4}}


def measured(name: str, machine: str, latency: float, ap: float, **fields: Any) -> Measurement:
    ends = {"latency_ms_p50_low": 0.95 * latency, "latency_ms_p50_high": 1.05 * latency, "processes": 5}
    values = {"ap_split": "val2017", "artefact": name, "machine": machine, "machine_facts": FACTS[machine]}
    more = {"job": {"name": name}, "at": "2030-01-01", **ends, **values, **fields}
    return with_id(Measurement(id="", run="r", name=name, latency_ms_p50=latency, ap=ap, **more))


ROWS = (
    measured("small", "a1b2c3", 10, 20), measured("small", "d4e5f6", 20, 20),
    measured("large", "a1b2c3", 30, 40), measured("large", "d4e5f6", 90, 40),
    measured("other", "a1b2c3", 31, 41, artefact="x"), measured("other", "d4e5f6", 95, 41, artefact="y"),
    measured("new", "d4e5f6", 15, 30),
)  # fmt: skip


@pytest.fixture(autouse=True)
def store(run: Run) -> None:
    store = Store("paretodet.db")
    for row in ROWS:
        store.append(row)


def test_a_frontier_is_of_one_machine(run: Run) -> None:
    def members(*options: str) -> list[str]:
        return [row["name"] for row in json.loads(run("frontier", "--json", *options)[1])["members"]]

    assert members("--machine", "a1") == ["small", "large", "other"]
    assert members("--machine", "cortex") == ["new", "large", "other"]
    assert "--machine takes those of one" in run("frontier")[2]
    assert "conditions" not in run("frontier", "--machine", "a1")[2]


def test_a_recommendation_is_of_one_machine(run: Run) -> None:
    for machine, name in (("epyc", "other"), ("cortex", "new")):
        code, out, _ = run("recommend", "--max-ms", "50", "--machine", machine, "--json")
        assert code == 0 and json.loads(out)["choice"]["name"] == name


@pytest.mark.parametrize("command", ["frontier", "recommend", "report"])
def test_the_machines_are_listed_if_none_matches(run: Run, command: str) -> None:
    code, out, err = run(command, "--machine", "pi")
    assert (code, out) == (2, "") and "a1b2c3 (Example EPYC, 8 cores), 3 rows" in err and "d4e5f6" in err
    assert err.endswith("[machine-unknown]\n")


def test_the_choice_for_all_machines(run: Run) -> None:
    code, out, err = run("recommend", "--all-machines", "--max-ms", "50")
    assert code == 0 and out.startswith("small (AP 20) is the only detector (of 3) that fits on all 2 machines: ")
    assert "Example Cortex" in out and "On Example EPYC: not measured: new." in err
    assert "run: paretodet measure new --patience 10m, then bring its rows here with `paretodet store copy`" in err
    code, out, _ = run("recommend", "--all-machines", "--max-ms", "50", "--json")
    answer = json.loads(out)
    assert answer["choice"] == answer["safe"] == "small" and answer["machines"]["a1b2c3"] == "Example EPYC, 8 cores"
    assert [each["keeps"] for each in answer["candidates"]] == [True, False, False]
    assert run("recommend", "--all-machines", "--max-ms", "5")[0] == 1
    assert run("recommend", "--all-machines", "--machine", "a1")[2].endswith("[option-conflict]\n")


def test_one_artifact_on_two_machines(run: Run) -> None:
    code, out, _ = run("diff", ROWS[2].id, "--machine", "d4")
    assert code == 0 and "large on Example Cortex takes 3.000 (95 % interval 2." in out
    assert "as long as large on Example EPYC" in out and "different artifacts" not in out
    code, same, _ = run("diff", ROWS[2].id, ROWS[3].id, "--json")
    assert code == 0 and json.loads(same)["sentence"] in out
    assert "The two are different artifacts" in run("diff", ROWS[4].id, ROWS[5].id)[1]


def test_of_several_rows_of_an_artifact_the_most_similar_is_compared(run: Run) -> None:
    Store("paretodet.db").append(measured("large", "d4e5f6", 300, 40, batch=8, at="2031-01-01"))
    found = json.loads(run("diff", ROWS[2].id, "--machine", "d4", "--json")[1])
    assert found == json.loads(run("diff", ROWS[2].id, ROWS[3].id, "--json")[1])


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ((ROWS[4].id, "--machine", "d4"), "no row of other with artifact x; measure"),
        ((ROWS[4].id, "--machine", "pi"), "[machine-unknown]"),
        ((ROWS[4].id,), "[option-conflict]"),
        ((ROWS[4].id, ROWS[5].id, "--machine", "d4"), "[option-conflict]"),
    ],
)
def test_a_comparison_that_is_not_possible_says_why(run: Run, args: tuple[str, ...], says: str) -> None:
    code, out, err = run("diff", *args)
    assert (code, out) == (2, "") and says in err and err.count("\n") == 1


def test_a_command_to_run_next_names_the_machine_among_several(run: Run) -> None:
    assert run("recommend", "--machine", "a1")[2].splitlines()[-1] == "Next: paretodet report --machine a1"
    assert machine_to_name("paretodet.db", ROWS[:1]) == "a1b2c3" and machine_to_name("paretodet.db", ROWS) is None
    alone = Store("alone.db")
    alone.append(ROWS[0])
    assert machine_to_name("alone.db", ROWS[:1]) is None
