"""One register map, and the same in SystemVerilog, C++, documentation and manifest."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from networks import chain, mlp, with_layers

from jp_hw import boards, ir_file
from jp_hw.build import emit
from jp_hw.ir import Network, Shape
from jp_hw.plan import Plan
from jp_hw.registers import COUNTERS, MAGIC, VERSION, register_map
from jp_hw.schedule import schedule

NETWORKS = {"mlp": mlp(1, (12, 6, 5, 3)), "map": chain(2, Shape(3, 4, 2), hidden=(4,) * 14)}


def plan_of(network: Network) -> Plan:
    return emit(schedule(network, boards.load("pynq-z2")))


def text(plan: Plan, name: str) -> str:
    content = plan.files[name]
    assert isinstance(content, str)
    return content


def test_offsets_are_unique_aligned_and_without_gap() -> None:
    registers = register_map(("a", "b", "c"))
    assert [register.offset for register in registers] == [4 * i for i in range(len(registers))]
    assert [register.index for register in registers] == list(range(len(registers)))
    assert len({register.name for register in registers}) == len(registers) == 9 + 3 * len(COUNTERS)


def test_the_first_registers_never_move() -> None:
    """Drivers read these before they know the network."""
    first = [(register.name, register.offset, register.access) for register in register_map(())]
    assert first == [
        ("magic", 0x00, "ro"),
        ("version", 0x04, "ro"),
        ("digest_high", 0x08, "ro"),
        ("digest_low", 0x0C, "ro"),
        ("control", 0x10, "rw"),
        ("status", 0x14, "w1c"),
        ("frames", 0x18, "ro"),
        ("cycles", 0x1C, "ro"),
        ("layers", 0x20, "ro"),
    ]
    assert MAGIC.to_bytes(4, "big") == b"JPHW"


@pytest.mark.parametrize("kind", NETWORKS)
def test_all_renderings_are_the_same(kind: str) -> None:
    network = NETWORKS[kind]
    plan = plan_of(network)
    names = tuple(layer.name for layer in network.layers)
    expected = {register.name: register.offset for register in register_map(names)}
    assert plan.manifest["registers"] == expected

    top = text(plan, "rtl/jp_accelerator.sv")
    assigned = re.findall(r"assign values\[(\d+) \+: 32\] = .*;  // 0x([0-9a-f]+) (\w+)", top)
    assert {name: int(offset, 16) for _, offset, name in assigned} == expected
    assert {name: int(bit) // 8 for bit, _, name in assigned} == expected
    assert f"localparam int Registers = {len(expected)};" in top
    addr_bits = int(re.findall(r"\.AddrBits\((\d+)\)\) u_axil", top)[0])
    assert max(expected.values()) + 4 <= 1 << addr_bits
    # what the top compares written addresses with
    for name in ("control", "status"):
        assert f"write_index == {addr_bits - 2}'d{expected[name] // 4}" in top

    header = text(plan, "host/jp_registers.hpp")
    constants = re.findall(r"constexpr std::uint32_t (\w+) = 0x([0-9a-f]+);", header)
    found = {name: int(value, 16) for name, value in constants}
    assert found == {**expected, "kMagic": MAGIC, "kVersion": VERSION}

    page = text(plan, "host/registers.md")
    rows = re.findall(r"^\| 0x([0-9a-f]+) \| (\w+) \| (\w+) \| (.+) \|$", page, re.MULTILINE)
    assert {name: int(offset, 16) for offset, name, _, _ in rows} == expected
    by_name = {register.name: register for register in register_map(names)}
    for _, name, access, meaning in rows:
        assert (access, meaning) == (by_name[name].access, by_name[name].description)


def test_the_values_are_those_of_the_network() -> None:
    network = NETWORKS["mlp"]
    top = text(plan_of(network), "rtl/jp_accelerator.sv")
    assert f"Digest = 64'h{ir_file.digest(network)[:16]};" in top
    assert "localparam int Layers = 3;" in top
    for i, counter in enumerate(COUNTERS):
        assert f"counters_1[{32 * i} +: 32];" in top
        assert f" layer1_{counter}\n" in top


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_the_header_compiles_whatever_the_layers_are_called(tmp_path: Path) -> None:
    """torch's Sequential calls its layers 0, 1, 2."""
    network = NETWORKS["mlp"]
    one, two, three = network.layers
    network = with_layers(
        network,
        replace(one, name="0"),
        replace(two, name="b-1.conv", sources=(replace(two.sources[0], tensor="0"),)),
        replace(three, name="b_1_conv", sources=(replace(three.sources[0], tensor="b-1.conv"),)),
    )
    (tmp_path / "jp_registers.hpp").write_text(text(plan_of(network), "host/jp_registers.hpp"))
    (tmp_path / "main.cpp").write_text(
        '#include "jp_registers.hpp"\n'
        "static_assert(jp_registers::layer_0_tokens == 0x24);\n"
        "static_assert(jp_registers::b_1_conv_tokens == 0x38);\n"
        "static_assert(jp_registers::b_1_conv_tokens_n2 == 0x4c);\n"
        "int main() {}\n"
    )
    done = subprocess.run(
        ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "main.cpp"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
