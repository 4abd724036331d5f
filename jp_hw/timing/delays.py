"""Delays of 7-series cells in nanoseconds, speed grade -1, without nets.

The figures are those that Project X-Ray read out (github.com/f4pga/prjxray-db, artix7/timings) and
that Yosys' simulation models hold (techlibs/xilinx/cells_sim.v); where pins of a port differ, the
slowest. A port is named with the number of a bit in it, as in ``("S", 2)``.
"""

from collections.abc import Mapping

from jp_hw.errors import JpHwError

Port = tuple[str, int]

LUTS = frozenset({"LUT1", "LUT2", "LUT3", "LUT4", "LUT5", "LUT6", "INV"})
LUT = (0.127, 0.238, 0.407, 0.472, 0.631, 0.642)
"""A LUT's inputs from the fastest on: routing gives the latest signal the fastest one."""
FLIP_FLOPS = frozenset({"FDRE", "FDSE", "FDCE", "FDPE"})
RAMS = frozenset({"RAM32M", "RAM64M", "RAM32X1D", "RAM64X1D", "RAM128X1D", "RAM256X1D", "RAM32X1S",
                  "RAM64X1S", "RAM128X1S", "RAM256X1S"})  # fmt: skip
SHIFTS = frozenset({"SRL16E", "SRLC32E"})
BLOCKS = frozenset({"RAMB18E1", "RAMB36E1"})
MUXES = {
    "MUXF7": {"I0": 0.217, "I1": 0.223, "S": 0.296},
    "MUXF8": {"I0": 0.104, "I1": 0.094, "S": 0.273},
}
CLOCKS = frozenset({"C", "CLK", "WCLK", "CLKARDCLK", "CLKBWRCLK"})
NEAR = frozenset({("CARRY4", "CI"), ("CARRY4", "S")}) | {
    (mux, pin) for mux in MUXES for pin in ("I0", "I1")
}
"""Inputs that are driven inside their slice where a LUT or a carry drives them."""

CARRY_OUT = {"CI": (0.271, 0.157, 0.228, 0.114), "CYINIT": (0.536, 0.494, 0.592, 0.58)}
SUM_OUT = {"CI": (0.222, 0.334, 0.239, 0.313), "CYINIT": (0.482, 0.598, 0.584, 0.642)}
CARRY_SAME, CARRY_ON, SUM_SAME, SUM_ON = 0.385, 0.548, 0.227, 0.618
"""From S or DI of a bit to the carry and the sum of the same bit, and of a later one."""
RAM_READ, RAM_READ_WIDE = 0.642, 1.04
RAM_SETUP = {"WE": 0.654}
RAM_DATA_SETUP, RAM_CLOCK = 0.616, 1.19
SHIFT_READ, SHIFT_SETUP, SHIFT_CLOCK = 0.631, 0.173, 1.472
FLIP_FLOP_SETUP = {"D": 0.0, "CE": 0.109}
RESET_SETUP, FLIP_FLOP_CLOCK = 0.404, 0.303
BLOCK_SETUP = (("ADDR", 0.566), ("WE", 0.532), ("DI", 0.737), ("REGCE", 0.36), ("RST", 0.342))
ENABLE_SETUP, BLOCK_CLOCK, BLOCK_REGISTER_CLOCK = 0.443, 2.454, 0.882
DSP_CONTROL_SETUP, DSP_CLOCK = 0.5, {"P": 0.329, "M": 1.687}
DSP_SETUP: Mapping[str, tuple[float, float, float, float]] = {
    "A": (0.254, 1.283, 1.416, 2.739),
    "B": (0.324, 1.285, 1.285, 2.608),
    "C": (0.168, 1.244, 1.244, 1.244),
    "D": (0.248, 1.195, 2.31, 3.635),
}
"""Into the port's own register, the pre-adder's, the multiplier's, the sum's."""
PREADDER = 0.984
"""What the pre-adder adds on A's way to the multiplier."""


