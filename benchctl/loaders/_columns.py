"""Lines of values, millions of them, as the columns of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
from pyarrow import csv

from benchctl.errors import ParseError
from benchctl.loaders._shared import content

if TYPE_CHECKING:
    import re
    from collections.abc import Mapping
    from pathlib import Path

FLOAT, INTEGER, TEXT = pa.float64(), pa.int64(), pa.string()


def read(
    path: Path,
    columns: Mapping[str, pa.DataType],
    form: re.Pattern[str],
    remedy: str,
    *,
    skip: int = 0,
    delimiter: str = " ",
) -> pa.Table:
    """Read the lines after the first `skip`. Raises ParseError with the first line that has another form."""
    try:
        return csv.read_csv(
            path,
            read_options=csv.ReadOptions(column_names=list(columns), skip_rows=skip),
            parse_options=csv.ParseOptions(delimiter=delimiter, quote_char=False, ignore_empty_lines=False),
            convert_options=csv.ConvertOptions(
                column_types=columns, null_values=[], strings_can_be_null=False
            ),
        )
    except FileNotFoundError as error:
        raise ParseError(f"{path}: not there", remedy="the load generator has to write it") from error
    except pa.ArrowInvalid as error:
        raise unknown(path, form, remedy, skip=skip) from error


def unknown(path: Path, form: re.Pattern[str], remedy: str, *, skip: int = 0) -> ParseError:
    """The error that names the first line after `skip` that is not of the form."""
    for number, line in enumerate(content(path).splitlines()[skip:], start=skip + 1):
        if not form.fullmatch(line):
            return ParseError(f"{path}:{number}: unknown line: {line[:200]!r}", remedy=remedy)
    return ParseError(f"{path}:{skip + 1}: no lines", remedy=remedy)
