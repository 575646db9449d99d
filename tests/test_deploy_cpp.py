"""The C++ of docs/deploy.md, compiled as the page says: it detects what paretodet detects with the same bundle."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from narrow_weights import write_narrow
from paretodet.bench.synthetic_images import draw_images
from paretodet.exporting import write_bundle
from test_deploy import EXAMPLES, assert_equal, wanted

TINY = "yolo_v3_tiny-96"
MISSING = [tool for tool in ("cmake", "g++") if shutil.which(tool) is None]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    executorch = pytest.importorskip("executorch")
    folder = tmp_path_factory.mktemp("build")
    configure = ["cmake", "-B", folder, "-S", EXAMPLES / "cpp", f"-DCMAKE_PREFIX_PATH={list(executorch.__path__)[0]}"]
    done = subprocess.run(configure, capture_output=True, text=True)
    if done.returncode and "Could not find" in done.stderr + done.stdout:
        pytest.skip("a header is not installed: apt-get install nlohmann-json3-dev libstb-dev")
    assert done.returncode == 0, done.stderr
    done = subprocess.run(["cmake", "--build", folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "detect"


@pytest.mark.full
@pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
@pytest.mark.parametrize("fit", ["stretch", "letterbox", "letterbox-darknet"])
def test_the_program_detects_the_same_with_every_fit(program: Path, fit: str, tmp_path: Path) -> None:
    Image.fromarray(draw_images(seed=3, count=1)[0][:300, :500]).save(tmp_path / "photo.png")
    weights = write_narrow(TINY, tmp_path / "weights.safetensors", fit=fit)
    write_bundle(str(weights), out=tmp_path / "pte", images=tmp_path / "photo.png", to="executorch")
    done = subprocess.run([program, "pte", "photo.png"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert_equal([(each["label"], each["score"], each["box"]) for each in found], wanted(tmp_path, "pte"))


@pytest.mark.full
@pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
def test_the_program_says_what_it_needs(program: Path) -> None:
    done = subprocess.run([program], capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith("usage: detect BUNDLE PHOTO")
