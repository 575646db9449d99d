"""Sentences about rows, the data of figures, the cells of tables."""

import re
from dataclasses import replace

import pytest
from rich.console import Console

from paretodet.frontier.pareto import pareto_frontier
from paretodet.frontier.row_labels import row_labels
from paretodet.report import frontier_wording, wording
from paretodet.report.charts import round_steps, round_ticks
from paretodet.report.drawing import DrawingStyle
from paretodet.report.figures import PageSection, costs, survey, timed
from paretodet.report.row_table import row_table
from paretodet.report.tables import frontier_png, frontier_table, rows_table
from paretodet.report.theme import LIGHT

CONTENDED = "41 % of the time was contended: other processes used 39 % of a core"
STYLE = DrawingStyle(width=400, paint=LIGHT.__getitem__)


def test_the_period_is_a_day_or_two(rows):
    assert wording.period(rows) == "20 November 2026"
    assert wording.period([*rows, replace(rows[0], at="2026-12-01T00:00:00Z")]) == "20 November 2026 to 1 December 2026"
    assert wording.period([replace(rows[0], at="yesterday")]) == "yesterday"


def test_the_head_counts_validity_and_names_splits(rows):
    facts = dict(wording.facts(rows, "COCO val2017"))
    assert facts["Rows"] == "12: 10 valid, 1 unwatched, 1 contended"
    assert facts["Accuracy"] == "published: COCO val2017 (10 rows), COCO test-dev2015 (1 row); compared: COCO val2017"
    assert facts["Smallest detectable difference"] == "1.8 %"
    assert facts["Settings"] == "cpu, eager, fp32, batch 1, 2 threads, 5 processes per row"


def test_ceilings_are_ranges_over_runs(rows):
    ceilings = [{"fp32_gflops": rate, "int8_gflops": None, "copy_gb_s": 17.0} for rate in (190.0, 195.0)]
    some = [replace(row, ceilings=each) for row, each in zip(rows, ceilings, strict=False)]
    assert dict(wording.facts(some, None))["Measured ceilings"] == "fp32 190 to 195 GFLOP/s, copy 17.0 GB/s"
    assert "Measured ceilings" not in dict(wording.facts(rows, None))


def test_warnings_name_what_differs(rows):
    assert wording.warnings(rows) == []
    (settings,) = wording.warnings([*rows, replace(rows[0], batch=8)])
    assert "batch" in settings


def test_machines_have_names_that_differ(rows):
    same, other = (replace(rows[0], machine=machine, machine_facts=rows[0].machine_facts) for machine in ("e1", "f2"))
    assert wording.machine_names(rows) == {"4f1c9a0be2d7": "Example EPYC 9R14"}
    names = wording.machine_names([same, replace(other, machine_facts={"cpu": "C"})])
    assert (
        names == {"e1": "Example EPYC 9R14", "f2": "C"} and wording.title([same, other]) == "1 detector on 2 machines"
    )
    assert wording.machine_names([same, other]) == {"e1": "Example EPYC 9R14 e1", "f2": "Example EPYC 9R14 f2"}


def test_sentences_about_the_frontier(rows):
    found = pareto_frontier(rows)
    labels = row_labels(rows)
    assert frontier_wording.frontier_lead(found, rows).startswith("3 of 9 comparable rows are on the frontier")
    assert (
        frontier_wording.member_line(found.members[0], found, labels)
        == "ssd-mobilenet_v1-300: AP 21 at 33.4 ms (32.7–34.1)"
    )
    assert "my_detector:make (61.0 ms)" in frontier_wording.plane_caption(found, labels)


def test_a_caption_names_a_few_rows_without_accuracy_and_counts_the_rest(rows):
    many = [rows[0], *(replace(rows[-1], id=f"many{n:08}", name=f"mine:{n}") for n in range(20))]
    caption = frontier_wording.plane_caption(pareto_frontier(many), row_labels(many))
    assert caption.endswith("and 14 more.") and caption.count("mine:") == 6


def test_a_sentence_replaces_a_chart_of_too_few_rows(rows):
    frontier = pareto_frontier([rows[0], rows[7]], split="mixed")
    text = frontier_wording.too_few_points(pareto_frontier([rows[8], rows[1]]), row_labels(rows))
    assert text.startswith("There are too few rows") and "ssd_liu-vgg16-300 (AP 25.1, 268 ms) is not on" in text
    assert "is not on" not in frontier_wording.too_few_points(frontier, row_labels(rows))


