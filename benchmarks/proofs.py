"""Proves a detector in every form of artifact and precision that can be written here: `benchmarks/proofs.py NAME`.

NAME is a detector or a file of its weights, which is exported as a bundle, or what only runtimes take, as a darknet cfg
or an ONNX file, which is proved in every runtime. Each is compared with `reference`, by default NAME itself, in eager
PyTorch and float32 on the labeled images of `--data`; int8 is calibrated on other images, those of `--calibrate`. A row
has the numbers of the proof; with too few labeled objects for a verdict on the AP, the agreement is what it tells.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rows import add_out, append

from paretodet.candidate import NetworkCandidate
from paretodet.evaluation.ground_truth import GroundTruth, read_ground_truth
from paretodet.export.proof import Pair, ParityError, Proof, prove
from paretodet.export.table import TARGETS
from paretodet.exporting import NO_IMAGES, write_bundle
from paretodet.opening import open_candidate
from paretodet.runtimes.table import RUNTIMES

Made = tuple[Proof, dict[str, int] | None]  # a proof, and the layers that execute by precision
INT8 = "int8"


def bundles(options: argparse.Namespace) -> Iterator[tuple[str, str, Callable[[], Made]]]:
    """Every target, precision, and how its bundle is made."""

    def make(target: str, precision: str) -> Made:
        chosen: dict[str, Any] = {"weights": options.weights, "fit": options.fit, "precision": precision}
        chosen["calibration"] = options.calibrate if precision == INT8 else None
        labels = {"data": options.data, "split": options.split}
        with TemporaryDirectory() as folder:
            bundle = write_bundle(options.name, out=f"{folder}/bundle", to=target, **labels, **chosen)
            return bundle.proof, bundle.manifest.precision_layers

    for target in TARGETS:
        for precision in target.precisions:
            yield target.name, precision, partial(make, target.name, precision)


def sessions(options: argparse.Namespace) -> Iterator[tuple[str, str, Callable[[], Made]]]:
    """Every runtime, precision, and how it is proved there."""
    labels: GroundTruth = read_ground_truth(options.data, split=options.split)
    reference = open_candidate(options.reference or options.name, weights=options.weights, fit=options.fit)

    def make(runtime: str, precision: str) -> Made:
        chosen: dict[str, Any] = {"fit": options.fit, "runtime": runtime, "precision": precision}
        chosen["calibration"] = options.calibrate if precision == INT8 else None
        weights = None if options.reference else options.weights
        artifact = open_candidate(options.name, weights=weights, **chosen)
        assert isinstance(artifact, NetworkCandidate)
        facts = artifact.facts()
        version = dict(facts.runtime_settings).get("version", "")
        pair = Pair(reference=reference, artifact=artifact, precision=facts.precision, runtime=f"{runtime} {version}")
        return prove(pair, NO_IMAGES, labels)[0], facts.precision_layers

    for kind in RUNTIMES:
        for precision in kind.usable("cpu"):
            if (kind.name, precision) != ("eager", "fp32"):
                yield kind.name, precision, partial(make, kind.name, precision)


def row(name: str, to: str, precision: str, make: Callable[[], Made]) -> dict[str, Any] | None:
    """The proof, also of a bundle that fails; None, with the reason printed, if there is none."""
    try:
        proof, layers = make()
    except ParityError as error:
        proof, layers = error.proof, None
    except (ImportError, ValueError) as error:
        print(f"  {to} {precision}: {error}", flush=True)
        return None
    return {"name": name, "to": to, "asked": precision, "precision_layers": layers, "proof": asdict(proof)}


def show(each: dict[str, Any]) -> str:
    proof = each["proof"]
    words = [f"  {each['to']:12}{each['asked']:6}{proof['verdict']:11}"]
    words.append("" if proof["agreement"] is None else f"agreement {proof['agreement']:.3f}")
    words += [f"{size} {ratio['ratio']:.3f}" for size, ratio in proof["ratios"].items()]
    return "  ".join(words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_out(parser)
    parser.add_argument("name", help="detector, file of its weights, darknet cfg or ONNX file")
    parser.add_argument("--weights", help="file of its weights, or of the reference if there is one")
    parser.add_argument("--fit", help="how images are brought to the canvas")
    parser.add_argument("--reference", help="what is compared with, in eager PyTorch; by default NAME")
    parser.add_argument("--data", type=Path, required=True, help="labels of the images of the proofs")
    parser.add_argument("--split", help="split of the labels")
    parser.add_argument("--calibrate", type=Path, help="folder with other images, to calibrate int8 on")
    parser.add_argument("--only", default="", help="only these, as `litert,openvino int8`")
    parser.add_argument("--runtimes", action="store_true", help="prove in every runtime, without a bundle")
    options = parser.parse_args()
    for to, precision, make in (sessions if options.runtimes else bundles)(options):
        if not any(part in f"{to} {precision}" for part in options.only.split(",")):
            continue
        if (made := row(Path(options.name).name, to, precision, make)) is not None:
            print(show(made), flush=True)
            append(made, options.out)


if __name__ == "__main__":
    main()
