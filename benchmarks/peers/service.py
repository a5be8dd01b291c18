"""A Python service of the same job as ours, tuned, on the stream that `Benchmarks end-to-end` has left in Kafka.

Transactions from Kafka in batches of 16,000 (of 2,000 it was a quarter slower), windows in Redis (one MGET and one MSET
a batch), the features of docs/features.md, scikit-learn's isolation forest on the whole batch, anomalies to Kafka,
offsets committed after each batch. What Python is slow at is left to numpy: the windows of a batch's users are one array, and transactions are folded
into it in rounds, the first of each user, then the second, and so on. Parsing is orjson's, Redis's protocol hiredis's.

Easier than what ours does: at-least-once (ours: exactly once), sets of merchants, countries and devices forget by
age of entry alone, no reasons, no dead letters, no late transactions.

Usage: service.py --topic TOPIC [--results FILE] [--processes 1,2] [--own-records 4000]    KAFKA_BOOTSTRAP, REDIS_URL
"""

import argparse
import multiprocessing
import os
import time
import zlib

for name in ["OMP", "OPENBLAS", "MKL"]:  # as many processes as cores, so one thread each
    os.environ[f"{name}_NUM_THREADS"] = "1"

import numpy as np
import orjson
import redis
from confluent_kafka import Consumer, Producer, TopicPartition
from sklearn.ensemble import IsolationForest

BATCH = int(os.environ.get("BENCH_BATCH", 16_000))
OWN_BATCH = 200
TRAINING = 50_000
CONTAMINATION = 0.01

# --- windows: 1 h, 24 h, 7 d and 30 d in buckets, side by side in one array ---

BUCKETS = np.array([60, 24, 28, 30])
WIDTHS = np.array([60_000, 3_600_000, 21_600_000, 86_400_000])  # ms
STARTS = np.concatenate([[0], np.cumsum(BUCKETS)[:-1]])
TIER = np.repeat(np.arange(4), BUCKETS)  # of each bucket
PLACE = np.concatenate([np.arange(count) for count in BUCKETS])  # in its tier
SETS = [("merchants", 32), ("countries", 8), ("devices", 16)]
WINDOW = np.dtype(
    [
        ("last", "<i8"), ("place", "<f4", 2), ("count", "<u2", int(BUCKETS.sum())), ("sum", "<f4", int(BUCKETS.sum())),
        ("square", "<f4", 30),
    ]
    + [(name, "<u4", size) for name, size in SETS]
    + [("next", "u1", 3)]
)  # fmt: skip
EMPTY = np.zeros(1, WINDOW)
EMPTY["place"] = np.nan
EMPTY = EMPTY.tobytes()

CATEGORIES = {  # one-hot columns: known values of the training part, filled by `Service.learn_categories`
    "category": {}, "country": {}, "channel": {}, "currency": {},
}  # fmt: skip


