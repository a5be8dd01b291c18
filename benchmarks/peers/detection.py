"""Average precision of every detector, and of what `detector: auto` chooses, on transactions whose frauds are known.

One `ml-service train --detector auto` for each data set gives the table: every candidate is fitted on the first four
fifths of the time and judged on the last. A second one on the same transactions without their labels shows what `auto`
chooses where nobody knows the frauds.

Usage: detection.py --data FOLDER [--write]      FOLDER/handbook/processed/yyyy/mm/dd/*.parquet with is_fraud
"""

import argparse
import json
import math
import pathlib
import random
import shutil
import tempfile

from command import run
from tables import machine, padded, write_between

DAY = 86_400_000


def train(lake, first, last):
    with tempfile.TemporaryDirectory() as folder:
        text = run(
            "train", "--lake", lake, "--from", first, "--to", last, "--promotion", "manual", "--json", folder=folder
        )
    return json.loads(text)["candidates"]


def without_labels(lake, into):
    import pyarrow.parquet

    for path in sorted(pathlib.Path(lake).glob("processed/*/*/*/*.parquet")):
        table = pyarrow.parquet.ParquetFile(path).read()
        target = pathlib.Path(into) / path.relative_to(lake)
        target.parent.mkdir(parents=True)
        pyarrow.parquet.write_table(table.drop_columns(["is_fraud"]), target)


def nightly_bursts(into, users=3_000, days=60, seed=1):
    """Many users; frauds at night, in bursts, each a little unusual in several ways and none in one alone."""
    import pyarrow
    import pyarrow.parquet

    dice = random.Random(seed)
    start = 1_767_225_600_000  # 2026-01-01
    rows = [[] for _ in range(days)]
    categories = ["grocery", "restaurant", "transport", "health", "fashion", "electronics", "travel"]

    def add(user, time, amount, merchant, is_online, is_fraud):
        day = (time - start) // DAY
        if 0 <= day < days:
            rows[day].append(
                (f"u{user}", time, max(0.5, round(amount, 2)), f"m{merchant}", categories[merchant % 7],
                 "online" if is_online else "pos", is_fraud)
            )

    for user in range(users):
        rate = dice.gammavariate(2, 0.6) + 0.15
        level, spread = dice.gauss(3.2, 0.7), dice.uniform(0.4, 0.8)
        first_hour, hours = dice.randint(6, 10), dice.randint(8, 13)
        favourites = [dice.randrange(6_000) for _ in range(dice.randint(4, 17))]
        for day in range(days):
            payments = 0
            limit, product = math.exp(-rate), dice.random()
            while product > limit:
                payments += 1
                product *= dice.random()
            for _ in range(payments):
                hour = dice.randrange(24) if dice.random() < 0.03 else (first_hour + dice.randrange(hours)) % 24
                amount = math.exp(dice.gauss(level, spread)) * (dice.uniform(2, 8) if dice.random() < 0.02 else 1)
                merchant = dice.choice(favourites) if dice.random() < 0.85 else dice.randrange(6_000)
                time = start + day * DAY + hour * 3_600_000 + dice.randrange(3_600_000)
                add(user, time, amount, merchant, dice.random() < 0.3, 0)
            if day >= 3 and dice.random() < 0.004:
                time = start + day * DAY + dice.randrange(6) * 3_600_000
                for _ in range(dice.randint(3, 8)):
                    time += int(dice.expovariate(1 / 240_000))
                    amount = math.exp(dice.gauss(level + 0.4, 0.6)) * dice.uniform(1, 2.5)
                    add(user, time, amount, dice.randrange(6_000), dice.random() < 0.7, 1)
    number = 0
    for day, payments in enumerate(rows):
        payments.sort(key=lambda row: row[1])
        columns = list(zip(*payments))
        table = pyarrow.table(
            {
                "transaction_id": [f"t{number + place}" for place in range(len(payments))],
                "user_id": columns[0],
                "timestamp": pyarrow.array(columns[1], pyarrow.timestamp("ms", "UTC")),
                "amount": pyarrow.array(columns[2], pyarrow.float64()),
                "merchant_id": columns[3],
                "category": columns[4],
                "channel": columns[5],
                "is_fraud": pyarrow.array(columns[6], pyarrow.int8()),
            }
        )
        number += len(payments)
        date = f"2026/{1 + (day >= 31) + (day >= 59):02}/{day + 1 - 31 * (day >= 31) - 28 * (day >= 59):02}"
        target = pathlib.Path(into) / "processed" / date / "part-0.parquet"
        target.parent.mkdir(parents=True)
        pyarrow.parquet.write_table(table, target)


def data_sets(data, scratch):
    """Name, lake, first and last day of training and holdout."""
    handbook = data / "handbook"
    if handbook.is_dir():
        yield "handbook", handbook, "2018-05-01", "2018-06-30"
    else:
        print(f"detection: the handbook data are skipped, there is no {handbook} (BENCH_DATA names another folder)")
    for seed in (1, 2):
        folder = scratch / f"generated-{seed}"
        run(
            "generate", "--users", 1000, "--days", 60, "--stream-days", 0, "--seed", seed, "--output", folder,
            folder=scratch / "state",
        )
        yield f"generated, seed {seed}", folder / "lake", "2026-01-21", "2026-03-01"
    for seed in (1, 2):
        folder = scratch / f"nightly-{seed}"
        nightly_bursts(folder, seed=seed)
        yield f"night bursts, seed {seed}", folder, "2026-01-21", "2026-03-01"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    results, chosen, blind = {}, {}, {}
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        for name, lake, first, last in data_sets(pathlib.Path(arguments.data), scratch):
            table = train(lake, first, last)
            for row in table:
                results[name, f"{row['name']}, {row['features']}"] = row["measures"].get("average_precision")
                if row["is_chosen"]:
                    chosen[name] = f"{row['name']}, {row['features']}"
            unlabelled = scratch / "unlabelled"
            without_labels(lake, unlabelled)
            blind[name] = next(
                f"{row['name']}, {row['features']}" for row in train(unlabelled, first, last) if row["is_chosen"]
            )
            shutil.rmtree(unlabelled)
            print(f"{name}: {chosen[name]}; without labels {blind[name]}", flush=True)
    names = list(chosen)
    candidates = list(dict.fromkeys(candidate for _, candidate in results))

    def cell(name, candidate):
        value = results.get((name, candidate))
        return "" if value is None else f"{value:.3f}"

    rows = [[candidate, *(cell(name, candidate) for name in names)] for candidate in candidates]
    rows.append(["**auto, with labels**", *(f"**{cell(name, chosen[name])}** ({chosen[name]})" for name in names)])
    rows.append(["**auto, without**", *(f"**{cell(name, blind[name])}** ({blind[name]})" for name in names)])
    text = f"{padded(['average precision', *names], rows)}\n\nJudged on the last fifth of the time; {machine()}."
    print(f"\n{text}")
    if arguments.write:
        write_between("docs/detectors.md", "detection", text)


if __name__ == "__main__":
    main()
