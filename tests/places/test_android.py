"""`adb:` with a stand-in that speaks adb's command line: no device has been tried."""

import os
from pathlib import Path

import pytest

import stand_ins
from made_bundles import entries, manifest, write_manifest
from paretodet.bench.job import Plan
from paretodet.errors import InputError
from paretodet.places.benchmark_report import read_report
from paretodet.places.collect import measure_at
from paretodet.places.place import Request
from paretodet.places.table import place_of
from paretodet.records.measurement import Measurement
from paretodet.records.store import Store
from paretodet.sources import bundle as bundle_source

REPORT = """INFO: Loaded model
INFO: count=153 first=2761 curr=2885 min=2605 max=18080 avg=3243.58 std=2165 p5=2630 median=2761 p95=5331

INFO: count=337 first=2881 curr=2703 min=2605 max=20356 avg=2942.27 std=1190 p5=2647 median=2781 p95=3169

INFO: Inference timings in us: Init: 6395, First inference: 2761, Warmup (avg): 3243.58, Inference (avg): 2942.27
INFO: Memory footprint delta from the start of the tool (MB): init=39.4531 overall=40.8281
"""
OLD = """count=1 curr=3512391

count=50 first=2990275 curr=2913402 min=2727568 max=3189954 avg=2.95034e+06 std=109798

Inference timings in us: Init: 17187, First inference: 3512391, Warmup (avg): 3.51239e+06, Inference (avg): 2.95034e+06
Peak memory footprint (MB): init=4.21094 overall=46.0859
"""
ADB = """
import hashlib, pathlib, shlex, shutil, sys
folder = pathlib.Path(__file__).parent
arguments = sys.argv[1:]
if arguments[:1] == ["-s"]:
    assert arguments[1] == "emulator-5554"
    del arguments[:2]
(folder / "log").open("a").write(repr(arguments) + "\\n")
PROPERTIES = {"ro.product.manufacturer": "Google", "ro.product.model": "Pixel 8", "ro.soc.model": "Tensor G3",
              "ro.build.version.release": "15", "ro.product.cpu.abi": "arm64-v8a"}
def on_device(path):
    return folder / "device" / path.lstrip("/").replace("/", "_")
def shell(name, *rest):
    if name == "getprop": print(PROPERTIES.get(rest[0], ""))
    elif name == "nproc": print(9)
    elif name == "cat": print("MemTotal:        7760104 kB\\nMemFree: 1 kB")
    elif name == "chmod": assert rest[0] == "755"
    elif name == "sha256sum":
        if not on_device(rest[0]).exists(): sys.exit("sha256sum: no such file")
        print(hashlib.sha256(on_device(rest[0]).read_bytes()).hexdigest(), rest[0])
    else:
        assert name.startswith("/data/local/tmp/paretodet-") and on_device(name).exists(), name
        (graph,) = [each.removeprefix("--graph=") for each in rest if each.startswith("--graph=")]
        if b"broken" in on_device(graph).read_bytes(): sys.exit("ERROR: Failed to build the interpreter")
        print((folder / "report").read_text())
if (folder / "gone").exists(): sys.exit("error: no devices/emulators found")
if arguments == ["get-state"]: print("device")
elif arguments[0] == "push":
    (folder / "device").mkdir(exist_ok=True)
    shutil.copyfile(arguments[1], on_device(arguments[2]))
    if (folder / "spoil").exists(): on_device(arguments[2]).write_bytes(b"other")
else:
    assert arguments[0] == "shell" and len(arguments) == 2
    shell(*shlex.split(arguments[1]))
"""


class Phone:
    """The stand-in, the files that steer it, and two bundles."""

    def __init__(self, folder: Path) -> None:
        self.programs, self.store = folder / "bin", Store(folder / "rows.db")
        stand_ins.program(self.programs, "adb", ADB)
        (self.programs / "report").write_text(REPORT)
        self.benchmark = folder / "benchmark; model"
        self.benchmark.write_bytes(b"\\x7fELF")
        self.bundles = [self._bundle(folder / f"{name} $(x)", name.encode()) for name in ("first", "second")]

    @staticmethod
    def _bundle(folder: Path, content: bytes, target: str = "litert") -> str:
        folder.mkdir()
        (folder / "detector.tflite").write_bytes(content)
        files = entries(folder, ("detector.tflite",))
        changed = {"target": target, "artifact": "detector.tflite", "files": files, "name": folder.name.split()[0]}
        write_manifest(folder, manifest(folder, **changed))
        return str(folder)

    def measure(self, *names: str, serial: str = "emulator-5554", **options: int | str) -> list[Measurement]:
        place = place_of(f"adb:{serial}", benchmark=self.benchmark)
        request = Request(names=names or tuple(self.bundles), options=options, plan=Plan(processes=2))
        return list(measure_at(place, request, store=self.store))


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Phone:
    made = Phone(tmp_path)
    monkeypatch.setenv("PATH", f"{made.programs}{os.pathsep}{os.environ['PATH']}")
    target = type(bundle_source._target(bundle_source.read_manifest(Path(made.bundles[0]))))
    monkeypatch.setattr(target, "inspect", lambda *arguments: None)  # these files are no networks
    return made


