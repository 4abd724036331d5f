"""A stand-in for the program `vivado`: leaves what a run would leave, good or bad.

The variable FAKE_VIVADO says how it goes: good, timing, hold, overfull, place, synthesis, crash,
killed, hang, nobit, garbage. Reports are written by hand in the form that Vivado 2022 gives them.
"""

import os
import signal
import sys
import time
from pathlib import Path

HEADER = """Copyright 1986-2022 Xilinx, Inc. All Rights Reserved.
----------------------------------------------------------------------------------------------
| Tool Version : Vivado v.2022.1 (lin64) Build 3526262 Mon Apr 18 15:47:01 MDT 2022
| Design       : overlay_wrapper
| Device       : 7z020-clg400
| Design State : Routed
----------------------------------------------------------------------------------------------
"""
TIMING = """
------------------------------------------------------------------------------------------------
| Design Timing Summary
| ---------------------
------------------------------------------------------------------------------------------------

    WNS(ns)      TNS(ns)  TNS Failing Endpoints  TNS Total Endpoints      WHS(ns)      THS(ns)  THS Failing Endpoints  THS Total Endpoints     WPWS(ns)     TPWS(ns)  TPWS Failing Endpoints  TPWS Total Endpoints{sp}
    -------      -------  ---------------------  -------------------      -------      -------  ---------------------  -------------------     --------     --------  ----------------------  --------------------{sp}
{wns:>11.3f}{tns:>13.3f}{failing:>23}{total:>21}{whs:>13.3f}        0.000{hold:>23}                48213        3.750        0.000                       0                 20114{sp}


{verdict}


------------------------------------------------------------------------------------------------
| Clock Summary
| -------------
------------------------------------------------------------------------------------------------

Clock       Waveform(ns)       Period(ns)      Frequency(MHz)
-----       ------------       ----------      --------------
clk_fpga_0  {{0.000 5.000}}      10.000          100.000
"""  # noqa: E501
UTILIZATION = """
Utilization Design Information

Table of Contents
-----------------
1. Slice Logic

1. Slice Logic
--------------

+----------------------------+-------+-------+------------+-----------+-------+
|          Site Type         |  Used | Fixed | Prohibited | Available | Util% |
+----------------------------+-------+-------+------------+-----------+-------+
| Slice LUTs                 | {lut:>5} |     0 |          0 |     53200 | 26.32 |
|   LUT as Logic             | 12345 |     0 |          0 |     53200 | 23.20 |
|   LUT as Memory            |  1657 |     0 |          0 |     17400 |  9.52 |
|     LUT as Distributed RAM |  1588 |     0 |            |           |       |
|     LUT as Shift Register  |    69 |     0 |            |           |       |
| Slice Registers            | 15321 |     0 |          0 |    106400 | 14.40 |
|   Register as Flip Flop    | 15321 |     0 |          0 |    106400 | 14.40 |
|   Register as Latch        |     0 |     0 |          0 |    106400 |  0.00 |
| F7 Muxes                   |   412 |     0 |          0 |     26600 |  1.55 |
+----------------------------+-------+-------+------------+-----------+-------+


3. Memory
---------

+-------------------+------+-------+------------+-----------+-------+
|     Site Type     | Used | Fixed | Prohibited | Available | Util% |
+-------------------+------+-------+------------+-----------+-------+
| Block RAM Tile    | 39.5 |     0 |          0 |       140 | 28.21 |
|   RAMB36/FIFO*    |    3 |     0 |          0 |       140 |  2.14 |
|     RAMB36E1 only |    3 |       |            |           |       |
|   RAMB18          |   73 |     0 |          0 |       280 | 26.07 |
|     RAMB18E1 only |   73 |       |            |           |       |
+-------------------+------+-------+------------+-----------+-------+
* Note: Each Block RAM Tile only has one FIFO logic available


4. DSP
------

+----------------+------+-------+------------+-----------+-------+
|    Site Type   | Used | Fixed | Prohibited | Available | Util% |
+----------------+------+-------+------------+-----------+-------+
| DSPs           |   36 |     0 |          0 |       220 | 16.36 |
|   DSP48E1 only |   36 |       |            |           |       |
+----------------+------+-------+------------+-----------+-------+
"""
POWER = """
Power Report

1. Summary
----------

+--------------------------+--------------+
| Total On-Chip Power (W)  | 1.795        |
| Design Power Budget (W)  | Unspecified* |
| Power Budget Margin (W)  | NA           |
| Dynamic (W)              | 1.651        |
| Device Static (W)        | 0.144        |
| Effective TJA (C/W)      | 11.5         |
| Max Ambient (C)          | 64.3         |
| Junction Temperature (C) | 45.7         |
| Confidence Level         | Medium       |
+--------------------------+--------------+
"""
OVER = (
    "ERROR: [DRC UTLZ-1] Resource utilization: LUT as Logic over-utilized in Top Level Design (This "
    "design requires more LUT as Logic cells than are available in the target device. This design "
    "requires 61423 of such cell types but only 53200 compatible sites are available in the target "
    "device. Please analyze your synthesis results and constraints to ensure the design is mapped to "
    "Xilinx primitives as expected.)\n"
)
PLACE = (
    "ERROR: [Place 30-640] Place Check : This design requires more RAMB18 and RAMB36/FIFO cells than "
    "are available in the target device. This design requires 300 of such cell types but only 280 "
    "compatible sites are available in the target device.\n"
)


