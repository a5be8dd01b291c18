"""What outcomes are worth: the card transactions of ../shared/data/handbook, trained on what was known on a day and judged
on the days after it.

Each case is a lake whose labels come so many days late, with a part of the frauds reported in time (the others are said to
be genuine, and found out more than a year later). `ml-service train` learns as of the split, `ml-service backtest` scores
the days after it as they would have been served: with the reference table of each transaction's hour. Beside it LightGBM is
fitted by hand on the same features (`ml-service features`), as of the same moment. Then the same with a table a day in place
of one an hour, and split at other days.

Usage: outcomes.py --data FOLDER [--split 2018-06-15] [--days 16] [--cases 7:100,...] [--hand] [--ablation] [--write]
"""

import argparse
import datetime
import json
import os
import pathlib
import sys
import tempfile

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from command import run
from tables import ROOT, machine, padded, write_between

LONG = 400 * 86_400_000  # when a fraud that nobody reported is found out
DAY = 86_400_000
ALL = "2018-04-01"
DELAYS = (1, 3, 7, 14, 30)
SHARES = (20, 50, 100)
# Days late at which tables are compared, and days that other splits come before.
COMPARED = (3, 7, 14)
OTHER_SPLITS = {"2018-05-15": 16, "2018-06-01": 14}


# --- a lake ---


def days_of(data):
    for path in sorted(pathlib.Path(data, "handbook/processed").rglob("*.parquet")):
        year, month, day = path.parts[-4:-1]
        yield f"{year}/{month}/{day}", path


def write_transactions(data, lake):
    """The days without their labels; what is returned says which transactions are frauds."""
    truth = []
    for day, path in days_of(data):
        table = pq.read_table(path)
        truth.append(table.select(["transaction_id", "timestamp", "is_fraud"]))
        folder = lake / "processed" / day
        folder.mkdir(parents=True)
        pq.write_table(table.drop_columns(["is_fraud"]), folder / "part-0.parquet")
    return pa.concat_tables(truth)


def write_labels(lake, truth, delay, reported):
    """Labels by the day on which they became known."""
    random = np.random.default_rng(1)
    times = pc.cast(truth["timestamp"].cast(pa.timestamp("ms", "UTC")), pa.int64()).to_numpy()
    frauds = truth["is_fraud"].to_numpy(zero_copy_only=False)
    in_time = frauds & (random.random(len(frauds)) < reported / 100)
    known = times + int(delay * DAY)
    late = frauds & ~in_time
    ids = truth["transaction_id"].to_numpy(zero_copy_only=False)
    ids = np.concatenate([ids, ids[late]])
    labels = np.concatenate([in_time, np.ones(late.sum(), bool)])
    known = np.concatenate([known, known[late] + LONG])
    numbers = known // DAY
    order = np.argsort(numbers, kind="stable")
    bounds = np.flatnonzero(np.diff(numbers[order])) + 1
    for part in np.split(order, bounds):
        day = datetime.date(1970, 1, 1) + datetime.timedelta(days=int(numbers[part[0]]))
        folder = lake / "labels" / f"{day:%Y/%m/%d}"
        folder.mkdir(parents=True)
        pq.write_table(
            pa.table({
                "transaction_id": pa.array(ids[part], pa.string()),
                "label": pa.array(np.where(labels[part], "fraud", "genuine"), pa.string()),
                "known_at": pa.array(known[part], pa.timestamp("ms", "UTC")),
                "source": pa.array(["bench"] * len(part)),
            }),
            folder / "bench.parquet",
        )


def share(lake, case):
    """A lake of the same transactions, for other labels."""
    for path in (lake / "processed").rglob("*.parquet"):
        target = case / path.relative_to(lake)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(path, target)


# --- judging ---


def average_precision(frauds, risk):
    from sklearn.metrics import average_precision_score, roc_auc_score

    return average_precision_score(frauds, risk), roc_auc_score(frauds, risk)


