"""Frozen records that the rooms pass to one another.

Owns the words of the project as types. Must not read or write anything: no files, no clock, no network.
All records are msgspec structs: `msgspec.json.encode(record)` and `msgspec.json.decode(data, type=Record)`
are the one way in and out of JSON. Times are seconds (float), sizes are bytes (int), ratios are fractions.
"""
