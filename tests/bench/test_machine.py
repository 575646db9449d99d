import getpass
import json
import os
import platform
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import torch

from paretodet import extras
from paretodet.bench import machine
from paretodet.bench.machine import HARDWARE, cpu_model, driver, facts, fingerprint, versions, worker_environment
from paretodet.runtimes.runtime import Runtime
from paretodet.runtimes.table import RUNTIMES


def test_fingerprint_depends_on_the_hardware_only() -> None:
    known = facts()
    assert fingerprint(known) == fingerprint(facts())
    assert fingerprint({**known, "release": "99.9", "governor": "powersave", "driver": "1.2"}) == fingerprint(known)
    assert fingerprint({**known, "cpu": "another"}) != fingerprint(known)
    assert fingerprint({**known, "cores_allowed": 99}) != fingerprint(known)
    assert len(fingerprint(known)) == 12


def test_the_fingerprint_depends_on_a_quota() -> None:
    known = {**facts(), "cpu_quota": None, "memory_limit_mib": None}
    older = {key: value for key, value in known.items() if key not in ("cpu_quota", "memory_limit_mib")}
    assert fingerprint(known) == fingerprint(older) == fingerprint({**known, "memory_limit_mib": 512.0})
    assert len({fingerprint({**known, "cpu_quota": cores}) for cores in (None, 0.5, 1.5)}) == 3


def test_a_label_tells_equal_machines_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(machine.LABEL, raising=False)
    found = {fingerprint(facts())}
    for label in ("", "board-1", "board-2"):
        monkeypatch.setenv(machine.LABEL, label)
        found.add(fingerprint(facts()))
    assert len(found) == 3 and facts()["label"] == "board-2"


def test_the_fingerprint_of_older_rows_is_kept() -> None:
    assert fingerprint(dict.fromkeys(HARDWARE)) == "53b3d36a737a"


def test_facts_contain_the_limits_of_the_control_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cpu_quota", lambda: 1.5)
    monkeypatch.setattr(machine, "memory_limit_mib", lambda: 512.0)
    assert (facts()["cpu_quota"], facts()["memory_limit_mib"]) == (1.5, 512.0)


def test_facts_contain_no_private_names() -> None:
    text = json.dumps(facts()) + json.dumps(versions())
    private = {platform.node(), os.getcwd(), str(Path.home())}
    if len(getpass.getuser()) > 4:  # a short name may be part of a word
        private.add(getpass.getuser())
    assert not [word for word in private if len(word) > 2 and word in text]


def test_facts_and_versions_of_this_machine() -> None:
    known = facts()
    assert known["cores_allowed"] == len(known["affinity"]) >= 1
    assert known["memory_gib"] > 0.5
    assert known["gpus"] == [] or known["cuda"] == torch.version.cuda
    assert versions()["torch"] == torch.__version__
    assert versions()["python"] == platform.python_version()


def test_cpu_model_is_read_from_cpuinfo(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Brand X 9000: the best\nmodel name\t: other\n")
    assert cpu_model(tmp_path / "cpuinfo") == "Brand X 9000: the best"


def test_driver_is_a_version(tmp_path: Path) -> None:
    (tmp_path / "v").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15\nGCC version: 12\n")
    assert driver(tmp_path / "v") == "550.54.15"
    assert driver(tmp_path / "none") is None


@pytest.mark.parametrize("threads", [1, 4])
def test_worker_environment_disables_spinning_and_sets_threads(threads: int) -> None:
    environment = worker_environment(threads)
    assert environment["OMP_WAIT_POLICY"] == "PASSIVE"
    assert environment["KMP_BLOCKTIME"] == "0"
    assert {value for key, value in environment.items() if key.endswith("THREADS")} == {str(threads)}


@pytest.mark.parametrize("kind", RUNTIMES, ids=lambda kind: kind.name)
def test_the_versions_are_of_all_libraries_that_a_runtime_uses(kind: type[Runtime]) -> None:
    quantizer = kind.quantizer.libraries if kind.quantizer else ()
    providers, stated = packages_distributions(), {name.lower().replace("_", "-") for name in versions()}
    for library in (*kind.libraries, *kind.exporters, *quantizer):
        names = {name.lower().replace("_", "-") for name in providers.get(library, ())}
        assert not names or names & stated, library


def test_the_versions_are_not_of_what_only_reports_or_develops() -> None:
    assert not {"rich", "typer", "sqlalchemy", "mlflow", "vl-convert-python", "pytest", "paretodet"} & versions().keys()


def test_versions_are_known_where_the_package_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "OURS", "no-such-distribution")
    assert versions().keys() == {"python", "torch", "numpy", "pillow"}
