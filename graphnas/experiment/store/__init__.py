"""The store: everything about an experiment that outlives its process, in one SQLite file of its folder.

Promises: a finished trial is committed before anything else hears of it; a submission commits together with the state
of the strategy that asked for it; two processes never write one experiment; nothing in the file is executable. The
parent process is the only writer.

`schema` is what the tables look like and looked like, `place` what a folder must be like, `reading` what anybody may
ask, `writing` what only a run of the experiment does.
"""

from __future__ import annotations

from graphnas.experiment.store.place import DATABASE_NAME, LOCK_NAME
from graphnas.experiment.store.reading import Description, Reader, Summary
from graphnas.experiment.store.schema import SCHEMA_VERSION
from graphnas.experiment.store.writing import Store

__all__ = ["DATABASE_NAME", "LOCK_NAME", "SCHEMA_VERSION", "Description", "Reader", "Store", "Summary"]
