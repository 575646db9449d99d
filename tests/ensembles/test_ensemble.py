"""Ensembles of any candidates: labels matched by name, correct facts, no broken rule, and measured."""

import itertools
import json

import pytest
import torch
from ensemble_candidates import Blocks, detections, filled, painted, random_images, run, tiny

from paretodet.bench.candidate import Candidate, Labeled, ModelInfo, Staged, Stated
from paretodet.bench.job import Job, Plan
from paretodet.bench.worker import MeasuredCandidate
from paretodet.diagnosis import check_contract
from paretodet.ensembles.ensemble import Ensemble, combined_info
from paretodet.ensembles.fusion import BoxFusion, Suppression

SSD = "ssd-mobilenet_v1-128"


class Says:
    """Finds the same rows in every image."""

    def __init__(self, *rows, name="says", labels=(), **facts):
        self.name, self.rows, self.labels, self._facts = name, rows, labels, facts

    def prepare(self, images):
        return len(images)

    def infer(self, batch):
        return batch

    def finish(self, outputs, sizes):
        one = detections(*self.rows)
        return type(one)(*(part.expand(len(sizes), *part.shape[1:]) for part in one[:3]))

    def facts(self):
        return ModelInfo(**self._facts)


def test_it_is_a_candidate_with_all_optional_parts():
    made = Ensemble([Blocks(), Blocks()])
    assert all(isinstance(made, kind) for kind in (Candidate, Staged, Stated, Labeled))
    assert made.name == "blocks + blocks" and made.labels == Blocks.labels


def test_two_equal_members_give_the_result_of_one():
    image = painted((100, 5, 6, 30, 40), (200, 50, 10, 70, 20))
    alone = run(Blocks(), [image])
    assert torch.allclose(filled(run(Ensemble([Blocks(), Blocks()]), [image])), filled(alone))


def test_members_with_different_labels_are_matched_by_name():
    """Members may number "cat" differently; an unnamed label is dropped."""
    long = Says((0.9, 2, 0, 0, 9, 9), (0.8, 1, 0, 0, 9, 9), (0.3, 3, 0, 0, 9, 9), labels=("owl", None, "cat", "dog"))
    short = Says((0.5, 1, 0, 0, 9, 9), labels=("dog", "cat"))
    for members in ([long, short], [short, long]):
        made = Ensemble(members)
        assert made.labels == ("dog", "cat", "owl") and made.facts().classes == 3
        found = filled(run(made, random_images(1)))
        assert found[:, :2].flatten().tolist() == pytest.approx([0.7, 1, 0.15, 0])


def test_a_label_that_only_one_member_has_is_not_halved():
    """The other member cannot detect it, so it does not count as a source."""
    long = Says((0.9, 0, 0, 0, 9, 9), (0.8, 1, 20, 20, 29, 29), labels=("owl", "cat"))
    found = filled(run(Ensemble([long, Says(labels=("cat",))]), random_images(1)))
    assert found[:, :2].tolist() == [[pytest.approx(0.9), 1], [pytest.approx(0.4), 0]]


def test_members_with_and_without_labels_are_refused():
    with pytest.raises(ValueError, match="labels: some"):
        Ensemble([Says(labels=("a",)), Says()])
    with pytest.raises(ValueError, match="members: got none"):
        Ensemble([])


def test_the_order_of_members_does_not_matter():
    members = [tiny(SSD, seed=seed) for seed in range(3)]
    images = random_images(2)
    for fusion in (BoxFusion(), Suppression()):
        first, *others = (run(Ensemble(each, fusion=fusion), images) for each in itertools.permutations(members))
        assert first.scores[0, 5] > 0
        assert all(torch.equal(a, b) for other in others for a, b in zip(other[:3], first[:3], strict=True))


def facts(**kept):
    return {"macs": 5, "macs_other": 2, "parameters": 3, "buffers": 1, "activations_mib": 0.5, "artefact": "x"} | kept


