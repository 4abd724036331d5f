"""What an HLS compiler says of its result: initiation intervals, latency, clock, resources."""

import re
import xml.etree.ElementTree as ET
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter

from jp_hw.errors import JpHwError


@dataclass(frozen=True)
class HlsLoop:
    """A pipelined loop: initiation interval and depth in cycles, None where undecided."""

    module: str
    name: str
    interval: int | None
    depth: int | None


@dataclass(frozen=True)
class HlsModule:
    """A process of the dataflow: cycles of one call (None: they depend on the data), or states of
    its controller, and its resources where the compiler estimates them."""

    name: str
    latency_cycles: int | None
    states: int | None
    resources: dict[str, int]


@dataclass(frozen=True)
class HlsReport:
    """A compiler's report. clock_ns: as asked for; estimated_ns: as reached.

    latency_cycles, interval_cycles: of the whole accelerator, None where they depend on the data.
    resources: of the whole accelerator, in the compiler's own units.
    """

    compiler: str
    version: str
    clock_ns: float
    estimated_ns: float | None
    latency_cycles: int | None
    interval_cycles: int | None
    resources: dict[str, int]
    modules: tuple[HlsModule, ...]
    loops: tuple[HlsLoop, ...]

    def to_json(self) -> dict[str, object]:
        """Plain data under stable keys, the fields' names."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: object) -> "HlsReport":
        """What `to_json` made; ValueError where it is something else."""
        return TypeAdapter(cls).validate_python(values)

    @property
    def slow_loops(self) -> tuple[HlsLoop, ...]:
        """Pipelined loops that do not start an iteration every cycle."""
        return tuple(loop for loop in self.loops if loop.interval != 1)


def read_report(compiler: str, version: str, clock_ns: float, path: Path) -> HlsReport:
    """Read a compiler's report; JpHwError if it is missing or is not understood."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise JpHwError(f"{compiler} left no report {path}") from error
    read = _vitis if compiler == "vitis" else _bambu
    try:
        return read(compiler, version, clock_ns, text)
    except (ET.ParseError, ValueError, KeyError) as error:
        raise JpHwError(f"{path} is no report of {compiler} {version} ({error})") from error


# --- Vitis HLS: csynth.xml -----------------------------------------------------------------------


def _vitis(compiler: str, version: str, clock_ns: float, text: str) -> HlsReport:
    """`syn/report/csynth.xml`: the top's figures, then a Module with its own for each process."""
    root = ET.fromstring(text)  # noqa: S314 - as above
    top = root.find("PerformanceEstimates")
    if root.tag != "profile" or top is None:
        raise ValueError("no profile with PerformanceEstimates")
    modules, loops = [], []
    for module in root.findall("ModuleInformation/Module"):
        name = module.findtext("Name", "")
        modules.append(
            HlsModule(
                name,
                _cycles(module, "PerformanceEstimates/SummaryOfOverallLatency/Worst-caseLatency"),
                None,
                _resources(module),
            )
        )
        for loop in module.findall("PerformanceEstimates/SummaryOfLoopLatency//PipelineII/.."):
            loops.append(
                HlsLoop(
                    name,
                    loop.findtext("Name") or loop.get("name") or loop.tag,
                    _cycles(loop, "PipelineII"),
                    _cycles(loop, "PipelineDepth"),
                )
            )
    estimated = top.findtext("SummaryOfTimingAnalysis/EstimatedClockPeriod")
    return HlsReport(
        compiler,
        version,
        clock_ns,
        None if estimated is None else float(estimated),
        _cycles(top, "SummaryOfOverallLatency/Worst-caseLatency"),
        _cycles(top, "SummaryOfOverallLatency/Interval-max"),
        _resources(root),
        tuple(modules),
        tuple(loops),
    )


def _cycles(element: ET.Element, path: str) -> int | None:
    """A number of cycles; None for `undef`, a range, or nothing."""
    text = (element.findtext(path) or "").strip()
    return int(text) if text.isdecimal() else None


_VITIS_RESOURCES = {"LUT": "lut", "FF": "ff", "DSP": "dsp", "BRAM_18K": "bram18", "URAM": "uram"}


def _resources(element: ET.Element) -> dict[str, int]:
    found = {}
    for tag, name in _VITIS_RESOURCES.items():
        value = element.findtext(f"AreaEstimates/Resources/{tag}")
        if value is not None:
            found[name] = int(value)
    return found


# --- PandA-Bambu: its log ------------------------------------------------------------------------


def source_name(symbol: str) -> str:
    """A function's name as in the C++: of a mangled one the qualified name, and its first template
    argument if that is a class. Source: Itanium C++ ABI, 5.1 (external names)."""
    if not symbol.startswith("_Z"):
        return symbol
    names, rest, argument = [], symbol[2:].removeprefix("N"), ""
    while found := re.match(r"(\d+)", rest):
        end = found.end() + int(found[1])
        names.append(rest[found.end() : end])
        rest = rest[end:]
    if rest[:1] == "I" and (found := re.match(r"I(\d+)", rest)):
        argument = f"<{rest[found.end() : found.end() + int(found[1])]}>"
    return "::".join(names) + argument


_FUNCTION = re.compile(r"[Ii]nformation (?:for|of) function (\S+?):?$")
_FIGURES = {
    "states": re.compile(r"Number of states: (\d+)"),
    "area": re.compile(r"Total estimated area: ([0-9.e+]+)"),
    "dsp": re.compile(r"Estimated number of DSPs: ([0-9.e+]+)"),
    "mhz": re.compile(r"Estimated max frequency \(MHz\): ([0-9.e+]+)"),
    "ff": re.compile(r"Total number of flip-flops in function \S+: (\d+)"),
}


def _bambu(compiler: str, version: str, clock_ns: float, text: str) -> HlsReport:
    """The log: per function a block for each step, each with some of the figures.

    Bambu pipelines no loops and counts no cycles; its area is in its own units, near to LUTs. The
    top's area holds that of the functions it calls; its DSPs and flip-flops are only its own.
    """
    figures: dict[str, dict[str, float]] = {}
    current: dict[str, float] = {}
    for line in text.splitlines():
        match = _FUNCTION.search(line)
        if match is not None:
            current = figures.setdefault(source_name(match[1]), {})
        for name, pattern in _FIGURES.items():
            found = pattern.search(line)
            if found is not None:
                current[name] = float(found[1])
    modules = tuple(
        HlsModule(
            name,
            None,
            int(found["states"]),
            {key: round(found[key]) for key in ("area", "dsp", "ff") if key in found},
        )
        for name, found in figures.items()
        if "states" in found
    )
    if not modules:
        raise ValueError("no information for any function")
    clocks = [1000 / found["mhz"] for found in figures.values() if found.get("mhz")]
    total = {key: sum(module.resources.get(key, 0) for module in modules) for key in ("dsp", "ff")}
    total["area"] = max(module.resources.get("area", 0) for module in modules)
    return HlsReport(
        compiler, version, clock_ns, max(clocks, default=None), None, None, total, modules, ()
    )
