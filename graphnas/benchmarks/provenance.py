"""Tables that every database of a benchmark has: which build it is, and from which files."""

from __future__ import annotations

import peewee


class BenchmarkBuild(peewee.Model):
    """The one row that says what a database is.

    Attributes:
        benchmark: Name of the benchmark.
        schema_version: Version of the tables.
        checksum: SHA-256 of all rows of the other tables, in order.
    """

    benchmark = peewee.CharField(max_length=32)
    schema_version = peewee.IntegerField()
    checksum = peewee.CharField(max_length=64)


class BenchmarkSource(peewee.Model):
    """A file that a database was built from.

    Attributes:
        name: Name of the file, without its folder.
        size_bytes: Its size.
        sha256: SHA-256 of its bytes; of a folder, of the names, sizes and bytes of all that was read in it.
        layout: The layout in which it was read.
    """

    name = peewee.CharField()
    size_bytes = peewee.IntegerField()
    sha256 = peewee.CharField(max_length=64)
    layout = peewee.CharField()
