"""Produces transactions, given as JSON lines, with the serialisers of confluent-kafka.

usage: confluent_produce.py BROKERS REGISTRY TOPIC FORMAT TRANSACTIONS.jsonl

FORMAT: avro-1, avro-2 (a later version: fields added, put elsewhere, of other types), or json.
"""

import datetime
import decimal
import json
import sys

from confluent_kafka import Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

brokers, registry, topic, form, source = sys.argv[1:]
TEXTS = ["currency", "merchant_id", "category", "country", "channel", "device_id"]
PLACES = ["latitude", "longitude"]


def optional(names, kind):
    return [{"name": name, "type": ["null", kind], "default": None} for name in names]


first = {
    "type": "record", "name": "Transaction", "namespace": "bank.cards",
    "fields": [
        {"name": "transaction_id", "type": "string"}, {"name": "user_id", "type": "string"},
        {"name": "amount", "type": "double"}, {"name": "timestamp", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    ] + optional(TEXTS, "string") + optional(PLACES, "double"),
}
second = {
    "type": "record", "name": "Transaction", "namespace": "bank.cards",
    "fields": [
        {"name": "terminal", "type": {"type": "record", "name": "Terminal", "fields": [
            {"name": "serial", "type": "string"}, {"name": "firmware", "type": {"type": "map", "values": "int"}}]}},
        {"name": "timestamp", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 30, "scale": 12}},
    ] + optional(PLACES, "double") + optional(reversed(TEXTS), "string") + [
        {"name": "user_id", "type": {"type": "string", "avro.java.string": "String"}},
        {"name": "risk", "type": {"type": "enum", "name": "Risk", "symbols": ["LOW", "HIGH"]}, "default": "LOW"},
        {"name": "transaction_id", "type": "string"},
    ],
}
schema = {
    "title": "Transaction", "type": "object", "required": ["transaction_id", "user_id", "amount", "timestamp"],
    "properties": {"amount": {"type": "number"}},
}


def row(transaction, context):
    """As a producer of Avro has it."""
    if form == "json":
        return transaction
    filled = {name: transaction.get(name) for name in TEXTS + PLACES}
    moment = transaction["timestamp"]
    filled["timestamp"] = datetime.datetime.fromisoformat(moment.replace("Z", "+00:00"))
    filled.update({name: transaction[name] for name in ("transaction_id", "user_id", "amount")})
    if form == "avro-2":
        filled["terminal"] = {"serial": "0042", "firmware": {"major": 3}}
        filled["risk"] = "HIGH"
        filled["amount"] = decimal.Decimal(repr(transaction["amount"])).quantize(decimal.Decimal(1).scaleb(-12))
    return filled


client = SchemaRegistryClient({"url": registry, "basic.auth.user.info": "reader:word"})
if form == "json":
    serializer = JSONSerializer(json.dumps(schema), client, row)
else:
    serializer = AvroSerializer(client, json.dumps(first if form == "avro-1" else second), row)
producer = Producer({"bootstrap.servers": brokers})
context = SerializationContext(topic, MessageField.VALUE)
for line in open(source):
    transaction = json.loads(line)
    producer.produce(topic, key=transaction["user_id"].encode(), value=serializer(transaction, context))
    producer.poll(0)
assert producer.flush(60) == 0
