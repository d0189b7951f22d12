"""A report of rows by kind of operation, as go-ycsb and go-tpc print one each second and one at the end."""

from __future__ import annotations

from typing import NamedTuple


class Report(NamedTuple):
    """By operation its columns, in the units that the program prints."""

    rows: dict[str, dict[str, float]]
    failed: str  # ends the name of a row that counts failures

    def count(self, operation: str) -> int:
        return round(self.rows.get(operation, {"Count": 0})["Count"])

    @property
    def errors(self) -> int:
        return sum(self.count(name) for name in self.rows if name.endswith(self.failed))
