"""AUROC and average precision of isolation forests and of every loaded detector, on public labelled tables.

Detectors are fitted without labels and judged on the rows that they were fitted on, ten seeds each; `ml-service
evaluate` judges ours, scikit-learn's measures the peers. Modes and detectors are those that `ml-service detectors list`
names, so that new ones show by themselves.

Usage: quality.py --data FOLDER [--seeds 10] [--only TABLE,...] [--write]      FOLDER/tables/*.parquet, label is_anomaly
"""

import argparse
import json
import pathlib
import re
import statistics
import sys
import time

from command import run
from tables import machine, padded, write_between

LABEL = "is_anomaly"


# --- who takes part: a name, and a function of a table's path, rows, labels and seeds to lists of AUROC and AP ---


def ours(detector, **parameters):
    def judge(path, rows, labels, seeds):
        options = [text for name, value in parameters.items() for text in ("--set", f"{name}={value}")]
        result = json.loads(run(
            "evaluate", "--detector", detector, "--table", path, "--label", LABEL, "--seeds", seeds, "--json", *options,
        ))
        return tuple(
            (result[measure]["mean"], result[measure]["standard_deviation"])
            for measure in ("auroc", "average_precision")
        )

    return judge


def peer(scores_of):
    def judge(path, rows, labels, seeds):
        from sklearn.metrics import average_precision_score, roc_auc_score

        aurocs, precisions = [], []
        for seed in range(seeds):
            anomaly = scores_of(rows, seed)  # higher is more anomalous
            aurocs.append(roc_auc_score(labels, anomaly))
            precisions.append(average_precision_score(labels, anomaly))
        return tuple((statistics.fmean(values), statistics.pstdev(values)) for values in (aurocs, precisions))

    return judge


def scikit_learn(rows, seed):
    from sklearn.ensemble import IsolationForest

    return -IsolationForest(n_estimators=100, max_samples=256, random_state=seed).fit(rows).score_samples(rows)


def isotree(**options):
    def scores_of(rows, seed):
        from isotree import IsolationForest

        model = IsolationForest(ntrees=100, sample_size=256, random_seed=seed + 1, **options)
        return model.fit(rows).predict(rows)

    return scores_of


def contestants():
    found = [
        ("scikit-learn", peer(scikit_learn)),
        ("isotree ndim=1", peer(isotree(ndim=1))),
        ("isotree ndim=2", peer(isotree(ndim=2))),
        ("isotree pooled gain", peer(isotree(ndim=1, prob_pick_pooled_gain=1))),
    ]
    for detector in json.loads(run("detectors", "list", "--json"))["loaded"]:
        mode = next((p for p in detector["parameters"] if p["name"] == "mode" and "one of " in p["type"]), None)
        # The modes are the forest's; of the ensemble, which passes one on, the default is enough.
        if mode is None or detector["id"] != "isolation-forest":
            found.append((detector["id"], ours(detector["id"])))
            continue
        modes = re.split(r",\s*", mode["type"].removeprefix("one of "))
        # The default last, beside what follows.
        modes.sort(key=lambda name: name == mode["default"])
        found += [(f"ours, {name}", ours(detector["id"], mode=name)) for name in modes]
    return found


# --- the tables ---


def read(path):
    import numpy
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path)
    labels = table[LABEL].to_numpy().astype(bool)
    columns = [table[name].to_numpy().astype("f8") for name in table.column_names if name != LABEL]
    return numpy.ascontiguousarray(numpy.column_stack(columns)), labels


def spread_rows(results, tables, names):
    """Per table: how far our standard mode is from scikit-learn, in deviations of scikit-learn's seeds."""
    rows, within = [], 0
    for table in tables:
        (mean, deviation), (other, other_deviation) = (
            results[table, name][0] for name in ("scikit-learn", "ours, standard")
        )
        distance = abs(other - mean) / deviation if deviation else float("inf")
        within += distance <= 1
        rows.append(
            [
                table, f"{mean:.4f}", f"{deviation:.4f}", f"{other:.4f}", f"{other_deviation:.4f}",
                f"{other - mean:+.4f}", f"{distance:.1f}", "yes" if distance <= 1 else "no",
            ]
        )
    header = ["table", "scikit-learn", "sd", "ours, standard", "sd", "difference", "in sd", "within"]
    return padded(header, rows), within


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--only", default="")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()

    folder = pathlib.Path(arguments.data) / "tables"
    only = set(filter(None, arguments.only.split(",")))
    paths = [path for path in sorted(folder.glob("*.parquet")) if not only or path.stem in only]
    if not paths:
        print(f"quality: skipped, there are no tables *.parquet in {folder} (BENCH_DATA names another folder)")
        return
    who = contestants()
    names = [name for name, _ in who]
    results, sizes = {}, {}
    for number, path in enumerate(paths):
        rows, labels = read(path)
        sizes[path.stem] = (len(rows), rows.shape[1], labels.mean())
        for name, judge in who:
            start = time.monotonic()
            results[path.stem, name] = judge(path, rows, labels, arguments.seeds)
            took = time.monotonic() - start
            auroc, precision = (mean for mean, _ in results[path.stem, name])
            print(
                f"{number + 1}/{len(paths)} {path.stem}, {name}: {auroc:.4f} / {precision:.4f} ({took:.1f} s)",
                file=sys.stderr,
            )

    tables = [path.stem for path in paths]
    rows = []
    for table in tables:
        count, columns, share = sizes[table]
        cells = [" / ".join(f"{mean:.3f}" for mean, _ in results[table, name]) for name in names]
        rows.append([table, f"{count:,} x {columns}", f"{share:.2%}", *cells])
    means = [
        " / ".join(
            f"**{statistics.fmean(results[table, name][measure][0] for table in tables):.4f}**" for measure in (0, 1)
        )
        for name in names
    ]
    rows.append(["**mean**", "", "", *means])
    quality = padded(["table", "rows", "anomalies", *names], rows)
    spread, within = spread_rows(results, tables, names)
    note = f"AUROC / average precision, means of {arguments.seeds} seeds; 100 trees of 256 rows; {machine()}."
    verdict = (
        f"Our standard mode against scikit-learn: AUROC, means and deviations over {arguments.seeds} seeds. Within: the "
        f"means are at most one of scikit-learn's deviations apart; so on {within} of {len(tables)} tables."
    )
    text = f"{quality}\n\n{note}\n\n{verdict}\n\n{spread}"
    print(f"\n{text}")
    if arguments.write:
        write_between("docs/detectors.md", "quality", text)


if __name__ == "__main__":
    main()
