"""Rows measured on a named machine: which detectors form the frontier, and which one fits a budget?"""

from pathlib import Path

from paretodet import Store, pareto_frontier, recommend
from paretodet.frontier.recommend import Budget

ROWS = Path(__file__).parents[1] / "results" / "2026-11-21-amd-epyc-2-cores.jsonl"

store = Store("rows.db")
store.import_jsonl(ROWS)
rows = store.rows()

for member in pareto_frontier(rows, split="mixed").members:
    row = member.row
    print(f"{row.name:40} {row.ap:5.1f} AP {row.latency_ms_p50:8.1f} ms, certain to {member.probability:.0%}")

answer = recommend(rows, Budget(maximum={"latency_ms_p50": 150}), split="mixed")
print(answer.reason)
