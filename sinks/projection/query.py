"""Answers SQL over the views: one statement that reads, within limits of time and rows, for all tenants or for one.

Promise: a query changes nothing and reaches nothing but the views: it runs in a read-only transaction, files and network are
off, and settings are locked before it starts. With a tenant every view holds that tenant's rows only, and what goes round the
views (qualified names, table functions) is refused.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Final

import duckdb
import msgspec
import pyarrow as pa

from schemas.errors import HomeLocked, InvalidInput, StorageFailed
from schemas.records import Json
from sinks.projection.damage import LOCKED, ViewsDamaged, is_damage, may_be_damage
from sinks.projection.file_format import check_format
from sinks.projection.half_made import is_half_made
from sinks.projection.json_rows import encode_json, rows_of, unique_names
from sinks.projection.read_whole import is_confirmed
from sinks.projection.tables import LAST_PROGRESS, VIEWS, tenant_view

WHO_MENDS: Final = (
    "the projector sets the file aside at its next start and builds them again: start `millrace up`, or wait for it"
)
SHOWN: Final = "shown"  # the schema of the views
NO_TENANT: Final = "-"  # asks for records without a readable tenant
ROWS: Final = 10_000
TIMEOUT_S: Final = 30.0
ANSWER_BYTES: Final = 12 << 20
BATCH_ROWS: Final = 2_048
READING: Final = frozenset({"SELECT", "EXPLAIN"})
TABLE_FUNCTIONS: Final = frozenset({"range", "generate_series", "unnest", "json_each", "json_tree"})
_BARE_AT: Final = re.compile(r"""(?<![\w."'])at(?![\w"'])""", re.IGNORECASE)
_ARROW_HINT: Final = "\n-> and ->> bind less than = and and: write (params->>'field') = 'value'"
Cursor = duckdb.DuckDBPyConnection


class Question(msgspec.Struct, frozen=True):
    """What is asked. `tenant` None: all of them; `-`: records without a readable tenant."""

    sql: str
    tenant: str | None = None
    limit: int = ROWS
    timeout_s: float = TIMEOUT_S


class Answer(msgspec.Struct, frozen=True):
    """The rows of a query. `as_of_us`: wall time up to which everything appended is in them. `live`: read beside `up`."""

    columns: list[str]
    types: list[str]
    rows: list[msgspec.Raw]  # a JSON array each
    truncated: bool
    as_of_us: int
    live: bool = True

    def values(self) -> list[list[Json]]:
        """Give the rows as lists."""
        return [msgspec.json.decode(row) for row in self.rows]

    def records(self) -> list[dict[str, Json]]:
        """Give the rows as dicts."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.values()]

    def json(self) -> bytes:
        """Give the rows as one JSON array of objects, decimals with all their digits."""
        raw = msgspec.json.Decoder(list[msgspec.Raw])
        return encode_json([dict(zip(self.columns, raw.decode(row), strict=True)) for row in self.rows])


def answer(cursor: Cursor, question: Question, *, live: bool) -> Answer:
    """Run a query on a cursor that nobody else uses. Raises InvalidInput that says what is wrong with it, ViewsDamaged."""
    with _their_errors(cursor, question):
        _check(cursor, question)
        if question.tenant is not None:
            for name in VIEWS:
                cursor.execute(tenant_view(name, None if question.tenant == NO_TENANT else question.tenant))
        with _interrupted_after(cursor, question.timeout_s):
            cursor.execute("begin transaction read only")
            try:
                (as_of_us,) = cursor.execute(f"select as_of_us {LAST_PROGRESS}").fetchone() or (0,)
                return _run(cursor, question, as_of_us, live=live)
            finally:
                cursor.rollback()


@contextmanager
def opened_file(path: Path) -> Iterator[Callable[[], Cursor]]:
    """Open views.duckdb for reading while no projector runs; gives what makes cursors.

    Raises InvalidInput where there is nothing yet, HomeLocked where a process writes it, StateTooNew and StorageFailed for
    another format.
    """
    nothing = InvalidInput(f"{path} holds no views: nothing has been projected in this home yet; start `millrace up`")
    if not path.exists() or is_half_made(path):
        raise nothing
    try:
        connection = duckdb.connect(str(path), read_only=True, config={"python_enable_replacements": False})
    except duckdb.IOException as error:
        if LOCKED in str(error):
            raise HomeLocked(f"{path}: the projector has it open and does not answer; try again") from error
        if is_damage(error):
            raise ViewsDamaged(f"{path}: damaged ({str(error).splitlines()[0]}); {WHO_MENDS}") from error
        what_to_do = "check its owner and mode, or move it away: the projector makes it anew"
        raise StorageFailed(f"{path}: {str(error).splitlines()[0]}; {what_to_do}") from error
    try:
        if not connection.execute(f"select 1 from duckdb_schemas() where schema_name = '{SHOWN}'").fetchone():
            raise nothing
        check_format(connection, path)
        connection.execute("set timezone = 'UTC'")
        connection.execute("set memory_limit = '1GB'")
        connection.execute("set enable_external_access = false")
        connection.execute("set lock_configuration = true")
        with ExitStack() as opened:
            yield lambda: opened.enter_context(closing(connection.cursor()))
    finally:
        connection.close()


def _run(cursor: Cursor, question: Question, as_of_us: int, *, live: bool) -> Answer:
    result = cursor.execute(question.sql)
    described = result.description or []
    types = [str(column[1]) for column in described]
    rows: list[msgspec.Raw] = []
    size = 0
    truncated = False
    for batch in result.to_arrow_reader(BATCH_ROWS):
        for row in rows_of(batch, types):
            if len(rows) >= question.limit or size >= ANSWER_BYTES:
                truncated = True
                break
            encoded = encode_json(row)
            size += len(encoded)
            rows.append(msgspec.Raw(encoded))
        if truncated:
            break
    return Answer(unique_names([column[0] for column in described]), types, rows, truncated, as_of_us, live)


def _check(cursor: Cursor, question: Question) -> None:
    """Refuse what is not one statement that reads, and with a tenant what would go round its views."""
    statements = cursor.extract_statements(question.sql)
    if len(statements) != 1:
        raise InvalidInput(f"{len(statements)} statements; wanted one SELECT (PIVOT counts as several: write it as a SELECT)")
    kind = statements[0].type.name
    if kind not in READING:
        raise InvalidInput(f"a {kind} statement; views can only be read: wanted SELECT, WITH, FROM, DESCRIBE or EXPLAIN")
    if question.tenant is not None:
        _check_names(cursor, question.sql)


def _check_names(cursor: Cursor, sql: str) -> None:
    (text,) = cursor.execute("select json_serialize_sql(?::varchar)", [sql]).fetchone() or ("{}",)
    tree = msgspec.json.decode(text)
    if tree.get("error"):
        raise InvalidInput(f"with a tenant only plain SELECT statements are answered ({tree.get('error_message')})")
    for node in _nodes(tree):
        name = ".".join(str(node[key]) for key in ("catalog_name", "schema_name") if node.get(key))
        if name:
            raise InvalidInput(f"{name}.{node.get('table_name', '')}: with a tenant, name the views alone: {', '.join(VIEWS)}")
        function = node.get("function")
        if node.get("type") == "TABLE_FUNCTION" and isinstance(function, dict):
            _check_function(function.get("function_name", ""))
        if node.get("type") == "SHOW_REF":
            raise InvalidInput("SHOW, DESCRIBE and SUMMARIZE are not answered with a tenant; leave the tenant out, or select")


def _check_function(name: str) -> None:
    if name not in TABLE_FUNCTIONS:
        raise InvalidInput(f"table function {name}: with a tenant only {', '.join(sorted(TABLE_FUNCTIONS))} are answered")


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Give all records of a syntax tree; it may be deep, so without recursion."""
    todo = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, dict):
            yield node
            todo.extend(node.values())
        elif isinstance(node, list):
            todo.extend(node)


@contextmanager
def _interrupted_after(cursor: Cursor, timeout_s: float) -> Iterator[None]:
    timer = threading.Timer(timeout_s, cursor.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


@contextmanager
def _their_errors(cursor: Cursor, question: Question) -> Iterator[None]:
    """Turn what DuckDB says about a query into InvalidInput, its text kept: it points at the place."""
    try:
        yield
    except duckdb.InterruptException as error:
        raise InvalidInput(f"stopped after {question.timeout_s:g} s; narrow the query or raise the timeout") from error
    except duckdb.OutOfMemoryException as error:
        raise InvalidInput(f"the query needs more memory than queries may have: {error}") from error
    except duckdb.ParserException as error:
        hint = '\nat is a word of SQL: write "at" in quotes where the column is meant' if _BARE_AT.search(question.sql) else ""
        raise InvalidInput(f"{error}{hint}") from error
    except duckdb.Error as error:
        if may_be_damage(error) and is_confirmed(cursor):
            raise ViewsDamaged(f"the views are damaged ({str(error).splitlines()[0]}); {WHO_MENDS}") from error
        hint = _ARROW_HINT if isinstance(error, duckdb.ConversionException) and "->" in question.sql else ""
        raise InvalidInput(f"{error}{hint}") from error
    except (pa.ArrowException, ValueError, OverflowError) as error:
        raise InvalidInput(f"a value of the result cannot be shown ({error}); cast it to varchar") from error
