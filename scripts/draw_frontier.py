"""Draws the frontier of a file of rows, as the README shows it: `python scripts/draw_frontier.py ROWS OUT.png SPLIT`.

`docs/frontier.png` is of `results/2026-11-21-amd-epyc-2-cores.jsonl` and the split "mixed", `docs/bccd-frontier.png` of
`results/bccd-rows-2026-11-26-amd-epyc-2-cores.jsonl` and "measured".
"""

import sys

from paretodet.report.tables import frontier_png
from paretodet.sweep.read import complete_rows, read_rows

if __name__ == "__main__":
    rows, out, split = sys.argv[1:]
    frontier_png(complete_rows(rows, read_rows(rows)), out, split=split)
