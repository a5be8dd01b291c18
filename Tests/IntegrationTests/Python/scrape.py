"""Reads the metrics as OpenMetrics with Prometheus' own Python parser, which is strict.

usage: scrape.py URL
"""

import sys
import urllib.request

from prometheus_client.openmetrics.parser import text_string_to_metric_families

request = urllib.request.Request(sys.argv[1], headers={"Accept": "application/openmetrics-text; version=1.0.0"})
with urllib.request.urlopen(request) as answer:
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text"), answer.headers
    families = {family.name: family for family in text_string_to_metric_families(answer.read().decode())}
assert families["ml_transactions"].type == "counter"
assert families["ml_stage_seconds"].type == "histogram" and families["ml_stage_seconds"].unit == "seconds"
assert all(family.documentation for family in families.values()), [f.name for f in families.values() if not f.documentation]
print(len(families), "families")