def features_and_fold(windows, users, batch):
    """Numeric features of rows of which each has a user of its own, before the fold; windows[users] afterwards."""
    own = windows[users]
    time_ms, amount = batch["time"], batch["amount"]
    is_known = own["last"] > 0

    # Clear the buckets that time has passed over. Slot p of a tier holds bucket b with b % buckets == p.
    now = time_ms[:, None] // WIDTHS
    passed = np.clip(now - own["last"][:, None] // WIDTHS, 0, BUCKETS)
    age = (now[:, TIER] - PLACE) % BUCKETS[TIER]
    stale = age < passed[:, TIER]
    own["count"][stale] = 0
    own["sum"][stale] = 0
    own["square"][stale[:, STARTS[3] :]] = 0

    counts = np.add.reduceat(own["count"], STARTS, axis=1, dtype="f4")
    sums = np.add.reduceat(own["sum"], STARTS, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = np.where(counts > 0, sums / counts, np.nan)
        mean = means[:, 3]
        deviation = np.sqrt(np.maximum(own["square"].sum(axis=1) / counts[:, 3] - mean * mean, 0))
        zscore = np.where((counts[:, 3] >= 2) & (deviation > 0), (amount - mean) / deviation, np.nan)
        ratio = np.where(mean != 0, amount / mean, np.nan)
        hours = np.maximum(time_ms - own["last"], 1_000) / 3_600_000
        place, before = np.radians(batch["place"]), np.radians(own["place"])
        north = place[:, 0] - before[:, 0]
        east = (place[:, 1] - before[:, 1]) * np.cos(before[:, 0])
        speed = 6_371 * np.hypot(north, east) / hours
    hour = 2 * np.pi * (time_ms // 3_600_000 % 24) / 24
    weekday = 2 * np.pi * ((time_ms // 86_400_000 + 3) % 7) / 7
    columns = [
        amount, np.sign(amount) * np.log1p(np.abs(amount)), np.sin(hour), np.cos(hour), np.sin(weekday),
        np.cos(weekday), np.where(is_known, (time_ms - own["last"]) / 1000, np.nan),
    ]  # fmt: skip
    for tier in range(4):
        columns += [counts[:, tier], sums[:, tier], means[:, tier]]
    columns += [zscore, ratio]

    rows = np.arange(len(users))
    for number, (name, size) in enumerate(SETS):
        hashes = batch[name]
        is_new = (own[name] != hashes[:, None]).all(axis=1)
        columns.append(np.where(hashes == 0, np.nan, is_new))
        added = is_new & (hashes != 0)
        place_in_ring = own["next"][added, number]
        own[name][rows[added], place_in_ring] = hashes[added]
        own["next"][added, number] = (place_in_ring + 1) % size
    columns.append(speed)

    slots = (now % BUCKETS) + STARTS
    for tier in range(4):
        own["count"][rows, slots[:, tier]] += 1
        own["sum"][rows, slots[:, tier]] += amount
    own["square"][rows, slots[:, 3] - STARTS[3]] += amount * amount
    own["last"] = np.maximum(own["last"], time_ms)
    own["place"] = np.where(np.isnan(batch["place"]), own["place"], batch["place"])
    windows[users] = own
    return np.stack(columns, axis=1)


def hashed(texts):
    return np.array([zlib.crc32(text.encode()) if text else 0 for text in texts], "u4")


def fold_batch(records, windows, users):
    """The features of a batch in order, one-hot columns included, folding it into the windows on the way."""
    amounts = np.array([record["amount"] for record in records], "f8")
    times = np.array([record["timestamp"][:-1] for record in records], "M8[ms]").astype("i8")
    batch = {
        "time": times, "amount": amounts,
        "merchants": hashed([record.get("merchant_id") for record in records]),
        "countries": hashed([record.get("country") for record in records]),
        "devices": hashed([record.get("device_id") for record in records]),
        "place": np.array([(r.get("latitude", np.nan), r.get("longitude", np.nan)) for r in records], "f4"),
    }  # fmt: skip
    # Which transaction of its user in this batch each is: 0, 1, ...
    order = np.argsort(users, kind="stable")
    starts = np.flatnonzero(np.diff(users[order], prepend=-1))
    rank = np.empty(len(users), int)
    rank[order] = np.arange(len(users)) - np.repeat(starts, np.diff(starts, append=len(users)))
    numeric = np.empty((len(records), 25), "f4")
    for turn in range(rank.max() + 1):
        rows = np.flatnonzero(rank == turn)
        part = {name: values[rows] for name, values in batch.items()}
        numeric[rows] = features_and_fold(windows, users[rows], part)
    encoded = [numeric]
    for name, known in CATEGORIES.items():
        columns = np.array([known.get(record.get(name), 0) for record in records])
        encoded.append(np.eye(len(known) + 1, dtype="f4")[columns])
    return np.concatenate(encoded, axis=1)


# --- the service ---


class Service:
    def __init__(self, topic, partitions):
        self.topic, self.partitions = topic, partitions
        brokers = os.environ["KAFKA_BOOTSTRAP"]
        self.consumer = Consumer(
            {
                "bootstrap.servers": brokers, "group.id": f"peer-{os.getpid()}-{time.time_ns()}",
                "enable.auto.commit": False, "auto.offset.reset": "earliest",
                # The broker may answer with all that a partition still has.
                "fetch.max.bytes": 500_000_000, "receive.message.max.bytes": 1_000_000_000,
                "queued.max.messages.kbytes": 262_144,
            }
        )  # fmt: skip
        self.producer = Producer({"bootstrap.servers": brokers, "linger.ms": 5, "compression.type": "lz4"})
        self.redis = redis.Redis.from_url(os.environ["REDIS_URL"])
        self.seconds = dict.fromkeys(["consume", "parse", "read", "fold", "score", "write", "publish"], 0.0)

    def records_left(self):
        low_high = [self.consumer.get_watermark_offsets(TopicPartition(self.topic, p)) for p in self.partitions]
        return sum(high - low for low, high in low_high)

    def batches(self, limit, size=BATCH):
        """Batches of at most `size` messages until `limit` records are read."""
        self.consumer.assign([TopicPartition(self.topic, partition, 0) for partition in self.partitions])
        read = 0
        while read < limit:
            messages = self.consumer.consume(min(size, limit - read), timeout=0.02)
            messages = [message for message in messages if message.error() is None]
            if messages:
                read += len(messages)
                yield messages

    def process(self, messages, score):
        clock = [time.perf_counter()]
        records = [orjson.loads(message.value()) for message in messages]
        numbers = {}
        users = np.array([numbers.setdefault(record["user_id"], len(numbers)) for record in records])
        keys = [f"w:{user}" for user in numbers]
        clock.append(time.perf_counter())
        stored = self.redis.mget(keys)
        windows = np.frombuffer(b"".join(value or EMPTY for value in stored), WINDOW).copy()
        clock.append(time.perf_counter())
        features = fold_batch(records, windows, users)
        clock.append(time.perf_counter())
        scores, threshold = score(features, users, list(numbers))
        clock.append(time.perf_counter())
        size, raw = WINDOW.itemsize, windows.tobytes()
        self.redis.mset({key: raw[place * size : (place + 1) * size] for place, key in enumerate(keys)})
        clock.append(time.perf_counter())
        for row in np.flatnonzero(scores < threshold):
            record, message = records[row], messages[row]
            verdict = {
                "transaction_id": record["transaction_id"], "user_id": record["user_id"], "verdict": "ANOMALY",
                "score": float(scores[row]), "threshold": float(threshold), "event_time": record["timestamp"],
                "source": {"partition": message.partition(), "offset": message.offset()},
            }  # fmt: skip
            self.producer.produce(self.topic + "-peer", orjson.dumps(verdict), key=record["user_id"])
        self.producer.poll(0)
        ends = {message.partition(): message.offset() + 1 for message in messages}
        offsets = [TopicPartition(self.topic, partition, end) for partition, end in ends.items()]
        self.consumer.commit(offsets=offsets, asynchronous=True)
        clock.append(time.perf_counter())
        for name, spent in zip(["parse", "read", "fold", "score", "write", "publish"], np.diff(clock)):
            self.seconds[name] += spent

    def end(self):
        self.producer.flush()
        self.consumer.close()


def by_one_model(model, threshold):
    return lambda features, users, names: (model.score_samples(features), threshold)


def by_own_models(models, threshold):
    """Each user's rows by that user's model. A few models stand for all: what a call costs does not depend on which."""

    def score(features, users, names):
        scores = np.empty(len(users))
        for user in range(len(names)):
            rows = users == user
            scores[rows] = models[user % len(models)].score_samples(features[rows])
        return scores, threshold

    return score


def train(topic):
    """A model of the stream's first part, a few of users' size, and the categories."""
    service = Service(topic, range(4))
    records = []
    for messages in service.batches(TRAINING):
        records += [orjson.loads(message.value()) for message in messages]
    service.end()
    for name, known in CATEGORIES.items():
        for record in records:
            if record.get(name):
                known.setdefault(record[name], len(known) + 1)
    numbers = {}
    users = np.array([numbers.setdefault(record["user_id"], len(numbers)) for record in records])
    windows = np.frombuffer(EMPTY * len(numbers), WINDOW).copy()
    features = fold_batch(records, windows, users)
    model = IsolationForest(n_estimators=100, max_samples=256, random_state=1).fit(features)
    threshold = np.quantile(model.score_samples(features), CONTAMINATION)
    own = [
        IsolationForest(n_estimators=100, max_samples=256, random_state=seed).fit(features[seed * 500 : seed * 500 + 500])
        for seed in range(20)
    ]
    return model, own, threshold, CATEGORIES


def work(topic, partitions, limit, model, own, threshold, categories, barrier, results):
    """One process: every transaction of its partitions. The clock runs from the end of the first batch."""
    CATEGORIES.update(categories)
    service = Service(topic, partitions)
    score = by_own_models(own, threshold) if own else by_one_model(model, threshold)
    # The first batch is not measured; where each user costs milliseconds it is a small one.
    size = OWN_BATCH if own else BATCH
    limit = min(limit + size, service.records_left())
    barrier.wait()
    batches = service.batches(limit, size)
    first = next(batches)
    service.process(first, score)
    service.seconds = dict.fromkeys(service.seconds, 0.0)
    start, count, processor = time.perf_counter(), 0, time.process_time()
    while True:
        waiting = time.perf_counter()
        messages = next(batches, None)
        if messages is None:
            break
        service.seconds["consume"] += time.perf_counter() - waiting
        service.process(messages, score)
        count += len(messages)
    end, processor = time.perf_counter(), time.process_time() - processor
    service.end()
    results.put((start, end, count, service.seconds | {"processor": processor}))


def measure(topic, processes, limit, models):
    """Transactions a second of all processes together, and where their time went, in us a transaction."""
    redis.Redis.from_url(os.environ["REDIS_URL"]).flushdb()
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(processes), context.Queue()
    workers = [
        context.Process(
            target=work,
            args=(topic, list(range(number, 4, processes)), limit // processes, *models, barrier, results),
        )
        for number in range(processes)
    ]
    for worker in workers:
        worker.start()
    done = [results.get() for _ in workers]
    for worker in workers:
        worker.join()
    # perf_counter is one clock for all processes of a machine.
    seconds = max(end for _, end, _, _ in done) - min(start for start, _, _, _ in done)
    count = sum(count for _, _, count, _ in done)
    parts = {name: sum(parts[name] for *_, parts in done) * 1e6 / count for name in done[0][3]}
    return count / seconds, parts


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--topic", required=True)
    parser.add_argument("--results", help="what `Benchmarks end-to-end` wrote to BENCH_RESULTS")
    parser.add_argument("--processes", default="1,2")
    parser.add_argument("--records", type=int, default=400_000)
    parser.add_argument("--own-records", type=int, default=4_000)
    arguments = parser.parse_args()
    ours = {}
    if arguments.results and os.path.exists(arguments.results):
        with open(arguments.results) as lines:
            ours = {name: (float(speed), float(cost)) for name, speed, cost in (line.split("\t") for line in lines)}
    model, own, threshold, categories = train(arguments.topic)
    print(f"\nPython service on the same stream, broker and Redis: numpy windows, MGET/MSET, batches of {BATCH:,}, at least once")
    for case, models, limit in [
        ("global model", (model, None, threshold, categories), arguments.records),
        ("every user's own model", (model, own, threshold, categories), arguments.own_records),
    ]:
        best, least = 0.0, float("inf")
        for processes in map(int, arguments.processes.split(",")):
            speed, parts = measure(arguments.topic, processes, limit, models)
            best, least = max(best, speed), min(least, parts["processor"])
            where = ", ".join(f"{name} {spent:.2f}" for name, spent in parts.items())
            print(f"  {case}, {processes} process(es): {speed:9.0f} transactions/s")
            print(f"    us a transaction and process: {where}")
        if case in ours:
            speed, cost = ours[case]
            print(
                f"  {case}: ours {speed:.0f} transactions/s, {speed / best:.1f} times the best of these; "
                f"processor {cost:.2f} us a transaction, 1/{least / cost:.1f} of the least"
            )


if __name__ == "__main__":
    main()
