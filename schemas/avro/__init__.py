"""Avro in Confluent framing: bytes ⇄ columns. `fast` reads whole blocks, `slow` (fastavro) what that cannot read."""
