"""Ids and shards: pure functions of what a thing is, never of where it was stored (contracts.md section 1).

Every hash is frozen: golden values stand in tests/schemas/test_ids.py, for a changed id is a doubled command.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from decimal import Decimal
from functools import lru_cache
from hashlib import blake2b
from math import isfinite

SHARDS = 64
LIVE = "live"
SHADOW = "shadow"
BUCKETS = 10_000  # of entities, for versions that are rolled out to a part of them
FAR = 5_000  # decimal places: in plain digits 1e999999999 takes a gigabyte
_TIME_BYTES = 6
_TWIN = int.from_bytes(blake2b(b"shadow", digest_size=10).digest(), "big")
_MASK = 0xFFFFFFFF
_M = 0x5BD1E995


def murmur2(data: bytes) -> int:
    """Hash bytes as Kafka's default partitioner does (org.apache.kafka.common.utils.Utils.murmur2), unsigned."""
    length = len(data)
    h = (0x9747B28C ^ length) & _MASK
    whole = length & ~3
    for at in range(0, whole, 4):
        k = (int.from_bytes(data[at : at + 4], "little") * _M) & _MASK
        k ^= k >> 24
        h = ((h * _M) & _MASK) ^ ((k * _M) & _MASK)
    if length > whole:
        h = ((h ^ int.from_bytes(data[whole:], "little")) * _M) & _MASK
    h = ((h ^ (h >> 13)) * _M) & _MASK
    return h ^ (h >> 15)


def shard_of(tenant: str) -> int:
    """Give the home shard of a tenant, 0..63."""
    return (murmur2(tenant.encode()) & 0x7FFFFFFF) % SHARDS


def event_key(tenant: str, source: str, event_id: str) -> bytes:
    """Identify an event by (tenant, source, id): 16 bytes."""
    digest = _event_begun(tenant, source).copy()
    digest.update(event_id.encode())
    return digest.digest()


def execution_id(namespace: str, tenant: str, flow: str, cause: bytes, time_us: int) -> bytes:
    """Identify one run of a flow for one cause: 16 bytes, the cause's time in ms (6 bytes) before the hash (10 bytes).

    `time_us` is the cause's own time (the event's `time`), never the time it was stored, so a redelivery agrees.
    """
    digest = _execution_begun(namespace, tenant, flow).copy()
    digest.update(cause)
    return (time_us // 1000).to_bytes(_TIME_BYTES, "big") + digest.digest()


def twin_id(execution: bytes) -> bytes:
    """Give the id of an execution's shadow, and of a shadow the execution that it runs beside: each is found by the other."""
    twin = int.from_bytes(execution[_TIME_BYTES:], "big") ^ _TWIN
    return execution[:_TIME_BYTES] + twin.to_bytes(10, "big")


def action_id(execution: bytes, step: str, occurrence: int) -> bytes:
    """Identify one command: 16 bytes, sorted with its execution. A retry keeps it; occurrence counts passes of the step."""
    digest = _action_begun(step, occurrence).copy()
    digest.update(execution)
    return execution[:_TIME_BYTES] + digest.digest()


def batch_id(members: Iterable[str]) -> str:
    """Identify a batch by the ids of its members, in order: 32 hex digits. The same members are the same batch."""
    return blake2b("\0".join(members).encode(), digest_size=16, person=b"batch").hexdigest()


def wait_key(tenant: str, event: str, pairs: Collection[tuple[str, str]]) -> int:
    """Give the key under which a wait is found: a signed 64-bit hash of what must be equal.

    `pairs` are names of the event's keys, sorted, each with the text of its value (`key_text`). Two waits may share a key by
    chance: whether an event meets one is decided by its values.
    """
    digest = _wait_begun(tenant, event).copy()
    for name, text in pairs:
        digest.update(f"{len(name)}:{name}{len(text)}:{text}".encode())
    return int.from_bytes(digest.digest(), "big", signed=True)


def entity_bucket(tenant: str, flow: str, entity: str | None) -> int:
    """Give the bucket of an entity of a flow, the same for ever; what has no entity is in the last one."""
    if entity is None:
        return BUCKETS - 1
    digest = _bucket_begun(tenant, flow).copy()
    digest.update(entity.encode())
    return int.from_bytes(digest.digest(), "big") % BUCKETS


def key_text(value: object) -> str | None:
    """Give the one text of a value that a wait is found by, alike for numbers that are equal; None: nothing equals it."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float() if isfinite(value):
            return str(int(value)) if value.is_integer() else repr(value)
        case Decimal() if value.is_finite() and abs(value.adjusted()) < FAR:
            return format(value.normalize(), "f") if value else "0"
        case _:
            return None


# Hashes that have taken in what many ids begin with: copying one costs a third of making it.


@lru_cache(maxsize=65_536)
def _event_begun(tenant: str, source: str) -> blake2b:
    return blake2b(f"{len(tenant)}:{tenant}{len(source)}:{source}".encode(), digest_size=16)


@lru_cache(maxsize=65_536)
def _execution_begun(namespace: str, tenant: str, flow: str) -> blake2b:
    return blake2b(f"{len(namespace)}:{namespace}{len(tenant)}:{tenant}{flow}\0".encode(), digest_size=10)


@lru_cache(maxsize=65_536)
def _action_begun(step: str, occurrence: int) -> blake2b:
    return blake2b(f"{occurrence}:{step}\0".encode(), digest_size=10)


@lru_cache(maxsize=65_536)
def _wait_begun(tenant: str, event: str) -> blake2b:
    return blake2b(f"{len(tenant)}:{tenant}{len(event)}:{event}".encode(), digest_size=8)


@lru_cache(maxsize=65_536)
def _bucket_begun(tenant: str, flow: str) -> blake2b:
    return blake2b(f"{len(tenant)}:{tenant}{flow}\0".encode(), digest_size=8, person=b"rollout")
