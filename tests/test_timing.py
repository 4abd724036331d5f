"""The longest path of a netlist: hand-made netlists with known delays."""

import math
from typing import Any

import pytest

from jp_hw.errors import JpHwError
from jp_hw.timing import delays
from jp_hw.timing.netlist import FANOUT, NET, Netlist, Path

Bits = dict[str, list[int | str]]


def cell(kind: str, inputs: Bits, outputs: Bits, **parameters: str) -> dict[str, Any]:
    ways = dict.fromkeys(inputs, "input") | dict.fromkeys(outputs, "output")
    return {
        "type": kind,
        "parameters": parameters,
        "connections": {**inputs, **outputs},
        "port_directions": ways,
    }


def flip_flop(d: int, q: int) -> dict[str, Any]:
    return cell("FDRE", {"C": [2], "CE": ["1"], "D": [d], "R": ["0"]}, {"Q": [q]})


def lut(inputs: list[int | str], output: int) -> dict[str, Any]:
    ports: Bits = {f"I{i}": [bit] for i, bit in enumerate(inputs)}
    return cell(f"LUT{len(inputs)}", ports, {"O": [output]})


def module(names: dict[str, list[int]], **cells: dict[str, Any]) -> dict[str, Any]:
    nets = {name: {"hide_name": 0, "bits": bits} for name, bits in names.items()}
    return {"netnames": nets, "cells": cells}


def slowest(names: dict[str, list[int]], **cells: dict[str, Any]) -> Path:
    (path,) = Netlist(module(names, **cells)).slowest().values()
    return path


def test_from_register_to_register() -> None:
    path = slowest({"a_q": [10], "b_q": [11]}, a=flip_flop(3, 10), b=flip_flop(10, 11))
    assert path.delay == pytest.approx(delays.FLIP_FLOP_CLOCK + NET)
    assert (path.levels, path.end, [step.net for step in path.steps]) == (0, "FDRE b_q, D", ["a_q"])
    assert path.mhz == pytest.approx(1000 / path.delay)


def test_the_latest_signal_gets_the_fastest_input_of_a_lut() -> None:
    """Bit 10 comes straight from a register, bit 12 through another LUT."""
    path = slowest(
        {"a_q": [10]},
        a=flip_flop(13, 10),
        first=lut([10], 12),
        second=lut([10, 12], 13),
    )
    after_first = delays.FLIP_FLOP_CLOCK + NET + FANOUT + delays.LUT[0]  # two readers
    assert path.delay == pytest.approx(after_first + NET + delays.LUT[0] + NET)
    assert path.levels == 2
    assert [step.cell for step in path.steps] == ["FDRE", "LUT1", "LUT2"]


def test_carry_chains_have_no_nets_inside() -> None:
    def carry(s: list[int | str], ci: int | str, o: list[int | str], co: int) -> dict[str, Any]:
        inputs: Bits = {"CI": [ci], "CYINIT": ["0"], "DI": ["0"] * 4, "S": s}
        return cell("CARRY4", inputs, {"O": o, "CO": ["x", "x", "x", co]})

    path = slowest(
        {"a_q": [10]},
        a=flip_flop(31, 10),
        lut=lut([10], 12),
        low=carry([12, "0", "0", "0"], "0", [20, 21, 22, 23], 24),
        high=carry(["0", "0", "0", "0"], 24, [30, 31, 32, 33], 34),
    )
    into_chain = delays.FLIP_FLOP_CLOCK + NET + delays.LUT[0]
    chain = delays.CARRY_ON + delays.SUM_OUT["CI"][1]
    assert path.delay == pytest.approx(into_chain + chain + NET)


def test_a_register_in_front_of_a_carry_is_a_net_away() -> None:
    inputs: Bits = {"CI": ["0"], "CYINIT": ["0"], "DI": ["0"] * 4, "S": [10, "0", "0", "0"]}
    carry = cell("CARRY4", inputs, {"O": [20, 21, 22, 23], "CO": ["x"] * 4})
    path = slowest({}, a=flip_flop(20, 10), carry=carry)
    assert path.delay == pytest.approx(delays.FLIP_FLOP_CLOCK + NET + delays.SUM_SAME + NET)


@pytest.mark.parametrize(("register", "delay"), [("0", 2.454), ("1", 0.882)])
def test_block_ram_answers_late_without_its_register(register: str, delay: float) -> None:
    ram = cell(
        "RAMB18E1",
        {"CLKARDCLK": [2], "ADDRARDADDR": [11], "ENARDEN": ["1"]},
        {"DOADO": [10]},
        DOA_REG=register,
        DOB_REG="0",
    )
    paths = Netlist(module({}, ram=ram, q=flip_flop(10, 11))).slowest()
    assert paths[""].delay == pytest.approx(max(delay + NET, 0.303 + NET + 0.566))


def test_dsp_registers_cut_its_multiplier() -> None:
    def dsp(**registers: str) -> float:
        zero = dict.fromkeys(("AREG", "BREG", "CREG", "DREG", "ADREG", "MREG", "PREG"), "0")
        block = cell(
            "DSP48E1",
            {"CLK": [2], "A": [10], "B": [11]},
            {"P": [12]},
            USE_DPORT="FALSE",
            **zero | registers,
        )
        return slowest({}, dsp=block, a=flip_flop(12, 10), b=flip_flop(12, 11)).delay

    assert dsp(PREG="1") > dsp(MREG="1", PREG="1") > dsp(AREG="1", BREG="1", MREG="1", PREG="1")


def test_lut_ram_is_read_at_once_and_written_at_the_clock() -> None:
    ram = cell(
        "RAM32M",
        {"WCLK": [2], "WE": [10], "ADDRA": [10, 11], "DIA": [11, 11]},
        {"DOA": [12, 13]},
    )
    path = slowest({}, ram=ram, a=flip_flop(12, 10), b=flip_flop(13, 11))
    three_readers = NET + FANOUT * math.log2(3)
    read = delays.FLIP_FLOP_CLOCK + three_readers + delays.RAM_READ + NET
    assert path.delay == pytest.approx(read)
    written = cell("RAM32M", {"WCLK": [2], "ADDRA": [20], "DIA": [10]}, {"DOA": [11]})
    path = slowest({}, ram=written, a=flip_flop(11, 10))  # an address from a port
    assert path.delay == pytest.approx(delays.RAM_CLOCK + NET)
    only_written = cell("RAM32M", {"WCLK": [2], "DIA": [10]}, {"DOA": [11]})
    path = slowest({}, ram=only_written, a=flip_flop(11, 10))
    assert path.delay == pytest.approx(delays.RAM_CLOCK + NET)


def test_paths_are_told_apart_by_layer() -> None:
    cells = {
        "a": flip_flop(3, 10),
        "$flatten\\u_layer_0.$auto$1": flip_flop(10, 11),
        "u_layer_12.q": flip_flop(11, 12),
    }
    paths = Netlist(module({}, **cells)).slowest()
    assert list(paths) == ["u_layer_0", "u_layer_12"]  # what drives a is no register


def test_a_loop_is_named() -> None:
    loop = module({"here": [10], "there": [11]}, one=lut([11], 10), two=lut([10], 11))
    with pytest.raises(JpHwError, match=r"loop without a register: .*here.*there|there.*here"):
        Netlist(loop)


def test_an_unknown_cell_is_named() -> None:
    with pytest.raises(JpHwError, match="no delays are known for a CARRY8"):
        Netlist(module({}, c=cell("CARRY8", {"CI": [3]}, {"O": [4]})))
