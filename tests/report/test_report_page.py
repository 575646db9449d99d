"""The page as a file: whole, safe, and refused in one sentence where something is missing."""

import base64
import hashlib
import json
import re
import subprocess
import sys
import zlib
from dataclasses import replace

import pytest

from paretodet.report import page as page_module
from paretodet.report.page import page, write_page


def _data(html: str) -> dict:
    return json.loads(re.search(r'id="data">(.*?)</script>', html, re.DOTALL).group(1))


def _without_scripts(html: str) -> str:
    return re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)


def test_the_page_makes_no_network_request(plain_page):
    assert not re.search(r"""\b(src|href|action)\s*=|url\(|@import|https?://""", _without_scripts(plain_page))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', plain_page).group(1)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy and "script-src 'unsafe-inline'" not in policy


def test_the_policy_allows_only_the_page_s_script(plain_page):
    scripts = re.findall(r"<script>(.*?)</script>", plain_page, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert re.findall(r"'sha256-([^']+)'", plain_page) == digests and len(digests) == 1


def test_hostile_rows_are_escaped_everywhere(hostile_page):
    assert hostile_page.count("</script>") == 2 and "<img" not in _without_scripts(hostile_page)
    assert "<b>mine</b>" not in hostile_page and "&lt;b&gt;mine&lt;/b&gt;" in hostile_page
    script = re.search(r'id="data">(.*?)</script>', hostile_page, re.DOTALL).group(1)
    assert not set("<>&\u2028\u2029") & set(script) and "onerror" in script


def test_nan_and_missing_numbers_do_not_break_the_page(rows):
    odd = replace(
        rows[0],
        id="odd000000000",
        name="odd",
        latency_ms_p95=float("nan"),
        total_ms=float("inf"),
        memory_infer_mib=float("nan"),
        parameters=0,
        flops=0,
        stages_ms={"features": float("nan")},
    )
    assert list(_data(page([*rows, odd]))["standing"]) == ["latency_ms_p50", "memory_infer_mib", "parameters", "flops"]


def test_rows_that_are_all_errors_still_make_a_page(rows):
    failed = [replace(row, validity="error", error="it raised", latency_ms_p50=None) for row in rows]
    html = page(failed)
    assert "There is no frontier yet: no row has a latency (validity: 12 error)." in html
    assert "it raised" in html and _data(html)["answers"] is None


def test_rows_that_were_all_disturbed_have_a_provisional_answer(rows):
    html = page([replace(row, validity="contended", disturbed_pct=30.0) for row in rows])
    assert "no frontier" not in html and _data(html)["answers"]["provisional"]
    assert "10 of 10 rows were disturbed" in html and "--patience 10m" in html
    assert html.count('<span class="badge">provisional</span>') == 3 and "what the disturbance may have" in html


def test_an_answer_from_valid_rows_is_not_provisional(plain_page):
    assert 'class="badge"' not in _without_scripts(plain_page) and not _data(plain_page)["answers"]["provisional"]


def test_signals_that_no_row_watched_are_facts_of_the_page_not_of_rows(rows):
    blind = [
        replace(
            row,
            reasons=("not watched: clock frequency", *row.reasons),
            validity=row.validity.replace("valid", "unwatched"),
        )
        for row in rows
    ]
    html = page(blind)
    table = html[html.index("<tbody>") : html.index("</tbody>")]
    assert "clock frequency" not in table and "unwatched" not in table and ">valid<" in table
    assert html.count("clock frequency") == 1 and "not watched" not in html
    assert html.index("clock frequency") > html.index("How it was measured") > html.index('id="frontier"')


def test_the_answer_comes_before_its_explanation(plain_page):
    order = [plain_page.index(f'id="{key}"') for key in ("answer", "frontier", "measured", "rows")]
    assert order == sorted(order) and "<dl" not in plain_page[: order[0]]
    card = plain_page[order[0] : plain_page.index("<form")]
    assert "<h3>hf:d_fine-s</h3>" in card and "<dd>48.5</dd>" in card  # also without its script


def test_every_chart_is_drawn_once(rows, monkeypatch):
    drawn = []
    chart = page_module.plane_chart
    monkeypatch.setattr(page_module, "plane_chart", lambda plane, style: drawn.append(plane) or chart(plane, style))
    html = page(rows)
    assert len(drawn) == len(_data(html)["standing"])
    assert html.count("<svg") == len(drawn) + 6


def test_a_page_of_many_rows_stays_light(rows):
    many = [
        replace(
            rows[n % 10],
            id=f"{n:012x}",
            name=f"{rows[n % 10].name}-{n}",
            latency_ms_p50=20.0 + n,
            latency_ms_p50_low=18.0 + n,
            latency_ms_p50_high=22.0 + n,
        )
        for n in range(300)
    ]
    assert len(page(many)) < 3_000_000


def _drawn(rows: list, count: int, machine: str = "one") -> list:
    """Distinct rows of one machine."""
    return [
        replace(
            rows[n % 10],
            id=f"{n:x}-{machine}",
            name=f"{rows[n % 10].name}-{n}",
            machine=machine,
            machine_facts={"cpu": f"CPU of {machine}"},
            latency_ms_p50=20.0 + n,
            latency_ms_p50_low=18.0 + n,
            latency_ms_p50_high=22.0 + n,
        )
        for n in range(count)
    ]


def _deferred(html: str) -> list[list[str]]:
    """The parts that the script puts in place, by view."""
    packed = re.findall(r'class="packed">([^<]*)<', html)
    return [json.loads(zlib.decompress(base64.b64decode(each))) for each in packed]


def test_a_further_machine_adds_little(rows):
    """With 50 rows on each of 20 machines, the page has less than 3 MB."""
    one, three = (page([row for n in range(count) for row in _drawn(rows, 50, f"m{n}")]) for count in (1, 3))
    assert len(one) + 19 * (len(three) - len(one)) / 2 < 3_000_000


def test_charts_and_tables_of_further_machines_are_deferred(rows, hostile, two_machines):
    html = page([*two_machines[1:], replace(hostile, machine="aa00bb11cc22")])
    assert html.count('class="deferred"') == 2 and hostile.id not in re.findall(r'<tr data-id="([^"]*)"', html)
    ((charts, table),) = _deferred(html)
    assert charts.count("<svg") == 10 and f'<tr data-id="{hostile.id}"' in table
    assert "<img" not in charts + table and "&lt;img" in charts and "&lt;img" in table
    assert charts.count("<section") == charts.count("</section>") == 4


def test_a_page_of_many_rows_defers_its_own_charts_and_table(rows):
    small, large = page(_drawn(rows, 200)), page(_drawn(rows, 201))
    assert not _deferred(small) and small.count("<tr data-id=") == 200
    ((_, table),) = _deferred(large)
    assert table.count("<tr data-id=") == 201 and "<svg" not in large and '<section id="answer"' in large


def test_two_rows_have_sentences_in_place_of_charts(rows):
    html = page(rows[:2])
    assert "There are too few rows for a chart." in html and "<svg" not in html
    assert html.count("ssd-mobilenet_v1-300: AP 21 at 33.4 ms (32.7–34.1)") == 1


def test_without_rows_there_is_no_page():
    with pytest.raises(ValueError, match="at least one row"):
        page([])


def test_an_unknown_split_is_refused_with_the_known_ones(rows):
    with pytest.raises(ValueError, match="COCO val2017"):
        page(rows, split="VOC")


def test_runtime_precision_and_what_was_built_are_on_the_page(rows):
    layers = {"int8": 58, "fp32": 4}
    fast = {"latency_ms_p50": 60.0, "latency_ms_p50_low": 59.0, "latency_ms_p50_high": 61.0, "compile_ms": 70.0}
    other = replace(rows[9], id="other0000000", runtime="openvino", precision="int8", precision_layers=layers, **fast)
    html = page([*rows, other])
    members = re.search(r'<ol class="members">(.*?)</ol>', html, re.DOTALL).group(1)
    assert "hf:d_fine-s · openvino int8: " in members and "ssd-mobilenet_v1-300 · eager fp32: " in members
    assert "layers: 58 int8, 4 fp32; compile: 70.0 ms</details>" in html
    assert _data(html)["notes"]["other0000000"][-2:] == [["Layers", "58 int8, 4 fp32"], ["Compile", "70.0 ms"]]
    plain = page(rows)
    assert " · eager" not in plain and "<summary>details" not in plain


def test_a_row_given_twice_is_one_row(rows):
    assert page([*rows, *rows]).count("<tr data-id=") == len(rows)


def test_the_page_replaces_an_older_one_atomically(rows, tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    path.write_text("older")

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("paretodet.writing.os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            write_page(rows[:2], path)
    assert path.read_text() == "older" and list(tmp_path.iterdir()) == [path]
    assert write_page(rows[:2], path) == path and path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_library_is_refused_with_the_extra_to_install():
    code = "import sys; sys.modules['vl_convert'] = None\nimport paretodet.report.tables\nimport paretodet.report.page"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    last = ran.stderr.splitlines()[-1]
    assert "pip install 'paretodet[report]'" in last and last.endswith("[extra-missing]")


def test_the_report_does_not_import_torch():
    code = "import sys, paretodet.report.page, paretodet.report.tables; print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


def test_a_page_of_two_machines_answers_for_each_alone(rows, two_machines):
    html = page(two_machines)
    assert html.count('<div class="view"') == 2 and "12 detectors on 2 machines" in html
    assert re.findall(r'name="machine" value="([^"]*)"[^>]*><span>([^<]*)<', html) == [
        ("", "Example EPYC 9R14"), ("-2", "Example Cortex &lt;A76&gt;")
    ]  # fmt: skip
    ids = re.findall(r'\sid="([^"]+)"', _without_scripts(html))
    assert len(ids) == len(set(ids)) and {"answer", "answer-2", "rows", "rows-2"} <= {*ids}
    first, second = (json.loads(text) for text in re.findall(r'id="data[^"]*">(.*?)</script>', html, re.DOTALL))
    assert first == _data(page(rows)) and second == _data(page(two_machines[: len(rows) - 1]))
    assert "conditions (machine" not in html and "One machine" not in html


def test_a_page_of_one_machine_has_no_switch(plain_page):
    assert "machines" not in re.findall(r'\sid="([^"]+)"', plain_page) and plain_page.count('<div class="view"') == 1


def test_a_machine_without_the_split_is_left_out(rows):
    known = [replace(row, ap_split="val2017" if row.ap else None) for row in rows]
    others = [replace(row, id=f"x{row.id}", machine="b", machine_facts={"cpu": "B"}, ap_split="mine") for row in known]
    html = page([*known, *others], split="val2017")
    assert html.count('<div class="view"') == 1 and "Left out, without an accuracy on val2017: B." in html
    with pytest.raises(ValueError, match=r"\[split-unknown\]$"):
        page([*known, *others], split="none")
