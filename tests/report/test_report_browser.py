"""The page in a headless Chromium: silent console, the sliders' answer, hostile text, sorting, themes, widths."""

import json
import random
from dataclasses import replace

import pytest

from paretodet.frontier.recommend import Budget, recommend
from paretodet.report.boxes import BoxShares, BoxSizes
from paretodet.report.page import page


def _slide(tab, places):
    tab.evaluate(
        """places => document.querySelectorAll("#budget input").forEach((slider, i) => {
             slider.value = places[i]; slider.dispatchEvent(new Event("input", { bubbles: true })); })""",
        places,
    )
    return tab.evaluate("document.getElementById('card').dataset.choice")


@pytest.mark.parametrize("split", [None, "mixed"])
def test_the_sliders_show_the_answers_of_recommend(rows, plain_page, opened, split):
    tab = opened(page(rows, split=split) if split else plain_page)
    axes = json.loads(tab.evaluate("document.getElementById('data').textContent"))["answers"]["axes"]
    places = random.Random(2)
    for _ in range(60):
        at = [places.randrange(len(axis["stops"])) for axis in axes]
        latency, memory, accuracy = (axis["stops"][place] for axis, place in zip(axes, at, strict=True))
        limits = {"latency_ms_p50": latency, "memory_infer_mib": memory}
        budget = Budget(
            maximum={field: limit for field, limit in limits.items() if limit is not None},
            minimum={} if accuracy is None else {"ap": accuracy},
        )
        found = recommend(rows, budget, split=split)
        assert _slide(tab, at) == (found.choice.id if found.choice else "")
        title = tab.inner_text("#card h3")
        assert title == (found.choice.name if found.choice else "Nothing fits")
        listed = tab.inner_text("#card")
        assert all(row.name in listed for row in found.runners_up)


def test_the_keyboard_moves_a_slider_and_the_budget_is_drawn_and_cleared(rows, plain_page, opened):
    tab = opened(plain_page)
    free = tab.inner_text("#card h3")
    tab.focus("#slider-0")
    tab.keyboard.press("Home")
    assert tab.inner_text("#card h3") == "ssd-mobilenet_v1-300"
    assert tab.inner_text("#output-0") == tab.get_attribute("#slider-0", "aria-valuetext") == "33.4 ms"
    assert tab.locator("tr.chosen").get_attribute("data-id") == rows[0].id
    limit = tab.locator('[data-chart="latency_ms_p50"] .limit')
    point = tab.locator(f'[data-chart="latency_ms_p50"] .point[data-key="{rows[0].id}"]')
    assert limit.get_attribute("visibility") == "visible"
    middle = point.evaluate("point => { const box = point.getBoundingClientRect(); return box.x + box.width / 2; }")
    assert abs(limit.evaluate("line => line.getBoundingClientRect().x") - middle) < 2
    ring = tab.locator('[data-chart="latency_ms_p50"] .ring')
    assert ring.get_attribute("transform") == point.get_attribute("transform")
    tab.click("#reset")
    assert tab.inner_text("#card h3") == free and tab.inner_text("#output-0") == "no limit"
    assert limit.get_attribute("visibility") == "hidden"


def test_a_hostile_row_stays_text_everywhere(hostile, hostile_page, opened):
    tab = opened(hostile_page)
    assert tab.inner_text("#card h3").startswith("</script><img src=x onerror=alert(1)>")
    assert tab.locator("img").count() == 0
    assert tab.locator(f'tr[data-id="{hostile.id}"] th').evaluate("cell => cell.textContent").startswith(hostile.name)
    chart = tab.locator('[data-chart="latency_ms_p50"]')
    assert "<img src=x onerror=alert(1)>" in chart.evaluate("chart => chart.textContent")
    seen = _tips(tab, '[data-chart="latency_ms_p50"] .point')
    assert "<img src=x onerror=alert(1)>" in seen and "hf:d_fine-s" in seen and "yes, with probability" in seen
    assert "<img src=x onerror=alert(1)>" in _tips(tab, '[data-chart="stages"] [data-note]')
    assert tab.locator("img").count() == 0


def _tips(tab, selector):
    """The tooltips of all such elements."""
    seen = ""
    for place in range(tab.locator(selector).count()):
        tab.locator(selector).nth(place).dispatch_event("pointerover")
        seen += tab.inner_text("#tip")
    return seen


