"""`millrace send`: append events to the log, durably, in batches, as they are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from flows.catalog import catalog_file
from flows.cli.avro_lines import AvroLines, find_schema
from flows.cli.lines import Line, read_lines
from flows.cli.terminal import Terminal, counted
from flows.datasets import DataEvent, read_dataset
from flows.deployment import append_controls, deploying, in_force, open_ingress, register_contracts
from flows.language.definitions import load_definitions
from flows.settings import Settings, load_settings
from infra.home import partitions_of
from schemas.contracts import EventContract
from schemas.errors import InvalidInput
from schemas.events import encode_events
from schemas.expression.type_text import print_type
from schemas.infer import infer_contracts
from schemas.json_route import event_types, tenant_of
from schemas.topics import INGRESS_FILE, PARTITIONS, is_events, partition_of
from sinks.ingress.client import Ingress
from sinks.ingress.protocol import Item

BATCH_BYTES: Final = 4 << 20
TOPIC: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,240}")
DATASET_BLOCK: Final = 5_000
SAMPLE_LINES: Final = 100_000  # that --infer looks at


class Record(NamedTuple):
    """One record to append. Without a tenant it goes to partition 0."""

    topic: str
    tenant: str | None
    data: bytes


class SendOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The flags of `send`."""

    files: list[Path] = []
    topic: str | None = None
    avro: str | None = None
    infer: bool = False
    dataset: str | None = None
    tenant_column: str | None = None
    limit: int | None = None


@dataclass(slots=True)
class Sent:
    """What was appended so far."""

    records: int = 0
    bytes: int = 0
    without_tenant: int = 0
    topics: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sender:
    """Appends records to their partitions, one transaction a batch, in their own order.

    Neighbours of one partition go together, never all of a batch: the engine reads in the order of what was appended, and under
    the event clock the records of one tenant would else be late behind those of another.
    """

    ingress: Ingress
    partitions: int
    sent: Sent

    def append(self, records: Sequence[Record]) -> None:
        """Append a batch."""
        runs = groupby(records, key=self._place)
        items = [Item(topic, [one.data for one in run], None, partition) for (topic, partition), run in runs]
        if items:
            self.ingress.append(items)
        for topic, tenant, data in records:
            self.sent.records += 1
            self.sent.bytes += len(data)
            self.sent.without_tenant += tenant is None
            self.sent.topics[topic] = self.sent.topics.get(topic, 0) + 1

    def _place(self, record: Record) -> tuple[str, int]:
        return record.topic, partition_of(record.tenant, self.partitions)


def send(terminal: Terminal, *, tenant: str | None, home: Path | None, **flags: Any) -> int:
    """Append what the files or the data set hold. Raises InvalidInput for flags that do not fit together."""
    settings = load_settings(home=home, tenant=tenant)
    options = SendOptions(**flags)
    _check(options)
    if tenant is not None and options.tenant_column is not None:
        raise InvalidInput("--tenant and --tenant-column both say whose the events are; give one of them")
    with open_ingress(settings.home) as ingress:
        sender = Sender(ingress, partitions_of(settings.home / INGRESS_FILE) or PARTITIONS, Sent())
        if options.dataset is not None:
            records = _of_dataset(terminal, ingress, settings, options)
        else:
            records = _of_files(terminal, ingress, settings, options)
        _append_all(terminal, sender, records, settings.batch_rows)
    _tell(terminal, sender.sent)
    return 0


def _check(options: SendOptions) -> None:
    if not options.files:
        raise InvalidInput(
            "nothing to send; name a file of CloudEvents JSON lines (- for stdin), or --dataset NAME and its folder"
        )
    if options.dataset is not None:
        if len(options.files) != 1 or options.topic or options.avro or options.infer:
            raise InvalidInput("--dataset takes its folder and --tenant-column, and brings its own topics and contracts")
    elif options.topic is None:
        raise InvalidInput("--topic is missing; the topic of events ends in .events, e.g. --topic support.events")
    elif not is_events(options.topic) or not TOPIC.fullmatch(options.topic):
        raise InvalidInput(
            f"{options.topic} is no topic of events; its name is one word that ends in .events, e.g. support.events"
        )
    if options.avro and options.infer:
        raise InvalidInput("--avro needs a schema that exists and --infer makes one; give one of them")


def _append_all(terminal: Terminal, sender: Sender, records: Iterator[Record], batch_rows: int) -> None:
    with terminal.progress() as progress:
        task = progress.add_task("records", total=None)
        for batch in _batches(records, batch_rows):
            sender.append(batch)
            progress.update(task, completed=sender.sent.records)


