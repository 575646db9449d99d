"""Darknet cfgs: the networks of the published ones, and one clear error for a cfg that cannot be read."""

import os
import tracemalloc
from itertools import count
from pathlib import Path

import pytest
from hypothesis import strategies as st

from fuzzing import LONG_S, SHORT_S, damaged, fuzz
from paretodet.sources.darknet_cfg import MAX_LAYERS, DarknetPlan, read_plan
from paretodet.sources.darknet_layers import LAYERS, Convolution
from paretodet.sources.darknet_text import MAX_BYTES, CfgError

NET = "[net]\nwidth=32\nheight=32\n"
CONV = "[convolutional]\nfilters=12\nactivation=linear\n"
HEAD = "[yolo]\nclasses=1\nnum=2\nanchors=1,2,3,4\n"
SMALL = NET + CONV + HEAD

WORDS = [*LAYERS, "net", "cost", "layers", "from", "filters", "size", "stride", "pad", "padding", "groups", "group_id"]
WORDS += ["batch_normalize", "activation", "leaky", "anchors", "mask", "num", "classes", "width", "height", "scale_x_y"]
NUMBERS = [
    "0",
    "1",
    "-1",
    "2",
    "3",
    "16",
    "255",
    "-255",
    "99999999",
    "-99999999",
    "1e9",
    "nan",
    "1.5",
    "9" * 400,
    "1,2",
]
LINES = st.one_of(
    st.sampled_from(WORDS).map("[{}]".format),
    st.tuples(st.sampled_from(WORDS), st.sampled_from(NUMBERS + WORDS)).map("=".join),
    st.text(max_size=20),
)


def plan(folder: Path, text: str | bytes, size: tuple[int, int] | None = None) -> DarknetPlan:
    path = folder / "some.cfg"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_plan(path, size)


@pytest.mark.parametrize(
    ("name", "side", "layers", "floats", "heads"),
    [  # systems.md 1, 3.1, 4, 5.1: the layers of darknet's own listing and what its weights files hold
        ("yolov2", 608, 32, 50_983_561, [(425, 19)]),
        ("yolov3", 416, 107, 62_001_757, [(255, 13), (255, 26), (255, 52)]),
        ("yolov3-tiny", 416, 24, 8_858_734, [(255, 13), (255, 26)]),
        # by hand: 9 * 1,223,216 (3 -> 16 -> 32 -> ... -> 1024 -> 512) + 4 * 2,544 (norms) + 512 * 425 + 425
        ("yolov2-tiny", 416, 16, 11_237_145, [(425, 13)]),
    ],
)
def test_the_published_cfgs(data_folder, name, side, layers, floats, heads):
    found = read_plan(data_folder / "darknet" / "cfg" / f"{name}.cfg", (side, side))
    assert (len(found.steps), found.floats) == (layers, floats)
    assert [head.shape for head in found.heads] == [(channels, cells, cells) for channels, cells in heads]
    assert found.classes == 80 and found.letterboxed and not found.forked


def test_published_shapes_in_the_middle(data_folder):
    """systems.md 3.1 and 4: yolov2's passthrough, v3-tiny's max-pool that keeps its size."""
    v2 = read_plan(data_folder / "darknet" / "cfg" / "yolov2.cfg", (416, 416))
    assert [v2.steps[index].layer.shape for index in (16, 27, 28)] == [(512, 26, 26), (256, 13, 13), (1280, 13, 13)]
    assert v2.height == v2.width == 416 and v2.steps[28].sources == (27, 24)
    assert v2.heads[0].in_cells and v2.heads[0].softmax and v2.heads[0].priors[0] == (0.57273, 0.677385)
    tiny = read_plan(data_folder / "darknet" / "cfg" / "yolov3-tiny.cfg")
    assert tiny.steps[11].layer.shape == (512, 13, 13) and tiny.steps[20].sources == (19, 8)
    assert tiny.heads[0].priors == ((81, 82), (135, 169), (344, 319))