def test_the_reason_why_there_is_no_frontier_is_true(rows):
    def lead(some, **choices):
        return frontier_wording.frontier_lead(pareto_frontier(some, **choices), some)

    failed = replace(rows[0], validity="error", error="it raised", latency_ms_p50=None)
    contended = [replace(row, validity="contended") for row in rows]
    assert lead([rows[-1]]).endswith(": no row has an AP.")
    assert lead([failed]).endswith(": no row has a latency (validity: 1 error).")
    assert lead([failed, rows[-1]]).endswith(": the rows that have a latency have no AP.")
    assert lead(contended[:3], strict=True).endswith("an AP is valid (validity: 3 contended).")
    assert "no frontier" not in lead(contended)


def test_a_lead_of_one_row_and_of_rows_that_are_all_on_the_frontier(rows):
    assert frontier_wording.frontier_lead(pareto_frontier(rows[:1]), rows[:1]).startswith(
        "Only one row can be compared"
    )
    pair = [rows[0], rows[8]]
    assert frontier_wording.frontier_lead(pareto_frontier(pair), pair).startswith(
        "All 2 comparable rows are on the frontier"
    )


def test_signals_that_no_row_watched_are_stated_once_and_leave_rows_valid(rows):
    blind = [replace(row, reasons=("not watched: clock frequency", *row.reasons)) for row in rows]
    assert wording.unwatched(blind) == ("clock frequency",) and wording.unwatched([*blind, rows[0]]) == ()
    assert dict(wording.facts(blind, None))["Not watched in any row"] == "clock frequency"
    assert wording.row_reasons(blind[0], ["clock frequency"]) == ()
    assert wording.row_reasons(blind[0], []) == ("not watched: clock frequency",)
    unwatched = replace(blind[0], validity="unwatched")
    assert wording.validity(unwatched, ["clock frequency"]) == "valid"
    assert wording.validity(unwatched, ["heat events"]) == wording.validity(unwatched, []) == "unwatched"
    assert wording.validity(rows[10], ["clock frequency"]) == "contended"


def test_the_legend_explains_the_validities_that_are_shown(rows):
    assert wording.legend(rows).startswith("contended: ") and "unwatched: " in wording.legend(rows)
    assert "throttled" not in wording.legend(rows) and wording.legend(rows[:1]) == ""


def test_a_wide_interval_of_two_processes_has_a_footnote(rows):
    wide = replace(rows[1], processes=2, latency_ms_p50=839.0, latency_ms_p50_low=290.0, latency_ms_p50_high=2410.0)
    (note,) = wording.row_notes([rows[0], wide], row_labels([rows[0], wide]))
    assert note.startswith("Wide intervals (ssd_liu-vgg16-300): 2 processes") and "--processes 5" in note
    assert wording.row_notes([wide, wide], row_labels([wide]))[0].startswith("Wide intervals (all rows): 2 processes")
    narrow = replace(rows[1], processes=2)
    assert wording.row_notes([rows[0], narrow, replace(wide, processes=5)], row_labels(rows)) == []


def test_the_survey_has_accuracy_of_one_origin(rows):
    own = replace(rows[1], id="own", name="own", ap50=90.0, ap_measured=True)
    some = [rows[1], rows[2], own]
    figure = next(figure for figure in survey(some, row_labels(some)) if figure.key == "work")
    assert not figure.drawn and "AP50 43.1" in figure.caption and "own" not in figure.caption


def test_a_measured_accuracy_beside_published_ones_has_a_footnote(rows):
    own = replace(rows[0], ap_measured=True, ap_split="cells@0")
    (note,) = wording.row_notes([own, rows[1]], row_labels(rows))
    assert "The AP of ssd-mobilenet_v1-300 is measured on cells@0" in note
    assert wording.row_notes([own], row_labels(rows)) == wording.row_notes(rows[:2], row_labels(rows)) == []


def test_the_cpu_quota_has_a_footnote(rows):
    quota = [replace(row, machine_facts=row.machine_facts | {"cpu_quota": 1.5}) for row in rows]
    (note,) = wording.machine_notes(quota)
    assert note.startswith("CPU quota of the machine: 1.5 cores") and "CPU quota 1.5 cores" in wording.lead(quota)


def test_a_provisional_answer_says_why_and_what_to_do(rows):
    disturbed = [replace(row, validity="contended", disturbed_pct=50.0) for row in rows[1:]]
    found = pareto_frontier([rows[0], *disturbed])
    why, command = frontier_wording.provisional(found)
    assert why.startswith("9 of 10 rows were disturbed") and "--patience 10m" in command
    assert found.why not in frontier_wording.plane_caption(found, row_labels(rows)) and found.why
    assert frontier_wording.undecided(found, row_labels(rows)) is None
    member = next(member for member in found.members if member.row.name == "hf:d_fine-n")
    assert "118 ms (77.3–180)" in frontier_wording.member_line(member, found, row_labels(rows))


