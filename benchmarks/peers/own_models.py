"""What users' own models are worth: pooled average precision by severity of the global model alone, of everybody's own
model, and of the own models that have earned their place; and whom false alerts hit.

The global model is the one that `auto` chooses where nobody has labelled anything; labels judge only. One job trains all
users and says the three on its holdout. What serves after it is then judged on later days, which nothing has seen: with
the own models, and with the global one alone.

Beside it what would come of a model that is not a user's own but the global one, set to each user by the user's own
severities of the training days.

Usage: own_models.py --data FOLDER [--write]      FOLDER/handbook/processed/yyyy/mm/dd/*.parquet with is_fraud
"""

import argparse
import datetime
import json
import pathlib
import shutil
import tempfile

import numpy as np

import kinds
from command import run
from tables import machine, padded, write_between


# Of benchmarks/peers/kinds.py.
KINDS = ("account takeovers", "big amounts", "bursts at night", "mixed: takeovers, testing, night, big", "mixed, 25 users")
# Of these false alerts are shown by users' tenths.
SHOWN = ("handbook", "generated")


class Later:
    """Days of a lake as a stream, of which those from `first` on are judged."""

    def __init__(self, lake, start, first, last, path):
        import pyarrow.parquet as pq

        self.users, self.amounts, self.frauds, self.earlier = {}, {}, {}, set()
        day = datetime.date.fromisoformat(start)
        with open(path, "w") as stream:
            while day <= datetime.date.fromisoformat(last):
                isJudged = day >= datetime.date.fromisoformat(first)
                rows = []
                for file in sorted((pathlib.Path(lake) / "processed" / f"{day:%Y/%m/%d}").glob("*.parquet")):
                    rows += pq.ParquetFile(file).read().to_pylist()
                rows.sort(key=lambda row: row["timestamp"])
                for row in rows:
                    fraud = row.pop("is_fraud")
                    time = row["timestamp"]
                    row["timestamp"] = time.isoformat() if hasattr(time, "isoformat") else time
                    if isinstance(row["timestamp"], str) and time.tzinfo is None:
                        row["timestamp"] += "Z"
                    stream.write(json.dumps({k: v for k, v in row.items() if v is not None}) + "\n")
                    name = row["transaction_id"]
                    if not isJudged:
                        self.earlier.add(name)
                    else:
                        self.users[name], self.amounts[name] = row["user_id"], row["amount"]
                        self.frauds[name] = bool(fraud)
                day += datetime.timedelta(days=1)

    def judge(self, path):
        """Average precision by severity, and each decile's share of false alerts over its share of transactions."""
        from sklearn.metrics import average_precision_score

        severities, frauds, alerts, users, amounts, own = [], [], [], [], [], 0
        for line in open(path):
            verdict = json.loads(line)
            name = verdict["transaction_id"]
            if name not in self.users:
                continue
            severities.append(verdict["severity"])
            frauds.append(self.frauds[name])
            alerts.append(verdict["verdict"] == "ANOMALY")
            users.append(self.users[name])
            amounts.append(self.amounts[name])
            own += verdict["model"]["tenant"] != "global"
        frauds, alerts = np.array(frauds), np.array(alerts)
        usual = ~frauds
        _, user = np.unique(users, return_inverse=True)
        transactions = np.bincount(user, usual)
        false = np.bincount(user, usual & alerts)
        mean = np.bincount(user, np.where(usual, amounts, 0)) / np.maximum(transactions, 1)
        precision = frauds[alerts].mean() if alerts.any() else 0
        return {
            "average precision": average_precision_score(frauds, severities),
            "alerts": alerts.mean(), "precision": precision, "false": int(false.sum()),
            "own": own / max(len(frauds), 1),
            "activity": deciles(transactions, transactions, false), "amount": deciles(mean, transactions, false),
        }


    def set_to_users(self, path):
        """Average precision of the global model's severity as it is, and set to each user in the ways of `CALIBRATED`."""
        from sklearn.metrics import average_precision_score

        names, users, surprise, isEarlier, frauds = {}, [], [], [], []
        for line in open(path):
            verdict = json.loads(line)
            name = verdict["transaction_id"]
            if name not in self.users and name not in self.earlier:
                continue
            users.append(names.setdefault(verdict["user_id"], len(names)))
            # Decades: of rows like those of training one in 10^surprise is as unusual.
            surprise.append(2 * verdict["severity"] / (1 - verdict["severity"]))
            isEarlier.append(name in self.earlier)
            frauds.append(self.frauds.get(name, False))
        users, surprise, isEarlier, frauds = map(np.array, (users, surprise, isEarlier, frauds))
        order = np.argsort(users, kind="stable")
        rows_of = np.split(order, np.searchsorted(users[order], np.arange(1, len(names))))
        own = [np.sort(surprise[rows[isEarlier[rows]]]) for rows in rows_of]
        count = np.array([len(values) for values in own])

        def shrunk(of, rows):
            """A figure of each user's own less that of all, as far as `rows` transactions let it be believed."""
            whole = of(surprise[isEarlier])
            figures = np.array([of(values) if len(values) else whole for values in own])
            return (count / (count + rows) * (figures - whole))[users]

        def tail(rows):
            """The own share of rows that were as unusual, with the global one counted as so many rows."""
            found = np.zeros(len(users))
            for values, mine in zip(own, rows_of):
                found[mine] = len(values) - np.searchsorted(values, surprise[mine])
            return -np.log10((found + rows * 10.0**-surprise) / (count[users] + rows))

        ways = [surprise, surprise - shrunk(np.mean, 50),
                surprise - 0.5 * shrunk(lambda values: np.quantile(values, 0.9), 50), tail(100), tail(1_000)]
        return [average_precision_score(frauds[~isEarlier], way[~isEarlier]) for way in ways]


