"""Packages of AOTInductor without code that runs, for tests of what is read and refused."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from made_bundles import manifest
from paretodet.export.aotinductor import CODE, KEY, METADATA, OPERATORS, PackageInfo, TensorShape, here
from paretodet.export.bundle import entries, fit_to_json, write_manifest
from paretodet.export.pt2 import write_archive
from paretodet.transforms.resize_policy import Stretch

ARTIFACT, SIDE = "detector.pt2", 32
INFO = PackageInfo(
    platform=here(),
    layers={"fp32": 7},
    inputs=(
        TensorShape(name="pixels", type="uint8", shape=(1, 3, SIDE, SIDE)),
        TensorShape(name="sizes", type="float32", shape=(1, 2)),
    ),
    outputs=(TensorShape(name="scores", type="float32", shape=(1, 4)),),
)


def members(info: PackageInfo = INFO) -> dict[str, bytes]:
    metadata = {"AOTI_DEVICE_KEY": "cpu", KEY: json.dumps(asdict(info))}
    return {CODE: b"no code", OPERATORS: b'{"nodes": []}', METADATA: json.dumps(metadata).encode()}


def write_package(path: Path, info: PackageInfo = INFO, **others: bytes) -> Path:
    """A package that torch would refuse; `others` are more members, by their names."""
    write_archive((members(info) | others).items(), path)
    return path


def write_package_bundle(folder: Path, **changed: Any) -> str:
    """A bundle with such a package, whose hashes are right."""
    folder.mkdir()
    write_package(folder / ARTIFACT)
    stated = {"target": "aotinductor", "artifact": ARTIFACT, "files": entries(folder, (ARTIFACT,))}
    shape = {"height": SIDE, "width": SIDE, "batch": 1, "fit": fit_to_json(Stretch(height=SIDE, width=SIDE))}
    write_manifest(folder, manifest(folder, **stated | shape | {"precision": "fp32", "score": None} | changed))
    return str(folder)
