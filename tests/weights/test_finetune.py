"""A detector is initialized from the weights of another one with the same architecture."""

import pytest
import torch

from paretodet.detectors.detector import Detector
from paretodet.detectors.families import Override, spec
from paretodet.training.config import TrainConfig
from paretodet.training.recipes import make_recipe
from paretodet.training_run import _initial_metadata, train
from paretodet.weights import darknet, files
from paretodet.weights.files import WeightsMetadata
from paretodet.weights.finetune import check_imported, initialize_from
from paretodet.weights.safe import WeightsError
from tensorflow_files import graph

NAME = "yolo_v3_tiny-416"
METADATA = WeightsMetadata(name=NAME, labels=("cat", "dog"), scratch=True, width=0.125)


def built(labels, metadata=METADATA, seed=0):
    torch.manual_seed(seed)
    return Detector(metadata.apply_to(spec(NAME, Override(labels=labels))))


@pytest.fixture
def kept(tmp_path):
    path = tmp_path / "kept.safetensors"
    files.save(built(METADATA.labels, seed=1).state_dict(), path, METADATA)
    return path


def test_tensors_that_do_not_depend_on_classes_are_loaded(kept):
    donor, detector = built(METADATA.labels, seed=1).state_dict(), built(("a", "b", "c"))
    before = {key: value.clone() for key, value in detector.state_dict().items()}
    anew = initialize_from(detector, kept, NAME)
    assert anew and all(key.startswith("heads.") for key in anew)
    for key, value in detector.state_dict().items():
        assert torch.equal(value, before[key] if key in anew else donor[key])


def test_with_the_same_classes_all_tensors_are_loaded(kept):
    detector = built(("x", "y"))
    assert initialize_from(detector, kept, NAME) == ()
    donor = built(METADATA.labels, seed=1).state_dict()
    assert all(torch.equal(value, donor[key]) for key, value in detector.state_dict().items())


def test_another_width_is_refused(kept):
    detector = built(("x", "y"), WeightsMetadata(name=NAME, scratch=True, width=0.25))
    with pytest.raises(WeightsError, match=r"backbone\..* has another shape in yolo_v3_tiny-416 at width 0.25"):
        initialize_from(detector, kept, NAME)


def test_the_random_state_is_unchanged(kept):
    detector = built(("a",))
    state = torch.get_rng_state()
    initialize_from(detector, kept, NAME)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    "metadata", [{"width": 0}, {"width": 2}, {"width": "1"}, {"width": float("nan")}, {"scratch": 1}]
)
def test_invalid_metadata_are_refused(metadata):
    with pytest.raises(ValueError, match="^(scratch|width): expected (bool|float)"):
        WeightsMetadata(name=NAME, **metadata)


def test_weights_of_another_detector_are_refused(kept):
    with torch.device("meta"):
        other = Detector(spec("ssd-mobilenet_v1-300", Override(labels=("a",))))
    with pytest.raises(WeightsError, match=f"kept.safetensors: these are weights of {NAME}, "):
        initialize_from(other, kept, "ssd-mobilenet_v1-300")


def test_a_training_from_imported_weights_has_the_form_of_their_detector(tmp_path):
    """And not their accuracy, which is that of other weights."""
    form = {"norm_eps": 1e-5, "released": True, "sampling": "tf1", "width": 0.5}
    given = WeightsMetadata(name=NAME, ap=30.0, split="val2017", license="MIT", **form)
    files.save({"a": torch.zeros(1)}, path := tmp_path / "w.safetensors", given)
    config = TrainConfig(name=NAME, data=tmp_path, recipe=None, weights=path)
    assert _initial_metadata(config) == WeightsMetadata(name=NAME, **form)


SSD = "ssd-mobilenet_v1-300"


@pytest.fixture
def original(tmp_path):
    """A frozen graph by the names of TensorFlow's detection API."""
    graph({"FeatureExtractor/MobilenetV1/Conv2d_0/weights": torch.ones(3, 3, 3, 16)}, path := tmp_path / "frozen.pb")
    return path


def test_weights_of_another_code_base_are_not_trained_from_before_they_are_imported(original):
    """Their detector may have another width, other crops or epsilons than the catalogue's: the import reads them."""
    with torch.device("meta"):
        detector = Detector(spec(SSD, Override(labels=("a",))))
    with pytest.raises(WeightsError, match=rf"`paretodet import .*frozen\.pb --as {SSD} ") as refused:
        initialize_from(detector, original, SSD)
    assert refused.value.id == "weights-format"


def test_they_are_refused_before_labels_are_read(original, tmp_path):
    recipe = make_recipe("quick", SSD, steps=1, batch=2)
    config = TrainConfig(name=SSD, data=tmp_path / "no labels", recipe=recipe, weights=original)
    with pytest.raises(WeightsError, match=r"frozen\.pb: ") as refused:
        train(config, tmp_path / "run", notify=lambda sentence: None)
    assert refused.value.id == "weights-format"


def test_darknets_files_need_no_import(tmp_path):
    darknet.save(built(("a",), seed=1), path := tmp_path / "w.weights")
    check_imported(path, NAME)
