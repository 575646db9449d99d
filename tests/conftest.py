"""Shared by all tests: how hypothesis searches, where real data lies, CPU times, and which entries the battery ran."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("paretodet", deadline=None)  # no test fails for being slow
settings.load_profile("paretodet")

CAPTURED = ("__compiled_fn_", "___unnamed_scope_")  # globals of Dynamo
STARTED = pytest.StashKey[float]()


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real photographs and annotations; the test is skipped, with the reason, if there is none."""
    folder = os.environ.get("PARETODET_DATA")
    if not folder:
        pytest.skip("PARETODET_DATA is not set")
    return Path(folder)


@pytest.fixture(params=("first", "second"))
def half():
    """Five seconds of fuzzing are two tests: none takes much longer than the others."""


@pytest.fixture(autouse=True, scope="module")
def forget_captured_programs() -> Iterator[None]:
    """Dynamo keeps what it captures: gigabytes in a process that exports in the tests of many files.

    `torch.export.export(strict=True)` leaves it in the globals of a module, which `reset` does not clear
    (findings/torch-strict-export-memory.sh).
    """
    yield
    if "torch._dynamo" in sys.modules:
        holder = sys.modules.get("torch._dynamo.functional_export")
        for name in [name for name in vars(holder) if name.startswith(CAPTURED)] if holder else ():
            delattr(holder, name)
        sys.modules["torch._dynamo"].reset()


@pytest.fixture(scope="module")
def exports_here():
    """Detectors are exported in the process of the test, which has imported torch, and not in a new one."""
    from paretodet.export import graph

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph, "run_apart", lambda call: call())
        yield


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache that the tests of a file share, and no other file."""
    from paretodet.export import cache

    folder = tmp_path_factory.mktemp("the-cache-of-one-test-file")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(cache.VARIABLE, str(folder))
        yield folder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    item.stash[STARTED] = cpu_s()
    return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item):
    """The property `cpu_s` of a test in JUnit files: with its set-up, and the processes that it waited for.

    Without what ends after it, such as the browser of all tests of the page.
    """
    item.user_properties.append(("cpu_s", round(cpu_s() - item.stash[STARTED], 2)))


def cpu_s() -> float:
    """CPU time of this process and of its ended children; other work on the machine hardly changes it."""
    return sum(os.times()[:4])


def pytest_terminal_summary(terminalreporter):
    """Which catalogue entries went through the conformance battery, and which of them were exported too."""
    done = [r.nodeid for kind in ("passed", "failed") for r in terminalreporter.getreports(kind)]
    tests = [node.rpartition("::")[2].removesuffix("]").partition("[") for node in done if "/test_battery.py::" in node]
    ran = sorted({entry for _, _, entry in tests})
    exported = {entry for name, _, entry in tests if "export" in name}
    if ran:
        terminalreporter.section(f"battery: {len(ran)} entries, {len(exported)} exported (*)")
        terminalreporter.write_line(" ".join(name + "*" * (name in exported) for name in ran))