def test_undecided_rows_come_with_the_command_that_decides(rows):
    wide = replace(
        rows[8], ap=21.0, latency_ms_p50=33.6, latency_ms_p50_low=30.0, latency_ms_p50_high=38.0, ap_rounding=0.05
    )
    found = pareto_frontier([*rows[:8], wide, *rows[9:]])
    sentence, command = frontier_wording.undecided(found, row_labels(rows))
    assert sentence.startswith("The intervals are too wide") and command.startswith("paretodet measure ")
    assert frontier_wording.undecided(pareto_frontier(rows[:1]), row_labels(rows)) is None


def test_the_survey_s_four_plots_say_what_they_leave_out(rows):
    figures = {figure.key: figure for figure in survey(rows, row_labels(rows))}
    assert list(figures) == ["work", "ap50", "ap50-parameters", "ap50-flops"]
    assert all("ssd-mobilenet_v1-300 and my_detector:make" in figure.caption for figure in figures.values())


def _bars(figure):
    """What is drawn: the note of each bar, in order."""
    return re.findall(r'data-note="([^"]*)"', figure.draw(STYLE).body)


def test_ratios_are_sorted_and_divided_by_millions_and_billions(rows):
    figures = {figure.key: figure for figure in survey(rows, row_labels(rows))}
    pattern = r"(.*): (\S+) per (million parameters|GFLOP)"
    density = {
        name: float(value)
        for name, value, _ in (re.match(pattern, bar).groups() for bar in _bars(figures["ap50-parameters"]))
    }
    assert list(density.values()) == sorted(density.values(), reverse=True)
    assert density["yolo_v3-darknet53-416"] == pytest.approx(55.3 / 62.0, rel=1e-2)
    work = {
        name: float(value)
        for name, value, _ in (re.match(pattern, bar).groups() for bar in _bars(figures["ap50-flops"]))
    }
    assert work["yolo_v3-darknet53-416"] == pytest.approx(55.3 / 65.9, rel=1e-2)


def test_a_network_has_one_bar_however_often_it_ran(rows):
    again = replace(rows[3], id="again0000000", precision="bf16")
    figure = next(f for f in survey([*rows, again], row_labels([*rows, again])) if f.key == "ap50")
    assert len(_bars(figure)) == 10


def test_stages_fill_the_bar_and_come_in_pipeline_order(rows):
    figure = costs(rows, row_labels(rows))[0]
    body = figure.draw(STYLE).body
    legend = re.findall(r">(features|propose|refine|select)<", body)
    assert legend == ["features", "propose", "refine", "select"]
    ends = [
        float(x) + float(width)
        for x, width in re.findall(r'<rect x="([\d.]+)" y="17" width="([\d.]+)"[^>]*, select: ', body)
    ]
    assert ends == pytest.approx([STYLE.width] * 8, abs=0.11)
    assert "hf:d_fine-n, hf:d_fine-s and 2 more" in figure.caption or "my_detector:make" in figure.caption


def test_figures_without_numbers_become_one_sentence(rows):
    bare = [replace(row, stages_ms=None, memory_infer_mib=None) for row in rows]
    figures = costs(bare, row_labels(bare))
    assert [figure.drawn for figure in figures] == [False, False]
    section = PageSection(key="costs", title="", lead="", figures=figures)
    assert section.sentences == [("Time by stage and Memory of the process", "not available for any row.")]


def test_fewer_than_three_points_give_way_to_a_sentence(rows):
    two = [row for row in rows if row.ap50][:2]
    figures = (*survey(two, row_labels(two)), *costs(two, row_labels(two)))
    assert not any(figure.drawn for figure in figures) and all(two[0].name in figure.caption for figure in figures)
    assert figures[0].caption.startswith(f"{two[0].name}: AP50 43.1 with 62.8 GFLOPs and 34.3 M")
    three = [row for row in rows if row.ap50][:3]
    assert all(figure.drawn for figure in survey(three, row_labels(three)))


def test_disturbed_rows_are_in_no_timing_figure_of_a_final_answer(rows):
    def bars(shown):
        return [bar for figure in costs(shown, row_labels(rows)) for bar in _bars(figure)]

    assert not any("rt_detr" in bar for bar in bars(timed(rows, provisional=False)))
    assert any("rt_detr" in bar for bar in bars(timed(rows, provisional=True)))


