"""Line and toggle coverage of the static modules: `python -m rtl_tests.coverage`.

Runs the module tests under Verilator with coverage, merges what they leave, and prints per file
what share of its lines and signal bits they reach, as JSON. Verilator's own `verilator_coverage` does
not come with its wheel. A point that several instances or parameter sets share is reached if one of
them reaches it.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from jp_hw.emit.rtl import static_modules

POINT = re.compile(r"^C '(?P<fields>.*)' (?P<count>\d+)$")


@dataclass
class FileCoverage:
    """What was reached of one file: lines by number, branches and toggles by name."""

    lines: dict[int, bool] = field(default_factory=dict)
    branches: dict[str, bool] = field(default_factory=dict)
    toggles: dict[str, bool] = field(default_factory=dict)

    def add(self, fields: dict[str, str], hit: bool) -> None:
        kind, line = fields["page"].split("/")[0], int(fields["l"])
        name = f"{line}: {fields.get('o', '')}"
        if kind == "v_toggle":
            self.toggles[name] = self.toggles.get(name, False) or hit
            return
        if kind == "v_branch":
            self.branches[name] = self.branches.get(name, False) or hit
        for number in numbers(fields.get("S", str(line))):
            self.lines[number] = self.lines.get(number, False) or hit

    def to_json(self) -> dict[str, object]:
        return {
            "lines_percent": percent(self.lines.values()),
            "branches_percent": percent(self.branches.values()),
            "toggles_percent": percent(self.toggles.values()),
            "lines": len(self.lines),
            "toggles": len(self.toggles),
            "lines_missed": sorted(line for line, hit in self.lines.items() if not hit),
            "branches_missed": sorted(name for name, hit in self.branches.items() if not hit),
            "toggles_missed": sorted(name for name, hit in self.toggles.items() if not hit),
        }


def numbers(spans: str) -> Iterable[int]:
    """Lines of a list such as 12-14,16."""
    for span in spans.split(","):
        first, _, last = span.partition("-")
        yield from range(int(first), int(last or first) + 1)


def percent(hits: Iterable[bool]) -> float:
    found = list(hits)
    return round(100.0 * sum(found) / len(found), 1) if found else 100.0


def merge(files: Iterable[Path]) -> dict[str, FileCoverage]:
    """Coverage by file name, of Verilator's coverage files."""
    found: dict[str, FileCoverage] = defaultdict(FileCoverage)
    for path in files:
        for text in path.read_text(errors="replace").splitlines():
            match = POINT.match(text)
            if match is None:
                continue
            parts = [part.split("\x02", 1) for part in match["fields"].split("\x01") if part]
            fields = {part[0]: part[1] for part in parts if len(part) == 2}
            found[Path(fields["f"]).name].add(fields, int(match["count"]) > 0)
    return dict(found)


def summary(found: dict[str, FileCoverage]) -> dict[str, object]:
    """Per static module, and of all of them."""
    modules = {name: found[name] for name in static_modules() if name in found}
    lines = [hit for part in modules.values() for hit in part.lines.values()]
    branches = [hit for part in modules.values() for hit in part.branches.values()]
    toggles = [hit for part in modules.values() for hit in part.toggles.values()]
    return {
        "total": {
            "lines_percent": percent(lines),
            "branches_percent": percent(branches),
            "toggles_percent": percent(toggles),
        },
        "modules_never_run": sorted(set(static_modules()) - set(found)),
        "modules": {name: part.to_json() for name, part in modules.items()},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Coverage of the static RTL modules, as JSON.")
    parser.add_argument("--data", type=Path, help="where coverage files are, or go; merged if any")
    parser.add_argument("--sets", type=int, help="parameter sets of each test; all unless given")
    parser.add_argument("--least", type=float, default=95.0, help="lines in percent, else exit 1")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder: Path = options.data or Path(name)
        if not list(folder.glob("*.dat")):
            environment = {**os.environ, "JP_HW_COVERAGE": str(folder.resolve())}
            if options.sets:
                environment["JP_HW_COVERAGE_SETS"] = str(options.sets)
            command = [sys.executable, "-m", "pytest", "-q", "-k", "not lint", "rtl_tests"]
            tests = subprocess.run(command, env=environment, stdout=sys.stderr, check=False)
            if tests.returncode:
                return tests.returncode
        result = summary(merge(sorted(folder.glob("*.dat"))))
    print(json.dumps(result, indent=1))
    total = result["total"]
    assert isinstance(total, dict)
    return 0 if total["lines_percent"] >= options.least else 1


if __name__ == "__main__":
    sys.exit(main())
