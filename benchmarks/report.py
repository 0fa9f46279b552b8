"""Write what was measured as JSON and as a Markdown table."""

from __future__ import annotations

import datetime
import html
import json
import math
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.timing import Measured

PACKAGES = (
    *("torch", "timm", "transformers", "safetensors"),
    *("huggingface-hub", "PyYAML", "model-index", "mkdocs"),
)
INTRODUCTION = """\
---
hide: [navigation, toc]
---

# How fast

{sentences}

{plot}

In the picture each circle is a row of the table that has a goal: the further right, the less ours takes. Its
line goes from the least to the most of all rounds.

What people wait for, beside what they would use instead: `python -m benchmarks` in a checkout runs both in
turn, in the same minutes, and compares the CPU seconds of whole processes or calls; `--quick` does so with
fewer rows. A ratio above 1 means ours takes less; it is the median of the rounds of each run, then the least
and the most of all rounds. A goal that was not reached is marked short. The floor is what the machine would
take for the work that nobody can leave out. Seconds are CPU seconds, memory is the peak of the process.
"""
#: What the page begins with, each sentence of one row: job, size, peer.
SENTENCES = {
    ("rexnet-hub list, fresh process", "the zoo's own index", "timm.list_models()"):
    "In CPU time `rexnet-hub list` answers in {ours}, `timm.list_models()` in {peer}.",
    ("AutoModel.from_pretrained(folder), warm", "rexnet_100", "timm"):
    "Where torch is imported, a network and its weights load from a folder in {ours}, in timm in {peer}.",
    ("convert", "legacy, 19 MB", "torch.load + save_file"):
    "A released file of 19 MB becomes safetensors in {ours}, by `torch.load` and `save_file` in {peer}.",
    ("evaluate one model, one image, CPU, fp32, compiled", "rexnet_100; 96 images", "timm's loop"):
    "With `--compile` an image is evaluated on a CPU in {ours}, in timm's own loop in {peer}.",
    ("predict, fresh process, CPU, fp32", "rexnet_100; 2,000 pictures", "timm's inference.py"):
    "2,000 pictures are classified in {ours}, by timm's inference.py in {peer}.",
    ("verify staged repos", "4 repos, 156 MB", "openssl sha256"):
    "Of {goals} goals {short} fell short: to verify four repos takes {ours}, their SHA-256 alone {peer}.",
}  # fmt: skip
WIDTH, LEFT, RIGHT, ROW = 420, 20, 390, 36
HEAD = (
    "| job | beside | peer ÷ ours | goal | least to most | ours | peer | floor | memory, peer ÷ ours |\n"
    "|---|---|--:|--:|--:|--:|--:|---|--:|\n"
)


def describe_machine() -> dict[str, Any]:
    """Render when and on what the numbers were measured."""
    import torch

    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    models = [line for line in lines if line.startswith("model name")]
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "processor": models[0].partition(": ")[2] if models else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def render_machine(machine: Mapping[str, Any]) -> str:
    """Render in a line what `describe_machine` says."""
    return (
        f"Measured on: {', '.join(f'{key} {value}' for key, value in machine.items() if value is not None)}."
    )


def rows(measured: Measured) -> list[dict[str, Any]]:
    """Make a row for each peer, in JSON's types."""
    job, table = measured.job, []
    for peer in job.peers:
        ours_mb, theirs_mb = measured.peak_mb(job.ours), measured.peak_mb(peer.task)
        table.append(
            {
                "job": job.title,
                "size": job.size,
                "ours_cpu_s": measured.cpu_s(job.ours),
                "ours_peak_mb": ours_mb,
                "peer": peer.task.name,
                "peer_cpu_s": measured.cpu_s(peer.task),
                "peer_peak_mb": theirs_mb,
                "ratio": measured.ratio(peer.task),
                "ratio_wanted": peer.at_least,
                "memory_ratio": theirs_mb / ours_mb if theirs_mb and ours_mb else None,
                "memory_ratio_wanted": peer.memory_at_least,
                "floor": job.floor.name if job.floor else None,
                "floor_cpu_s": measured.cpu_s(job.floor) if job.floor else None,
                "rounds": len(measured.spent[job.ours.name]),
                "note": job.note,
            }
        )
    return table