def test_spaces_comments_and_repeated_options(tmp_path):
    text = NET + "[ convolutional ]\r\n# a comment\n; another\n filters = 12 # here\nfilters=7\n" + HEAD
    layer = plan(tmp_path, "\ufeff" + text).steps[0].layer
    assert isinstance(layer, Convolution) and layer.filters == 12


def test_the_fork_stretches_unless_letter_box_is_set(tmp_path):
    forked = plan(tmp_path, SMALL + "scale_x_y=1.05\n")
    assert forked.forked and not forked.letterboxed and forked.heads[0].scale == 1.05
    assert plan(tmp_path, SMALL.replace("[net]\n", "[net]\nletter_box=1\n") + "nms_kind=greedynms\n").letterboxed


def test_outputs_that_no_later_layer_reads_are_freed(tmp_path):
    text = NET + CONV + CONV + "[route]\nlayers=0,-1\n" + CONV + HEAD
    assert [step.spent for step in plan(tmp_path, text).steps] == [(-1,), (), (0, 1), (2,), (3,)]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", r"some.cfg:1: got no section, a cfg starts with \[net\]"),
        (CONV, r"some.cfg:1: got \[convolutional\], a cfg starts with \[net\]"),
        ("width=3\n", "some.cfg:1: got 'width=3', it must be"),
        (NET + "filters\n", "some.cfg:4: got 'filters', it must be"),
        ("[net]\nwidth=32\n" + CONV, r"some.cfg:1: \[net\] height: missing"),
        (SMALL.replace("width=32", "width=99999999"), r"some.cfg:2: \[net\] width: .* 1\.\.16384"),
        (SMALL.replace("width=32", "width=-32"), r"some.cfg:2: \[net\] width: got '-32'"),
        (SMALL.replace("width=32", "width=" + "9" * 5000), r"some.cfg:2: \[net\] width: got '9{40}'"),
        (SMALL.replace("width=32", "width=1.5"), "whole number"),
        (SMALL.replace("width=32", "width=٣٢"), "whole number"),
        (NET + "channels=1\n" + CONV + HEAD, r"some.cfg:4: \[net\] channels: got '1'"),
        (NET + "[crnn]\n" + HEAD, r"some.cfg:4: layer \[crnn\] not known, known are convolutional, .*yolo"),
        (NET + CONV, r"some.cfg:1: \[net\] layers: none of them is \[region\] or \[yolo\]"),
        (NET + CONV.replace("12", "-3") + HEAD, r"some.cfg:5: \[convolutional\] filters: got '-3', .* 1\.\.65536"),
        (NET + CONV + "stride=0\n" + HEAD, r"some.cfg:7: \[convolutional\] stride: got '0'"),
        (NET + CONV + "groups=2\n" + HEAD, r"some.cfg:7: .* groups: got 2, it must divide 3 channels and 12 filters"),
        (NET + CONV + "size=99\n" + HEAD, r"size: the output would be 12x-66x-66"),
        (NET + CONV + "strid=2\n" + HEAD, r"some.cfg:7: .* strid: not known in \[convolutional\], known are .*stride"),
        (NET + CONV + "size=3\ndilation=2\n" + HEAD, r"dilation: got 2, which needs an odd size and padding of half"),
        (NET + CONV + "[sam]\nfrom=-1,-1\n" + HEAD, "from: names 2 layers, one is needed"),
        (NET + CONV + CONV + "stride=2\n[sam]\nfrom=0\n" + HEAD, "from: would multiply 12x32x32 by 12x16x16"),
        (NET + CONV + CONV + "[scale_channels]\nfrom=0\n" + HEAD, "by 12x32x32 .* needed is 12x1x1"),
        (NET + CONV + CONV + "[scale_channels]\nfrom=0\nscale_wh=1\n" + HEAD, "needed is 1x32x32"),
        (NET + CONV + CONV + "[sam]\nfrom=0\nactivation=mish\n" + HEAD, "activation: got 'mish'"),
        (NET + CONV + "[batchnorm]\nscale=1\n" + HEAD, r"scale: not known in \[batchnorm\]"),
        (NET + CONV + HEAD.replace("yolo", "Gaussian_yolo"), "2 anchors need 20 filters .* it has 12"),
        (NET + CONV + HEAD.replace("yolo", "Gaussian_yolo") + "yolo_point=left\n", "yolo_point: got 'left'"),
        (NET + CONV + "xnor=1\n" + HEAD, r"xnor: got '1', only 0"),
        (NET + CONV.replace("linear", "lhtan") + HEAD, r"activation: got 'lhtan', known are linear, leaky"),
        (NET + "[route]\nlayers=0\n" + HEAD, r"some.cfg:5: \[route\] layers: got '0', this is layer 0"),
        (NET + CONV + "[route]\nlayers=1\n" + HEAD, r"got '1', this is layer 1: allowed are 0\.\.0 and -1\.\.-1"),
        (NET + CONV + "[route]\nlayers=-1,5\n" + HEAD, r"layers: got '-1,5', this is layer 1"),
        (NET + CONV + "[route]\n" + HEAD, "layers: missing"),
        (NET + CONV + "[route]\nlayers=" + "-1," * 200_000 + "\n" + HEAD, "layers: names 200000 layers, at most 1000"),
        (NET + CONV + "[route]\nlayers=-1\ngroups=5\n" + HEAD, "groups: got 5, it must divide the channels"),
        (NET + CONV + "[route]\nlayers=-1\ngroups=2\ngroup_id=2\n" + HEAD, r"group_id: got '2', .* 0\.\.1"),
        (NET + CONV + CONV + "stride=2\n[route]\nlayers=0,1\n" + HEAD, r"layers: got maps of 32x32, 16x16"),
        (NET + CONV + "[shortcut]\nfrom=-2\n" + HEAD, "from: got '-2', this is layer 1"),
        (NET + CONV + CONV + "stride=3\n[shortcut]\nfrom=-2\n" + HEAD, "from: would add 32x32 to 11x11"),
        (NET + CONV + CONV + "[shortcut]\nfrom=-2\nweights_type=per_channel\n" + HEAD, "weights_type: .* known are"),
        (NET + CONV + "[reorg]\nstride=2\nreverse=1\n" + HEAD, "reverse: got '1', only 0"),
        (NET + CONV + "[reorg]\nstride=3\n" + HEAD, r"stride: got 3, it must divide the channels \(12\) twice"),
        (NET + CONV + "[upsample]\nstride=255\n[upsample]\nstride=255\n" + HEAD, "size: the output would be 12x20808"),
        (NET + CONV + "[maxpool]\nsize=2\npadding=3\n" + HEAD, r"padding: got '3', .* 0\.\.2"),
        (NET + CONV + "[softmax]\ngroups=7\n" + HEAD, "groups: got 7, it must divide the 12288 values"),
        (NET + CONV + "[yolo]\nclasses=1\nnum=2\n", r"some.cfg:7: \[yolo\] anchors: got 0 numbers, num=2 needs 4"),
        (SMALL.replace("anchors=1,2,3,4", "anchors=1,2,3,nan"), "anchors: got 'nan', it must be a number"),
        (SMALL + "mask=0,2\n", r"mask: got '2', .* 0\.\.1"),
        (SMALL.replace("classes=1", "classes=2"), r"classes: got 2, with which 2 anchors need 14 filters .* it has 12"),
        (SMALL + "new_coords=2\n", r"new_coords: got '2', .* 0\.\.1"),
        (SMALL + HEAD, r"some.cfg:11: \[yolo\] layers: reads layer 1, which gives boxes"),
        (SMALL.replace("yolo", "region") + "coords=5\n", "coords: got '5'"),
        (SMALL + "[route]\nlayers=0\n[reorg]\nstride=1\n[yolo]\nclasses=7\nanchors=1,2\n", "classes: got 7, the first"),
        (NET + CONV + "[avgpool]\n" + HEAD + "[route]\nlayers=0\n", None),
        (NET.replace("32", "16", 1) + CONV + "[avgpool]\n" + HEAD, "cells of 1x1 on a canvas of 32x16 are not square"),
        (NET + (CONV + "size=255\npad=1\n").replace("12", "65536") * 2, "weights: .* at most 268435456"),
        (NET.replace("32", "16384") + CONV.replace("12", "60"), "maps: 16106127360 numbers"),
        (NET + CONV * (MAX_LAYERS + 1) + HEAD, "got 1002, at most 1000"),
        (NET + CONV * 10_000, "got 10000, at most 1000"),
        ("#" * (MAX_BYTES + 1), "larger than 1 MiB"),
        (b"[net]\n\xff\xfe", "some.cfg:2: byte 6 is not UTF-8"),
    ],
    ids=count(),
)  # fmt: skip
def test_one_clear_error(tmp_path, text, fault):
    if fault is None:
        assert plan(tmp_path, text).heads
        return
    with pytest.raises(CfgError, match=fault) as caught:
        plan(tmp_path, text)
    assert len(caught.value.message.removeprefix(str(tmp_path))) < 300 and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "end", ["[avgpool]\n[softmax]\n", "[softmax]\ngroups=1\n[cost]\ntype=sse\n", "[connected]\n[soft]\n"]
)
def test_a_classifier_is_named_as_such(tmp_path, end):
    """As darknet19, darknet53 and the older ones end."""
    with pytest.raises(CfgError, match=r"some\.cfg: is of another task, classification") as caught:
        plan(tmp_path, NET + CONV + end)
    assert caught.value.id == "onnx-task"
    with pytest.raises(CfgError, match=r"layer \[connected\] not known"):  # of YOLO's first version
        plan(tmp_path, NET + CONV + "[connected]\n[softmax]\n[detection]\n")


