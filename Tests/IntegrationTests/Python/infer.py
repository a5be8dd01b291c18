"""Asks the Open Inference Protocol as Triton's own client does.

usage: infer.py HOST:PORT KEY TRANSACTIONS.jsonl VERDICTS.jsonl

The verdicts are the stream's, of the same transactions; their `source` is not compared.
"""

import json
import sys
import urllib.request

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

address, key, transactions, verdicts = sys.argv[1:]
headers = {"Authorization": f"Bearer {key}"}  # copied for each request: the client adds to them
rows = [json.loads(line) for line in open(transactions)]
expected = [json.loads(line) for line in open(verdicts)]
client = triton.InferenceServerClient(address)

assert client.is_server_live() and client.is_server_ready()
assert client.get_server_metadata()["name"] == "ml-service"
assert client.is_model_ready("global")
metadata = client.get_model_metadata("global")
version = metadata["versions"][0]
assert int(version) == expected[0]["model"]["version"], metadata
assert client.is_model_ready("global", version)
assert not client.is_model_ready("global", "999") and not client.is_model_ready("nobody")
assert [t["name"] for t in metadata["outputs"]] == ["score", "threshold", "severity", "anomaly", "verdict"]


def inputs(binary, rows=rows):
    tensors = []
    for tensor in metadata["inputs"]:
        name, kind = tensor["name"], tensor["datatype"]
        if name == "timestamp":
            kind = "BYTES"
        if kind == "BYTES":
            data = np.array([row.get(name, "") for row in rows], dtype=np.object_)
        else:
            data = np.array([row.get(name, np.nan) for row in rows], dtype=np.float64)
            if not binary and np.isnan(data).all():
                continue
        made = triton.InferInput(name, [len(rows)], kind)
        made.set_data_from_numpy(data, binary_data=binary)
        tensors.append(made)
    return tensors


def without_source(verdict):
    return {name: value for name, value in verdict.items() if name != "source"}


# JSON has no NaN: in one request all transactions have a place, or none has.
placed = [("latitude" in row) == ("latitude" in rows[0]) for row in rows]
for binary in (True, False):
    outputs = None
    chosen, wanted = rows, expected
    if not binary:
        chosen = [row for row, same in zip(rows, placed) if same]
        wanted = [verdict for verdict, same in zip(expected, placed) if same]
    if not binary:
        outputs = [triton.InferRequestedOutput(t["name"], binary_data=False) for t in metadata["outputs"]]
    result = client.infer("global", inputs(binary, chosen), model_version=version, outputs=outputs,
                          request_id="r-1", headers=dict(headers))
    assert result.get_response()["id"] == "r-1"
    assert result.as_numpy("score").tolist() == [v["score"] for v in wanted]
    assert result.as_numpy("threshold").tolist() == [v["threshold"] for v in wanted]
    assert result.as_numpy("severity").tolist() == [v["severity"] for v in wanted]
    assert result.as_numpy("anomaly").tolist() == [v["verdict"] == "ANOMALY" for v in wanted]
    for text, verdict in zip(result.as_numpy("verdict").tolist(), wanted):
        assert without_source(json.loads(text)) == without_source(verdict)

# KServe's way of asking why, beside it.
request = urllib.request.Request(
    f"http://{address}/v2/models/global/explain", json.dumps({"instances": rows}).encode(),
    {**headers, "Content-Type": "application/json"})
with urllib.request.urlopen(request) as answer:
    explained = json.load(answer)
assert explained["model_name"] == "global" and explained["model_version"] == version
for verdict, known in zip(explained["explanations"], expected, strict=True):
    assert verdict["reasons"], verdict
    if known["verdict"] == "ANOMALY":
        assert without_source(verdict) == without_source(known)
    else:
        assert {**without_source(verdict), "reasons": []} == without_source(known)

one = triton.InferRequestedOutput("score")
result = client.infer("global", inputs(True), outputs=[one], headers=dict(headers))
assert [o["name"] for o in result.get_response()["outputs"]] == ["score"]

for wrong, what in [
    (inputs(True)[1:], "transaction_id"),
    ([triton.InferInput("colour", [1], "BYTES").set_data_from_numpy(np.array(["x"], dtype=np.object_))], "colour"),
]:
    try:
        client.infer("global", wrong, headers=dict(headers))
        raise AssertionError(f"{what} was passed over")
    except InferenceServerException as error:
        assert error.status() == "422", error.status()
        assert error.message(), error
try:
    client.infer("global", inputs(True))
    raise AssertionError("no key was needed")
except InferenceServerException as error:
    assert error.status() == "401", error.status()
print("ok")