def merge_rows(earlier: Sequence[dict[str, Any]], fresh: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Merge the rows of a run with those of runs before it: the median, least and most of each row."""
    known = {_identity(row): row for row in earlier}
    for row in fresh:
        runs = [*known[_identity(row)]["runs"], row] if _identity(row) in known else [row]
        middle = sorted(runs, key=lambda run: run["ratio"]["median"])[(len(runs) - 1) // 2]
        ratio = {
            "median": statistics.median(run["ratio"]["median"] for run in runs),
            "least": min(run["ratio"]["least"] for run in runs),
            "most": max(run["ratio"]["most"] for run in runs),
            "medians": [run["ratio"]["median"] for run in runs],
        }
        known[_identity(row)] = middle | {"ratio": ratio, "runs": runs}
    return list(known.values())


def _identity(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["job"], row["size"], row["peer"]


def render_row(row: dict[str, Any]) -> str:
    """Render one row of the table."""
    ratio, wanted = row["ratio"], row["ratio_wanted"]
    goal = f"{wanted:.3g}" + (", short" if _is_short(row) else "") if wanted else ""
    each = " / ".join(f"{median:.3g}" for median in ratio.get("medians", [ratio["median"]]))
    memory = f"{row['memory_ratio']:.3g} (ours {row['ours_peak_mb']:.0f} MB)" if row["memory_ratio"] else ""
    if row["memory_ratio_wanted"]:
        memory += f", goal {row['memory_ratio_wanted']:g}"
    cells = (
        row["job"] + (f" ({row['note']})" if row["note"] else "") + f": {row['size']}",
        row["peer"],
        each,
        goal,
        f"{ratio['least']:.3g} to {ratio['most']:.3g}",
        _seconds(row["ours_cpu_s"]),
        _seconds(row["peer_cpu_s"]),
        f"{_seconds(row['floor_cpu_s'])} {row['floor']}" if row["floor"] else "",
        memory,
    )
    return f"| {' | '.join(cells)} |\n"


def _seconds(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"


def write_report(out: Path, table: Sequence[dict[str, Any]], left_out: Sequence[str]) -> None:
    """Write `NAME.json` and, from it, `NAME.md`."""
    document = {"machine": describe_machine(), "rows": list(table), "left_out": list(left_out)}
    out.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n")
    out.with_suffix(".md").write_text(render_page(document))


def read_rows(out: Path) -> list[dict[str, Any]]:
    """Read the rows of an earlier report."""
    table: list[dict[str, Any]] = json.loads(out.with_suffix(".json").read_text())["rows"]
    return table


def render_sentences(table: Sequence[dict[str, Any]]) -> str:
    """Render what the rows say to somebody in a hurry."""
    goals = [row for row in table if row["ratio_wanted"]]
    counts = {"goals": len(goals), "short": sum(_is_short(row) for row in goals)}
    known = {_identity(row): row for row in table}
    return " ".join(
        words.format(ours=_seconds(known[of]["ours_cpu_s"]), peer=_seconds(known[of]["peer_cpu_s"]), **counts)
        for of, words in SENTENCES.items()
        if of in known
    )


def _is_short(row: dict[str, Any]) -> bool:
    return bool(row["ratio"]["median"] < row["ratio_wanted"])


def render_plot(table: Sequence[dict[str, Any]]) -> str:
    """Draw the rows that have a goal, as one line of SVG in the page's own colours, on powers of ten.

    A circle is a row's median, filled where its goal was reached; its line is from the least to the most.
    """
    lines: dict[str, list[dict[str, Any]]] = {}
    for row in (row for row in table if row["ratio_wanted"]):
        lines.setdefault(f"{row['job'].partition(',')[0]} / {row['peer'].partition(',')[0]}", []).append(row)
    ends = [row["ratio"][end] for rows in lines.values() for row in rows for end in ("least", "most")]
    low, high = math.floor(math.log10(min(ends))), math.ceil(math.log10(max(ends)))
    bottom = ROW * len(lines) + 8

    def across(ratio: float) -> str:
        """Place a ratio on the axis."""
        return f"{LEFT + (math.log10(ratio) - low) / (high - low) * (RIGHT - LEFT):.1f}"

    parts = []
    for power in range(low, high + 1):
        x = across(10.0**power)
        parts.append(f'<path class="grid" d="M{x} 0V{bottom}" stroke-width="{1 if power else 3}"/>')
        parts.append(f'<text x="{x}" y="{bottom + 16}" text-anchor="middle">{10.0**power:g}</text>')
    for number, (label, rows) in enumerate(lines.items()):
        y = ROW * number + 26
        parts.append(f'<text x="{LEFT}" y="{y - 11}">{html.escape(label)}</text>')
        for row in rows:
            ratio = row["ratio"]
            parts.append(f'<path class="front" d="M{across(ratio["least"])} {y}H{across(ratio["most"])}"/>')
        for row in rows:
            here = "" if _is_short(row) else ' class="here"'
            parts.append(f'<circle{here} cx="{across(row["ratio"]["median"])}" cy="{y}" r="5"/>')
    words = "CPU seconds, the other's ÷ ours; filled: the goal was reached"
    parts.append(f'<text x="{(LEFT + RIGHT) / 2}" y="{bottom + 34}" text-anchor="middle">{words}</text>')
    each = ", ".join(f"{label} {rows[0]['ratio']['median']:.3g}" for label, rows in lines.items())
    title = html.escape(f"{words}: {each}")
    size = f'viewBox="0 0 {WIDTH} {bottom + 40}" style="max-width: 28rem"'
    return f'<svg class="hub-picture" {size} role="img" aria-label="{title}">{"".join(parts)}</svg>'


def render_page(document: dict[str, Any]) -> str:
    """Render what was measured as a page of the docs."""
    table = "".join(map(render_row, document["rows"]))
    missing = "".join(f"\nNot measured: {what}\n" for what in document["left_out"])
    rows = document["rows"]
    introduction = INTRODUCTION.format(sentences=render_sentences(rows), plot=render_plot(rows))
    return f"{introduction}\n{render_machine(document['machine'])}\n{missing}\n{HEAD}{table}"
