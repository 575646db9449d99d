"""`ray:ADDRESS` with a stand-in for Ray: what is refused, and what is said. A real one is in test_ray_cluster.py."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from made_bundles import write_grid
from paretodet.bench.machine import facts, fingerprint
from paretodet.errors import InputError
from paretodet.extras import MissingExtra
from paretodet.places import ray as places_ray
from paretodet.places.ray import ActorChannel, RayFleet, RayMembers, RunnerProcess, fleet_of, takes_anyone
from paretodet.places.runner import FOLDER, PART, PROTOCOL
from paretodet.places.table import place_of
from paretodet.transforms.resize_policy import Stretch
from paretodet.version import __version__

HERE = "10.0.0.1"
HEAD_ANSWERS = RayMembers._head_answers
AUTH = "ray.exceptions.AuthenticationError: RPC error: InvalidAuthToken: Authentication token is missing or incorrect."
GONE = "ray.exceptions.RpcError: Timed out while waiting for GCS to become available."


class StandIn:
    """As much of Ray as a place uses; its actors are objects of this process, whose calls fail with `error`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.all: list[dict[str, Any]] = [node("a"), node("b", CPU=4.0, GPU=1.0)]
        self.error: Exception | None = None
        self.asked: dict[str, Any] = {}
        self.killed = list[Any]()
        self.get_runtime_context: Any = None
        kinds = {name: type(name, (Exception,), {}) for name in ("RayError",)}
        kinds["RayTaskError"] = type("RayTaskError", (kinds["RayError"],), {})
        self.exceptions = SimpleNamespace(**kinds)
        self.util = SimpleNamespace(get_node_ip_address=lambda: HERE)
        scheduling = SimpleNamespace(NodeAffinitySchedulingStrategy=lambda node, soft: (node, soft))
        for name, module in (("ray", self), ("ray.util", self.util), ("ray.util.scheduling_strategies", scheduling)):
            monkeypatch.setitem(sys.modules, name, module)
        monkeypatch.setattr(RayMembers, "_head_answers", lambda members: True)

    def nodes(self) -> list[dict[str, Any]]:
        return self.all

    def remote(self, kind: Any) -> Any:
        def options(**asked: Any) -> Any:
            self.asked = asked
            return SimpleNamespace(remote=lambda *arguments: Handle(self, kind(*arguments)))

        return SimpleNamespace(options=options)

    def wait(self, pending: list[Any], timeout: float) -> tuple[list[Any], list[Any]]:
        return pending, []

    def get(self, pending: Any) -> Any:
        if self.error:
            raise self.error
        return pending()

    def kill(self, actor: Any) -> None:
        self.killed.append(actor)


class Handle:
    def __init__(self, ray: StandIn, made: Any) -> None:
        self.made = made

    def __getattr__(self, name: str) -> Any:
        return SimpleNamespace(remote=lambda *arguments: lambda: getattr(self.made, name)(*arguments))


def node(label: str | None, address: str = HERE, **resources: float) -> dict[str, Any]:
    labels = {"paretodet": label} if label else {}
    name = {"NodeID": f"id of {label}", "NodeName": address, "NodeManagerAddress": address, "Alive": True}
    return {**name, "Labels": labels, "Resources": {"CPU": 2.0, "paretodet": 1.0} | resources}


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    return StandIn(monkeypatch)


def members(is_open: bool = False, label: str | None = None) -> tuple[RayMembers, list[str]]:
    notes = list[str]()
    return RayMembers(RayFleet("head:6379", (label,) if label else ()), notes.append, is_open), notes


@pytest.mark.parametrize(
    ("text", "address", "label"),
    [
        ("", "auto", None),
        ("auto", "auto", None),
        ("/board-1", "auto", "board-1"),
        ("10.0.0.5:6379", "10.0.0.5:6379", None),
        ("head.lan:6379/a.b", "head.lan:6379", "a.b"),
    ],
)
def test_a_cluster_is_named_by_its_address(text: str, address: str, label: str | None) -> None:
    fleet = fleet_of(text)
    assert fleet == RayFleet(address, (label,) if label else ()) == place_of(f"ray:{text}")
    assert fleet.owns(f"ray:{address}/{label or 'any'}") and not fleet.owns("ray:other:1/any")
    assert (
        fleet.many == (label is None)
        and not fleet.owns(f"ray:{address}")
        and fleet.owns(f"ray:{address}/other") == (label is None)
    )


