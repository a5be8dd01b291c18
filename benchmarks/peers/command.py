"""The command `ml-service`, as the benchmarks run it."""

import os
import pathlib
import subprocess

from tables import ROOT

BINARY = pathlib.Path(os.environ.get("ML_SERVICE_BINARY", ROOT / ".build/release/ml-service"))


def run(*words, folder=None, **settings):
    """What the command writes; where it fails, the benchmark ends with what it said.

    folder: what it keeps, and its object store, lie below it.
    settings: as they stand in the environment, ML_SERVICE_REFERENCES_LAG say.
    """
    environment = {**os.environ, "ML_SERVICE_LOG_LEVEL": "error", **settings}
    if folder:
        environment["ML_SERVICE_DATA_DIRECTORY"] = str(pathlib.Path(folder) / "state")
        environment["ML_SERVICE_STORE_URI"] = str(pathlib.Path(folder) / "store")
    words = [str(word) for word in words]
    done = subprocess.run([str(BINARY), *words], capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        raise SystemExit(f"ml-service {' '.join(words)}: {done.stderr.strip()[-2000:]}")
    return done.stdout