def test_what_is_no_file(tmp_path):
    for path in (tmp_path / "none.cfg", tmp_path, Path("/dev/zero")):
        with pytest.raises(CfgError, match="no such file"):
            read_plan(path)
    with pytest.raises(ValueError, match="size: got 32x99999"):
        plan(tmp_path, SMALL, (32, 99999))


@pytest.mark.parametrize(
    "text",
    [
        SMALL + "\n" * (MAX_BYTES - len(SMALL)),
        NET + CONV * 40_000,
        NET + (CONV + "[route]\nlayers=" + "-1," * 900 + "\n") * 250,
        NET + CONV + "[route]\nlayers=" + "0," * 300_000,
        NET + HEAD.replace("1,2,3,4", "1," * 300_000),
        "[net]\n" + "a" * 900_000 + "=1\n",
        "[" + "net" * 300_000 + "]",
    ],
    ids=count(),
)
def test_reading_takes_little_memory_for_every_cfg(tmp_path, text):
    tracemalloc.start()
    try:
        survives(tmp_path, text.encode())
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()


def survives(folder: Path, content: bytes) -> None:
    """A plan whose shapes are sound, or a CfgError; never anything else."""
    try:
        found = plan(folder, content)
    except CfgError as error:
        assert "some.cfg" in str(error)
    else:
        assert all(min(step.layer.shape) > 0 for step in found.steps) and found.heads


def cfgs_read(folder: Path, seconds: float) -> int:
    """How many were read in this time: random lines, and damaged valid cfgs."""
    lines = st.lists(LINES, max_size=30).map(lambda lines: (SMALL + "\n".join(lines)).encode("utf-8", "replace"))
    return len(fuzz(st.one_of(lines, damaged(*seeds())), lambda content: survives(folder, content), seconds))


def seeds() -> list[bytes]:
    folder = os.environ.get("PARETODET_DATA")
    found = sorted((Path(folder) / "darknet").rglob("*.cfg")) if folder else []
    return [SMALL.encode(), *(path.read_bytes() for path in found)]


@pytest.mark.usefixtures("half")
def test_no_cfg_breaks_the_reader(tmp_path):
    assert cfgs_read(tmp_path, SHORT_S) > 100


@pytest.mark.full
def test_no_cfg_breaks_the_reader_for_long(tmp_path):
    assert cfgs_read(tmp_path, LONG_S) > 2000
