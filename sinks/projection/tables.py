"""What lies in views.duckdb: append-only tables in two halves, and the views of contracts.md section 10 over them.

`ord` counts rows in the order in which they were projected; the later one wins. Tables have no keys: appends stay flat
(facts.md, DuckDB). Each table is there twice, in HALVES: DuckDB locks a table while a checkpoint writes it, so what is merged
next is never what is appended to. The schema `log` holds both halves as one. The views are in `main`, so that a plain name
never reaches a table.
"""

from __future__ import annotations

from typing import Final

from sinks.projection.shadow_views import SHADOW_TABLES, SHADOW_VIEWS

FORMAT: Final = 6
HALVES: Final = ("half_0", "half_1")
EVENTS: Final = "events"
HISTORY: Final = "history"
TRANSITIONS: Final = "transitions"
ACTIONS: Final = "actions"
RESULTS: Final = "results"
DEAD_LETTERS: Final = "dead_letters"
LATE: Final = "late"
MISTYPED: Final = "mistyped"

TABLES: Final[dict[str, str]] = {
    EVENTS: (
        "tenant varchar, event varchar, source varchar, type varchar, subject varchar, time timestamptz, "
        "appended_at timestamptz, topic varchar, partition integer, position bigint, data json, doubtful boolean"
    ),
    HISTORY: (
        "ord bigint, tenant varchar, execution varchar, flow varchar, version varchar, status varchar, trigger_event varchar, "
        "started_at timestamptz, happened_at timestamptz, waiting_on varchar, wait_until timestamptz, error varchar, "
        "cause json, bound json"
    ),
    TRANSITIONS: (
        "ord bigint, tenant varchar, execution varchar, step varchar, verb varchar, kind varchar, happened_at timestamptz, "
        "detail json"
    ),
    ACTIONS: (
        "ord bigint, tenant varchar, action varchar, execution varchar, flow varchar, version varchar, step varchar, "
        "type varchar, params json, created_at timestamptz, awaited boolean"
    ),
    RESULTS: (
        "ord bigint, tenant varchar, action varchar, status varchar, happened_at timestamptz, attempts integer, code varchar, "
        "error varchar"
    ),
    DEAD_LETTERS: (
        "tenant varchar, kind varchar, source varchar, topic varchar, partition integer, position bigint, reason varchar, "
        "detail varchar, payload blob, happened_at timestamptz, id varchar"
    ),
    LATE: "tenant varchar, flow varchar, event varchar, time timestamptz, appended_at timestamptz, key varchar",
    MISTYPED: "tenant varchar, flow varchar, version varchar, minute timestamptz, events bigint",
    **SHADOW_TABLES,
}

SETUP: Final = (
    "create schema log",
    "create schema shown",
    *(f"create schema {half}" for half in HALVES),
    *(f"create table {half}.{name}({columns})" for half in HALVES for name, columns in TABLES.items()),
    *(f"create view log.{name} as {' union all '.join(f'from {half}.{name}' for half in HALVES)}" for name in TABLES),
    "create table log.sources(source varchar, incarnation varchar)",
    "create table log.underway(held boolean)",  # stays empty: a transaction that writes to it holds vacuuming off
    "create table log.progress("
    "format integer, number bigint, ord bigint, event_time_us bigint, as_of_us bigint, positions varchar)",
    f"insert into log.progress values ({FORMAT}, 0, 0, 0, 0, '[]')",
)
LAST_PROGRESS: Final = "from log.progress order by number desc limit 1"
KEEP_LAST: Final = f"create or replace table log.progress as {LAST_PROGRESS}"
HOLD_VACUUM: Final = "insert into log.underway select true where false"

_EVENT: Final = "tenant, event, source, type, subject, time, appended_at, topic, partition, position, data"
_LETTER: Final = 'tenant, kind, topic, partition, position, reason, payload, happened_at as "at", detail'
_ENDED: Final = "('completed', 'failed', 'cancelled')"
_WRONG: Final = "('closing', 'failed', 'cancelled')"
_LAST: Final = (1 << 63) - 1  # the end of an execution comes behind everything else
_NEWS: Final = "('refused', 'retried', 'resumed', 'closing')"  # they leave a step as it was
_WAITS: Final = "('entered', 'requested', 'reminded', 'escalated', 'decided', 'called')"