def cards(frauds, risk, times, users, count=100):
    precisions = []
    for day in np.unique(times // DAY):
        rows = np.flatnonzero(times // DAY == day)
        best, fraud = {}, {}
        for row in rows:
            best[users[row]] = max(best.get(users[row], -np.inf), risk[row])
            fraud[users[row]] = fraud.get(users[row], False) or frauds[row]
        first = sorted(best, key=lambda user: -best[user])[:count]
        precisions.append(np.mean([fraud[user] for user in first]))
    return float(np.mean(precisions))


class Case:
    def __init__(self, folder, lake, split, days, delay, lag=None, hours=1):
        self.lake, self.folder = lake, folder
        self.split = datetime.date.fromisoformat(split)
        self.last = self.split + datetime.timedelta(days=days - 1)
        self.settings = {
            "ML_SERVICE_LAKE_URI": str(lake), "ML_SERVICE_REFERENCES_LAG": str(delay if lag is None else lag),
            "ML_SERVICE_REFERENCES_HOURS": str(hours),
        }

    def run(self, *words):
        return run(*words, folder=self.folder, **self.settings)

    def ours(self, detector, *options):
        day_before = self.split - datetime.timedelta(days=1)
        trained = json.loads(self.run(
            "train", "--from", "2018-04-15", "--to", day_before, "--as-of", self.split, "--detector", detector,
            "--json", *options,
        ))
        version = trained["models"][0]["version"]
        judged = json.loads(self.run("backtest", version, "--from", self.split, "--to", self.last, "--json"))
        return judged["auroc"], judged["average_precision"], judged["card_precision_at100"]

    def rows(self):
        """Rows to learn from, as known at the split, and rows to judge, as known in the end."""
        day_before = self.split - datetime.timedelta(days=1)
        learned, judged = self.folder / "learned.parquet", self.folder / "judged.parquet"
        if not learned.exists():
            self.run("features", "--from", "2018-04-15", "--to", day_before, "--as-of", self.split, "--output", learned)
            self.run("features", "--from", self.split, "--to", self.last, "--output", judged)
        return pq.read_table(learned), pq.read_table(judged)

    def by_hand(self, left_out=lambda name: False):
        import lightgbm

        learned, judged = self.rows()
        learned = learned.filter(pc.is_valid(learned["is_fraud"]))
        names = [n for n in learned.column_names if n not in ("is_fraud", "timestamp", "user") and not left_out(n)]

        def matrix(table):
            return np.column_stack([table[n].to_numpy().astype(np.float32) for n in names])

        model = lightgbm.LGBMClassifier(
            n_estimators=200, num_leaves=31, learning_rate=0.05, min_child_samples=100, n_jobs=1, verbosity=-1,
            random_state=0, deterministic=True, force_row_wise=True,
        )
        model.fit(matrix(learned), learned["is_fraud"].to_numpy(zero_copy_only=False).astype(int))
        risk = model.predict_proba(matrix(judged))[:, 1]
        frauds = judged["is_fraud"].to_numpy(zero_copy_only=False).astype(bool)
        precision, auroc = average_precision(frauds, risk)
        times = pc.cast(judged["timestamp"], pa.int64()).to_numpy()
        return auroc, precision, cards(frauds, risk, times, judged["user"].to_numpy())


def is_reference(name):
    prefixes = ("merchant_risk", "merchant_frauds", "merchant_count", "merchant_amount", "merchant_fraud_",
                "device_", "country_", "category_", "user_frauds")
    return name.startswith(prefixes)


GROUPS = {
    "nothing": lambda name: False,
    "all references": is_reference,
    "merchant risks": lambda n: n.startswith("merchant_risk"),
    "merchant frauds": lambda n: n.startswith("merchant_frauds"),
    "merchant counts": lambda n: n.startswith("merchant_count"),
    "half-life 2 d": lambda n: n.endswith("_2d") and is_reference(n),
    "half-life 7 d": lambda n: n.endswith("_7d") and is_reference(n),
    "half-life 30 d": lambda n: n.endswith("_30d") and is_reference(n),
    "merchant_amount_zscore": lambda n: n == "merchant_amount_zscore",
    "merchant_fraud_amount": lambda n: n == "merchant_fraud_amount",
    "merchant_fraud_days": lambda n: n == "merchant_fraud_days",
    "user_frauds": lambda n: n.startswith("user_frauds"),
    "device": lambda n: n.startswith("device_"),
    "country": lambda n: n.startswith("country_"),
    "category": lambda n: n.startswith("category_"),
}


def draw(rows):
    """docs/images/outcomes.png from the table's rows: average precision by how late labels come, all frauds reported."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    late = " d late, 100 % reported"
    for start, end, name in [("boosted-trees, ", late, "boosted trees with reference tables, one an hour"),
                             ("boosted-trees, ", late + ", tables of 24 h", "one a day"),
                             ("LightGBM by hand, ", late, "LightGBM by hand on the same features")]:
        found = {}
        for row in rows:
            words = row[0].removeprefix(start)
            if row[0].startswith(start) and words.endswith(end) and words[0].isdigit():
                found[int(words.split()[0])] = float(row[2])
        axes.plot(list(found), list(found.values()), marker="o", label=name)
    for row in rows:
        if "no references" in row[0] or "no labels" in row[0]:
            axes.axhline(float(row[2]), linestyle="--", linewidth=1, color="0.5")
            axes.annotate(row[0].split(", 1 d")[0], (30, float(row[2])), ha="right", va="bottom", fontsize=8)
    axes.set(xlabel="days until a label comes", ylabel="average precision", xscale="log", ylim=(0, 1),
             xticks=DELAYS, xticklabels=DELAYS)
    axes.minorticks_off()
    axes.legend()
    figure.savefig(ROOT / "docs/images/outcomes.png", dpi=120, metadata={"Software": None})


def fresh(parent):
    return pathlib.Path(tempfile.mkdtemp(dir=parent))


def other_splits(detector, common, truth, scratch):
    """Average precision of the same on other days."""
    columns = {split: [] for split in OTHER_SPLITS}
    for delay in COMPARED:
        lake = scratch / f"{delay}-100" / "lake"
        if not lake.exists():
            share(common, lake)
            write_labels(lake, truth, delay, 100)
        for split, days in OTHER_SPLITS.items():
            case = Case(fresh(lake.parent), lake, split, days, delay)
            if delay == COMPARED[0]:
                columns[split].append(case.ours(detector, "--leave-out", "references")[1])
            columns[split].append(case.ours(detector)[1])
    return padded(
        ["judged", "without references", *(f"{delay} d late" for delay in COMPARED)],
        [[f"{split}, {OTHER_SPLITS[split]} days", *text(figures)] for split, figures in columns.items()])


def text(figures):
    return [f"{figure:.3f}" if figure is not None else "-" for figure in figures]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--split", default="2018-06-15")
    parser.add_argument("--days", type=int, default=16)
    parser.add_argument("--cases", help="days late:percent reported, comma-separated")
    parser.add_argument("--detector", default="boosted-trees")
    parser.add_argument("--hand", action="store_true", help="LightGBM by hand only")
    parser.add_argument("--ablation", action="store_true", help="LightGBM by hand without groups of features")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    cases = [(d, 100) for d in DELAYS] + [(7, s) for s in SHARES if s != 100]
    if options.cases:
        cases = [tuple(map(int, case.split(":"))) for case in options.cases.split(",")]
    print(f"machine: {machine()}; split {options.split}, {options.days} days", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        common = scratch / "common"
        truth = write_transactions(options.data, common)
        rows = []

        def report(name, figures):
            rows.append([name, *text(figures)])
            print("  ".join(rows[-1]), flush=True)

        first = True
        for delay, reported in cases:
            lake = scratch / f"{delay}-{reported}" / "lake"
            share(common, lake)
            write_labels(lake, truth, delay, reported)
            case = Case(fresh(lake.parent), lake, options.split, options.days, delay)
            words = f"{delay} d late, {reported} % reported"
            if options.ablation:
                for name, left_out in GROUPS.items():
                    report(f"{words}, without {name}", case.by_hand(left_out))
                continue
            if first and not options.hand:
                report("isolation-forest, no labels", case.ours("isolation-forest"))
                report(f"{options.detector}, no references, {words}",
                       case.ours(options.detector, "--leave-out", "references"))
            first = False
            if not options.hand:
                report(f"{options.detector}, {words}", case.ours(options.detector))
                if delay in COMPARED and reported == 100:
                    daily = Case(fresh(lake.parent), lake, options.split, options.days, delay, hours=24)
                    report(f"{options.detector}, {words}, tables of 24 h", daily.ours(options.detector))
            report(f"LightGBM by hand, {words}", case.by_hand())
        header = ["model", "AUROC", "average precision", "card precision@100"]
        table = padded(header, rows)
        print(table)
        if options.ablation or options.hand:
            return
        others = other_splits(options.detector, common, truth, scratch)
        print(others)
        if options.write:
            write_between("docs/outcomes.md", "outcomes", table)
            write_between("docs/outcomes.md", "splits", f"{others}\n\n{machine()}.")
            draw(rows)


if __name__ == "__main__":
    sys.exit(main())
