"""What Vivado's text reports say: slack, resources, power."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from jp_hw.errors import JpHwError

ROWS: Mapping[str, str] = {
    "Slice LUTs": "lut",
    "CLB LUTs": "lut",
    "Slice Registers": "ff",
    "CLB Registers": "ff",
    "DSPs": "dsp",
    "Block RAM Tile": "bram18",
    "URAM": "uram",
}
"""Rows of report_utilization, 7 series and UltraScale+, and what we call them."""
BRAM18_PER_TILE = 2


@dataclass(frozen=True)
class Used:
    """How many of a resource the design takes, and how many there are."""

    used: float
    available: float


@dataclass(frozen=True)
class Timing:
    """Worst slacks in ns, and how many end points fail; None where nothing of the kind was checked."""

    setup_ns: float | None
    hold_ns: float | None
    pulse_ns: float | None
    failing: int

    @property
    def met(self) -> bool:
        """Whether all constraints are met."""
        return all(s is None or s >= 0 for s in (self.setup_ns, self.hold_ns, self.pulse_ns))


@dataclass(frozen=True)
class Reports:
    """All reports of a run."""

    timing: Timing
    resources: Mapping[str, Used]
    power_w: float
    dynamic_w: float
    static_w: float

    def fastest_mhz(self, clock_mhz: float) -> float:
        """The clock at which the worst path would just do."""
        return 1000.0 / (1000.0 / clock_mhz - (self.timing.setup_ns or 0.0))

    def to_json(self) -> dict[str, object]:
        """Plain data under stable keys."""
        return {
            "timing": {**asdict(self.timing), "met": self.timing.met},
            "resources": {name: asdict(used) for name, used in self.resources.items()},
            "power_w": self.power_w,
            "dynamic_w": self.dynamic_w,
            "static_w": self.static_w,
        }


def read_reports(folder: Path) -> Reports:
    """Read timing.rpt, utilization.rpt and power.rpt; JpHwError names what is missing or unreadable."""
    total, dynamic, static = (
        _power(folder / "power.rpt", label)
        for label in ("Total On-Chip Power (W)", "Dynamic (W)", "Device Static (W)")
    )
    return Reports(
        read_timing(folder / "timing.rpt"),
        read_utilization(folder / "utilization.rpt"),
        total,
        dynamic,
        static,
    )


def read_timing(path: Path) -> Timing:
    """The design's summary in a report of report_timing_summary."""
    lines = _text(path).splitlines()
    for i, line in enumerate(lines):
        if line.split()[:1] == ["WNS(ns)"] and i + 2 < len(lines):
            names = re.findall(r"[A-Z]\w+(?: \w+)*(?:\(ns\))?", line)
            values = dict(zip(names, lines[i + 2].split(), strict=False))
            break
    else:
        raise JpHwError(f"{path} has no timing summary; run the build anew")
    failing = sum(int(v) for k, v in values.items() if "Failing" in k and v.isdigit())
    slacks = [_slack(values.get(key), path) for key in ("WNS(ns)", "WHS(ns)", "WPWS(ns)")]
    return Timing(slacks[0], slacks[1], slacks[2], failing)


def read_utilization(path: Path) -> dict[str, Used]:
    """Rows of a report of report_utilization; a tile of block RAM is two of 18 kbit."""
    found: dict[str, Used] = {}
    columns: list[str] = []
    for line in _text(path).splitlines():
        if not line.startswith("|"):
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if "Used" in cells and "Available" in cells:
            columns = cells
            continue
        name = ROWS.get(cells[0].rstrip("*"))
        if name is None or name in found or len(cells) != len(columns):
            continue
        row = dict(zip(columns, cells, strict=True))
        scale = BRAM18_PER_TILE if name == "bram18" else 1
        used, available = (scale * _number(row[key], path) for key in ("Used", "Available"))
        found[name] = Used(used, available)
    lacks = [name for name in ("lut", "ff", "dsp", "bram18") if name not in found]
    if lacks:
        raise JpHwError(f"{path} does not tell {', '.join(lacks)}; run the build anew")
    return found


def over_full(log: str) -> list[str]:
    """What a log says of resources that the device has too few of: one text for each."""
    pattern = (
        r"requires more ([A-Za-z0-9 /]+?) cells than are available.*?"
        r"requires ([0-9]+) of such cell types but only ([0-9]+) compatible sites"
    )
    found = {
        m[1]: f"{int(m[2]):,} {m[1]} of {int(m[3]):,}" for m in re.finditer(pattern, log, re.S)
    }
    return list(found.values())


def _power(path: Path, label: str) -> float:
    for line in _text(path).splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) == 2 and cells[0] == label:
            return _number(cells[1].split()[0] if cells[1] else "", path)
    raise JpHwError(f"{path} does not tell {label}; run the build anew")


def _slack(text: str | None, path: Path) -> float | None:
    return None if text is None or text == "NA" else _number(text, path)


def _number(text: str, path: Path) -> float:
    try:
        return float(text.replace(",", "").lstrip("<"))
    except ValueError:
        raise JpHwError(f"{path} holds {text!r} where a number should be") from None


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError as error:
        raise JpHwError(f"the build left no {path.name}; see {path.parent.parent}") from error
