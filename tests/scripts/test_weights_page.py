"""The page of published weights shows the list."""

import weights_page
from paretodet.weights.published import entries


def test_the_page_has_the_table_of_the_list() -> None:
    page = weights_page.PAGE.read_text("utf-8")
    assert page == weights_page.filled(page), "run `python scripts/weights_page.py`"


def test_every_set_of_weights_has_a_line_with_its_accuracy_or_none() -> None:
    lines = [line for line in weights_page.table().splitlines() if line.startswith("| `")]
    assert [line.split("`")[1] for line in lines] == [each.name for each in entries()]
    assert "31.2 / 55.4 val2014-5k at 416" in lines[2] and "– / 55.3 test-dev at 416" in lines[2]
