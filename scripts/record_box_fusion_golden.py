"""Writes tests/ensembles/golden/box_fusion.npz: weighted box fusion by its authors' package, ensemble-boxes.

    pip install --no-deps --target /tmp/authors ensemble-boxes
    python scripts/record_box_fusion_golden.py /tmp/authors

A scene has three sources of 40 boxes, jittered around 12 places of 2 classes, with coordinates in 0..1.
"""

import importlib.util
import sys
from pathlib import Path

import numpy as np

OUT = Path(__file__).resolve().parents[1] / "tests" / "ensembles" / "golden" / "box_fusion.npz"
OVERLAP = 0.55


def main() -> None:
    package = Path(sys.argv[1])
    file = package / "ensemble_boxes" / "ensemble_boxes_wbf.py"  # not the package, which needs numba
    module = importlib.util.spec_from_file_location("authors", file)
    assert module is not None and module.loader is not None
    authors = importlib.util.module_from_spec(module)
    module.loader.exec_module(authors)
    random, kept = np.random.default_rng(0), {"overlap": np.array(OVERLAP)}
    for scene in range(5):
        rows = scene_of(random)
        boxes, scores, labels = authors.weighted_boxes_fusion(
            [part[:, 2:].tolist() for part in rows],
            [part[:, 0].tolist() for part in rows],
            [part[:, 1].astype(int).tolist() for part in rows],
            iou_thr=OVERLAP,
        )
        kept |= {f"rows{scene}": rows, f"fused{scene}": np.column_stack([scores, labels, boxes])}
    OUT.parent.mkdir(exist_ok=True)
    np.savez_compressed(OUT, **kept)  # type: ignore[arg-type]


def scene_of(random: np.random.Generator) -> np.ndarray:
    """[3, 40, 6] rows (score, label, x1, y1, x2, y2), float32."""
    corner, side = random.uniform(0.1, 0.5, (12, 2)), random.uniform(0.1, 0.35, (12, 2))
    place = random.integers(0, 12, (3, 40))
    boxes = np.concatenate([corner, corner + side], 1)[place] + random.normal(0, 0.012, (3, 40, 4))
    head = np.stack([random.uniform(0.05, 1, (3, 40)), place % 2], 2)
    return np.concatenate([head, boxes], 2).astype(np.float32)


if __name__ == "__main__":
    main()
