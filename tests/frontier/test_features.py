"""Names of several origins, read into numbers and words."""

import numpy as np
import pytest

from paretodet.frontier.features import Features, of_names


def column(features: Features, name: str) -> list[float]:
    """The numbers of a column, no logarithms."""
    return np.exp(features.numbers[:, features.number_names.index(name)]).round(6).tolist()


def test_depth_width_and_size_of_yolo_names() -> None:
    features = of_names(["yolo5d33w25_320", "yolo6l-d6w5_160", "yolo7l_480", "yolo7n_480", "yolo8d1w1_480"])
    assert column(features, "d") == [0.33, 0.6, 1, 0.33, 1]
    assert column(features, "w") == [0.25, 0.5, 1, 0.25, 1]
    assert column(features, "size") == [320, 160, 480, 480, 480]
    first, second, third, fourth, fifth = features.categories.tolist()
    assert third == fourth and len({*map(tuple, (first, second, third, fifth))}) == 4


def test_names_that_differ_in_size_are_one_network() -> None:
    features = of_names(["yolo5d33w25_320", "yolo5d33w25_160", "yolo5d1w25_320"])
    networks = features.categories[:, features.category_names.index("network")].tolist()
    assert networks[0] == networks[1] != networks[2]
    assert "network" not in of_names(["yolo5n", "yolo5s", "yolo8n"]).category_names


def test_stride_proposals_and_words_of_our_names() -> None:
    features = of_names(["faster_rcnn-resnet101-600-s16-p300", "faster_rcnn-vgg16-600x850-s8", "ssd-vgg16-300"])
    assert column(features, "size") == pytest.approx([600, np.sqrt(600 * 850), 300])
    assert column(features, "s")[:2] == [16, 8] and np.isnan(column(features, "s")[2])
    assert column(features, "p")[0] == 300 and np.isnan(column(features, "p")[1:]).all()
    words = dict(zip(features.category_names, features.categories.T.tolist(), strict=True))
    assert words["word 1"][0] == words["word 1"][1] != words["word 1"][2]
    assert words["word 2"][1] == words["word 2"][2] != words["word 2"][0]


def test_codes_of_words_do_not_depend_on_the_other_names() -> None:
    one, other = of_names(["a-x_320", "b-y_320"]), of_names(["c-z_160", "b-y_160", "a-x_160"])
    assert one.category_names == other.category_names
    assert one.categories.tolist() == other.categories[[2, 1]].tolist()


def test_known_columns_are_added() -> None:
    known: dict[str, list[float | str | None]] = {}
    known["macs"], known["runtime"] = [1e9, None, 4e9], ["eager", "onnxruntime", None]
    features = of_names(["a", "b", "c"], known=known)
    np.testing.assert_allclose(features.numbers[:, 0], np.log([1e9, np.nan, 4e9]))
    assert features.number_names == ("macs",) and "runtime" in features.category_names
    assert features.where(np.array([2])).numbers.shape == (1, 1)


def test_a_column_with_a_zero_has_no_logarithms() -> None:
    assert of_names(["efficientdet_d0", "efficientdet_d3"]).numbers[:, 0].tolist() == [0, 3]


@pytest.mark.parametrize("names", [[], [""], ["-"], ["foo.onnx"], ["a_1x2x3", "v1"], ["s" * 500]])
def test_any_name_is_read(names: list[str]) -> None:
    features = of_names(names)
    assert features.numbers.shape == (len(names), len(features.number_names))
    assert features.categories.shape == (len(names), len(features.category_names))


def test_zero_is_no_size_and_neither_is_what_no_image_has() -> None:
    features = of_names(["run-0", "run-1280", "run-640-0", "0", "a_0x320", f"run-{10**400}"])
    sizes = np.exp(features.numbers[:, features.number_names.index("size")])
    np.testing.assert_allclose(sizes, [np.nan, 1280, 640, np.nan, np.nan, np.nan])
