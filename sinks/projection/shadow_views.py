"""The tables and views of versions in shadow: what they would have done, and where that differs from what was done.

A shadow is shown under the id of the execution that it runs beside. Differences are told of pairs that have ended both, so what
is on its way is none. Commands, emitted events and calls are compared by their ids: the same step and pass gives the same id on
both sides. `shadow_said` holds the events and calls of both.
"""

from __future__ import annotations

from typing import Final

SHADOW_RUNS: Final = "shadow_runs"
SHADOW_STEPS: Final = "shadow_steps"
SHADOW_ACTIONS: Final = "shadow_actions"
SHADOW_SAID: Final = "shadow_said"

SHADOW_TABLES: Final[dict[str, str]] = {
    SHADOW_RUNS: (
        "ord bigint, tenant varchar, execution varchar, flow varchar, version varchar, status varchar, trigger_event varchar, "
        "started_at timestamptz, happened_at timestamptz, absent boolean"
    ),
    SHADOW_STEPS: "ord bigint, tenant varchar, execution varchar, step varchar, kind varchar",
    SHADOW_ACTIONS: "tenant varchar, execution varchar, action varchar, step varchar, type varchar, params json",
    SHADOW_SAID: (
        "tenant varchar, execution varchar, in_shadow boolean, id varchar, kind varchar, step varchar, type varchar, "
        "about varchar, params json"
    ),
}
_ENDED: Final = "('completed', 'failed', 'cancelled')"
_WORDS: Final = "('refused', 'retried', 'resumed', 'waiting', 'used')"  # of operators and clocks: no way that a flow takes

SHADOW_VIEWS: Final[dict[str, str]] = {
    "shadow_executions": """
        with runs as (
            select tenant, execution, max_by(flow, ord) as flow, max_by(version, ord) as shadow_version,
                max_by(trigger_event, ord) as trigger_event, min(started_at) as started_at, max(happened_at) as happened_at,
                max_by(status, ord) filter (not absent) as status, bool_and(absent) as absent
            from log.shadow_runs group by tenant, execution
        )
        select runs.tenant, runs.flow, coalesce(if(runs.absent, beside.trigger_event, null), runs.trigger_event) as trigger_event,
            runs.execution, beside.version as version, runs.shadow_version,
            coalesce(beside.status, 'not started') as status,
            if(runs.absent, 'not started', runs.status) as shadow_status, runs.started_at,
            if(runs.absent, beside.ended_at, runs.happened_at) as happened_at
        from runs left join shown.executions beside
            on beside.tenant is not distinct from runs.tenant and beside.execution = runs.execution""",
    "shadow_differences": f"""
        with settled as (
            select * from shown.shadow_executions where status in ('not started', {_ENDED[1:-1]})
            and shadow_status in ('not started', {_ENDED[1:-1]})
        ), both_ran as (
            select * from settled where status <> 'not started' and shadow_status <> 'not started'
        ), taken as (
            select tenant, execution, step, string_agg(kind, ', ' order by ord) as way from log.transitions
            semi join both_ran using (tenant, execution) where step <> '' and kind not in {_WORDS} group by all
        ), shadow_taken as (
            select tenant, execution, step, string_agg(kind, ', ' order by ord) as way from log.shadow_steps
            semi join both_ran using (tenant, execution) where kind not in {_WORDS} group by all
        ), ways as (
            select tenant, execution, step, taken.way as live, shadow_taken.way as shadow
            from taken full join shadow_taken using (tenant, execution, step)
            where taken.way is distinct from shadow_taken.way
        ), commands as (
            select tenant, execution, action, step, type, params from log.actions
            semi join (select * from settled where shadow_status <> 'not started') using (tenant, execution)
        ), sent as (
            select coalesce(live.tenant, shadow.tenant) as tenant, coalesce(live.execution, shadow.execution) as execution,
                coalesce(live.step, shadow.step) as step,
                case when live.action is not null then json_object('action', live.type, 'with', live.params) end as live,
                case when shadow.action is not null then json_object('action', shadow.type, 'with', shadow.params) end as shadow
            from commands live full join (
                select * from log.shadow_actions semi join settled using (tenant, execution)
            ) shadow on (live.tenant, live.action) = (shadow.tenant, shadow.action)
            where live.type is distinct from shadow.type or live.params::varchar is distinct from shadow.params::varchar
        ), words as (
            select *, case when kind = 'event' then json_object('event', type, 'subject', about, 'with', params)
                else json_object('call', type, 'version', about, 'with', params) end::varchar as word
            from log.shadow_said semi join (select * from settled where shadow_status <> 'not started') using (tenant, execution)
        ), spoken as (
            select tenant, execution, kind, any_value(step) as step, any_value(word) filter (not in_shadow) as live,
                any_value(word) filter (in_shadow) as shadow
            from words group by tenant, execution, kind, id having live is distinct from shadow
        ), found as (
            select tenant, execution, 'start' as kind, null as step, if(status = 'not started', null, 'started') as live,
                if(shadow_status = 'not started', null, 'started') as shadow
            from settled where (status = 'not started') <> (shadow_status = 'not started')
            union all
            select tenant, execution, 'status', null, status, shadow_status from both_ran where status <> shadow_status
            union all
            select tenant, execution, 'step', step, live, shadow from ways
            union all
            select tenant, execution, 'action', step, live::varchar, shadow::varchar from sent
            union all
            select tenant, execution, kind, step, live, shadow from spoken
        )
        select settled.tenant, flow, trigger_event, execution, version, shadow_version, found.kind as kind, found.step as step,
            found.live as live, found.shadow as shadow, happened_at
        from found join settled using (tenant, execution)""",
}
