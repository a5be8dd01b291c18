"""What features that the service does not have would be worth: the service's own features of a transaction, with and without
some that are computed here from the user's transactions of the 30 days before.

Label-free: `tail-surprise`, by `ml-service evaluate` on the features that it is given. With labels: LightGBM by hand on all.
Average precision on the days after those that were learned from.

Usage: candidates.py --data FOLDER [--kinds NAME ...] [--write]      FOLDER as of outcomes.py
"""

import argparse
import bisect
import collections
import json
import pathlib
import re
import tempfile

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import kinds
import outcomes
from command import run
from tables import machine, padded, write_between

DAY = 86_400_000
FEWEST = 5  # transactions of which one can say what is usual
KINDS = ("account takeovers", "big amounts", "bursts at night", "card testing, tiny amounts",
         "mixed: takeovers, testing, night, big", "mixed, 8,000 users")
GROUPS = {
    "nothing: average precision": [],
    "the user's own quantiles": ["rank", "over_median", "over_upper", "over_greatest"],
    "of these, amount / 90 % quantile": ["over_upper"],
    "of these, amount / greatest": ["over_greatest"],
    "distinct merchants of 24 h, 7 d, 30 d": ["merchants_24h", "merchants_7d", "merchants_30d"],
    "distinct merchants of 24 h over 30 d": ["merchants_ratio"],
    "distinct countries of 7 d": ["countries_7d"],
    "time since the last payment there": ["since_merchant"],
}
# What tail-surprise is not given: references, and what tells users apart (`features: transaction`).
HIDDEN = re.compile(
    r"(merchant|device|country|category)_(risk|count|frauds?|amount)|user_frauds|(sum|mean|count)_(7d|30d)$|(sum|mean)_(1h|24h)$"
    r"|seconds_since_last$|merchants_(7d|30d)$")


def candidates(times, users, merchants, countries, amounts):
    """From each user's transactions of the 30 days before; NaN where there is nothing to say."""
    found = {name: np.full(len(times), np.nan, np.float32) for names in GROUPS.values() for name in names}
    _, users = np.unique(users, return_inverse=True)
    order = np.lexsort((times, users))
    for rows in np.split(order, np.flatnonzero(np.diff(users[order])) + 1):
        past, usual, last = collections.deque(), [], {}
        spans = {"merchants_24h": (DAY, merchants), "merchants_7d": (7 * DAY, merchants),
                 "merchants_30d": (30 * DAY, merchants), "countries_7d": (7 * DAY, countries)}
        seen = {name: (collections.deque(), collections.Counter()) for name in spans}
        for row in rows:
            time, amount, merchant = times[row], amounts[row], merchants[row]
            while past and time - past[0][0] > 30 * DAY:
                del usual[bisect.bisect_left(usual, past.popleft()[1])]
            if len(usual) >= FEWEST:
                found["rank"][row] = bisect.bisect_left(usual, amount) / len(usual)
                for name, place in [("over_median", 0.5), ("over_upper", 0.9), ("over_greatest", 1)]:
                    value = usual[min(int(len(usual) * place), len(usual) - 1)]
                    if value > 0:
                        found[name][row] = amount / value
            for name, (span, things) in spans.items():
                queue, counts = seen[name]
                while queue and time - queue[0][0] > span:
                    counts[queue.popleft()[1]] -= 1
                counts += collections.Counter()  # without zeros
                found[name][row] = len(counts)
                if things[row]:
                    queue.append((time, things[row]))
                    counts[things[row]] += 1
            if found["merchants_30d"][row] >= FEWEST:
                found["merchants_ratio"][row] = found["merchants_24h"][row] / found["merchants_30d"][row]
            if merchant in last:
                found["since_merchant"][row] = (time - last[merchant]) / 1_000
            last[merchant] = time
            past.append((time, amount))
            bisect.insort(usual, amount)
    return found


def handbook(data, scratch):
    """Learned and judged rows as of outcomes.py, labels 7 days late, and the transactions that they are of."""
    truth = outcomes.write_transactions(data, scratch / "common")
    lake = scratch / "late" / "lake"
    outcomes.share(scratch / "common", lake)
    outcomes.write_labels(lake, truth, 7, 100)
    learned, judged = outcomes.Case(lake.parent, lake, "2018-06-15", 16, 7).rows()
    table = pa.concat_tables([pq.read_table(path) for _, path in outcomes.days_of(data)])
    times = pc.cast(table["timestamp"].cast(pa.timestamp("ms", "UTC")), pa.int64()).to_numpy()
    merchants = table["merchant_id"].to_numpy()
    return learned, judged, (
        times, table["user_id"].to_numpy(), merchants, np.full(len(times), ""), table["amount"].to_numpy())