def test_work_is_summed_and_shared_weights_count_once():
    one, two = Says(**facts()), Says(**facts(macs=7, artefact="y", uncounted=("sort",)))
    both, twice = Ensemble([one, two]).facts(), Ensemble([one, one]).facts()
    assert (both.macs, both.macs_other, both.parameters, both.buffers, both.activations_mib) == (12, 4, 6, 2, 1.0)
    assert (twice.macs, twice.macs_other, twice.parameters, twice.buffers, twice.activations_mib) == (10, 4, 3, 1, 1.0)
    assert both.uncounted == ("sort",)


def test_a_count_that_one_member_lacks_is_unknown():
    found = Ensemble([Says(**facts()), Says()]).facts()
    assert found.macs is found.parameters is found.spec is None and found.artefact == ""


def test_equal_facts_are_kept_and_different_ones_are_not():
    one = Says(**facts(height=300, width=300, weights="aa", precision="fp32", load="capacity"))
    two = Says(**facts(height=300, width=400, weights="bb", precision="bf16", runtime="onnx"))
    found = combined_info([one, two], ())
    assert (found.height, found.width, found.load) == (300, None, "data")
    assert (found.precision, found.runtime) == ("bf16+fp32", "eager+onnx")
    assert len(found.weights) == 64 and found.weights == combined_info([two, one], ()).weights
    assert combined_info([one, Says()], ()).weights == "random" and combined_info([one, one], ()).weights == "aa"


def test_the_artifact_depends_on_members_and_fusion_but_not_their_order():
    one, two = Says(**facts()), Says(**facts(artefact="y"))
    found = Ensemble([one, two]).facts().artefact
    assert found == Ensemble([two, one]).facts().artefact
    others = Ensemble([one, one]), Ensemble([one]), Ensemble([one, two], fusion=BoxFusion(overlap=0.5))
    assert found not in [other.facts().artefact for other in others]


def test_two_gpus_are_refused():
    with pytest.raises(ValueError, match="device: got cuda:0, cuda:1"):
        combined_info([Says(device="cuda:0"), Says(device="cuda:1")], ())
    assert combined_info([Says(device="cuda:0"), Says()], ()).device == "cuda:0"


def test_it_passes_the_doctor_and_sums_its_members_facts():
    made = Ensemble([tiny(SSD, full=True), tiny(full=True)])
    assert [finding.broken for finding in check_contract(made, random_images(2)) if finding.broken] == []
    found, each = made.facts(), [member.facts() for member in made.members]
    assert found.macs == sum(one.macs for one in each) and found.parameters == sum(one.parameters for one in each)
    assert found.load == "capacity" and found.classes == 3 and found.height is None
    assert [spec["name"] for spec in json.loads(found.spec)["specs"]] == sorted(m.spec.name for m in made.members)


QUICK = Plan(sampled=0.05, burst=0.02, warm=0.02, warm_calls=2, warm_limit=0.1)


@pytest.mark.full
def test_the_bench_measures_it_with_its_members_as_stages():
    made = Ensemble([tiny(SSD, full=True), tiny(full=True)])
    session = MeasuredCandidate(Job(name="both", make=lambda: made), QUICK)
    seen = session.load(random_images(2))
    session.burst()
    closed = session.close()
    assert seen["facts"]["macs"] == made.facts().macs
    assert list(closed["stages_ms"]) == [f"1 {made.members[0].name}", f"2 {made.members[1].name}", "finish"]


def test_a_label_beyond_a_members_list_is_refused():
    for members in (
        [Says((0.9, 2, 0, 0, 9, 9), name="loud", labels=("dog", "cat")), Says(labels=("cat", "dog"))],
        [Says((0.9, 2, 0, 0, 9, 9), name="loud", labels=("dog", "cat"))],
        [Says((0.9, -1, 0, 0, 9, 9), name="loud", labels=("dog", "cat"))],
    ):
        with pytest.raises(ValueError, match=r"labels: loud detects label (2|-1), its list has 2"):
            run(Ensemble(members), random_images(1))
    empty = [Says((0.0, 7, 0, 0, 9, 9), (0.9, 0, 0, 0, 9, 9), labels=("dog", "cat")), Says(labels=("cat", "dog"))]
    assert filled(run(Ensemble(empty), random_images(1)))[:, 1].tolist() == [1]  # "dog"
