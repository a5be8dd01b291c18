"""Scores rows with onnxruntime.

    score.py MODEL.onnx FOLDER

FOLDER has rows.json: for each categorical feature its texts; and features, 32-bit floats, row-major.
Writes FOLDER/scores, 64-bit floats, and FOLDER/anomalies, a byte each.
"""
import json
import pathlib
import sys

import numpy
import onnx
import onnxruntime

path, folder = sys.argv[1], pathlib.Path(sys.argv[2])
model = onnx.load(path)
onnx.checker.check_model(model, full_check=True)

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(path, options)
categories = json.loads((folder / "rows.json").read_text())
feeds = {name: numpy.array(texts, dtype=object).reshape(-1, 1) for name, texts in categories.items()}
for entry in session.get_inputs():
    if entry.name == "features":
        feeds["features"] = numpy.fromfile(folder / "features", numpy.float32).reshape(-1, entry.shape[1])
score, is_anomaly = session.run(["score", "is_anomaly"], feeds)
score.ravel().astype(numpy.float64).tofile(folder / "scores")
is_anomaly.ravel().astype(numpy.uint8).tofile(folder / "anomalies")
