"""Reads verdicts from Kafka, given as JSON lines, with CloudEvents' own SDK.

usage: cloudevents_read.py MESSAGES.jsonl

A line: {"headers": {"ce_id": "...", ...}, "key": "...", "value": "..."}
"""

import json
import sys

from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from cloudevents.core.formats.json import JSONFormat

ids = set()
count = 0
for line in open(sys.argv[1]):
    message = json.loads(line)
    event = from_binary(
        KafkaMessage(
            headers={name: value.encode() for name, value in message["headers"].items()},
            key=message["key"].encode(), value=message["value"].encode()),
        JSONFormat())
    verdict = event.get_data()
    if isinstance(verdict, (bytes, str)):
        verdict = json.loads(verdict)
    assert event.get_specversion() == "1.0"
    assert event.get_type() == ("ml-service.anomaly" if verdict["verdict"] == "ANOMALY" else "ml-service.normal")
    assert event.get_id() == verdict["transaction_id"] + "@" + verdict["model"]["sha256"][:16]
    assert event.get_source().startswith("/ml-service/")
    assert event.get_time().isoformat(timespec="milliseconds").replace("+00:00", "Z") == verdict["event_time"]
    assert event.get_extension("partitionkey") == verdict["user_id"]
    ids.add(event.get_id())
    count += 1
assert count > 0 and len(ids) == count, (count, len(ids))
print(count, "events")
