"""Tables of results: for people on a terminal, and as Markdown between markers in docs/."""

import os
import pathlib

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def padded(header, rows):
    """Columns as wide as their widest cell: Markdown that also reads well as it is."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    widths = [max(width, 3) for width in widths]

    def line(cells):
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths)) + " |"

    return "\n".join([line(header), line(["-" * width for width in widths]), *map(line, rows)])


def write_between(document, name, text):
    """Replaces what stands between `<!-- name -->` and `<!-- end of name -->` in a document below the root."""
    path = ROOT / document
    before, start, rest = path.read_text().partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition(f"<!-- end of {name} -->")
    if not start or not end:
        raise SystemExit(f"{document} has no lines '<!-- {name} -->' and '<!-- end of {name} -->'; add them")
    path.write_text(f"{before}{start}{text}\n{end}{after}")
    print(f"written into {document}")


def machine():
    """Processor and memory, without names of hosts."""
    return os.environ.get("BENCH_MACHINE", "unknown machine")