def timing(wns: float = 0.412, whs: float = 0.031) -> str:
    failing = 57 if wns < 0 else 0
    verdict = (
        "Timing constraints are not met."
        if min(wns, whs) < 0
        else "All user specified timing constraints are met."
    )
    return HEADER + TIMING.format(
        wns=wns, tns=min(0.0, 30 * wns), failing=failing, total=48213, whs=whs, hold=3 if whs < 0 else 0,
        verdict=verdict, sp="  ",
    )  # fmt: skip


def step(name: str) -> None:
    print(f"JP_STEP {name}", flush=True)
    time.sleep(float(os.environ.get("FAKE_VIVADO_SECONDS", "0")))


def main() -> int:
    how = os.environ["FAKE_VIVADO"]
    words = sys.argv[1:]
    assert words[:2] == ["-mode", "batch"] and Path(words[words.index("-source") + 1]).is_file(), (
        words
    )
    out = Path("out")
    out.mkdir(exist_ok=True)
    print("****** Vivado v2022.1 (64-bit)")
    step("project")
    if how == "crash":
        print("ERROR: [Common 17-49] Internal Data Exception: segfault in /opt/x")
        return 1
    step("synthesis")
    if how == "hang":
        time.sleep(60)
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "synthesis":
        print(
            "ERROR: [Synth 8-439] module 'jp_pe' not found [/x/jp_layer.sv:70]\nJP_FAILED synth_1"
        )
        return 1
    (out / "utilization_synth.rpt").write_text(HEADER + UTILIZATION.format(lut=14002))
    step("placement")
    if how in ("overfull", "place"):
        folder = Path("project/overlay.runs/impl_1")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "runme.log").write_text(
            "INFO: [Place 30-611]\n" + (OVER if how == "overfull" else PLACE)
        )
        print("ERROR: [Common 17-69] Command failed: Placer could not place all instances")
        return 1
    step("routing")
    report = (
        timing(wns=-1.25) if how == "timing" else timing(whs=-0.02) if how == "hold" else timing()
    )
    (out / "timing.rpt").write_text(report if how != "garbage" else "no report\n")
    (out / "utilization.rpt").write_text(HEADER + UTILIZATION.format(lut=14002))
    (out / "power.rpt").write_text(HEADER + POWER)
    if how in ("timing", "hold", "nobit"):
        return 0
    step("bitstream")
    for name in ("overlay.bit", "overlay.xsa"):
        (out / name).write_bytes(f"made by {how}".encode())
    (out / "overlay.hwh").write_text(os.environ.get("FAKE_VIVADO_HWH", "<EDKSYSTEM/>"))
    step("done")
    return 0


if __name__ == "__main__":
    sys.exit(main())
