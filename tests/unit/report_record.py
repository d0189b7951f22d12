"""Record what the terminal reports of the cases look like: `python -m tests.unit.report_record`."""

from __future__ import annotations

from benchctl.report import plan, render
from tests.unit.report_data import CASES, make_plan, view
from tests.unit.test_report_forms import CASE_FILES

RECORDED = ("faster", "troubled", "command", "nothing", "hostile")


def main() -> None:
    for case in RECORDED:
        (CASE_FILES / f"{case}.txt").write_text(render(view(case), "terminal", width=80), encoding="utf-8")
    for case in ("several", "aa"):
        text = plan.render(make_plan(CASES[case]), "terminal", width=80)
        (CASE_FILES / f"{case}.plan").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
