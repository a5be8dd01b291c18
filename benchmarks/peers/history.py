"""How the figures of scripts/bench moved from run to run.

    history.py record FILE      reads what a run printed from standard input, and adds its figures to FILE (CSV)
    history.py draw FILE IMAGE  draws them

A line is one figure: when, the commit (with a + behind it when the tree had changes), machine, load, name, value. Machines differ and are
busy, so that a figure is worth most beside another of the same run: where there are such, the ratio is a figure too
("... / null pipeline", "... / Python").
"""

import argparse
import csv
import datetime
import pathlib
import re
import subprocess
import sys

COLUMNS = ["time", "commit", "machine", "load", "figure", "value"]
NUMBER = r"([0-9]+(?:\.[0-9]+)?)"


def figures(text):
    """Name to value, of all that is known in what scripts/bench printed."""
    found = {}
    null, case, part = None, None, None
    for line in text.splitlines():
        if match := re.match(rf"  null pipeline: {NUMBER} us a transaction, processor {NUMBER}", line):
            null = tuple(map(float, match.groups()))
            found["null pipeline, us"], found["null pipeline, processor us"] = null
        elif match := re.match(rf"  (\S.*?) +{NUMBER} transactions/s   \(", line):
            case = match[1]
            wall = 1e6 / float(match[2])
            found[f"{case}, transactions/s"] = float(match[2])
            if null:
                found[f"{case}, time / null pipeline"] = wall / null[0]
        elif line.startswith("    us a transaction: ") and case:
            for name, value in re.findall(rf"(\w+) {NUMBER}", line.partition(";")[2]):
                found[f"{case}, {name} us"] = float(value)
            case = None
        elif match := re.match(
            rf"  (\S.*?): ours {NUMBER} transactions/s, {NUMBER} times the best of these; processor {NUMBER} us a "
            rf"transaction, 1/{NUMBER} of the least", line
        ):
            found[f"{match[1]}, transactions/s / Python"] = float(match[3])
            found[f"{match[1]}, processor time of Python / ours"] = float(match[5])
        elif match := re.match(rf"  ([0-9]+) */s: p50 +{NUMBER} ms, p99 +{NUMBER} ms, p99\.9 +{NUMBER} ms", line):
            for share, value in zip(["p50", "p99", "p99.9"], match.groups()[1:]):
                found[f"latency at {match[1]}/s, {share} ms"] = float(value)
        elif match := re.match(rf"(\S.*?) +{NUMBER} transactions/s, {NUMBER} ns each", line):
            found[f"{match[1]}, ns"] = float(match[3])
        elif match := re.match(rf"allocations, (\w+): +{NUMBER} a (.*?)(?: \(allowed .*)?$", line):
            found[f"allocations ({match[1]}), {match[3].removesuffix(' TOO MANY')}"] = float(match[2])
    return found


def commit():
    """As git describes it; nothing outside of a clone."""
    def git(*words):
        result = subprocess.run(["git", *words], capture_output=True, text=True)
        return result.stdout.strip() if result.returncode == 0 else ""

    name = git("rev-parse", "--short=12", "HEAD")
    return name + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")


def record(path, text):
    found = figures(text)
    if not found:
        return print("history: no figure in what was printed", file=sys.stderr)
    path.parent.mkdir(parents=True, exist_ok=True)
    time = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    machine = re.search(r"^machine: (.*), load (\S+)$", text, re.MULTILINE)
    run = [time, commit(), *(machine.groups() if machine else ("", ""))]
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        rows = csv.writer(file)
        if is_new:
            rows.writerow(COLUMNS)
        rows.writerows([*run, name, f"{value:.6g}"] for name, value in found.items())
    print(f"history: {len(found)} figures added to {path}")


# What is drawn together, by how the figure's name ends; ratios first.
PANELS = [
    ("times the null pipeline's time, by the wall", "time / null pipeline"),
    ("times the Python service, by the wall", "transactions/s / Python"),
    ("times the Python service, by processor time", "processor time of Python / ours"),
    ("latency, p50, ms", "p50 ms"),
    ("latency, p99, ms", "p99 ms"),
    ("transactions/s", "transactions/s"),
]


def draw(path, image):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    runs = sorted({(row["time"], row["commit"]) for row in rows})
    place = {run: index for index, run in enumerate(runs)}
    machines = sorted({row["machine"] for row in rows})
    panels = [(title, end) for title, end in PANELS if any(row["figure"].endswith(end) for row in rows)]
    if not panels:
        return print("history: nothing to draw yet", file=sys.stderr)
    figure, axes = plt.subplots(
        len(panels), 1, figsize=(max(7, 0.5 * len(runs)), 2.6 * len(panels)), sharex=True, squeeze=False)
    for (title, end), place_of in zip(panels, axes[:, 0]):
        names = sorted({row["figure"] for row in rows if row["figure"].endswith(end)})
        for color, name in enumerate(names):
            label = name.removesuffix(end).strip(" ,/")
            # A machine is a line of its own: its figures say nothing of another's.
            for machine, style in zip(machines, ["-", "--", ":", "-."] * len(machines)):
                points = sorted(
                    (place[row["time"], row["commit"]], float(row["value"]))
                    for row in rows if (row["figure"], row["machine"]) == (name, machine))
                if points:
                    place_of.plot(*zip(*points), style, marker=".", color=f"C{color % 10}", label=label)
                    label = None
        place_of.set_title(title, fontsize=9)
        place_of.set_ylim(bottom=0)
        place_of.legend(fontsize=7)
    axes[-1, 0].set_xticks(
        range(len(runs)), [f"{time[:10]} {commit[:7]}{'+' * commit.endswith('+')}" for time, commit in runs],
        rotation=60, ha="right", fontsize=7)
    figure.suptitle("; ".join(f"{style} {name}" for style, name in zip(["-", "--", ":", "-."], machines)), fontsize=7)
    figure.tight_layout()
    figure.savefig(image, metadata={"Date": None} if image.suffix == ".svg" else None)
    print(f"history: {len(runs)} runs drawn, {image}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, more in [("record", []), ("draw", ["image"])]:
        command = commands.add_parser(name)
        for argument in ["file", *more]:
            command.add_argument(argument, type=pathlib.Path)
    arguments = parser.parse_args()
    if arguments.command == "record":
        record(arguments.file, sys.stdin.read())
    else:
        draw(arguments.file, arguments.image)


if __name__ == "__main__":
    main()
