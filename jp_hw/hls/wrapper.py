"""A shell around a compiler's RTL, with the ports of our own top, so that one test bench drives both.

What the compiler called its ports is read from its RTL; nothing is assumed of their widths but that
our signals fit in.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jp_hw.errors import JpHwError
from jp_hw.templates_env import render

TOP = "jp_accelerator"
WRAPPER = "jp_hls_wrapper"

_DECLARATION = re.compile(
    r"\b(input|output|inout)\b\s*(?:wire\b|reg\b|logic\b)?\s*(?:signed\b)?\s*"
    r"(?:\[\s*(\d+)\s*:\s*(\d+)\s*\])?\s*((?:\w+\s*,\s*(?!input\b|output\b|inout\b))*\w+)"
)


@dataclass(frozen=True)
class VerilogPort:
    """A port of a module: `input` or `output`, and its width in bits."""

    name: str
    direction: str
    width: int


def ports_of(text: str, module: str) -> dict[str, VerilogPort]:
    """Ports of a Verilog module by name, whichever way they are declared.

    Widths must be numbers, as they are in what HLS compilers write. Raises JpHwError if the text has
    no such module.
    """
    found = re.search(rf"\bmodule\s+{module}\b(.*?)\bendmodule\b", text, re.DOTALL)
    if found is None:
        raise JpHwError(f"the compiler's RTL has no module {module}")
    body = re.sub(r"//[^\n]*|/\*.*?\*/|\(\*.*?\*\)", " ", found[1], flags=re.DOTALL)
    body = re.sub(r"\bfunction\b.*?\bendfunction\b|\btask\b.*?\bendtask\b", " ", body, flags=re.S)
    ports = {}
    for direction, high, low, names in _DECLARATION.findall(body):
        width = abs(int(high) - int(low)) + 1 if high else 1
        for name in re.split(r"\s*,\s*", names):
            ports[name] = VerilogPort(name, direction, width)
    return ports


def _vitis(ports: Mapping[str, VerilogPort]) -> dict[str, str]:
    """Vitis HLS: AXI signals apart, reset active low, no handshake around the whole."""
    signals = {"ap_clk": "aclk", "ap_rst_n": "aresetn"}
    for prefix, names in (
        ("s_axis", ("tdata", "tkeep", "tlast", "tvalid", "tready")),
        ("m_axis", ("tdata", "tkeep", "tlast", "tuser", "tvalid", "tready")),
    ):
        signals |= {f"{prefix}_{name.upper()}": f"{prefix}_{name}" for name in names}
    # byte qualifiers: ours say nothing that tkeep does not say
    signals |= {"s_axis_TSTRB": "s_axis_tkeep", "m_axis_TSTRB": ""}
    return {name: signal for name, signal in signals.items() if name in ports or signal}


def _bambu(ports: Mapping[str, VerilogPort]) -> dict[str, str]:
    """PandA-Bambu: a beat in one tdata, a start signal; its processes never end."""
    return {
        "clock": "aclk",
        "reset": "aresetn",
        "start_port": "1'b1",
        "done_port": "",
        "s_axis_TDATA": "{s_axis_tlast, s_axis_tkeep, s_axis_tdata}",
        "s_axis_TVALID": "s_axis_tvalid",
        "s_axis_TREADY": "s_axis_tready",
        "m_axis_TDATA": "m_beat",
        "m_axis_TVALID": "m_axis_tvalid",
        "m_axis_TREADY": "m_axis_tready",
    }


def wrapper(compiler: str, version: str, rtl: str) -> str:
    """SystemVerilog text of the shell. rtl: Verilog that holds the compiler's top module.

    Raises JpHwError if that module lacks a port that the design must have, or has one that we do
    not know: an input that nobody drives would be worse.
    """
    ports = ports_of(rtl, TOP)
    connections = (_vitis if compiler == "vitis" else _bambu)(ports)
    missing, unknown = connections.keys() - ports.keys(), ports.keys() - connections.keys()
    if missing or unknown:
        what = ("lacks", missing) if missing else ("has an unknown", unknown)
        raise JpHwError(
            f"the RTL of {compiler} {version} {what[0]} port {min(what[1])}; "
            "this version is not supported"
        )
    beat = ports["m_axis_TDATA"].width if compiler == "bambu" else 0
    if compiler == "bambu" and (beat < 34 or ports["s_axis_TDATA"].width < 73):
        raise JpHwError(f"the RTL of {compiler} {version} cuts the AXI streams' words")
    return render(
        f"hls_wrapper/{WRAPPER}.sv.j2",
        name=WRAPPER,
        top=TOP,
        compiler=f"{compiler} {version}",
        connections=connections,
        beat=beat,
    )


def write_wrapper(compiler: str, version: str, folder: Path) -> None:
    """Write the shell of the RTL in a folder beside it."""
    for path in sorted(folder.glob("*.v")):
        text = path.read_text(encoding="utf-8", errors="replace")
        if re.search(rf"\bmodule\s+{TOP}\b", text):
            (folder / f"{WRAPPER}.sv").write_text(wrapper(compiler, version, text))
            return
    raise JpHwError(f"{compiler} made no RTL with a module {TOP}; see {folder.parent}")
