"""What each feature is worth: average precision of `ml-service train` without it, one feature, or one group of near copies,
at a time.

Two detectors: `tail-surprise`, the default where nobody has labelled anything, and `boosted-trees` with labels that come a
week late. Three sets of transactions: the handbook's, generated ones with merchants that work with thieves, and frauds at
night in bursts. As `auto` does, a job fits on the first four fifths of the time and judges on the last.

A feature that others can stand in for costs nothing when it alone is away: so families and spans of time are left out
whole, too. A fall counts from twice what seeds alone change on.

Usage: ablation.py --data FOLDER [--seeds 3] [--sets NAME ...] [--only NAME ...] [--write]      FOLDER as of detection.py
"""

import argparse
import json
import pathlib
import statistics
import sys
import tempfile
import time

import pyarrow as pa
import pyarrow.parquet as pq

from command import run
from detection import nightly_bursts
from outcomes import write_labels
from tables import machine, padded, write_between

DELAY = 7
# Fewer trees than by default, each of which counts more, and short spans: what counts is the difference.
BOOSTED = ("--detector", "boosted-trees", "--parameter", "n_estimators=25", "--parameter", "learning_rate=0.12")
BLIND = ("--detector", "tail-surprise")
# A fall of less than this is nothing, whatever the seeds say.
LEAST = 0.002

SPANS = ("1h", "24h", "7d", "30d")
HALF_LIVES = ("2d", "7d", "30d")


def spans(name, of=SPANS):
    return [f"{name}_{span}" for span in of]


def lives(name):
    return spans(name, HALF_LIVES)


# Features of the transaction and of the user's own past.
OWN = {
    "amount, log_amount": ["amount", "log_amount"],
    "hour_sin, hour_cos": ["hour_sin", "hour_cos"],
    "weekday_sin, weekday_cos": ["weekday_sin", "weekday_cos"],
    "seconds_since_last": ["seconds_since_last"],
    "since_last_ratio_30d": ["since_last_ratio_30d"],
    "both of the pause": ["seconds_since_last", "since_last_ratio_30d"],
    "count_*": spans("count"),
    "sum_*": spans("sum"),
    "sum_*_ratio_30d": ["sum_1h_ratio_30d", "sum_24h_ratio_30d"],
    "mean_*": spans("mean"),
    "mean_*_ratio_30d": ["mean_1h_ratio_30d", "mean_24h_ratio_30d"],
    "all of 1 h": [*(f"{kind}_1h" for kind in ("count", "sum", "mean")), "sum_1h_ratio_30d", "mean_1h_ratio_30d"],
    "all of 24 h": [*(f"{kind}_24h" for kind in ("count", "sum", "mean")), "sum_24h_ratio_30d", "mean_24h_ratio_30d"],
    "all of 7 d": [f"{kind}_7d" for kind in ("count", "sum", "mean")],
    "count, sum, mean of 30 d": [f"{kind}_30d" for kind in ("count", "sum", "mean")],
    "amount_zscore_30d": ["amount_zscore_30d"],
    "amount_ratio_30d": ["amount_ratio_30d"],
    "both of the usual amount": ["amount_zscore_30d", "amount_ratio_30d"],
    "new_merchant": ["new_merchant"],
    "new_country": ["new_country"],
    "new_device": ["new_device"],
    "speed_kmh": ["speed_kmh"],
    "category": ["category"],
    "country": ["country"],
    "channel": ["channel"],
    "currency": ["currency"],
}

KINDS = ("device", "country", "category")
RISKS = {kind: lives(f"{kind}_risk") for kind in ("merchant", *KINDS)}
FADING = [*sum(RISKS.values(), []), *lives("merchant_frauds"), *lives("merchant_count"), *lives("user_frauds")]

# Features of reference tables, which only detectors that learn from labels are given.
REFERENCES = {
    "merchant_risk_*": RISKS["merchant"],
    "merchant_frauds_*": lives("merchant_frauds"),
    "merchant_risk_*, _frauds_*": RISKS["merchant"] + lives("merchant_frauds"),
    "merchant_count_*": lives("merchant_count"),
    "merchant_amount_zscore": ["merchant_amount_zscore"],
    "merchant_fraud_amount": ["merchant_fraud_amount"],
    "merchant_fraud_days": ["merchant_fraud_days"],
    **{f"{kind}_risk_*": RISKS[kind] for kind in KINDS},
    **{f"{kind}_count_30d": [f"{kind}_count_30d"] for kind in KINDS},
    "user_frauds_*": lives("user_frauds"),
    **{f"half-life {life}": [name for name in FADING if name.endswith(f"_{life}")] for life in HALF_LIVES},
    "all of tables": ["references"],
}


