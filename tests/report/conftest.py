"""Twelve made-up rows as one run on a small machine would leave them, one whose name attacks the page; a browser."""

import os
import shutil
from dataclasses import replace

import pytest

from paretodet.records.measurement import Measurement
from paretodet.report.page import page

HOSTILE = "</script><img src=x onerror=alert(1)>\u2028"
_MACHINE = {
    "cpu": "Example EPYC 9R14",
    "cores_logical": 8,
    "cores_allowed": 2,
    "memory_gib": 7.7,
    "system": "Linux",
    "release": "6.1",
    "governor": "performance",
    "gpus": [],
}
_VERSIONS = {"python": "3.11.9", "torch": "2.13.0", "transformers": "5.23.0"}
_TWO_STAGE = {"features": 0.46, "propose": 0.09, "refine": 0.44, "select": 0.01}
_ONE_STAGE = {"features": 0.88, "refine": 0.07, "select": 0.05}

# name, side, latency ms, half interval (share), AP, AP50, rounding, memory MiB, parameters M, GFLOPs, validity
_ROWS = (
    ("ssd-mobilenet_v1-300", 300, 33.4, 0.021, 21.0, None, 0.5, 92, 6.8, 2.5, "valid"),
    ("ssd_liu-vgg16-300", 300, 268.0, 0.008, 25.1, 43.1, 0.05, 310, 34.3, 62.8, "valid"),
    ("yolo_v3-darknet53-320", 320, 171.0, 0.012, 28.2, 51.5, 0.05, 402, 62.0, 39.0, "valid"),
    ("yolo_v3-darknet53-416", 416, 279.0, 0.010, 31.0, 55.3, 0.05, 455, 62.0, 65.9, "valid"),
    ("yolo_v3-darknet53-608", 608, 588.0, 0.014, 33.0, 57.9, 0.05, 610, 62.0, 140.7, "valid"),
    ("faster_rcnn-resnet101-300-s16-p100", 300, 412.0, 0.030, 25.6, 44.0, 0.05, 520, 61.8, 72.0, "valid"),
    ("faster_rcnn-resnet101-600-s16-p100", 600, 1040.0, 0.016, 32.0, 53.1, 0.05, 735, 61.8, 213.0, "valid"),
    ("faster_rcnn-resnet101-600-s8-p300", 600, 4870.0, 0.009, 35.7, 55.6, 0.05, 1890, 61.8, 1240.0, "unwatched"),
    ("hf:d_fine-n", 640, 118.0, 0.018, 42.8, 60.3, 0.05, 240, 3.8, 7.1, "valid"),
    ("hf:d_fine-s", 640, 242.0, 0.015, 48.5, 65.6, 0.05, 330, 10.2, 25.2, "valid"),
    ("hf:rt_detr_v2-r18", 640, 398.0, 0.022, 48.1, 65.1, 0.05, 420, 20.1, 60.5, "contended"),
    ("my_detector:make", None, 61.0, 0.025, None, None, None, 75, None, None, "valid"),
)


def _row(number: int, spec: tuple) -> Measurement:
    name, side, latency, half, ap, ap50, rounding, memory, parameters, gflops, validity = spec
    shares = _TWO_STAGE if name.startswith("faster") else None if "hf:" in name or ":" in name else _ONE_STAGE
    return Measurement(
        id=f"{number:012x}",
        run="0123456789ab",
        at=f"2026-11-20T14:{number:02d}:31Z",
        name=name,
        height=side,
        width=side,
        proposals=int(name.rpartition("-p")[2]) if "-p" in name else None,
        threads=2,
        processes=5,
        load="capacity",
        artefact=f"{number:064x}",
        latency_ms_p50=latency,
        latency_ms_p50_low=latency * (1 - half),
        latency_ms_p50_high=latency * (1 + half),
        latency_ms_p95=latency * 1.09,
        total_ms=latency * 1.06,
        prepare_ms=latency * 0.06,
        stages_ms=shares and {stage: latency * share for stage, share in shares.items()},
        samples=250,
        resolution_pct=1.8,
        memory_infer_mib=float(memory),
        memory_load_mib=memory * 0.7,
        parameters=parameters and int(parameters * 1e6),
        macs=gflops and int(gflops * 5e8),
        flops=gflops and int(gflops * 1e9),
        ap=ap,
        ap50=ap50,
        ap_split=None if ap is None else "COCO test-dev2015" if name.endswith("p300") else "COCO val2017",
        ap_source="a made-up row" if ap else None,
        ap_rounding=rounding,
        validity=validity,
        reasons=("41 % of the time was contended: other processes used 39 % of a core",)
        if validity == "contended"
        else (),
        machine="4f1c9a0be2d7",
        machine_facts=_MACHINE,
        versions=_VERSIONS,
    )


@pytest.fixture(scope="session")
def rows() -> list[Measurement]:
    return [_row(number, spec) for number, spec in enumerate(_ROWS)]


@pytest.fixture(scope="session")
def plain_page(rows: list[Measurement]) -> str:
    return page(rows)


@pytest.fixture(scope="session")
def hostile_page(rows: list[Measurement], hostile: Measurement) -> str:
    long = replace(rows[1], id="long00000000", name="a_very_long_name_" * 12)
    return page([*rows, hostile, long], title="<b>mine</b>")


@pytest.fixture(scope="session")
def hostile(rows: list[Measurement]) -> Measurement:
    """A fast, accurate row, so that it enters the frontier, the answer and every chart."""
    return replace(
        rows[8],
        id="bad000000000",
        name=HOSTILE,
        ap=55.0,
        ap50=72.0,
        latency_ms_p50=20.0,
        latency_ms_p50_low=19.5,
        latency_ms_p50_high=20.5,
        stages_ms={HOSTILE: 12.0, "select": 8.0},
        ap_source=HOSTILE,
        reasons=(HOSTILE,),
        machine_facts=_MACHINE | {"cpu": HOSTILE, HOSTILE: "x"},
        versions=_VERSIONS | {"torch": HOSTILE},
    )


@pytest.fixture(scope="session")
def two_machines(rows: list[Measurement]) -> list[Measurement]:
    """The rows, and on a second machine most of them again, slower and without the fastest."""
    cortex = {"cpu": "Example Cortex <A76>", "cores_logical": 4, "system": "Linux", "release": "6.1"}
    others = [
        replace(
            row,
            id=f"arm{row.id[3:]}",
            machine="aa00bb11cc22",
            machine_facts=cortex,
            latency_ms_p50=5 * row.latency_ms_p50,
            latency_ms_p50_low=4.8 * row.latency_ms_p50,
            latency_ms_p50_high=5.2 * row.latency_ms_p50,
        )
        for row in rows[1:]
    ]
    return [*others, *rows]


CHROMIUM = os.environ.get("PARETODET_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium found: set PARETODET_CHROMIUM to its path")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser, tmp_path):
    """Opens the text of a page; fails at the end if the page logged an error or requested another file."""
    complaints, pages = [], []

    def open_page(html, **context):
        path = tmp_path / "page.html"
        path.write_text(html, encoding="utf-8")
        tab = browser.new_page(**{"viewport": {"width": 1200, "height": 900}, **context})
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("dialog", lambda dialog: (complaints.append("a dialog opened"), dialog.dismiss()))
        tab.on("request", lambda request: None if request.url == path.as_uri() else complaints.append(request.url))
        tab.goto(path.as_uri())
        tab.wait_for_selector("html[data-ready]", timeout=60_000)
        pages.append(tab)
        return tab

    yield open_page
    for tab in pages:
        tab.close()
    assert complaints == []