def test_a_tap_shows_a_tooltip_and_a_tap_elsewhere_hides_it(rows, plain_page, opened):
    tab = opened(plain_page, has_touch=True, viewport={"width": 390, "height": 800})
    tab.locator(f'[data-chart="latency_ms_p50"] .point[data-key="{rows[0].id}"]').tap(force=True)
    text = tab.inner_text("#tip")
    assert "ssd-mobilenet_v1-300" in text and "33.4 ms (32.7–34.1)" in text
    tab.locator("h1").tap()
    assert tab.locator("#tip").is_hidden()


def _column(tab, place):
    return tab.evaluate(
        f"[...document.querySelectorAll('#rows tbody tr')].map(row => row.cells[{place}].dataset.value)"
    )


def test_headers_sort_by_mouse_and_keyboard_with_unknown_last(plain_page, opened):
    tab = opened(plain_page)
    header = tab.locator("thead button", has_text="AP50")
    header.click()
    known = [float(value) for value in _column(tab, 2) if value]
    assert known == sorted(known) and _column(tab, 2)[-2:] == ["", ""]
    header.press("Enter")
    assert [float(value) for value in _column(tab, 2) if value] == sorted(known, reverse=True)
    assert _column(tab, 2)[-2:] == ["", ""]
    assert tab.locator("th[aria-sort]").count() == 1
    assert tab.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"
    tab.locator("thead button", has_text="Detector").press("Space")
    sizes = [name.removeprefix("faster_rcnn-resnet101-") for name in _column(tab, 0)[:3]]
    assert sizes == ["300-s16-p100", "600-s8-p300", "600-s16-p100"]  # numbers inside names sort as numbers


def test_sorting_rows_does_not_change_the_table_of_box_sizes(rows, opened):
    counts = tuple(int(place == 80) for place in range(192))
    sizes = BoxSizes(data="</script>mine", octave=16, octaves=12, shapes=(BoxShares(aspect=4 / 3, counts=counts),))
    tab = opened(page(rows, boxes=sizes))
    text = tab.locator("#boxes").inner_text()
    assert "1 box of </script>mine" in text and "100 %" in text
    tab.locator("#rows thead button", has_text="AP50").click()
    known = [float(value) for value in _column(tab, 2) if value]
    assert known == sorted(known) and len(known) > 5
    assert tab.locator("#boxes").inner_text() == text
    assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_every_cost_has_a_chart(plain_page, opened):
    tab = opened(plain_page)
    for cost in ("memory_infer_mib", "parameters", "flops"):
        tab.locator(f'#costs input[value="{cost}"]').check(force=True)
        assert tab.locator(f'[data-chart="{cost}"] svg:visible').count() == 1
        assert tab.locator("figure.plane:visible").count() == 1


@pytest.mark.parametrize("width", [360, 390, 600, 800, 1600])
def test_nothing_is_wider_than_the_screen(hostile_page, opened, width):
    tab = opened(hostile_page, viewport={"width": width, "height": 800})
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate("[...document.querySelectorAll('svg')].filter(s => s.clientWidth).length") > 3
    spilling = """() => [...document.querySelectorAll("svg, svg text, td, th, dd, li, p, output")].filter(
        each => each.getBoundingClientRect().right > innerWidth + 1 && !each.closest(".scroll")).length"""
    assert tab.evaluate(spilling) == 0


def test_tables_fit_a_narrow_screen(hostile_page, opened):
    tab = opened(hostile_page, viewport={"width": 390, "height": 800})
    outside = "[...document.querySelectorAll('td, th')].filter(each => each.getBoundingClientRect().right > 390).length"
    assert tab.evaluate(outside) == 0
    cell = tab.locator("#rows tbody tr").first.locator('td[data-label="AP"]')
    assert cell.evaluate("cell => getComputedStyle(cell, '::before').content") == '"AP"'
    tab.locator("thead button", has_text="AP50").click()
    known = [float(value) for value in _column(tab, 2) if value]
    assert known == sorted(known)


def test_a_reason_is_short_until_it_is_opened(rows, plain_page, opened):
    tab = opened(plain_page)
    why = tab.locator("#rows details.why")
    assert why.count() == 1 and why.inner_text() == "contended: other processes used 39 % of a core"
    why.locator("summary").click()
    assert rows[10].reasons[0] in why.inner_text()
    assert why.locator("summary").get_attribute("title") == rows[10].reasons[0]