@pytest.mark.parametrize(
    "text", ["head", "ray://head:1", "head:x", "-o:1", "a b:1", "head:1/", "head:1/-x", "head:1/a,b"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"ray:HOST:PORT/LABEL .*option-value"):
        fleet_of(text)


def test_options_of_other_places_are_refused() -> None:
    with pytest.raises(InputError, match="option-conflict"):
        place_of("ray:", python="python")


@pytest.mark.parametrize(
    ("without", "with_token", "expected"),
    [
        (None, None, True),
        (AUTH, None, False),
        (AUTH, AUTH, "the token of the cluster is missing here, or is another one; `ray get-auth-token`"),
        (GONE, GONE, "nothing answers there as the head of a cluster"),
        ("ConnectionError: Could not find any running Ray instance.", None, "`ray start --head` starts one"),
        ("ConnectionError: Found multiple active Ray instances: {}", None, "name one by its address"),
        ("RuntimeError: Version mismatch: Ray 2.0", None, "has another version than the cluster: RuntimeError"),
        ("RuntimeError: No node info found matching", None, "`ray start --address=HEAD:6379 --num-cpus=0` joins it"),
        ("Trace\nValueError: odd", None, "is not reached: ValueError: odd"),
        ("", None, "is not reached: status 1"),
    ],
)
def test_a_cluster_is_asked_without_the_token_first(
    monkeypatch: pytest.MonkeyPatch, without: str | None, with_token: str | None, expected: bool | str
) -> None:
    def run(command: list[str], *, env: dict[str, str], **rest: Any) -> Any:
        report = {"disabled": without, "token": with_token}[env["RAY_AUTH_MODE"]]
        assert command[-2:] == ["--address", "head:1"]
        return subprocess.CompletedProcess(command, 0 if report is None else 1, "", report or "")

    monkeypatch.setenv("RAY_AUTH_MODE", "before")
    monkeypatch.setattr(places_ray.subprocess, "run", run)
    if isinstance(expected, bool):
        assert takes_anyone(fleet_of("head:1")) is expected
        assert places_ray.os.environ["RAY_AUTH_MODE"] == ("before" if expected else "token")
    else:
        with pytest.raises(InputError) as error:
            takes_anyone(fleet_of("head:1"))
        assert expected in str(error.value) and "\n" not in str(error.value)


def test_a_cluster_without_a_token_is_used_on_this_machine_alone(ray: StandIn) -> None:
    assert members(is_open=True)[0].places().keys() == {"ray:head:6379/a", "ray:head:6379/b"}
    ray.all.append(node(None, "10.0.0.9", paretodet=0.0))  # even one that does not measure
    assert len(members(is_open=False)[0].places()) == 2
    with pytest.raises(InputError, match=r"ray get-auth-token --generate.*RAY_AUTH_MODE=token \[place-unfit\]"):
        members(is_open=True)[0].places()


def test_machines_with_a_slot_are_told_by_their_label(ray: StandIn) -> None:
    ray.all += [node("c", paretodet=0.0), node(None, "10.0.0.7"), node("gone") | {"Alive": False}]
    found, notes = members()
    assert {name.removeprefix("ray:head:6379/") for name in found.places()} == {"a", "b", "10.0.0.7"}
    assert members(label="b")[0].places().keys() == {"ray:head:6379/b"} and notes == []
    ray.all.append(node("a") | {"NodeID": "second"})
    for _ in range(2):
        assert found.places()["ray:head:6379/a"].node["NodeID"] == "id of a"
    assert notes == ["ray:head:6379/a: two machines are called so; one of them is not used."]
    found.failed.add("id of a")  # Ray has not noticed yet that the first one died
    assert found.places()["ray:head:6379/a"].node["NodeID"] == "second" and len(notes) == 1


def test_a_head_that_is_silent_ends_the_run_after_a_while(ray: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = members()
    assert len(found.places()) == 2
    monkeypatch.setattr(RayMembers, "_head_answers", HEAD_ANSWERS)
    with socket.socket() as head:
        head.bind(("127.0.0.1", 0))
        head.listen()
        address = f"127.0.0.1:{head.getsockname()[1]}"
        ray.get_runtime_context = lambda: SimpleNamespace(gcs_address=address)
        assert len(found.places()) == 2
    ray.all.clear()
    assert len(found.places()) == 2  # for a while, what is known stays true
    monkeypatch.setattr(places_ray, "HEAD_S", -1.0)
    with pytest.raises(InputError, match=r"its head does not answer \(.*place-unreachable"):
        found.places()


def test_ray_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paretodet.extras.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'paretodet\[ray\]'"), fleet_of("").connect(print):
        pass


class Quiet(RunnerProcess):
    """Without a process."""

    def __init__(self, label: str | None) -> None:
        self.label = label

    def nice(self) -> int:
        return 15

    def receive(self) -> str:
        return ""

    def log(self) -> str:
        return "Traceback\nModuleNotFoundError: torch\n"


@pytest.fixture
def channel(ray: StandIn, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ActorChannel, list[str]]]:
    """To an actor without a process on machine b."""
    monkeypatch.setattr(places_ray, "RunnerProcess", Quiet)
    found, notes = members()
    yield ActorChannel(found.places()["ray:head:6379/b"]), notes


def test_an_actor_takes_the_whole_machine(ray: StandIn, channel: tuple[ActorChannel, list[str]]) -> None:
    made, notes = channel
    assert (ray.asked["num_cpus"], ray.asked["num_gpus"], ray.asked["resources"]) == (4.0, 1.0, {"paretodet": 1.0})
    assert ray.asked["scheduling_strategy"] == ("id of b", False) and ray.asked["max_restarts"] == 0
    made.start()
    assert "RAY_worker_niceness=0" in notes[0]
    made.close()
    assert len(ray.killed) == 1


def test_what_ends_a_connection_is_one_sentence(ray: StandIn, channel: tuple[ActorChannel, list[str]]) -> None:
    made, _ = channel
    with pytest.raises(InputError, match=r"runner there ended: ModuleNotFoundError: torch \[place-unreachable\]"):
        made.receive()
    for error, says in (
        (ray.exceptions.RayError("The actor died\nbecause"), "the machine, or what measured there, has ended"),
        (ray.exceptions.RayTaskError("ray::write\nOSError: disk full"), "OSError: disk full"),
        (RuntimeError("No module named 'paretodet'"), f"pip install paretodet=={__version__} [place-unfit]"),
    ):
        ray.error = error
        with pytest.raises(InputError) as found:
            made.send("{}")
        assert says in str(found.value) and "\n" not in str(found.value)
    made._members.release()
    with pytest.raises(InputError, match="the run was ended"):
        made.send("{}")


def test_a_bundle_is_copied_file_by_file(
    channel: tuple[ActorChannel, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr(places_ray, "CHUNK", 100)
    write_grid(tmp_path / "grid", Stretch(height=96, width=96))
    (tmp_path / "grid" / "empty").touch()
    channel[0].copy(tmp_path / "grid", "hash")
    copied = tmp_path / FOLDER / f"hash{PART}"
    for path in (tmp_path / "grid").iterdir():
        assert (copied / path.name).read_bytes() == path.read_bytes()


def test_a_runner_says_its_label_and_ends_with_its_actor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", ":".join(filter(None, sys.path)))
    made = RunnerProcess("board-1")
    assert f'"protocol": {PROTOCOL}' in made.receive()
    assert fingerprint(facts() | {"label": "board-1"}) in made.receive()
    assert made._process.stdin is not None
    made._process.stdin.close()
    assert made._process.wait(20) in (0, 1) and made.receive() == ""
