"""Fits scikit-learn's isolation forests and converts them with skl2onnx, as somebody who moves to this service would.

    make_forests.py forests FOLDER    many forests, 10,000 rows each with the scores that scikit-learn gives them
    make_forests.py refused FOLDER    graphs that are to be refused
    make_forests.py fixture FOLDER    the small one that the unit tests read, in Tests/InterchangeTests/Fixtures

For each of the forests: NAME.onnx; NAME.json; NAME.rows, 32-bit floats; NAME.scores, scikit-learn's score_samples,
64-bit; NAME.missing, the rows with some values missing; NAME.runtime, onnxruntime's scores of those, 64-bit.
"""
import json
import pathlib
import sys

import numpy
import onnxruntime
from skl2onnx import to_onnx
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

OPSETS = {"": 18, "ai.onnx.ml": 3}
FORESTS = {
    "defaults": (4, {}),
    "one_tree": (3, {"n_estimators": 1}),
    "one_column": (1, {"n_estimators": 20}),
    "many_trees": (6, {"n_estimators": 150, "max_samples": 32}),
    "large_samples": (5, {"n_estimators": 4, "max_samples": 4000}),
    "all_rows": (3, {"n_estimators": 3, "max_samples": 1.0}),
    "contaminated": (4, {"n_estimators": 20, "contamination": 0.1}),
    "bootstrapped": (4, {"n_estimators": 20, "bootstrap": True}),
    "pairs": (2, {"n_estimators": 10, "max_samples": 2}),
    "single_rows": (2, {"n_estimators": 5, "max_samples": 1}),
    "constant": (2, {"n_estimators": 5}),
    "wide": (25, {"n_estimators": 20}),
    "with_scores": (3, {"n_estimators": 10}),
    "old_operators": (3, {"n_estimators": 10}),
}


def rows_of(columns, count, generator):
    """Heavy tails, whole numbers and ties, as features have."""
    rows = generator.standard_normal((count, columns)) * numpy.logspace(-2, 4, columns)
    rows[:, ::3] = numpy.exp(generator.standard_normal((count, len(range(0, columns, 3)))))
    rows[:, 1::4] = numpy.round(rows[:, 1::4])
    return rows.astype(numpy.float32)


def convert(model, rows, name):
    opsets = {"": 11, "ai.onnx.ml": 2} if name == "old_operators" else OPSETS
    options = {id(model): {"score_samples": True}} if name == "with_scores" else None
    return to_onnx(model, rows[:1], target_opset=opsets, options=options).SerializeToString()


def runtime_scores(onnx, model, rows):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(onnx, options)
    decision = session.run(["scores"], {session.get_inputs()[0].name: rows})[0]
    return decision.ravel().astype(numpy.float64) + model.offset_


def make_forests(folder):
    generator = numpy.random.default_rng(11)
    names = []
    for name, (columns, parameters) in FORESTS.items():
        training = rows_of(columns, 5_000, generator)
        if name == "constant":
            training[:] = 1
        model = IsolationForest(random_state=3, **parameters).fit(training)
        rows = rows_of(columns, 10_000, generator)
        # The very thresholds of the trees, where a rounding would show.
        for tree in model.estimators_[:20]:
            cuts = numpy.flatnonzero(tree.tree_.feature >= 0)[:20]
            for cut in cuts:
                row = generator.integers(len(rows))
                rows[row, tree.tree_.feature[cut]] = numpy.float32(tree.tree_.threshold[cut])
        onnx = convert(model, training, name)
        (folder / f"{name}.onnx").write_bytes(onnx)
        rows.tofile(folder / f"{name}.rows")
        model.score_samples(rows).astype(numpy.float64).tofile(folder / f"{name}.scores")
        missing = rows.copy()
        missing[generator.random(rows.shape) < 0.1] = numpy.nan
        missing.tofile(folder / f"{name}.missing")
        runtime_scores(onnx, model, missing).tofile(folder / f"{name}.runtime")
        facts = {"columns": columns, "trees": len(model.estimators_), "offset": model.offset_}
        (folder / f"{name}.json").write_text(json.dumps(facts))
        names.append(name)
    (folder / "names.json").write_text(json.dumps(names))


def make_refused(folder):
    generator = numpy.random.default_rng(13)
    training = rows_of(4, 500, generator)
    pipeline = make_pipeline(StandardScaler(), IsolationForest(n_estimators=5)).fit(training)
    (folder / "pipeline.onnx").write_bytes(
        to_onnx(pipeline, training[:1], target_opset=OPSETS).SerializeToString())
    tree = DecisionTreeRegressor(max_depth=3).fit(training, training[:, 0])
    (folder / "regressor.onnx").write_bytes(
        to_onnx(tree, training[:1], target_opset=OPSETS).SerializeToString())


def make_fixture(folder):
    generator = numpy.random.default_rng(5)
    training = rows_of(3, 200, generator)
    model = IsolationForest(n_estimators=3, max_samples=16, contamination=0.4, random_state=1).fit(training)
    rows = rows_of(3, 40, generator)
    (folder / "forest.onnx").write_bytes(convert(model, training, "fixture"))
    lines = [
        {"row": [float(value) for value in row], "score": float(score)}
        for row, score in zip(rows, model.score_samples(rows))
    ]
    facts = {"offset": model.offset_, "columns": 3, "trees": 3, "rows": lines}
    (folder / "forest.json").write_text(json.dumps(facts, indent=1) + "\n")


make = {"forests": make_forests, "refused": make_refused, "fixture": make_fixture}[sys.argv[1]]
make(pathlib.Path(sys.argv[2]))