def setup(kind: str, parameters: Mapping[str, str], port: str) -> float | None:
    """How long a register in a cell needs its input before the clock, None where none reads it."""
    if kind in FLIP_FLOPS:
        return FLIP_FLOP_SETUP.get(port, RESET_SETUP)
    if kind in SHIFTS:
        return SHIFT_SETUP if port in ("D", "CE") else None
    if kind in RAMS:
        reads = port.startswith(("ADDRA", "ADDRB", "ADDRC", "DPRA"))
        return None if reads else RAM_SETUP.get(port, RAM_DATA_SETUP)
    if kind in BLOCKS:
        found = (time for name, time in BLOCK_SETUP if port.startswith(name))
        return next(found, ENABLE_SETUP)
    if kind == "DSP48E1":
        return _dsp_setup(parameters, port)
    return None


def clock_to_output(kind: str, parameters: Mapping[str, str], port: str) -> float | None:
    """How long after the clock a cell's output is valid, None where no register drives it."""
    if kind in FLIP_FLOPS:
        return FLIP_FLOP_CLOCK
    if kind in SHIFTS:
        return SHIFT_CLOCK
    if kind in RAMS:
        return RAM_CLOCK
    if kind in BLOCKS:
        register = _number(parameters, "DOA_REG" if port.startswith("DOA") else "DOB_REG")
        return BLOCK_REGISTER_CLOCK if register else BLOCK_CLOCK
    if kind == "DSP48E1":
        return DSP_CLOCK["P" if _number(parameters, "PREG") else "M"]
    return None


def through(kind: str, source: Port, target: Port) -> float | None:
    """A combinational way through a cell, None where there is none.

    A LUT's figure depends on its other inputs (`LUT`), so here it is 0. Raise JpHwError on a cell
    that this module does not know.
    """
    port, bit = source
    if kind in LUTS:
        return 0.0
    if kind in MUXES:
        return MUXES[kind][port]
    if kind == "CARRY4":
        return _carry(port, bit, *target)
    if kind in SHIFTS:
        return SHIFT_READ if port.startswith("A") else None
    if kind in RAMS:
        return _ram_read(kind, port, target[0])
    if kind in FLIP_FLOPS | BLOCKS | {"DSP48E1"}:
        return None
    raise JpHwError(f"no delays are known for a {kind}: they are for 7-series FPGAs")


def _carry(port: str, bit: int, out: str, number: int) -> float | None:
    if port in CARRY_OUT:
        return (CARRY_OUT if out == "CO" else SUM_OUT)[port][number]
    if bit > number or (port == "DI" and bit == number and out == "O"):
        return None
    if out == "CO":
        return CARRY_SAME if bit == number else CARRY_ON
    return SUM_SAME if bit == number else SUM_ON


def _ram_read(kind: str, port: str, out: str) -> float | None:
    """Address to data of the same port: ADDRB of DOB, DPRA of DPO, A of SPO or O."""
    wide = RAM_READ_WIDE if "128" in kind or "256" in kind else RAM_READ
    if port.startswith("ADDR"):
        return wide if out == f"DO{port[4]}" else None
    if port.startswith("DPRA"):
        return wide if out == "DPO" else None
    return wide if port.startswith("A") and out in ("SPO", "O") else None


def _dsp_setup(parameters: Mapping[str, str], port: str) -> float:
    if port not in DSP_SETUP:
        return DSP_CONTROL_SETUP
    preadder = "TRUE" in parameters["USE_DPORT"]
    own, added, multiplied, summed = DSP_SETUP[port]
    if _number(parameters, f"{port}REG"):
        return own
    if port in "AD" and preadder and _number(parameters, "ADREG"):
        return added
    more = PREADDER if port == "A" and preadder else 0.0
    return (multiplied if _number(parameters, "MREG") else summed) + more


def _number(parameters: Mapping[str, str], name: str) -> int:
    """A parameter as Yosys writes it: bits as text."""
    return int(parameters[name], 2)