def labelled_late(lake, into):
    """The same days without labels, and these as they come a week later."""
    truth = []
    for path in sorted(pathlib.Path(lake).glob("processed/*/*/*/*.parquet")):
        table = pq.ParquetFile(path).read()
        frauds = table["is_fraud"].cast(pa.bool_())
        truth.append(pa.table({
            "transaction_id": table["transaction_id"].cast(pa.string()),
            "timestamp": table["timestamp"].cast(pa.timestamp("ms", "UTC")), "is_fraud": frauds,
        }))
        target = into / path.relative_to(lake)
        target.parent.mkdir(parents=True)
        pq.write_table(table.drop_columns(["is_fraud"]), target)
    write_labels(into, pa.concat_tables(truth), DELAY, 100)


def handbook(data, scratch):
    if not (data / "handbook").is_dir():
        print(f"ablation: the handbook data are skipped, there is no {data / 'handbook'} (BENCH_DATA names another)")
        return None
    labelled_late(data / "handbook", scratch / "handbook")
    return scratch / "handbook", "2018-06-15", "2018-06-30"


def generated(_, scratch):
    run("generate", "--users", 400, "--days", 75, "--stream-days", 0, "--seed", 1, "--mules", 5,
        "--output", scratch / "plain", folder=scratch / "state")
    labelled_late(scratch / "plain/lake", scratch / "generated")
    return scratch / "generated", "2026-01-26", "2026-03-16"


def night_bursts(_, scratch):
    nightly_bursts(scratch / "bursts", users=600, days=59)
    labelled_late(scratch / "bursts", scratch / "nightly")
    return scratch / "nightly", "2026-01-26", "2026-02-28"


# Each makes a lake and says its first and last day.
SETS = {"handbook": handbook, "generated": generated, "night bursts": night_bursts}


def average_precision(lake, first, last, detector, seed, left_out):
    options = [word for name in left_out for word in ("--leave-out", name)]
    with tempfile.TemporaryDirectory() as folder:
        outcome = json.loads(run(
            "train", "--lake", lake, "--from", first, "--to", last, *detector, "--seed", seed, "--promotion", "manual",
            "--json", *options, folder=folder, ML_SERVICE_REFERENCES_LAG=str(DELAY),
        ))
    return outcome["metrics"]["average_precision"]


class Column:
    """One detector on one set: what it finds with everything, and without each group."""

    def __init__(self, title, full, without):
        self.title, self.full, self.without = title, statistics.mean(full), without
        self.noise = max(LEAST, 2 * statistics.stdev(full) if len(full) > 1 else 0)

    def fall(self, group):
        return self.full - self.without[group] if group in self.without else None

    def cell(self, group):
        fall = self.fall(group)
        if fall is None:
            return ""
        # What a detector is not given, or no row has, changes no bit.
        if fall == 0:
            return "0"
        text = f"{-fall:+.3f}"
        return f"**{text}**" if fall > self.noise else text


def measured(name, lake, first, last, seeds, only):
    for title, detector, groups in (
        ("tail-surprise", BLIND, OWN), ("boosted-trees", BOOSTED, {**OWN, **REFERENCES})
    ):
        start = time.monotonic()
        # Nothing about tail-surprise is drawn, so that one seed says all.
        full = [average_precision(lake, first, last, detector, seed, []) for seed in range(1 if detector == BLIND else seeds)]
        without = {}
        for group, names in groups.items():
            if not only or group in only:
                without[group] = average_precision(lake, first, last, detector, 0, names)
                print(f"  {name}, {title}, without {group}: {without[group]:.4f}", file=sys.stderr, flush=True)
        column = Column(f"{name}, {title}", full, without)
        print(f"{column.title}: {column.full:.4f}, counts from {column.noise:.4f} on; "
              f"{time.monotonic() - start:.0f} s", flush=True)
        yield column


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sets", nargs="*", choices=list(SETS), default=list(SETS))
    parser.add_argument("--only", nargs="*", help="groups, by the names of the table's rows")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    columns = []
    for name in arguments.sets:
        with tempfile.TemporaryDirectory() as scratch:
            made = SETS[name](pathlib.Path(arguments.data), pathlib.Path(scratch))
            if made:
                columns += measured(name, *made, arguments.seeds, arguments.only)
    groups = [group for group in {**OWN, **REFERENCES} if any(group in column.without for column in columns)]
    rows = [["nothing: average precision", *(f"{column.full:.3f}" for column in columns)],
            ["a fall counts from", *(f"{column.noise:.3f}" for column in columns)]]
    rows += [[group, *(column.cell(group) for column in columns)] for group in groups]
    idle = [group for group in groups
            if all((column.fall(group) or 0) <= column.noise for column in columns)]
    text = (
        f"{padded(['left out', *(column.title for column in columns)], rows)}\n\n"
        f"Whose absence costs nothing that counts anywhere: {', '.join(idle) or 'none'}.\n\n"
        f"Judged on the last fifth of the time, labels {DELAY} days late, boosted trees of 25 rounds; {machine()}."
    )
    print(f"\n{text}")
    if arguments.write:
        write_between("docs/detectors.md", "ablation", text)


if __name__ == "__main__":
    main()
