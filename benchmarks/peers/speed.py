"""Isolation forests of scikit-learn, isotree and ours beside each other: one core, one thread, the same rows.

Every implementation runs in a process of its own that waits for work: a line with its name on standard input. It does
the work and answers with a number: seconds of processor time for a unit (a row, a fit, a load), or bytes. They take
turns, so that what else the machine does falls on all of them. The tables show medians over the rounds. Ours run on every
kernel that the processor has.

Usage: speed.py --rows FOLDER --ours PATH/Benchmarks [--rounds 5] [--write]    FOLDER: from `Benchmarks rows FOLDER`
"""

import argparse
import io
import os
import pickle
import statistics
import subprocess
import sys
import time

# One thread each: before numpy and what it brings are loaded.
for name in ["OMP", "OPENBLAS", "MKL", "NUMEXPR"]:
    os.environ[f"{name}_NUM_THREADS"] = "1"

LEAST_SECONDS = 0.2

# Name, unit of the table, units in a second or byte, digits.
WORKS = [
    ("score-500", "score, batch of 500, us/row", 1e6, 2),
    ("score-1", "score, one row, us", 1e6, 2),
    ("fit", "fit 100 x 256 on 1,000,000 x 10, ms", 1e3, 2),
    ("fit-user", "fit a user's model, 500 x 8, models/s", None, 0),
    ("bytes", "artifact, KB", 1e-3, 0),
    ("bytes-user", "a user's artifact, KB", 1e-3, 0),
    ("load", "load from bytes in memory, us", 1e6, 1),
    ("load-user", "a user's, us", 1e6, 1),
]


# What our kernels are to reach beside isotree on processors with AVX2 and no more: how many times as fast, and in the unit.
WANTED = {"score-500": (12, "0.7 us/row"), "fit-user": (3.5, None)}
UNITS = ["avx512", "avx2", "neon", "portable"]
MODES = ["standard", "auto"]


# --- a peer's process ---


class ScikitLearn:
    def __init__(self):
        import sklearn
        from sklearn.ensemble import IsolationForest

        self.name = f"scikit-learn {sklearn.__version__}"
        self.make = lambda seed: IsolationForest(n_estimators=100, max_samples=256, random_state=seed)

    def fit(self, rows, seed):
        return self.make(seed).fit(rows)

    def score(self, model, rows):
        return model.score_samples(rows)


class Isotree:
    def __init__(self):
        import importlib.metadata

        from isotree import IsolationForest

        self.name = f"isotree {importlib.metadata.version('isotree')}"
        # The forest of the paper: axis-parallel random cuts. No missing values are in the rows, and "fail" spares it
        # the work for them.
        self.make = lambda seed: IsolationForest(
            ntrees=100, sample_size=256, ndim=1, missing_action="fail", nthreads=1, random_seed=seed + 1
        )

    def fit(self, rows, seed):
        return self.make(seed).fit(rows)

    def score(self, model, rows):
        return model.predict(rows)


class Worker:
    def __init__(self, peer, folder):
        import numpy

        self.peer = peer
        self.large = numpy.fromfile(f"{folder}/large.f32", dtype="<f4").reshape(-1, 10)
        self.users = numpy.fromfile(f"{folder}/users.f32", dtype="<f4").reshape(-1, 500, 8)
        self.table, self.histories = self.large, list(self.users)
        # isotree computes in doubles and fits columns: given those, it copies nothing (ours and scikit-learn like rows).
        if isinstance(peer, Isotree):
            self.large = self.large.astype("f8")
            self.table = numpy.asfortranarray(self.large)
            self.histories = [numpy.asfortranarray(user.astype("f8")) for user in self.users]
        self.model = peer.fit(self.table, 1)
        self.user = peer.fit(self.histories[0], 1)

    def measure(self, work):
        peer = self.peer
        if work in ("score-500", "score-1"):
            batch = int(work.removeprefix("score-"))
            batches = [self.large[first : first + batch] for first in range(0, min(20_000, 100 * batch), batch)]
            return seconds(lambda number: peer.score(self.model, batches[number % len(batches)])) / batch
        if work == "fit":
            return seconds(lambda number: peer.fit(self.table, number))
        if work == "fit-user":
            return seconds(lambda number: peer.fit(self.histories[number % len(self.histories)], number))
        model = self.user if work.endswith("-user") else self.model
        if work.startswith("bytes"):
            return len(pickle.dumps(model, protocol=5))
        if work.startswith("load"):
            dumped = pickle.dumps(model, protocol=5)
            return seconds(lambda _: pickle.loads(dumped))
        if work.startswith("joblib"):
            import joblib

            file = io.BytesIO()
            joblib.dump(model, file, compress=3)
            return len(file.getvalue())
        raise ValueError(work)


