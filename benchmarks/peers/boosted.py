"""Boosted trees of LightGBM, treelite and ours beside each other: one core, one thread, the same rows.

All are 200 trees of 31 leaves over 22 features, grown by LightGBM from the same rows and labels with the same parameters.
Ours take turns on every kernel that the processor has. As in speed.py each implementation runs in a process of its own.

Usage: boosted.py --rows FOLDER --ours PATH/Benchmarks [--rounds 5] [--write]    FOLDER: from `Benchmarks rows FOLDER`
"""

import argparse
import os
import statistics
import sys
import tempfile

from speed import Process, ours_by_kernel, seconds

COLUMNS = 22
WORKS = [
    ("score-500", "score, batch of 500, us/row", 1e6, 2),
    ("score-1", "score, one row, us", 1e6, 2),
    ("bytes", "artifact, KB", 1e-3, 0),
]
PEERS = ["lightgbm", "treelite", "tl2cgen"]


class Peer:
    def __init__(self, name, folder):
        import lightgbm
        import numpy

        self.rows = numpy.fromfile(f"{folder}/boosted.f32", dtype="<f4").reshape(-1, COLUMNS)
        labels = numpy.fromfile(f"{folder}/boosted.i8", dtype="i1")
        parameters = {
            "objective": "binary", "num_leaves": 31, "learning_rate": 0.05, "min_data_in_leaf": 20, "lambda_l2": 5,
            "feature_fraction": 0.8, "num_threads": 1, "deterministic": True, "force_row_wise": True, "verbosity": -1,
            "seed": 1,
        }
        booster = lightgbm.train(parameters, lightgbm.Dataset(self.rows, labels), 200)
        self.name = f"LightGBM {lightgbm.__version__}"
        self.bytes = len(booster.model_to_string())
        self.score = lambda rows: booster.predict(rows, num_threads=1)
        if name == "lightgbm":
            return
        import treelite

        model = treelite.frontend.from_lightgbm(booster)
        self.name = f"treelite {treelite.__version__}, interpreted"
        self.bytes = len(model.serialize_bytes())
        self.score = lambda rows: treelite.gtil.predict(model, rows, nthread=1)
        if name == "treelite":
            return
        import tl2cgen

        library = os.path.join(tempfile.mkdtemp(), "model.so")
        tl2cgen.export_lib(model, toolchain="gcc", libpath=library, params={"parallel_comp": 8})
        predictor = tl2cgen.Predictor(library, nthread=1)
        self.name = f"treelite, compiled by tl2cgen {tl2cgen.__version__}"
        self.bytes = os.path.getsize(library)
        # What wraps the rows for it counts: whoever scores has to.
        self.score = lambda rows: predictor.predict(tl2cgen.DMatrix(rows, dtype="float32"))

    def measure(self, work):
        if work == "bytes":
            return self.bytes
        batch = int(work.removeprefix("score-"))
        batches = [self.rows[first : first + batch] for first in range(0, min(20_000, 100 * batch), batch)]
        return seconds(lambda number: self.score(batches[number % len(batches)])) / batch


def serve(name, folder):
    # What libraries print is no answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    peer = Peer(name, folder)
    print(peer.name, file=answers, flush=True)
    for line in sys.stdin:
        print(peer.measure(line.strip()), file=answers, flush=True)


def compare(arguments):
    from tables import machine, padded, write_between

    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})  # children inherit it
    everybody = []
    for name in PEERS:
        process = Process(name, [sys.executable, __file__, "--peer", name, "--rows", arguments.rows])
        process.name = process.read()
        everybody.append(process)
    kernels = ours_by_kernel(lambda unit: Process(f"ours, {unit}", [arguments.ours, "boosted-peer"]))
    everybody += kernels.values()

    results = {(work, process.name): [] for work, *_ in WORKS for process in everybody}
    for round in range(arguments.rounds):
        for work, *_ in WORKS:
            for process in everybody:
                results[work, process.name].append(process.ask(work))
        print(f"round {round + 1} of {arguments.rounds}", file=sys.stderr)
    for process in everybody:
        process.end()

    rows = []
    for work, title, factor, digits in WORKS:
        medians = [statistics.median(results[work, process.name]) for process in everybody]
        cells = [f"{value * factor:,.{digits}f}" for value in medians]
        ratios = [f"{medians[0] / median:,.1f}" for median in medians[-len(kernels):]]
        rows.append([title, *cells, " / ".join(ratios)])
    names = [process.name for process in everybody]
    table = padded(["work", *names, "LightGBM / ours, by kernel"], rows)
    note = (
        f"{machine()}; one core, one thread, processor time, median of {arguments.rounds} rounds in which all take turns. "
        "200 trees of 31 leaves, 22 features. Ours also make a probability of the sum, as LightGBM does. Peers are called "
        "from Python, which costs them a call a batch. Their artifacts: LightGBM's text, treelite's bytes, a shared library."
    )
    print(f"\n{table}\n\n{note}")
    if arguments.write:
        write_between("docs/performance.md", "boosted", f"{table}\n\n{note}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", required=True)
    parser.add_argument("--ours")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--peer", choices=PEERS)
    arguments = parser.parse_args()
    if arguments.peer:
        serve(arguments.peer, arguments.rows)
    else:
        compare(arguments)


if __name__ == "__main__":
    main()
