"""What the recorder of Vivado's commands knows of IP blocks: legal settings, pins, interfaces.

Names, directions and legal values are those of AMD's product guides: PG082 and UG585
(processing_system7), PG201 (zynq_ultra_ps_e), PG021 (axi_dma), PG247 (smartconnect), PG164
(proc_sys_reset), UG994 (module references).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Settings = Mapping[str, str]
BIT = "[01]"


@dataclass(frozen=True)
class Pin:
    """A scalar pin; kind: clk, rst (low-active) or other."""

    name: str
    direction: str
    kind: str
    required: bool = True


@dataclass(frozen=True)
class Interface:
    """An interface pin; clock: the pin that it belongs to; bytes: of a stream."""

    name: str
    mode: str
    bus: str
    clock: str = ""
    bytes: int | None = None
    required: bool = True


@dataclass(frozen=True)
class Block:
    """An IP: settings with their legal values (as patterns) and defaults, and what pins follow."""

    legal: Mapping[str, str]
    defaults: Mapping[str, str]
    shape: Callable[[Settings], tuple[list[Pin], list[Interface]]]
    spaces: tuple[str, ...] = ()
    segments: Callable[[Settings], dict[str, str]] = field(default=lambda _: {})


def processing_system7(s: Settings) -> tuple[list[Pin], list[Interface]]:
    pins = [Pin("FCLK_CLK0", "O", "clk", False), Pin("FCLK_RESET0_N", "O", "rst", False)]
    pins = [
        p
        for p, key in zip(pins, ("PCW_EN_CLK0_PORT", "PCW_EN_RST0_PORT"), strict=True)
        if s[key] == "1"
    ]
    buses = [Interface("DDR", "Master", "ddrx"), Interface("FIXED_IO", "Master", "fixedio")]
    for i in range(2):
        if s[f"PCW_USE_M_AXI_GP{i}"] == "1":
            pins.append(Pin(f"M_AXI_GP{i}_ACLK", "I", "clk"))
            buses.append(Interface(f"M_AXI_GP{i}", "Master", "aximm", f"M_AXI_GP{i}_ACLK"))
    for i in range(4):
        if s[f"PCW_USE_S_AXI_HP{i}"] == "1":
            pins.append(Pin(f"S_AXI_HP{i}_ACLK", "I", "clk"))
            buses.append(Interface(f"S_AXI_HP{i}", "Slave", "aximm", f"S_AXI_HP{i}_ACLK"))
    return pins, buses


CONTROL_PORTS = {"M_AXI_HPM0_FPD": 0, "M_AXI_HPM1_FPD": 1, "M_AXI_HPM0_LPD": 2}


def zynq_ultra_ps_e(s: Settings) -> tuple[list[Pin], list[Interface]]:
    pins = [Pin("pl_resetn0", "O", "rst", False)]
    if s["PSU__FPGA_PL0_ENABLE"] == "1":
        pins.append(Pin("pl_clk0", "O", "clk", False))
    buses = []
    for name, i in CONTROL_PORTS.items():
        if s[f"PSU__USE__M_AXI_GP{i}"] == "1":
            clock = name.replace("_AXI_", "AXI").lower() + "_aclk"
            pins.append(Pin(clock, "I", "clk"))
            buses.append(Interface(name, "Master", "aximm", clock))
    for i in range(4):
        if s[f"PSU__USE__S_AXI_GP{i + 2}"] == "1":
            pins.append(Pin(f"saxihp{i}_fpd_aclk", "I", "clk"))
            buses.append(Interface(f"S_AXI_HP{i}_FPD", "Slave", "aximm", f"saxihp{i}_fpd_aclk"))
    return pins, buses


def axi_dma(s: Settings) -> tuple[list[Pin], list[Interface]]:
    pins = [Pin("s_axi_lite_aclk", "I", "clk"), Pin("axi_resetn", "I", "rst")]
    buses = [Interface("S_AXI_LITE", "Slave", "aximm", "s_axi_lite_aclk")]
    if s["c_include_sg"] == "1":
        pins.append(Pin("m_axi_sg_aclk", "I", "clk"))
        buses.append(Interface("M_AXI_SG", "Master", "aximm", "m_axi_sg_aclk"))
    if s["c_include_mm2s"] == "1":
        clock, width = "m_axi_mm2s_aclk", int(s["c_m_axis_mm2s_tdata_width"])
        assert width <= int(s["c_m_axi_mm2s_data_width"]), "the stream is wider than the memory"
        pins += [Pin(clock, "I", "clk"), Pin("mm2s_introut", "O", "intr", False)]
        buses.append(Interface("M_AXI_MM2S", "Master", "aximm", clock))
        buses.append(Interface("M_AXIS_MM2S", "Master", "axis", clock, width // 8))
    if s["c_include_s2mm"] == "1":
        clock, width = "m_axi_s2mm_aclk", int(s["c_s_axis_s2mm_tdata_width"])
        assert width <= int(s["c_m_axi_s2mm_data_width"]), "the stream is wider than the memory"
        pins += [Pin(clock, "I", "clk"), Pin("s2mm_introut", "O", "intr", False)]
        buses.append(Interface("M_AXI_S2MM", "Master", "aximm", clock))
        buses.append(Interface("S_AXIS_S2MM", "Slave", "axis", clock, width // 8))
    return pins, buses


def smartconnect(s: Settings) -> tuple[list[Pin], list[Interface]]:
    pins = [Pin("aclk" + (str(i) if i else ""), "I", "clk") for i in range(int(s["NUM_CLKS"]))]
    buses = [Interface(f"S{i:02}_AXI", "Slave", "aximm", "aclk") for i in range(int(s["NUM_SI"]))]
    buses += [Interface(f"M{i:02}_AXI", "Master", "aximm", "aclk") for i in range(int(s["NUM_MI"]))]
    return [*pins, Pin("aresetn", "I", "rst")], buses


def proc_sys_reset(_: Settings) -> tuple[list[Pin], list[Interface]]:
    out = [Pin(n, "O", "rst", False) for n in ("peripheral_aresetn", "interconnect_aresetn")]
    high = [
        Pin(n, "O", "rst_high", False) for n in ("peripheral_reset", "mb_reset", "bus_struct_reset")
    ]
    free = [Pin(n, "I", "other", False) for n in ("aux_reset_in", "mb_debug_sys_rst", "dcm_locked")]
    return [
        Pin("slowest_sync_clk", "I", "clk"),
        Pin("ext_reset_in", "I", "rst"),
        *out,
        *high,
        *free,
    ], []


WIDTHS = "32|64|128|256|512|1024"
BLOCKS: dict[str, Block] = {
    "xilinx.com:ip:processing_system7": Block(
        {
            "PCW_CRYSTAL_PERIPHERAL_FREQMHZ": r"(50(\.0+)?|33\.3+)",
            "PCW_FPGA0_PERIPHERAL_FREQMHZ": r"\d{1,3}(\.\d+)?",
            "PCW_EN_CLK0_PORT": BIT, "PCW_EN_RST0_PORT": BIT,
            **{f"PCW_USE_M_AXI_GP{i}": BIT for i in range(2)},
            **{f"PCW_USE_S_AXI_HP{i}": BIT for i in range(4)},
            **{f"PCW_S_AXI_HP{i}_DATA_WIDTH": "32|64" for i in range(4)},
        },
        {
            "PCW_EN_CLK0_PORT": "0", "PCW_EN_RST0_PORT": "0", "PCW_USE_M_AXI_GP0": "1",
            "PCW_USE_M_AXI_GP1": "0", **{f"PCW_USE_S_AXI_HP{i}": "0" for i in range(4)},
        },
        processing_system7,
        ("Data",),
        lambda s: {f"S_AXI_HP{i}/HP{i}_DDR_LOWOCM": f"S_AXI_HP{i}" for i in range(4)
                   if s[f"PCW_USE_S_AXI_HP{i}"] == "1"},
    ),
    "xilinx.com:ip:zynq_ultra_ps_e": Block(
        {
            "PSU__PSS_REF_CLK__FREQMHZ": r"33\.3+",
            "PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ": r"\d{1,3}(\.\d+)?",
            "PSU__FPGA_PL0_ENABLE": BIT,
            **{f"PSU__USE__M_AXI_GP{i}": BIT for i in range(3)},
            **{f"PSU__USE__S_AXI_GP{i}": BIT for i in range(7)},
            **{f"PSU__SAXIGP{i}__DATA_WIDTH": "32|64|128" for i in range(7)},
        },
        {
            "PSU__FPGA_PL0_ENABLE": "1", **{f"PSU__USE__M_AXI_GP{i}": "1" for i in range(3)},
            **{f"PSU__USE__S_AXI_GP{i}": "0" for i in range(7)},
        },
        zynq_ultra_ps_e,
        ("Data",),
        lambda s: {f"SAXIGP{i + 2}/HP{i}_DDR_LOW": f"S_AXI_HP{i}_FPD" for i in range(4)
                   if s[f"PSU__USE__S_AXI_GP{i + 2}"] == "1"},
    ),
    "xilinx.com:ip:axi_dma": Block(
        {
            "c_include_sg": BIT, "c_sg_length_width": r"[89]|1\d|2[0-6]",
            "c_addr_width": r"3[2-9]|[45]\d|6[0-4]",
            **{f"c_include_{w}": BIT for w in ("mm2s", "s2mm")},
            **{f"c_include_{w}_dre": BIT for w in ("mm2s", "s2mm")},
            **{f"c_m_axi_{w}_data_width": WIDTHS for w in ("mm2s", "s2mm")},
            "c_m_axis_mm2s_tdata_width": f"8|16|{WIDTHS}", "c_s_axis_s2mm_tdata_width": f"8|16|{WIDTHS}",
            **{f"c_{w}_burst_size": "2|4|8|16|32|64|128|256" for w in ("mm2s", "s2mm")},
        },
        {
            "c_include_sg": "1", "c_include_mm2s": "1", "c_include_s2mm": "1",
            "c_m_axi_mm2s_data_width": "32", "c_m_axis_mm2s_tdata_width": "32",
            "c_m_axi_s2mm_data_width": "32", "c_s_axis_s2mm_tdata_width": "32",
        },
        axi_dma,
        ("Data_MM2S", "Data_S2MM"),
        lambda _: {"S_AXI_LITE/Reg": "S_AXI_LITE"},
    ),
    "xilinx.com:ip:smartconnect": Block(
        {"NUM_SI": r"[1-9]|1[0-6]", "NUM_MI": r"[1-9]|1[0-6]", "NUM_CLKS": "[1-9]"},
        {"NUM_SI": "2", "NUM_MI": "1", "NUM_CLKS": "1"},
        smartconnect,
    ),
    "xilinx.com:ip:proc_sys_reset": Block({}, {}, proc_sys_reset),
}  # fmt: skip

STREAM = {
    "TVALID": 1,
    "TREADY": -1,
    "TDATA": 1,
    "TKEEP": 1,
    "TLAST": 1,
    "TSTRB": 1,
    "TID": 1,
    "TDEST": 1,
    "TUSER": 1,
}
MEMORY = {
    f"{channel}{name}": (1 if channel in ("AW", "W", "AR") else -1) * (-1 if name == "READY" else 1)
    for channel, names in {
        "AW": ("ADDR", "PROT", "VALID", "READY"), "W": ("DATA", "STRB", "VALID", "READY"),
        "B": ("RESP", "VALID", "READY"), "AR": ("ADDR", "PROT", "VALID", "READY"),
        "R": ("DATA", "RESP", "VALID", "READY"),
    }.items()
    for name in names
}  # fmt: skip
"""Logical ports: 1 where the master drives them, -1 where the slave does."""


def module_reference(text: str, name: str) -> Block:
    """A block from Verilog with X_INTERFACE attributes; wrong metadata is an assertion."""
    assert re.search(rf"^module {name} \(", text, re.M), f"no module {name}"
    header = text[: text.index(");", text.index(f"module {name}"))]
    port = r"((?:\(\*.*?\*\)\s*)+)(input|output)\s+wire\s*(?:\[(\d+):0\])?\s*(\w+)"
    buses: dict[str, dict[str, tuple[str, int]]] = {}
    kinds, parameters, clock, pins = {}, {}, "", []
    for attributes, direction, high, physical in re.findall(port, header):
        info = re.search(r'X_INTERFACE_INFO = "(\S+) (\S+) (\S+)"', attributes)
        assert info, f"port {physical} belongs to no interface"
        vlnv, bus, logical = info.groups()
        found = re.search(r'X_INTERFACE_PARAMETER = "(.*?)"', attributes)
        values = dict(item.split(" ", 1) for item in found[1].split(", ")) if found else {}
        parameters.setdefault(bus, {}).update(values)
        if vlnv == "xilinx.com:signal:clock:1.0":
            clock = physical
            pins.append(Pin(physical, "I", "clk"))
        elif vlnv == "xilinx.com:signal:reset:1.0":
            assert values["POLARITY"] == "ACTIVE_LOW"
            pins.append(Pin(physical, "I", "rst"))
        else:
            kinds[bus] = {
                "xilinx.com:interface:axis:1.0": "axis",
                "xilinx.com:interface:aximm:1.0": "aximm",
            }[vlnv]
            assert logical in (STREAM if kinds[bus] == "axis" else MEMORY), (
                f"{physical}: no port {logical}"
            )
            assert physical == f"{bus}_{logical.lower()}", physical
            buses.setdefault(bus, {})[logical] = (direction, int(high or 0) + 1)
    associated = set(parameters[clock]["ASSOCIATED_BUSIF"].split(":"))
    assert associated == set(buses), f"ASSOCIATED_BUSIF {associated}, but {set(buses)}"
    assert parameters[clock]["ASSOCIATED_RESET"] in {pin.name for pin in pins}
    interfaces = [
        _interface(bus, kinds[bus], found, parameters[bus], clock) for bus, found in buses.items()
    ]
    segments = {
        f"{i.name}/reg0": i.name for i in interfaces if i.bus == "aximm" and i.mode == "Slave"
    }
    return Block({}, {}, lambda _: (pins, interfaces), (), lambda _: segments)


def _interface(
    bus: str, kind: str, ports: dict[str, tuple[str, int]], parameters: dict[str, str], clock: str
) -> Interface:
    drives = STREAM if kind == "axis" else MEMORY
    is_master = ports["TVALID" if kind == "axis" else "AWVALID"][0] == "output"
    for logical, (direction, _) in ports.items():
        assert (direction == "output") == (drives[logical] == (1 if is_master else -1)), (
            f"{bus} {logical}"
        )
    mode = "Master" if is_master else "Slave"
    if kind == "aximm":
        assert set(ports) == set(MEMORY), f"{bus} lacks {set(MEMORY) - set(ports)}"
        assert parameters["PROTOCOL"] == "AXI4LITE"
        assert ports["WDATA"][1] == ports["RDATA"][1] == int(parameters["DATA_WIDTH"]) == 32
        assert ports["AWADDR"][1] == ports["ARADDR"][1] == int(parameters["ADDR_WIDTH"])
        assert (ports["WSTRB"][1], ports["AWPROT"][1], ports["BRESP"][1]) == (4, 3, 2)
        return Interface(bus, mode, kind, clock)
    size = int(parameters["TDATA_NUM_BYTES"])
    assert ports["TDATA"][1] == 8 * size, f"{bus}: TDATA_NUM_BYTES {size}"
    assert ports["TKEEP"][1] == size, f"{bus}: TKEEP for {size} bytes"
    for logical in ("TREADY", "TKEEP", "TLAST", "TSTRB"):
        assert parameters[f"HAS_{logical}"] == str(int(logical in ports))
    return Interface(bus, mode, kind, clock, size)
