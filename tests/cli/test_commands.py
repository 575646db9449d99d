"""An option that is given twice is refused, unless it takes several values or is a switch."""

import pytest


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("measure", "ssd-vgg16-300", "--runtime", "eager", "--runtime", "onnxruntime"), "--runtime"),
        (("recommend", "--max-ms=4", "--max-ms", "5"), "--max-ms"),
        (("weights", "--json", "get", "a", "--out", "b", "--out", "c"), "--out"),
    ],
    ids=["list", "number", "of-a-group"],
)
def test_values_that_would_be_lost_are_refused(run, arguments, option):
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert f"{option} is given 2 times" in err


def test_what_may_be_repeated(run):
    status, _, err = run("recommend", "--max", "ap=3", "--max", "memory=4", "--json", "--json")
    assert status == 2
    assert "[rows-missing]" in err
