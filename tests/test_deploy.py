"""docs/deploy.md as it stands: its Python and its page detect what paretodet detects, without paretodet."""

import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from made_bundles import write_grid
from narrow_weights import write_narrow
from paretodet.bench.synthetic_images import draw_images
from paretodet.detection import detect
from paretodet.export.bundle import FITS
from paretodet.exporting import write_bundle
from paretodet.opening import open_candidate
from paretodet.transforms.resize import Sampling

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples" / "deploy"
PAGE = (ROOT / "docs" / "deploy.md").read_text("utf-8")
TINY = "yolo_v3_tiny-96"
LEAST = 0.3
SAMPLINGS: dict[str, Sampling] = {
    "stretch": "antialiased",
    "letterbox": "tf1",
}  # the page resizes as Pillow does
CHROMIUM = os.environ.get("PARETODET_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
# Python without paretodet: its folder is not on the path, and an import of it fails even where it is installed.
ALONE = "import sys; sys.modules['paretodet'] = sys.modules['torch'] = None; "

Found = list[tuple[str, float, list[float]]]


def grid(folder: Path, fit: str) -> None:
    write_grid(folder, FITS[fit](height=96, width=96, sampling=SAMPLINGS[fit]))  # type: ignore[call-arg]


def exported(folder: Path, fit: str) -> None:
    weights = write_narrow(TINY, folder.with_suffix(".safetensors"), fit=fit)
    write_bundle(str(weights), out=folder, images=folder.parent / "photo.png", sampling=SAMPLINGS[fit])


@pytest.fixture(scope="module", params=[grid, pytest.param(exported, marks=pytest.mark.full)])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle `ssd`, another with a letterbox, and photo.png, as the page calls them."""
    made = tmp_path_factory.mktemp("deploy")
    Image.fromarray(draw_images(seed=3, count=1)[0][:300, :500]).save(made / "photo.png")
    for name, fit in (("ssd", "stretch"), ("letterboxed", "letterbox")):
        request.param(made / name, fit)
    return made


def wanted(folder: Path, name: str) -> Found:
    """What paretodet detects with the bundle."""
    (boxes,) = detect(open_candidate(str(folder / name)), [folder / "photo.png"])
    return [(box.label, box.score, list(box.box)) for box in boxes if box.score > LEAST]


def assert_equal(found: Found, expected: Found, *, score: float = 2e-3, side: float = 0.1) -> None:
    """Each has its own counterpart, in any order: printed scores are rounded, so that some are equal."""
    assert len(found) == len(expected) > 3
    left = list(expected)
    for label, scored, box in found:
        same = [
            each
            for each in left
            if each[0] == label and abs(each[1] - scored) < score and np.abs(np.subtract(each[2], box)).max() < side
        ]
        assert same, f"{label} {scored} {box} is none of {left}"
        left.remove(same[0])


def run(folder: Path, code: str, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", ALONE + code, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_python_of_the_page_detects_the_same(folder: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (code,) = (block for block in blocks if "import onnxruntime" in block)
    assert len([line for line in code.splitlines() if line and not line.startswith(("import", "from"))]) <= 12
    script = folder / "page.py"
    script.write_text(code.replace("photo.jpg", "photo.png"), "utf-8")
    printed = run(folder, "exec(open('page.py').read())")
    lines = [re.fullmatch(r"(\S+) (\S+) (\[.*\])", line) for line in printed.splitlines()]
    found = [(line[1], float(line[2]), json.loads(line[3])) for line in lines if line]
    height, width = 300, 500  # the page leaves boxes that reach out of the photo as they are
    clipped = [(label, score, np.clip(box, 0, [width, height] * 2).tolist()) for label, score, box in found]
    assert_equal(clipped, wanted(folder, "ssd"))


@pytest.mark.parametrize("name", ["ssd", "letterboxed"])
def test_the_example_detects_the_same_with_every_fit(folder: Path, name: str) -> None:
    printed = run(
        folder, f"import runpy; runpy.run_path({str(EXAMPLES / 'detect.py')!r}, run_name='__main__')", name, "photo.png"
    )
    found = [json.loads(line) for line in printed.splitlines()]
    assert_equal([(each["label"], each["score"], each["box"]) for each in found], wanted(folder, name))


@pytest.mark.full
@pytest.mark.parametrize("folder", [exported], indirect=True)
@pytest.mark.parametrize(
    ("to", "libraries"),
    [
        ("openvino", ["openvino"]),
        ("litert", ["ai_edge_litert", "litert_torch"]),
        ("executorch", ["executorch"]),
        ("ncnn", ["ncnn", "pnnx"]),
        ("torch", ["torch"]),
    ],
)
def test_the_example_detects_the_same_with_other_bundles(folder: Path, to: str, libraries: list[str]) -> None:
    for library in libraries:
        pytest.importorskip(library, reason=f"{to} is not installed: pip install 'paretodet[{to}]'")
    write_bundle(str(folder / "ssd.safetensors"), out=folder / to, to=to, images=folder / "photo.png")
    library = find_spec(libraries[0])
    assert library and (places := library.submodule_search_locations)
    path = f"sys.path.append({str(Path(list(places)[0]).parent)!r}); "  # PYTHONPATH is not passed on
    path += "del sys.modules['torch']; " * (to in ("torch", "executorch"))
    code = f"import runpy; runpy.run_path({str(EXAMPLES / 'detect.py')!r}, run_name='__main__')"
    printed = run(folder, path + code, to, "photo.png")
    found = [json.loads(line) for line in printed.splitlines()]
    assert_equal([(each["label"], each["score"], each["box"]) for each in found], wanted(folder, to))


@pytest.mark.full
@pytest.mark.parametrize("folder", [exported], indirect=True)
@pytest.mark.parametrize(("to", "library"), [("onnx", "onnxruntime"), ("openvino", "openvino")])
def test_the_example_suppresses_what_an_artifact_leaves_to_it(folder: Path, to: str, library: str) -> None:
    pytest.importorskip(library, reason=f"{library} is not installed: pip install 'paretodet[{library}]'")
    name, options = f"{to}-open", {"to": to, "suppression": "out", "images": folder / "photo.png"}
    write_bundle(str(folder / "ssd.safetensors"), out=folder / name, **options)  # type: ignore[arg-type]
    found = find_spec(library)
    assert found and (places := found.submodule_search_locations)
    code = f"sys.path.append({str(Path(list(places)[0]).parent)!r}); import runpy; "  # PYTHONPATH is not passed on
    code += f"runpy.run_path({str(EXAMPLES / 'detect.py')!r}, run_name='__main__')"
    lines = [json.loads(line) for line in run(folder, code, name, "photo.png").splitlines()]
    assert_equal([(each["label"], each["score"], each["box"]) for each in lines], wanted(folder, name))


def test_the_example_names_a_form_that_it_cannot_run(folder: Path) -> None:
    copy = Path(shutil.copytree(folder / "ssd", folder / "native", dirs_exist_ok=True)) / "bundle.json"
    copy.write_text(copy.read_text("utf-8").replace('"target": "onnx"', '"target": "aotinductor"'), "utf-8")
    command = [sys.executable, str(EXAMPLES / "detect.py"), "native", "photo.png"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.endswith("and this one is of aotinductor\n")


@pytest.fixture
def site(folder: Path, tmp_path: Path) -> Iterator[str]:
    """The address of the page beside the bundles, on a server of this machine."""
    installed = EXAMPLES / "web" / "node_modules" / "onnxruntime-web"
    library = Path(os.environ.get("PARETODET_ORT_WEB") or installed).resolve()
    if not library.is_dir():
        pytest.skip("onnxruntime-web is not installed: npm install in examples/deploy/web, or set PARETODET_ORT_WEB")
    for file in ("index.html", "detect.js"):
        shutil.copy(EXAMPLES / "web" / file, tmp_path)
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "onnxruntime-web").symlink_to(library)
    for name in ("ssd", "letterboxed"):
        (tmp_path / name).symlink_to(folder / name)
    handler = functools.partial(QuietHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        return None


@pytest.mark.full
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium found: set PARETODET_CHROMIUM to its path")
@pytest.mark.parametrize("name", ["ssd", "letterboxed"])
def test_the_web_page_detects_the_same(site: str, folder: Path, name: str) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_page()
        complaints: list[str] = []
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        asked: list[str] = []
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(f"{site}/index.html?bundle={name}")
        tab.wait_for_selector("html[data-state=open]", timeout=60_000)
        tab.set_input_files("input", folder / "photo.png")
        tab.wait_for_selector("canvas[data-found]", timeout=60_000)
        found = json.loads(tab.get_attribute("canvas", "data-found") or "")
        browser.close()
    assert complaints == []
    assert [url for url in asked if not url.startswith((site, "blob:", "data:"))] == []
    assert_equal([(each["label"], each["score"], each["box"]) for each in found], wanted(folder, name))


@pytest.mark.full
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium found: set PARETODET_CHROMIUM to its path")
def test_the_web_page_says_that_the_bundle_is_missing(site: str) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_page()
        tab.goto(f"{site}/index.html?bundle=absent")
        tab.wait_for_function("!document.querySelector('output').value.startsWith('Loading')", timeout=60_000)
        assert "absent" in tab.evaluate("document.querySelector('output').value")
        browser.close()
