"""Choosing members: by hand, on vectors with known angles, and from categories scored."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretodet.ensembles.diverse import diverse

# Five candidates' AP in three categories; e is half of d. Cosines: a-b 0.99993, a-c 0.9802, b-c 0.9813, a-d 0.7325,
# b-d 0.7371, c-d 0.6627.
STORED = {
    "a": {1: 40.0, 2: 40.0, 3: 40.0},
    "b": {1: 39.0, 2: 40.0, 3: 40.0},
    "c": {1: 30.0, 2: 30.0, 3: 45.0},
    "d": {1: 2.0, 2: 20.0, 3: 4.0},
    "e": {1: 1.0, 2: 10.0, 3: 2.0},
}


@pytest.mark.parametrize(
    ("similarity", "chosen"),
    [(1.0, "abcd"), (0.99995, "abcd"), (0.9999, "acd"), (0.98, "ad"), (0.7, "a")],
)
def test_the_best_first_and_only_different_ones(similarity, chosen):
    found = diverse(STORED, size=4, similarity=similarity)
    assert "".join(found) == chosen


def test_at_most_size_candidates():
    assert diverse(STORED, size=2, similarity=0.99) == ("a", "c")
    assert diverse(STORED, size=1, similarity=0.99) == ("a",)
    assert diverse({}, size=3, similarity=0.9) == ()


def test_only_the_angle_counts():
    """e is d at half the AP: the angle is all that counts."""
    pair = {name: STORED[name] for name in "de"}
    assert diverse(pair, size=2, similarity=0.999999) == ("d",)


def test_categories_without_objects_are_left_out():
    holed = {name: vector | {9: None} for name, vector in STORED.items()}
    assert diverse(holed, size=4, similarity=0.98) == diverse(STORED, size=4, similarity=0.98)


def test_a_zero_vector_is_similar_to_none():
    assert diverse({"x": {1: 5.0}, "y": {1: 0.0}}, size=2, similarity=0.5) == ("x", "y")


VECTORS = st.dictionaries(
    st.sampled_from("abcdef"),
    st.fixed_dictionaries({key: st.integers(0, 9).map(float) for key in range(3)}),
    min_size=1,
)


@given(VECTORS, st.floats(0, 1), st.randoms(use_true_random=False))
def test_the_order_of_candidates_does_not_matter(vectors, similarity, random):
    shuffled = dict(random.sample(list(vectors.items()), len(vectors)))
    found = diverse(vectors, size=3, similarity=similarity)
    assert diverse(shuffled, size=3, similarity=similarity) == found
    means = [sum(vectors[name].values()) for name in found]
    assert means == sorted(means, reverse=True) and means[0] == max(sum(v.values()) for v in vectors.values())


@pytest.mark.parametrize(
    ("vectors", "size", "similarity", "sentence"),
    [
        (STORED, 0, 0.9, "size: got 0"),
        (STORED, 2, 1.1, "similarity: got 1.1"),
        ({"a": {1: 5.0}, "b": {2: 5.0}}, 2, 0.9, "b and a were scored in different categories"),
        ({"a": {1: 5.0}, "b": {1: None}}, 2, 0.9, "b and a were scored in different categories"),
        ({"a": {1: None}}, 2, 0.9, "a was scored in no category"),
    ],
)
def test_incomparable_vectors_are_refused(vectors, size, similarity, sentence):
    with pytest.raises(ValueError, match=sentence):
        diverse(vectors, size=size, similarity=similarity)