def test_a_report_becomes_a_row_that_says_what_it_is(phone: Phone) -> None:
    first, second = phone.measure(threads=4)
    assert (first.latency_ms_p50, first.first_ms, first.load_ms) == (pytest.approx(2.781), 2.761, 6.395)
    assert (first.memory_load_mib, first.memory_infer_mib, first.samples) == (39.4531, 40.8281, 2 * 337)
    assert (first.runtime, first.validity, first.processes) == ("benchmark_model", "unwatched", 2)
    assert "own loop" in first.reasons[0] and first.job["bundle"] and first.threads == 4
    assert first.machine_facts["cpu"] == "Google Pixel 8 (Tensor G3)" and first.machine_facts["release"] == "15"
    assert first.artefact != second.artefact and first.machine == second.machine != ""
    log = (phone.programs / "log").read_text()
    assert log.count("'push'") == 3 and "--num_threads=4" in log
    phone.measure(phone.bundles[0], serial="")
    assert (phone.programs / "log").read_text().count("'push'") == 3  # its copies are known by their content


def test_a_network_that_fails_is_a_row_and_a_lost_device_ends_the_run(phone: Phone, tmp_path: Path) -> None:
    broken = phone._bundle(tmp_path / "broken", b"broken")
    rows = phone.measure(broken, phone.bundles[0])
    assert [row.validity for row in rows] == ["error", "unwatched"] and "build the interpreter" in str(rows[0].error)
    (phone.programs / "gone").touch()
    with pytest.raises(InputError, match="place-unreachable") as error:
        phone.measure()
    assert "no devices/emulators found" in str(error.value) and len(phone.store.rows()) == 2


def test_nonsense_is_an_error_row(phone: Phone) -> None:
    for old, new in (("2942.27", "nan"), ("2942.27", "-4"), ("6395", "x"), ("overall=40.8281", "overall=-1")):
        (phone.programs / "report").write_text(REPORT.replace(old, new))
        (row,) = phone.measure(phone.bundles[0])
        assert row.validity == "error" and row.latency_ms_p50 is None and "benchmark_model reports" in str(row.error)
    (phone.programs / "report").write_text("Killed")
    assert "Killed" in str(phone.measure(phone.bundles[0])[0].error)


def test_a_spoiled_copy_is_not_measured(phone: Phone) -> None:
    (phone.programs / "spoil").touch()
    with pytest.raises(InputError, match="another hash"):
        phone.measure()


def test_an_older_report_has_no_median() -> None:
    report = read_report(OLD)
    assert (report.mean_ms, report.median_ms, report.calls) == (2950.34, None, 50)
    assert (report.memory_load_mib, report.memory_mib) == (4.21094, 46.0859)


def test_bundles_whose_folders_are_called_alike_are_both_measured(phone: Phone, tmp_path: Path) -> None:
    for kind in ("small", "large", "again"):
        (tmp_path / kind).mkdir()
    names = [phone._bundle(tmp_path / kind / "ssd", kind.encode()) for kind in ("small", "large")]
    again = phone._bundle(tmp_path / "again" / "ssd", b"large")  # the same content is the same measurement
    rows = phone.measure(*names, again)
    assert [row.job["name"] for row in rows] == ["ssd", "ssd"] and len({row.job["bundle"] for row in rows}) == 2
    phone.measure(*names, again)
    assert len(phone.store.rows()) == 2 + 2, "the first run was finished"


def test_what_cannot_be_measured_is_one_sentence(phone: Phone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx = phone._bundle(tmp_path / "onnx", b"\x08\x08", target="onnx")
    for names, options, says in (
        ((onnx,), {}, "--to litert"),
        (("ssd-mobilenet_v1-300",), {}, "--to litert"),
        ((phone.bundles[0],), {"runtime": "litert"}, "leave runtime out"),
    ):
        with pytest.raises(InputError) as error:
            phone.measure(*names, **options)
        assert says in str(error.value)
    for serial in ("-x", "a b", "a;b"):
        with pytest.raises(InputError, match="option-value"):
            place_of(f"adb:{serial}", benchmark=phone.benchmark)
    for text, python, benchmark in (("adb:", None, None), ("adb:", "python", None), ("ssh:a", None, phone.benchmark)):
        with pytest.raises(InputError, match="option-conflict"):
            place_of(text, python=python, benchmark=benchmark)
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    with pytest.raises(InputError, match="platform tools"):
        phone.measure()
