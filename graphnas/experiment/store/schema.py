"""The tables of a store, and how a store of an earlier version becomes one of this version."""

from __future__ import annotations

SCHEMA_VERSION = 2

SCHEMA = (
    "CREATE TABLE schema_version (version INTEGER NOT NULL)",
    """CREATE TABLE experiment (
        id TEXT PRIMARY KEY, created_at REAL NOT NULL, elapsed_s REAL NOT NULL DEFAULT 0, ended TEXT,
        config TEXT NOT NULL, domains TEXT NOT NULL, space TEXT, evaluator TEXT, strategy TEXT, name TEXT)""",
    """CREATE TABLE trial (
        number INTEGER PRIMARY KEY, status TEXT NOT NULL, decisions TEXT NOT NULL, seed INTEGER NOT NULL,
        fingerprint TEXT, metric REAL, metrics TEXT, started_at REAL, duration_s REAL, error TEXT NOT NULL DEFAULT '',
        traceback TEXT NOT NULL DEFAULT '', told INTEGER, key TEXT, budget REAL, resume_from INTEGER,
        reused_from INTEGER, reused_experiment TEXT, attempts INTEGER NOT NULL DEFAULT 0, ended_at REAL,
        worker TEXT)""",
    "CREATE UNIQUE INDEX trial_told ON trial (told)",
    "CREATE INDEX trial_status ON trial (status, metric)",
    "CREATE INDEX trial_key ON trial (key) WHERE key IS NOT NULL",
    """CREATE TABLE intermediate (
        trial INTEGER NOT NULL REFERENCES trial (number), step INTEGER NOT NULL, metric REAL NOT NULL, metrics TEXT,
        PRIMARY KEY (trial, step)) WITHOUT ROWID""",
    "CREATE TABLE strategy_state (id INTEGER PRIMARY KEY CHECK (id = 0), state TEXT NOT NULL)",
)

MIGRATIONS: dict[int, tuple[str, ...]] = {
    1: (
        "ALTER TABLE experiment ADD COLUMN name TEXT",
        "UPDATE experiment SET name = json_extract(config, '$.experiment_name')",
        "ALTER TABLE trial ADD COLUMN key TEXT",
        "ALTER TABLE trial ADD COLUMN budget REAL",
        "ALTER TABLE trial ADD COLUMN resume_from INTEGER",
        "ALTER TABLE trial ADD COLUMN reused_from INTEGER",
        "ALTER TABLE trial ADD COLUMN reused_experiment TEXT",
        "ALTER TABLE trial ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE trial ADD COLUMN ended_at REAL",
        "ALTER TABLE trial ADD COLUMN worker TEXT",
        "CREATE INDEX trial_status ON trial (status, metric)",
        "CREATE INDEX trial_key ON trial (key) WHERE key IS NOT NULL",
    ),
}
"""Version to the statements that make the next version of it."""

TRIAL_COLUMNS = (
    "number",
    "status",
    "decisions",
    "seed",
    "metric",
    "metrics",
    "fingerprint",
    "duration_s",
    "error",
    "traceback",
    "started_at",
    "ended_at",
    "budget",
    "resume_from",
    "reused_from",
    "reused_experiment",
    "attempts",
    "worker",
    "key",
)

_SINCE_2 = {
    "ended_at": "NULL",
    "budget": "NULL",
    "resume_from": "NULL",
    "reused_from": "NULL",
    "reused_experiment": "NULL",
    "attempts": "0",
    "worker": "NULL",
    "key": "NULL",
}


def trial_columns(version: int) -> str:
    """Return the list of columns that selects a trial from a store of `version`, in the order of `TRIAL_COLUMNS`."""
    absent = _SINCE_2 if version < 2 else {}
    return ", ".join(f"{absent[name]} AS {name}" if name in absent else name for name in TRIAL_COLUMNS)
