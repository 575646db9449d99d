"""The backbones as data: their counts are those of the built networks, Table 2's follow from them by its own rules."""

import json
from importlib.resources import files

import pytest
import torch
from torch import nn

from counts import counted_backbone
from paretodet.backbones.catalogue import PUBLISHED, SIDES, entries
from paretodet.backbones.named import NETWORKS

BY_NAME = {entry.name: entry for entry in entries()}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_committed_counts_are_those_of_the_built_networks(name):
    committed = json.loads(files("paretodet.backbones").joinpath("counts.json").read_text())
    assert list(committed) == list(NETWORKS)
    assert committed[name] == counted_backbone(name)


def normalized(net):
    """Channels of every norm, by the norm's name."""
    norms = {n: m for n, m in net.named_modules() if n.endswith("norm") and not isinstance(m, nn.Identity)}
    return {n: m.running_mean.numel() for n, m in norms.items()}


def convolved(net):
    return sum(p.numel() for name, p in net.named_parameters() if ".norm." not in name)


def first_once(net):
    """Mean, variance and beta of each channel, one value for each channel of the first layer."""
    return convolved(net) + 3 * (sum(normalized(net).values()) - 64) + 64


def pointwise_once(net):
    """One value for each channel of the stem and of the pointwise convolutions, none for the depthwise ones."""
    return convolved(net) + sum(n for name, n in normalized(net).items() if "depthwise" not in name)


def a_channel(values):
    return lambda net: convolved(net) + values * sum(normalized(net).values())


@pytest.mark.parametrize(
    ("name", "count", "paper"),
    [
        ("vgg16", convolved, 14_714_688),
        ("mobilenet_v1", pointwise_once, 3_191_072),
        ("inception_v2", first_once, 10_173_112),
        ("resnet101", a_channel(4), 42_605_504),
        ("inception_v3", a_channel(3), 21_802_784),
        ("inception_resnet_v2", a_channel(3), 54_336_736),
    ],
)
def test_table_2_of_huang_et_al(name, count, paper):
    """Each of the six numbers follows another rule of counting."""
    with torch.device("meta"):
        net = NETWORKS[name].build()
    assert count(net) == paper == BY_NAME[name].parameters_paper


@pytest.mark.parametrize(
    ("name", "millions", "billions"),
    [
        ("vgg16", 138.36, 15.47),  # Simonyan and Zisserman 2014; with fc6 to fc8
        ("darknet53", None, 9.35),  # 18.7 Bn operations at 256: Redmon and Farhadi 2018, Table 2
        ("darknet19", None, 2.79),  # 5.58 Bn operations at 224: Redmon and Farhadi 2017, section 3
        ("mobilenet_v1", 4.2, 0.569),  # Howard et al. 2017, Table 8
    ],
)
def test_published_sizes_of_the_classifiers(name, millions, billions):
    """The networks here have no classifier: those layers are added to compare."""
    fully = {
        "vgg16": 25088 * 4096 + 4096 * 4096 + 4096 * 1000 + 9192,
        "darknet19": 49 * 1024 * 1000,
    }.get(name, BY_NAME[name].channels[-1] * 1000)
    assert (BY_NAME[name].macs + fully) / 1e9 == pytest.approx(billions, rel=1e-2)
    if millions:
        assert (BY_NAME[name].parameters + fully) / 1e6 == pytest.approx(millions, rel=1e-2)


def test_unpublished_values_are_none():
    assert {name for name, entry in BY_NAME.items() if entry.top1_published} == set(PUBLISHED)
    assert {name for name, entry in BY_NAME.items() if entry.parameters_paper} == set(PUBLISHED) - {"darknet53"}
    assert all((entry.top1_published is None) == (entry.top1_source is None) for entry in entries())
    assert set(SIDES) | set(PUBLISHED) <= set(BY_NAME)