def kind(name, scratch):
    rows = kinds.Maker(name, 0).rows
    lake = kinds.lake(rows, scratch, "labelled")
    parts = []
    for part, days in [("learned", kinds.TRAINING), ("judged", kinds.LATER)]:
        path = scratch / f"{part}.parquet"
        run("features", "--lake", lake, "--from", kinds.date(days[0]), "--to", kinds.date(days[1]), "--output", path,
            folder=scratch)
        parts.append(pq.read_table(path))
    columns = [np.array([row.get(name) or missing for row in rows]) for name, missing in
               [("timestamp", 0), ("user_id", ""), ("merchant_id", ""), ("country", ""), ("amount", 0.0)]]
    return *parts, columns


def measured(learned, judged, transactions, scratch):
    """Of each group, label-free and with labels."""
    import lightgbm
    from sklearn.metrics import average_precision_score

    found = candidates(*transactions)
    places = {(int(time), np.float32(amount)): row for row, (time, amount) in
              enumerate(zip(transactions[0], transactions[4]))}
    parts = []
    for table in (learned.filter(pc.is_valid(learned["is_fraud"])), judged):
        times = pc.cast(table["timestamp"], pa.int64()).to_numpy()
        columns = {name: table[name].to_numpy().astype(np.float32) for name in table.column_names
                   if name not in ("is_fraud", "timestamp", "user")}
        rows = [places[int(time), amount] for time, amount in zip(times, columns["amount"])]
        columns |= {name: values[rows] for name, values in found.items()}
        parts.append((columns, table["is_fraud"].to_numpy(zero_copy_only=False).astype(bool), times))
    (learn, known, _), (judge, frauds, _) = parts
    for group in GROUPS.values():
        names = [name for name in learn if name not in found or name in group]
        model = lightgbm.LGBMClassifier(
            n_estimators=100, num_leaves=31, learning_rate=0.1, min_child_samples=20, reg_lambda=5, n_jobs=1, verbosity=-1,
            random_state=0, deterministic=True, force_row_wise=True)
        model.fit(np.column_stack([learn[name] for name in names]), known)
        risk = model.predict_proba(np.column_stack([judge[name] for name in names]))[:, 1]
        seen = {name: np.concatenate([part[0][name] for part in parts]) for name in names if not HIDDEN.match(name)}
        seen["is_fraud"] = np.concatenate([part[1] for part in parts])
        seen["timestamp"] = pa.array(np.concatenate([part[2] for part in parts]), pa.timestamp("ms", "UTC"))
        pq.write_table(pa.table(seen), scratch / "rows.parquet")
        share = len(frauds) / len(seen["is_fraud"])
        judged_free = json.loads(run(
            "evaluate", "--detector", "tail-surprise", "--table", scratch / "rows.parquet", "--label", "is_fraud",
            "--split-by-time", "timestamp", "--holdout", f"{share:.7f}", "--seeds", 1, "--json", folder=scratch))
        yield judged_free["average_precision"]["mean"], average_precision_score(frauds, risk)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--kinds", nargs="*", choices=list(kinds.KINDS), default=KINDS)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    data = pathlib.Path(arguments.data)
    sets = {name: lambda scratch, name=name: kind(name, scratch) for name in arguments.kinds}
    if (data / "handbook").is_dir():
        sets["handbook"] = lambda scratch: handbook(data, scratch)
    cells = {group: [] for group in GROUPS}
    for name, make in sets.items():
        with tempfile.TemporaryDirectory() as scratch:
            first = None
            for group, figures in zip(GROUPS, measured(*make(pathlib.Path(scratch)), pathlib.Path(scratch))):
                first = first or figures
                cell = " / ".join(
                    f"{figure:.3f}" if group == next(iter(GROUPS)) else f"{figure - before:+.3f}"
                    for figure, before in zip(figures, first))
                cells[group].append(cell)
                print(f"{name}, {group}: {cell}", flush=True)
    text = f"{padded(['added', *sets], [[group, *row] for group, row in cells.items()])}\n\nLabel-free / with labels; {machine()}."
    print(text)
    if arguments.write:
        write_between("docs/detectors.md", "candidates", text)


if __name__ == "__main__":
    main()
