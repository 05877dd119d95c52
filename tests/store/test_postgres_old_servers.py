"""What servers older than those that tests can have would refuse, found in the text."""

from __future__ import annotations

import re
from importlib import resources

import pytest

NEWER = {
    14: r"date_bin|string_to_table|bit_count|trim_array|unistr|SEARCH (BREADTH|DEPTH)|CREATE OR REPLACE TRIGGER"
    r"|BEGIN ATOMIC|GROUP BY (DISTINCT|ALL)|multirange|DETACH PARTITION",
    15: r"MERGE INTO|NULLS NOT DISTINCT|regexp_(count|instr|like|substr)|security_invoker|range_agg\(",
    16: r"any_value|json_(array|arrayagg|object|objectagg)\(|IS (NOT )?JSON|random_normal|array_(shuffle|sample)",
    17: r"JSON_(TABLE|QUERY|VALUE|EXISTS)|merge_action|uuid_extract|to_bin\(|to_oct\(|ON CONFLICT .* DO SELECT",
    18: r"uuidv[47]|RETURNING WITH|array_(sort|reverse)|casefold|WITHOUT OVERLAPS|VIRTUAL",
}
"""By version: what it was the first to have, of what a queue may want."""

TEXTS = ("schema_1.sql", "functions_1.sql", "statements.sql", "gates.sql", "moving.sql")


@pytest.mark.parametrize("name", TEXTS)
def test_no_statement_needs_a_newer_server_than_13(name: str) -> None:
    text = resources.files("duly.store.postgres").joinpath(name).read_text(encoding="utf-8")
    statements = re.sub(r"--.*", "", text)
    for version, words in NEWER.items():
        found = re.search(words, statements, re.IGNORECASE)
        assert found is None, f"{name}: {found[0]!r} came with PostgreSQL {version}"


def test_no_file_of_statements_is_left_out() -> None:
    files = resources.files("duly.store.postgres").iterdir()
    assert {file.name for file in files if file.name.endswith(".sql")} == set(TEXTS)
