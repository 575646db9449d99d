import json
import subprocess
import sys
from dataclasses import asdict
from importlib.resources import files

import pytest

from counts import counted
from paretodet.detectors.catalogue import PROPOSALS, PUBLISHED, entries, names
from paretodet.detectors.names import parse

FULL = pytest.mark.full

FIELDS = [
    *("name", "meta_architecture", "backbone", "height", "width", "output_stride", "proposals", "classes"),
    *("parameters", "buffers", "macs", "layers", "moved", "flops"),
    *("ap", "ap50", "mask_ap", "mask_ap50", "ap_split", "ap_source"),
    *("published", "assumption"),
]


def test_fields_of_an_entry():
    assert all(list(asdict(entry)) == FIELDS for entry in entries())


def test_names_are_unique_and_published_ones_are_among_them():
    assert len(set(names())) == len(names())
    assert set(PUBLISHED) <= set(names())


COMMITTED = json.loads(files("paretodet.detectors").joinpath("counts.json").read_text())
FEW = f"-p{PROPOSALS[0]}"  # stands for every number of proposals: only a slope is left to the full tier


@pytest.mark.parametrize(
    "name", [n if parse(n).proposals is None or n.endswith(FEW) else pytest.param(n, marks=FULL) for n in names()]
)
def test_the_committed_counts_are_those_of_the_built_detectors(name):
    assert COMMITTED[name] == counted(name)


@pytest.mark.parametrize("name", [n for n in names() if n.endswith(FEW)])
def test_proposals_change_the_work_alone_and_each_by_the_same(name):
    family = {count: COMMITTED[name.removesuffix(FEW) + f"-p{count}"] for count in PROPOSALS}
    few, many = family[PROPOSALS[0]], family[PROPOSALS[-1]]
    each = {part: (many[part] - few[part]) / (PROPOSALS[-1] - PROPOSALS[0]) for part in ("macs", "moved")}
    for count, found in family.items():
        assert found == few | {part: few[part] + slope * (count - PROPOSALS[0]) for part, slope in each.items()}
    assert all((slope > 0) == name.startswith("faster_rcnn") for slope in each.values())


def test_published_accuracy_has_a_source_and_a_plausible_value():
    for known in PUBLISHED.values():
        assert len({p.split for p in known}) == len(known)
        for p in known:
            assert p.source and (p.ap or p.ap50 or p.mask_ap)
            assert p.ap is None or p.ap50 is None or 0 < p.ap < p.ap50 < 100


def test_the_catalogue_needs_no_torch():
    code = "import sys, paretodet.detectors.catalogue as c; c.entries(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