def test_device_memory_has_a_figure_if_there_is_a_device(rows):
    cuda = [replace(row, memory_device_mib=800.0, memory_allocated_mib=500.0) for row in rows]
    assert [f.title for f in costs(cuda, row_labels(cuda))][-1] == "Memory of the device"


def test_the_table_sorts_by_values_and_hides_equal_settings(rows):
    entered = {row.id for row in rows if row.usable}
    table = row_table(rows, row_labels(rows), {rows[0].id: 1.0}, entered=entered)
    titles = [column["title"] for column in table["columns"]]
    assert "Latency (ms,\u00a095\u00a0%)" in titles and "Precision" not in titles
    cells = dict(zip(titles, table["rows"][0]["cells"], strict=True))
    assert cells["AP"] == {"label": "AP", "text": "21", "value": "21.0", "numeric": True}
    assert cells["On frontier"]["text"] == "1.00"
    (left_out,) = (row for row in table["rows"] if not row["entered"])
    assert left_out["full"] == CONTENDED and left_out["short"] == "contended: other processes used 39 % of a core"
    again = replace(rows[0], id="b", precision="bf16")
    mixed = row_table([*rows, again], row_labels(rows) | {"b": "b"}, {}, entered=entered)
    assert "Precision" in [column["title"] for column in mixed["columns"]]
    floors = row_table([replace(rows[0], floor_ms=16.7), rows[1]], row_labels(rows), {}, entered=entered)
    cells = [dict(zip([c["title"] for c in floors["columns"]], row["cells"], strict=True)) for row in floors["rows"]]
    assert [each["Floor / latency (%)"]["text"] for each in cells] == ["50", "–"]


@pytest.mark.parametrize(
    ("domain", "ticks"), [((20, 700), [20, 50, 100, 200, 500]), ((0.3, 3), [0.5, 1, 2]), ((6, 9), [])]
)
def test_ticks_are_round(domain, ticks):
    assert round_ticks(domain) == ticks


@pytest.mark.parametrize(
    ("domain", "ticks"),
    [
        ((17.1, 49.9), [20, 25, 30, 35, 40, 45]),
        ((0.0, 1.0), [0, 0.2, 0.4, 0.6, 0.8, 1]),
        ((6, 9), [6, 6.5, 7, 7.5, 8, 8.5, 9]),
    ],
)
def test_steps_are_even_and_few(domain, ticks):
    assert round_steps(domain) == ticks


def _printed(table) -> str:
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(table)
    return console.export_text()


def test_terminal_tables_have_every_row_as_text(rows, hostile):
    styled = replace(rows[0], id="styled000000", name="[red]bold[/red]\x1b[2J")
    text = _printed(rows_table([*rows, hostile, styled]))
    assert all(row.name in text for row in rows)
    assert "contended: other processes used 39 % of a core" in text
    assert "<img src=x onerror=alert(1)>" in text and "[red]bold[/red]" in text and "\x1b" not in text


def test_the_frontier_table_is_sorted_by_cost(rows):
    lines = _printed(frontier_table(pareto_frontier(rows))).splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["ssd-mobilenet_v1-300", "hf:d_fine-n", "hf:d_fine-s"]
    assert "118 ms (116–120)" in lines[2]


def test_the_chart_is_a_png_of_useful_size(rows, tmp_path):
    frontier_png(rows, tmp_path / "frontier.png", split="mixed")
    content = (tmp_path / "frontier.png").read_bytes()
    assert content.startswith(b"\x89PNG") and int.from_bytes(content[16:20], "big") >= 1600


def test_a_chart_without_points_is_refused(rows, tmp_path):
    with pytest.raises(ValueError, match="no row has both"):
        frontier_png([rows[-1]], tmp_path / "frontier.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("cost", "gain", "titles"),
    [("latency_ms_p90", "mask_ap", "Mask AP  Latency p90"), ("macs", "-memory_infer_mib", "Memory  Macs")],
)
def test_every_cost_and_gain_can_be_shown(rows, cost, gain, titles):
    known = {"latency_ms_p90": 12.0, "mask_ap": 30.5, "macs": 2_000_000_000, "memory_infer_mib": 100.0}
    rows = [replace(rows[0], **known)]
    header, line = _printed(frontier_table(pareto_frontier(rows, cost=cost, gain=gain))).splitlines()[:2]
    assert titles.split() == header.split()[1 : 1 + len(titles.split())] and "1.00" in line


def test_what_is_of_a_whole_batch_says_so(rows):
    batches = [replace(rows[0], batch=8), rows[1]]
    (note,) = wording.row_notes(batches, row_labels(batches))
    assert "8 images" in note and not wording.row_notes(rows[:2], row_labels(rows))
