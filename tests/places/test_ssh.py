"""`ssh:HOST` with a stand-in for ssh: what is refused, what is kept, and what the messages say."""

import re
import shlex
from pathlib import Path

import pytest

import stand_ins
from made_bundles import write_grid
from paretodet.errors import InputError
from paretodet.measuring import Plan
from paretodet.places.collect import bundles_of, measure_at
from paretodet.places.place import Request
from paretodet.places.ssh import SshPlace, ended
from paretodet.places.table import place_of
from paretodet.records.measurement import Measurement
from paretodet.records.store import Store
from paretodet.transforms.resize_policy import Stretch

FIRST, SECOND = "ssd-mobilenet_v1-300", "yolo_v2-darknet19-416"
PLACE = SshPlace("board")


class Bench:
    """What is measured on the stand-in, and what is printed for the user."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.monkeypatch, self.notes = folder, monkeypatch, list[str]()
        self.store = Store(folder / "rows.db")

    def measure(self, body: str, *names: str) -> list[Measurement]:
        stand_ins.ssh(self.folder / "bin", body, self.monkeypatch)
        request = Request(names=names or (FIRST, SECOND), plan=Plan())
        return list(measure_at(PLACE, request, store=self.store, notify=self.notes.append))


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


ALL = "for name in asked()['names']: send(row=row(name))\nsend(end=True)"


def test_rows_come_back_with_the_identity_of_their_machine(bench: Bench) -> None:
    rows = bench.measure(f"print('Welcome to the board')\n{ALL}")
    assert [row.name for row in rows] == [FIRST, SECOND] and {row.machine for row in rows} == {"abcdefabcdef"}
    assert bench.store.rows() == tuple(sorted(rows, key=lambda row: row.id)) and bench.notes == []


def test_a_lost_connection_keeps_rows_and_the_next_run_measures_the_others(bench: Bench) -> None:
    with pytest.raises(InputError, match="place-unreachable") as error:
        bench.measure("asked(); send(row=row(request['names'][0])); print('Broken pipe', file=sys.stderr)")
    assert "Broken pipe" in str(error.value) and [row.name for row in bench.store.rows()] == [FIRST]
    rows = bench.measure(
        "asked(); assert len(request['finished']) == 1\nsend(row=row(request['names'][1]))\nsend(end=1)"
    )
    assert [row.name for row in rows] == [FIRST, SECOND] and len(bench.store.rows()) == 2
    assert len(bench.measure(ALL)) == 2 and len(bench.store.rows()) == 2 + 2  # a finished run is not continued


@pytest.mark.parametrize(
    ("nonsense", "says"),
    [
        ("altered(row(name), latency_ms_p50=-1.0)", "latency_ms_p50 is -1.0"),
        ("altered(row(name), latency_ms_p50=float('nan'))", "latency_ms_p50 is nan"),
        ("altered(row(name), raw=[{'x': float('inf')}])", "not JSON"),
        ("row(name) | {'latency_ms_p50': 1.0}", "id is"),
        ("row('ssd-vgg16-300')", "not asked for"),
        ("row(name, run='other')", "of this connection"),
        ("row(name, machine='other')", "of this connection"),
        ("row(name, job={'bundle': '0' * 64})", "another hash"),
        ("[]", "a row is a JSON object"),
        ("7", "a row is a JSON object"),
    ],
)
def test_an_answer_that_is_nonsense_is_refused_and_the_others_are_kept(bench: Bench, nonsense: str, says: str) -> None:
    body = "name, other = asked()['names']\nsend(row={nonsense})\nsend(row=row(other))\nsend(end=True)"
    rows = bench.measure(body.format(nonsense=nonsense))
    assert [row.name for row in rows] == [SECOND] == [row.name for row in bench.store.rows()]
    (refused,) = bench.notes
    assert refused.startswith("ssh:board: an answer") and says in refused
    again = bench.measure("name, other = asked()['names']\nsend(row=row(name))\nsend(end=True)")
    assert {row.name for row in again} == {FIRST, SECOND} and len(bench.store.rows()) == 2


@pytest.mark.parametrize("line", ["no JSON", "[" * 100000, "3", '{"progress": 7}', '{"progress": {"no": 1}}', "{}"])
def test_lines_that_are_no_messages_are_named(bench: Bench, line: str) -> None:
    rows = bench.measure(f"asked()\nprint({line!r})\nfor name in request['names']: send(row=row(name))\nsend(end=True)")
    assert len(rows) == 2 and len(bench.notes) == 1


def test_a_row_that_comes_twice_is_stored_once(bench: Bench) -> None:
    rows = bench.measure("asked()\nfor name in 2 * request['names']: send(row=row(name))\nsend(end=True)")
    assert len(rows) == 2 == len(bench.store.rows()) and len(bench.notes) == 2


def test_a_place_that_answers_nonsense_only_is_left(bench: Bench) -> None:
    with pytest.raises(InputError, match="place-answer"):
        bench.measure("asked()\nsend(row=3)\nsend(end=True)")
    with pytest.raises(InputError, match="100 answers"):
        bench.measure("asked()\nwhile True: print('no')")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("hello(version='0.0.9')", "paretodet there is 0.0.9, here it is"),
        ("hello(protocol=1)", "install this version there"),
        ("send(hello=3)", "paretodet there is None"),
        ("print('no', flush=True)\n" * 3 + "sys.exit('python3: No module named paretodet')", "pip install paretodet"),
        ("sys.exit('/usr/bin/python3: No module named paretodet.places')", "pip install paretodet"),
        ("sys.exit('sh: 1: python3: not found')", "--remote-python"),
        ("sys.exit('Host key verification failed.')", "run `ssh board` once"),
        ("sys.exit('me@board: Permission denied (publickey).')", "ssh-copy-id board"),
        ("sys.exit('ssh: Could not resolve hostname board')", "Could not resolve hostname board"),
        ("hello(); sys.stdin.readline(); send(failed={'message': 'is busy', 'id': 'run-busy'})", "[run-busy]"),
        ("hello(); sys.stdin.readline(); send(failed={'message': 'odd', 'id': 'no-id'})", "[place-answer]"),
        ("send(hello={'version': __version__, 'protocol': PROTOCOL}); send(identity=4)", "which machine it is"),
        ("hello(); sys.stdin.readline(); send(missing=4)", "bundles that it lacks"),
        ("while True: print('yes')", "no runner"),
    ],
)
def test_what_is_missing_is_one_sentence(bench: Bench, body: str, says: str) -> None:
    with pytest.raises(InputError) as error:
        bench.measure(body)
    assert says in str(error.value) and "\n" not in str(error.value) and not bench.store.rows()


def test_a_bundle_is_copied_if_the_machine_lacks_it(bench: Bench) -> None:
    folder = bench.folder / 'it\'s $(a) "grid"'
    write_grid(folder, Stretch(height=96, width=96))
    body = "asked({missing!r})\nsha, name = next(iter(request['bundles'].items()))\nassert request['names'] == [sha]\n"
    send = "send(row=row('yolo_v3_tiny-96', job={'name': name, 'bundle': sha}))\nsend(end=True)"
    for missing in ("all", ()):
        (row,) = bench.measure(body.format(missing=missing) + send, str(folder))
        assert row.job["name"] == folder.name
    (sha,) = bundles_of(Request(names=(str(folder),)))
    (copied,) = (bench.folder / "bin" / "copied").read_text().splitlines()
    assert repr(str(folder)) in copied and f"board:.cache/paretodet/bundles/{sha}.part" in copied


@pytest.mark.parametrize("host", ["", "-oProxyCommand=x", "a b", "a;b", "$(x)", "me@-x", "a\nb", "`x`", "me@@x"])
def test_a_host_that_a_shell_could_misread_is_refused(host: str) -> None:
    with pytest.raises(InputError, match="option-value"):
        place_of(f"ssh:{host}")


def test_only_known_places_and_names_are_taken(bench: Bench, tmp_path: Path) -> None:
    for text in ("board", "telnet:board"):
        with pytest.raises(InputError, match="ssh:HOST"):
            place_of(text)
    for name in ("model.onnx", "module:make", str(tmp_path)):
        with pytest.raises(InputError, match=re.escape("makes a bundle")):
            bench.measure(ALL, name)


def test_two_bundles_whose_folders_are_called_alike_are_both_measured(bench: Bench) -> None:
    names = [str(bench.folder / kind / "ssd") for kind in ("onnx", "openvino")]
    for name, side in zip(names, (96, 64), strict=True):
        Path(name).parent.mkdir()
        write_grid(Path(name), Stretch(height=side, width=side), side=side)
    body = "for sha, name in asked('all')['bundles'].items():\n    "
    body += "send(row=row('yolo_v3_tiny-96', job={'name': name, 'bundle': sha}))\nsend(end=True)"
    rows = bench.measure(body, *names)
    assert bench.notes == [] and {row.job["bundle"] for row in rows} == set(bundles_of(Request(names=tuple(names))))
    assert [row.job["name"] for row in rows] == ["ssd", "ssd"] and len(bench.store.rows()) == 2


def test_equal_bundles_in_two_folders_are_one(bench: Bench) -> None:
    for name in ("one", "two"):
        write_grid(bench.folder / name, Stretch(height=96, width=96))
    body = "assert len(set(asked('all')['names'])) == len(request['names']) == len(request['bundles']) == 1\n"
    body += "((sha, name),) = request['bundles'].items()\nassert request['names'] == [sha]\n"
    body += "send(row=row('yolo_v3_tiny-96', job={'name': name, 'bundle': sha}))\nsend(end=True)"
    (row,) = bench.measure(body, str(bench.folder / "one"), str(bench.folder / "two"))
    assert row.job["name"] in ("one", "two") and bench.notes == []


@pytest.mark.parametrize(
    ("given", "there"),
    [
        ("~/bench/bin/python", "bench/bin/python"),
        ("~/python 3", "./'python 3'"),
        ("bench/bin/python", "bench/bin/python"),
        ("python3.12", "python3.12"),
        ("/opt/~me/python", "'/opt/~me/python'"),
    ],
)
def test_a_path_of_python_begins_in_the_home_folder(given: str, there: str, bench: Bench) -> None:
    place = place_of("ssh:board", python=given)
    assert isinstance(place, SshPlace)
    body = f"folder = {str(bench.folder)!r}\nopen(folder + '/said', 'w').write(sys.argv[-1])\n{ALL}"
    stand_ins.ssh(bench.folder / "bin", body, bench.monkeypatch)
    assert list(measure_at(place, Request(names=(FIRST,), plan=Plan()), store=bench.store))
    said = (bench.folder / "said").read_text()
    assert shlex.split(said) == [*shlex.split(there), "-m", "paretodet.places.runner"]


@pytest.mark.parametrize("python", ["~me/bin/python", "~", "~/", "~/~me/python"])
def test_the_home_folder_of_another_user_is_refused(python: str) -> None:
    with pytest.raises(InputError, match="option-value"):
        place_of("ssh:board", python=python)


def test_the_path_of_python_is_named(bench: Bench) -> None:
    place = place_of("ssh:me@board", python="/opt/my python")
    assert place == SshPlace("me@board", "/opt/my python")
    assert "/opt/my python -m pip install" in str(ended(place, "x: No module named paretodet"))