def test_the_answer_comes_first_and_the_rows_last(plain_page, opened):
    tab = opened(plain_page)
    order = tab.evaluate(
        "[...document.querySelectorAll('.view > section')].map(section => section.querySelector('h2').id)"
    )
    assert order == [f"{key}-title" for key in ("answer", "frontier", "measured", "survey", "costs", "rows")]
    assert tab.inner_text("header").count("\n") <= 2


def test_a_provisional_answer_is_marked_and_drawn_so(rows, opened):
    tab = opened(page([replace(row, validity="contended") for row in rows]))
    assert tab.locator("#answer-title .badge, #card .badge, #frontier-title .badge").count() == 3
    assert "--patience" in tab.inner_text("#answer .warning")
    stairs = tab.locator('[data-chart="latency_ms_p50"] .staircase')
    assert stairs.get_attribute("stroke-dasharray") == "6 5"
    assert tab.locator("tr.unusable").count() == 0 and tab.inner_text("#card h3")


def test_the_theme_follows_the_browser_and_print_is_light(plain_page, opened):
    tab = opened(plain_page, color_scheme="dark")
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    point = "getComputedStyle(document.querySelector('[data-chart=\"latency_ms_p50\"] text')).fill"
    dark = (tab.evaluate(ground), tab.evaluate(point))
    tab.emulate_media(color_scheme="light")
    light = (tab.evaluate(ground), tab.evaluate(point))
    assert dark[0] == "rgb(18, 21, 26)" and light[0] == "rgb(255, 255, 255)" and dark[1] != light[1]
    tab.emulate_media(color_scheme="dark", media="print")
    tab.set_viewport_size({"width": 720, "height": 1000})  # what a sheet of A4 leaves between its margins
    assert tab.evaluate(ground) == light[0] and tab.evaluate("document.documentElement.scrollWidth") <= 720


def test_every_row_failed_and_the_page_still_opens(rows, opened):
    failed = [replace(row, validity="error", error="it raised", latency_ms_p50=None, ap50=None) for row in rows]
    tab = opened(page(failed))
    assert tab.locator("tr.unusable").count() == len(rows) and tab.locator("#answer").count() == 0


def test_a_page_of_many_rows_is_complete_when_its_script_ran(rows, opened):
    many = [replace(rows[n % 10], id=f"{n:012x}", name=f"{rows[n % 10].name}-{n}") for n in range(230)]
    tab = opened(page(many))
    assert tab.locator("#rows tbody tr").count() == 230 and tab.locator(".deferred").count() == 0
    assert tab.locator('[data-chart="latency_ms_p50"] .point').count() == sum(
        row.ap_split == "COCO val2017" for row in many
    )
    tab.locator("thead button", has_text="AP50").click()
    assert tab.locator("th[aria-sort]").count() == 1
    tab.focus("#slider-0")
    tab.keyboard.press("Home")
    assert tab.locator("tr.chosen").get_attribute("data-id") == tab.get_attribute("#card", "data-choice")


def test_the_switch_shows_one_machine_with_its_answers(two_machines, opened):
    tab = opened(page(two_machines))
    assert tab.locator(".view:visible").count() == 1 and tab.locator("#card").is_visible()
    tab.locator('#machines input[value="-2"]').check(force=True)
    assert tab.locator("#card").is_hidden() and tab.locator("#card-2").is_visible()
    tab.focus("#slider-0-2")
    tab.keyboard.press("Home")
    assert tab.inner_text("#output-0-2").startswith("305")
    assert not tab.locator("#card-2").get_attribute("data-choice")
    for _ in range(2):
        tab.keyboard.press("ArrowRight")
    assert tab.inner_text("#output-0-2").startswith("590")
    assert tab.locator("#card-2").get_attribute("data-choice").startswith("arm")
    assert tab.locator(".view:visible tr.chosen").get_attribute("data-id").startswith("arm")
    tab.locator("#rows-2 thead button", has_text="AP50").click()
    assert tab.locator("#rows-2 th[aria-sort]").count() == 1 and tab.locator("#rows th[aria-sort]").count() == 0
    seen = _tips(tab, '.view:visible [data-chart="latency_ms_p50"] .point')
    assert "590 ms" in seen and "118 ms" not in seen
    tab.locator('#machines input[value=""]').check(force=True)
    assert tab.inner_text("#card h3") and tab.locator(".view:visible").count() == 1