def _time_text(us: str) -> str:
    """Write microseconds as RFC 3339, in SQL."""
    whole, parted = (f"strftime(make_timestamp({us}), '%Y-%m-%dT%H:%M:%S{part}Z')" for part in ("", ".%f"))
    return f"if({us} % 1000000 = 0, {whole}, {parted})"


_READABLE: Final = f"""case
            when kind = 'entered' and verb in ('delay', 'until', 'wait')
                then to_json({_time_text("cast(detail as bigint)")})
            when json_type(detail, '$.until') in ('UBIGINT', 'BIGINT')
                then json_merge_patch(detail, json_object('until', {_time_text("cast(detail->>'$.until' as bigint)")}))
            else detail end"""  # what is waited for until when, as people read it

VIEWS: Final[dict[str, str]] = {
    "events": f"""
        select {_EVENT} from log.events where not doubtful
        union all
        select {_EVENT} from log.events doubted where doubtful and not exists (
            select 1 from log.dead_letters letter where letter.kind = 'event'
            and letter.topic = doubted.topic and letter.partition = doubted.partition and letter.position = doubted.position
        )""",  # what is far ahead of the event clock is the engine's to judge: it is shown unless the engine set it aside
    "executions": f"""
        select tenant, execution, last.flow as flow, last.version as version, last.status as status,
            last.trigger_event as trigger_event, last.started_at as started_at,
            case when last.status in {_ENDED} then last.happened_at end as ended_at,
            last.waiting_on as waiting_on, last.wait_until as wait_until,
            case when last.status in {_WRONG} then first_error end as error
        from (
            select tenant, execution, max_by(struct_pack(flow, version, status, trigger_event, started_at, happened_at,
                waiting_on, wait_until), ord) as last, min_by(error, ord) filter (error is not null) as first_error
            from log.history group by tenant, execution
        )""",
    "steps": f"""
        with moments as (
            select tenant, execution, step, verb = 'compensation' as undoes,
                coalesce(min_by(verb, ord) filter (verb not in ('', 'operator')), '') as kind, min(happened_at) as started_at,
                max_by(happened_at, ord) filter (kind not in {_NEWS}) as happened_at,
                max_by(kind, ord) filter (kind not in {_NEWS}) as last,
                max_by({_READABLE}, ord) filter (kind <> 'closing') as detail, min(ord) as position
            from log.transitions where step <> '' group by tenant, execution, step, undoes
        ), whole as (
            select tenant, execution, max(happened_at) as over_at from log.history
            where status in {_ENDED} group by tenant, execution
        )
        select moments.tenant, moments.execution, moments.step, moments.kind, started_at,
            case when told = 'waiting' then over_at else happened_at end as ended_at,
            if(told = 'waiting' and over_at is not null, 'cancelled', told) as outcome, detail, position
        from moments left join whole on (whole.tenant, whole.execution) = (moments.tenant, moments.execution)
        left join (
            select tenant, execution, step, count(*) as n from log.actions where awaited group by all
        ) awaited on (awaited.tenant, awaited.execution, awaited.step) = (moments.tenant, moments.execution, moments.step)
        cross join lateral (
            select case when last = 'called' and (detail->>'$.awaited') = 'false' then 'called'
                when last in {_WAITS} or (last = 'issued' and (undoes or n > 0)) then 'waiting' else last end as told
        )""",
    "actions": """
        select issued.tenant, issued.action, issued.execution, issued.flow, issued.step, issued.type, issued.params,
            coalesce(ended.status, 'pending') as status, issued.created_at,
            case when ended.status = 'delivered' then ended.happened_at end as delivered_at,
            coalesce(ended.attempts, 0) as attempts, ended.code, ended.error
        from log.actions issued left join (
            select tenant, action, max_by(status, ord) as status, max_by(happened_at, ord) as happened_at,
                max_by(attempts, ord) as attempts, arg_max_null(code, ord) as code, arg_max_null(error, ord) as error
            from log.results group by tenant, action
        ) ended on ended.tenant = issued.tenant and ended.action = issued.action""",
    "dead_letters": f"""
        select {_LETTER} from log.dead_letters where kind <> 'poison'
        union all
        select {_LETTER} from log.dead_letters where kind = 'poison'
        qualify row_number() over (partition by topic, partition, position order by happened_at) = 1""",
    "flow_stats": """
        with minutes as (
            select tenant, flow, version, date_trunc('minute', started_at) as minute, 1 as started, 0 as completed, 0 as failed,
                cast(status = 'waiting' as integer) as waiting, 0 as actions, null::double as ran_ms, 0 as mistyped
            from shown.executions
            union all
            select tenant, flow, version, date_trunc('minute', ended_at), 0, cast(status = 'completed' as integer),
                cast(status = 'failed' as integer), 0, 0, epoch_us(ended_at) / 1000.0 - epoch_us(started_at) / 1000.0, 0
            from shown.executions where ended_at is not null
            union all
            select tenant, flow, version, date_trunc('minute', created_at), 0, 0, 0, 0, 1, null, 0 from log.actions
            union all
            select tenant, flow, version, minute, 0, 0, 0, 0, 0, null, events from log.mistyped
        )
        select tenant, flow, version, minute, sum(started)::bigint as started, sum(completed)::bigint as completed,
            sum(failed)::bigint as failed, sum(waiting)::bigint as waiting, sum(actions)::bigint as actions,
            sum(mistyped)::bigint as mistyped, quantile_cont(ran_ms, 0.5) as p50_ms, quantile_cont(ran_ms, 0.99) as p99_ms
        from minutes group by tenant, flow, version, minute""",
    "history": f"""
        select tenant, execution, happened_at as "at", step, verb, kind, if(verb = '', kind, verb || '.' || kind) as name,
            {_READABLE} as detail, ord as position from log.transitions
        union all
        select tenant, execution, min(started_at), '', '', 'started', 'started', null, -1 from log.history group by all
        union all
        select tenant, execution, max(happened_at), '', '', 'ended', 'ended', to_json(max_by(status, ord)), {_LAST}
            from log.history where status in {_ENDED} group by all""",
    "turns": """
        select tenant, execution, happened_at as "at", version, status, waiting_on, wait_until, cause, bound, ord as position
        from log.history""",
    "late_events": f"select tenant, flow, event, time, appended_at, key from log.{LATE}",
    "approvals": f"""
        with moments as (
            select tenant, execution, step, cast(detail->>'$.occurrence' as integer) as occurrence, ord, kind, happened_at, detail
            from log.transitions where verb = 'approval'
        ), passes as (
            select tenant, execution, step, occurrence,
                min(happened_at) filter (kind = 'requested') as requested_at,
                min_by(detail, ord) filter (kind = 'requested') as asked,
                max_by(detail, ord) filter (kind in ('requested', 'escalated')) as deciders,
                string_agg(detail->>'$.by', ', ' order by ord) filter (kind = 'decided') as decided_by,
                max(happened_at) filter (kind in ('decided', 'completed', 'timed_out', 'cancelled')) as decided_at,
                max_by(detail->>'$.outcome', ord) filter (kind = 'completed') as outcome,
                max_by(kind, ord) filter (kind in ('timed_out', 'cancelled')) as gone,
                count(*) filter (kind = 'refused') as refused
            from moments group by tenant, execution, step, occurrence having count(*) filter (kind = 'requested') > 0
        )
        select passes.tenant, passes.execution, flow, step, occurrence, asked->>'$.title' as title,
            coalesce(outcome, gone, case when ended_at is not null or executions.status in {_WRONG} then 'cancelled' end, 'open')
                as status,
            requested_at, make_timestamptz(cast(asked->>'$.until' as bigint)) as until, deciders->'$.roles' as roles,
            deciders->'$.people' as people, cast(asked->>'$.need' as integer) as need, decided_by,
            case when outcome is not null or gone is not null then decided_at end as decided_at, refused,
            asked->'$.show' as "show"
        from passes join shown.executions executions
            on (executions.tenant, executions.execution) = (passes.tenant, passes.execution)""",
    **SHADOW_VIEWS,
}


def create_views(name: str) -> tuple[str, str]:
    """Give the statements that make a view: in `shown`, and in `main`, where plain names are looked up.

    Tenants' views shadow `main` alone; DuckDB calls the temporary schema `main` too, so they cannot be made over it.
    """
    return f"create or replace view shown.{name} as {VIEWS[name]}", f"create or replace view main.{name} as from shown.{name}"


def tenant_view(name: str, tenant: str | None) -> str:
    """Give the statement that hides a view behind its rows of one tenant, for one connection.

    None stands for records without a readable tenant.
    """
    quoted = "null" if tenant is None else "'" + tenant.replace("'", "''") + "'"
    return f"create temp view {name} as select * from shown.{name} where tenant is not distinct from {quoted}"