def _batches(records: Iterator[Record], rows: int) -> Iterator[list[Record]]:
    """Cut records into batches of at most so many rows and about BATCH_BYTES."""
    batch: list[Record] = []
    size = 0
    for record in records:
        if batch and (len(batch) >= rows or size + len(record.data) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += len(record.data)
    if batch:
        yield batch


def _of_files(terminal: Terminal, ingress: Ingress, settings: Settings, options: SendOptions) -> Iterator[Record]:
    """Give the records of files of lines, after the contracts or schemas that they need are registered."""
    assert options.topic is not None
    if options.infer:
        _infer(terminal, ingress, settings.home, options)
    lines = islice((line for file in options.files for line in read_lines(file)), options.limit)
    if options.avro is not None:
        return _as_avro(ingress, settings.home, options, (_owned(line, settings.tenant) for line in lines))
    return (_record(options.topic, _owned(line, settings.tenant)) for line in lines)


def _record(topic: str, line: Line) -> Record:
    return Record(topic, tenant_of(line.text), line.text)


def _owned(line: Line, tenant: str | None) -> Line:
    """Fill in the tenant where --tenant gives one and a record names none; what is no JSON object stays as it is."""
    if tenant is None or tenant_of(line.text) is not None:
        return line
    try:
        record = msgspec.json.decode(line.text, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return line
    return line._replace(text=msgspec.json.encode({**record, "tenant": tenant}))


def _as_avro(ingress: Ingress, home: Path, options: SendOptions, lines: Iterator[Line]) -> Iterator[Record]:
    """Encode lines block by block; the schema is registered when the first line has named its event type."""
    assert options.topic is not None
    assert options.avro is not None
    encoder = None
    while block := list(islice(lines, 1_000)):
        if encoder is None:
            encoder = _encoder(ingress, home, options, _event_of(block[0]))
        for line, frame in zip(block, encoder.encode(block), strict=True):
            yield Record(options.topic, tenant_of(line.text), frame)


def _encoder(ingress: Ingress, home: Path, options: SendOptions, event: str) -> AvroLines:
    """Find the schema for an event type, registering that of a file."""
    assert options.topic is not None
    assert options.avro is not None
    with deploying(home):
        encoder, changes = find_schema(options.avro, in_force(home).registry, event, options.topic)
        if changes:
            append_controls(ingress, dict(changes))
    return encoder


def _event_of(line: Line) -> str:
    types, bad = event_types([line.text])
    if bad or types[0] is None:
        raise InvalidInput(
            f"{line.place} is no CloudEvents JSON object with a type; --avro needs the event type to find the schema"
        )
    return types[0]


def _infer(terminal: Terminal, ingress: Ingress, home: Path, options: SendOptions) -> None:
    """Derive, show and register the contracts of event types that have none."""
    known = in_force(home).registry.contracts()
    sample = (line.text for file in options.files for line in islice(read_lines(file), SAMPLE_LINES))
    found = register_contracts(ingress, home, infer_contracts(sample, options.topic, known))
    for contract in found:
        terminal.say(f"event: {contract.event}\ntopic: {contract.topic}\nfields: {print_type(contract.data)}")
    if not found:
        terminal.say("every event type in the files has a contract; nothing was derived")


def _of_dataset(terminal: Terminal, ingress: Ingress, settings: Settings, options: SendOptions) -> Iterator[Record]:
    """Give the events of a data set as Avro frames, by the catalogue's contracts where none are registered."""
    assert options.dataset is not None
    known = in_force(settings.home).registry.contracts()
    shipped = {contract.event: contract for contract in load_definitions([catalog_file("contracts.yaml")]).contracts}
    events = islice(read_dataset(options.dataset, options.files[0], options.tenant_column), options.limit)
    contracts: dict[str, EventContract] = {}
    whose = {"tenant": settings.tenant} if settings.tenant and not options.tenant_column else {}
    while block := [one._replace(event={**one.event, **whose}) for one in islice(events, DATASET_BLOCK)]:
        for kind in sorted({one.event["type"] for one in block} - set(contracts)):
            contract = known.get(kind) or shipped[kind]
            (contracts[kind],) = register_contracts(ingress, settings.home, [contract]) if kind not in known else (contract,)
            terminal.say(f"{kind}: schema {contracts[kind].schema_id}")
        yield from _frames(block, contracts)


def _frames(block: Sequence[DataEvent], contracts: Mapping[str, EventContract]) -> Iterator[Record]:
    """Encode a block of events, type by type, and give them in their own order."""
    frames: dict[int, bytes] = {}
    for kind in {one.event["type"] for one in block}:
        places = [at for at, one in enumerate(block) if one.event["type"] == kind]
        frames.update(zip(places, encode_events(contracts[kind], [block[at].event for at in places]), strict=True))
    for at, one in enumerate(block):
        yield Record(one.topic, one.event["tenant"], frames[at])


def _tell(terminal: Terminal, sent: Sent) -> None:
    if terminal.json:
        terminal.value(sent)
        return
    topics = ", ".join(f"{topic} {count:,}" for topic, count in sorted(sent.topics.items())) or "nothing"
    terminal.say(f"sent {counted(sent.records, 'record')}, {counted(sent.bytes, 'byte')}: {topics}")
    if sent.without_tenant:
        terminal.say(
            f"{sent.without_tenant:,} of them name no tenant, or are no JSON objects; they become dead letters unless `up` has a "
            "--default-tenant (see `millrace dlq list --tenant -`); `send --tenant NAME` says whose they are"
        )