def seconds(body):
    """Of processor time a call: the mean of as many as take LEAST_SECONDS."""
    start = time.process_time()
    count = 0
    while True:
        body(count)
        count += 1
        spent = time.process_time() - start
        if spent >= LEAST_SECONDS:
            return spent / count


def serve(peer, folder):
    worker = Worker(peer, folder)
    print(peer.name, flush=True)
    for line in sys.stdin:
        print(worker.measure(line.strip()), flush=True)


# --- the comparison ---


class Process:
    def __init__(self, name, command):
        self.name = name
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended with {self.process.wait()}")
        return line.strip()

    def ask(self, work):
        self.process.stdin.write(work + "\n")
        self.process.stdin.flush()
        return float(self.read())

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def ours_by_kernel(start):
    """For each kernel that the processor has, by its name, what `start` gives for it.

    `start(unit)` starts a process that says on its first line which kernel it uses.
    """
    found = {}
    for unit in UNITS:
        os.environ["ML_SERVICE_VECTOR_UNIT"] = unit
        process = start(unit)
        kernel = process.read()
        # One that the processor does not have gives way to another.
        if kernel in found or (unit != "portable" and kernel.lower().replace("-", "") != unit):
            process.end()
            print(f"this processor has no {unit}: not measured", file=sys.stderr)
            continue
        process.name = f"ours, {kernel}" + (" (portable)" if unit == "portable" else "")
        found[kernel] = process
    return found


def compare(arguments):
    from tables import machine, padded, write_between

    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})  # children inherit it
    peers = []
    for peer in ["isotree", "scikit-learn"]:
        process = Process(peer, [sys.executable, __file__, "--peer", peer, "--rows", arguments.rows])
        process.name = process.read()
        peers.append(process)
    by_mode = {
        mode: ours_by_kernel(lambda unit: Process(f"ours, {unit}", [arguments.ours, "peer", f"mode={mode}"]))
        for mode in MODES
    }
    kernels = list(by_mode["auto"])
    for mode, processes in by_mode.items():
        for process in processes.values():
            process.name += f", {mode}"
    ours = [by_mode[mode][kernel] for kernel in kernels for mode in MODES]
    everybody = peers + ours

    results = {(work, process.name): [] for work, *_ in WORKS for process in everybody}
    for round in range(arguments.rounds):
        for work, *_ in WORKS:
            for process in everybody:
                results[work, process.name].append(process.ask(work))
        print(f"round {round + 1} of {arguments.rounds}", file=sys.stderr)
    joblib = {process.name: process.ask("joblib") for process in peers}
    for process in everybody:
        process.end()

    rows, ratio_rows = [], []
    for work, title, factor, digits in WORKS:
        medians = [statistics.median(results[work, process.name]) for process in everybody]
        cells = [f"{1 / value if factor is None else value * factor:,.{digits}f}" for value in medians]
        if work == "bytes":
            cells[:2] = [f"{cell} ({joblib[process.name] / 1000:,.0f})" for cell, process in zip(cells, peers)]
        rows.append([title, *cells])
        autos = [statistics.median(results[work, by_mode["auto"][kernel].name]) for kernel in kernels]
        times, absolute = WANTED.get(work, (None, None))
        wanted = "" if times is None else f"{times:g} times" + (f", {absolute}" if absolute else "")
        ratio_rows.append([
            title.split(",")[0] if factor is None else title,
            *(f"{peer / auto:,.1f}" for peer in medians[:2] for auto in autos), wanted,
        ])
    table = padded(["work", *(process.name for process in everybody)], rows)
    ratios = padded(
        ["how many times ours, auto", *(f"{peer.name.split()[0]}, {kernel}" for peer in peers for kernel in kernels),
         "wanted of isotree, AVX2"], ratio_rows,
    )
    note = (
        f"{machine()}; one core, one thread, processor time, median of {arguments.rounds} rounds in which all take turns. "
        "100 trees of 256 rows. isotree fits from columns of doubles, which it likes best, the others from rows of floats. "
        "Peers' artifacts: pickle (joblib, compress=3). `auto` is our default; what a kernel is called, "
        "`ml-service --version` says."
    )
    text = f"{table}\n\n{ratios}\n\n{note}"
    print(f"\n{text}")
    if arguments.write:
        write_between("docs/performance.md", "peers", text)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", required=True)
    parser.add_argument("--ours")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--peer", choices=["isotree", "scikit-learn"])
    arguments = parser.parse_args()
    if arguments.peer:
        serve({"isotree": Isotree, "scikit-learn": ScikitLearn}[arguments.peer](), arguments.rows)
    else:
        compare(arguments)


if __name__ == "__main__":
    main()