CALIBRATED = ("the own mean", "half of the own 90 % quantile", "the own tail, 100 rows", "1,000 rows")


def deciles(by, transactions, false):
    order = np.argsort(by, kind="stable")
    return [
        (false[part].sum() / max(false.sum(), 1)) / (transactions[part].sum() / transactions.sum())
        for part in np.array_split(order, 10)
    ]


def data_sets(data, scratch):
    """Name, lake, first and last day of training, first and last day of what is judged later."""
    if (data / "handbook").is_dir():
        yield "handbook", data / "handbook", "2018-04-15", "2018-06-15", "2018-06-16", "2018-06-30"
    else:
        print(f"own models: the handbook data are skipped, there is no {data / 'handbook'} (BENCH_DATA names another)")
    lake = scratch / "generated"
    run("generate", "--users", 1000, "--days", 90, "--stream-days", 0, "--seed", 1, "--output", lake, folder=scratch)
    yield "generated", lake / "lake", "2026-01-10", "2026-03-15", "2026-03-16", "2026-03-31"
    for number, name in enumerate(KINDS):
        made = kinds.lake(kinds.Maker(name, 0).rows, scratch, f"kind-{number}")
        yield name, made, *map(kinds.date, (*kinds.TRAINING, *kinds.LATER))


def measured(name, lake, first, last, later_first, later_last, folder):
    folder.mkdir()
    days = ("--lake", lake, "--from", first, "--to", last, "--json")
    run("train", *days, "--detector", "tail-surprise", "--promotion", "auto", folder=folder)
    later = Later(lake, first, later_first, later_last, folder / "stream.jsonl")

    def replay():
        run("replay", "--stream", folder / "stream.jsonl", "--output", folder / "verdicts.jsonl", folder=folder)
        return later.judge(folder / "verdicts.jsonl")

    alone = replay()
    alone["set to users"] = later.set_to_users(folder / "verdicts.jsonl")
    job = json.loads(run("train", *days, "--all-users", "--promote", folder=folder))["metrics"]
    earned = replay()
    return job, alone, earned


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    precisions, tenths, calibrated = [], [], []
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        for name, *days in data_sets(pathlib.Path(arguments.data), scratch):
            job, alone, earned = measured(name, *days, scratch / f"{name}-models")
            precisions.append([
                name,
                f"{job['users_promoted']:.0f} of {job['users_trained']:.0f}",
                *(f"{job.get(f'users_average_precision_{way}', float('nan')):.3f}" for way in ("global", "own", "earned")),
                f"{alone['average precision']:.3f}", f"{earned['average precision']:.3f}",
                f"{alone['alerts']:.2%} / {earned['alerts']:.2%}",
            ])
            calibrated.append([name, *(f"{precision:.3f}" for precision in alone["set to users"])])
            for by in ("activity", "amount") if name in SHOWN else ():
                for way, judged in (("global", alone), ("earned", earned)):
                    tenths.append([
                        f"{name}, by {by}, {way}", f"{judged['false']:,}", *(f"{share:.2f}" for share in judged[by])
                    ])
            print("  ".join(precisions[-1]), flush=True)
            shutil.rmtree(scratch / f"{name}-models")
    first = padded(
        ["data", "own models that serve", "holdout: global", "own", "earned", "later days: global", "earned",
         "alerts on later days"], precisions)
    second = padded(["users' tenths", "false alerts", *(str(tenth) for tenth in range(1, 11))], tenths)
    third = padded(["data, later days", "global", *CALIBRATED], calibrated)
    text = f"{first}\n\n{second}\n\n{third}\n\n{machine()}."
    print(f"\n{text}")
    if arguments.write:
        write_between("docs/detectors.md", "own-models", text)


if __name__ == "__main__":
    main()
