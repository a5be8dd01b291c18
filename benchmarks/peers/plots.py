"""Pictures for docs/detectors.md: what detectors say of every place around some points, where they do well and where not.

The points are made here, from fixed seeds. `ml-service evaluate` fits a detector on usual ones, and scores them, anomalies
and a grid around them (all of them later by the time that it splits by); docs/images/ gets one picture a detector, drawn
the same from the same scores.
"""

import csv
import json
import pathlib
import tempfile

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.metrics import roc_auc_score

from command import run
from tables import ROOT

GRID = 60
BUDGET = 0.01  # of alerts among the usual points


# --- points: usual ones and anomalies ---


def blob():
    """A heap, and single points around it."""
    random = np.random.default_rng(1)
    usual = random.normal(0, 1, (600, 2))
    angle = random.uniform(0, 2 * np.pi, 15)
    return usual, random.uniform(3.8, 5, (15, 1)) * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def diagonal():
    """Two features that go together, and points where they don't: each feature by itself is usual."""
    random = np.random.default_rng(2)
    along = random.normal(0, 1.6, 600)
    usual = np.stack([along, along], axis=1) + random.normal(0, 0.25, (600, 2))
    along = np.array([-2.4, -2.1, -1.8, 1.7, 2.0, 2.3, -1.5, 1.5])
    return usual, np.stack([along, -along], axis=1) + random.normal(0, 0.15, (len(along), 2))


def crossing():
    """Two heaps, and points where the rows of one cross the columns of the other."""
    random = np.random.default_rng(3)
    usual = np.concatenate([random.normal((-2.5, 2.5), 0.6, (300, 2)), random.normal((2.5, -2.5), 0.6, (300, 2))])
    return usual, np.concatenate([random.normal((2.5, 2.5), 0.3, (6, 2)), random.normal((-2.5, -2.5), 0.3, (6, 2))])


def valley():
    """Two heaps side by side, and points between them: near the mean of everything."""
    random = np.random.default_rng(4)
    usual = np.concatenate([random.normal((-3, 0), 0.6, (300, 2)), random.normal((3, 0), 0.6, (300, 2))])
    return usual, random.normal(0, 0.35, (12, 2))


CASES = {"blob": blob, "diagonal": diagonal, "crossing": crossing, "valley": valley}

# A picture a detector: panels of a title, points and parameters. Detectors that are not named here get OTHERS.
PICTURES = {
    "isolation-forest": [
        ("good: single points around a heap", "blob", {}),
        ("so-so: features that go together", "diagonal", {}),
        ("bad: ghosts where heaps cross (standard)", "crossing", {"mode": "standard"}),
        ("the same, cuts at an angle (extended)", "crossing", {"mode": "extended"}),
    ],
    "zscore-baseline": [
        ("good: single points around a heap", "blob", {}),
        ("good: only the largest counts", "blob", {"combine": "largest"}),
        ("bad: between two heaps", "valley", {}),
        ("bad: features that go together", "diagonal", {}),
    ],
    "ensemble": [
        ("good: single points around a heap", "blob", {}),
        ("so-so: between two heaps", "valley", {}),
        ("bad: ghosts where heaps cross", "crossing", {}),
        ("so-so: features that go together", "diagonal", {}),
    ],
}
OTHERS = [(f"{title}", case, {}) for title, case in [
    ("single points around a heap", "blob"), ("between two heaps", "valley"),
    ("where heaps cross", "crossing"), ("features that go together", "diagonal"),
]]  # fmt: skip


def loaded_detectors():
    return [detector["id"] for detector in json.loads(run("detectors", "list", "--json"))["loaded"]]


def score(detector, parameters, usual, anomalies, places, folder):
    """Fits on the usual points; the scores of these, of the anomalies and of places."""
    table, scores = folder / "points.csv", folder / "scores.csv"
    with open(table, "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["x", "y", "part", "is_anomaly"])
        for points, part, label in [(usual, 0, 0), (usual, 1, 0), (anomalies, 1, 1), (places, 1, 0)]:
            rows.writerows([*point, part, label] for point in points.tolist())
    judged = len(usual) + len(anomalies) + len(places)
    options = [text for name, value in parameters.items() for text in ("--set", f"{name}={value}")]
    run(
        "evaluate", "--detector", detector, "--table", table, "--label", "is_anomaly", "--seeds", 1, "--split-by-time",
        "part", "--holdout", repr(judged / (judged + len(usual))), "--scores", scores, "--json", *options,
    )
    with open(scores, newline="") as file:
        found = np.array([float(row["score"]) for row in csv.DictReader(file)])
    assert len(found) == judged, (len(found), judged)
    return np.split(found, [len(usual), len(usual) + len(anomalies)])


def draw(axes, title, detector, case, parameters, folder):
    usual, anomalies = CASES[case]()
    reach = max(np.abs(usual).max(), np.abs(anomalies).max()) * 1.15
    line = np.linspace(-reach, reach, GRID)
    x, y = np.meshgrid(line, line)
    grid = np.stack([x.ravel(), y.ravel()], axis=1)
    of_usual, of_anomalies, of_grid = score(detector, parameters, usual, anomalies, grid, folder)
    axes.contourf(x, y, of_grid.reshape(x.shape), levels=12, cmap="RdYlBu")
    threshold = np.quantile(of_usual, BUDGET)
    axes.contour(x, y, of_grid.reshape(x.shape), levels=[threshold], colors="black", linewidths=1.2, linestyles="solid")
    axes.scatter(*usual.T, s=2, color="#222222", linewidths=0)
    axes.scatter(*anomalies.T, s=20, color="white", edgecolors="black", linewidths=1)
    labels = np.repeat([0, 1], [len(usual), len(anomalies)])
    auroc = roc_auc_score(labels, -np.concatenate([of_usual, of_anomalies]))
    axes.set_title(f"{title}\nfound {(of_anomalies < threshold).mean():.0%}, AUROC {auroc:.2f}", fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])


def main():
    images = ROOT / "docs/images"
    images.mkdir(exist_ok=True)
    for detector in loaded_detectors():
        panels = PICTURES.get(detector, OTHERS)
        figure, all_axes = plt.subplots(1, len(panels), figsize=(2.9 * len(panels), 3.2))
        with tempfile.TemporaryDirectory() as folder:
            for axes, (title, case, parameters) in zip(all_axes, panels):
                draw(axes, title, detector, case, parameters, pathlib.Path(folder))
        figure.tight_layout()
        path = images / f"scores-{detector}.png"
        figure.savefig(path, dpi=80, metadata={"Software": None})
        plt.close(figure)
        # A hundred colours are enough, and a third of the bytes.
        Image.open(path).convert("RGB").quantize(100, dither=Image.Dither.NONE).save(path, optimize=True)
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
