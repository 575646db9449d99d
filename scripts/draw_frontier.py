"""Draws the frontier of a file of rows, as in the README: `python scripts/draw_frontier.py ROWS OUT.png SPLIT`.

`docs/frontier.png` was drawn from `results/2026-11-29-amd-epyc-2-cores.jsonl` with the split "mixed",
`docs/bccd-frontier.png` from `results/bccd-rows-2026-11-26-amd-epyc-2-cores.jsonl` with "measured".
"""

import sys

from paretodet.report.tables import frontier_png
from paretodet.sweep.read import complete_rows, read_rows

if __name__ == "__main__":
    rows, out, split = sys.argv[1:]
    frontier_png(complete_rows(rows, read_rows(rows)), out, split=split)
