"""Vivado's commands with their legal options; and runs, as the recorder plays them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

PARTS = frozenset({
    "xc7z020clg400-1", "xc7z020clg484-1", "xczu3eg-sbva484-1-i", "xck26-sfvc784-2LV-c",
    "xczu7ev-ffvc1156-2-e", "xczu9eg-ffvb1156-2-e",
})  # fmt: skip
BOARD_PARTS = {
    "tul.com.tw:pynq-z2:part0:1.0": "xc7z020clg400-1",
    "www.digilentinc.com:pynq-z1:part0:1.0": "xc7z020clg400-1",
    "digilentinc.com:zybo-z7-20:part0:1.2": "xc7z020clg400-1",
    "em.avnet.com:zed:part0:1.4": "xc7z020clg484-1",
    "digilentinc.com:arty-z7-20:part0:1.1": "xc7z020clg400-1",
    "avnet.com:ultra96v2:part0:1.2": "xczu3eg-sbva484-1-i",
    "xilinx.com:kv260_som:part0:1.4": "xck26-sfvc784-2LV-c",
    "xilinx.com:zcu104:part0:1.1": "xczu7ev-ffvc1156-2-e",
    "xilinx.com:zcu102:part0:3.4": "xczu9eg-ffvb1156-2-e",
}
STEPS = (
    "opt_design",
    "power_opt_design",
    "place_design",
    "phys_opt_design",
    "route_design",
    "write_bitstream",
)
COMMANDS: dict[str, tuple[str, str, int, int]] = {
    # command: flags, options with a value, least and most positional arguments
    "create_project": ("-force -in_memory -quiet", "-part", 1, 2),
    "get_board_parts": ("-quiet -latest_file_version -latest_hw_revision", "-filter", 0, 1),
    "current_project": ("-quiet", "", 0, 1),
    "current_fileset": ("-quiet -simset -constrset", "", 0, 1),
    "set_property": ("-quiet", "-dict", 1, 3),
    "get_property": ("-quiet", "", 2, 2),
    "add_files": ("-norecurse -quiet -force", "-fileset", 1, 1),
    "get_files": ("-quiet -all", "-of_objects -filter", 1, 1),
    "update_compile_order": ("-quiet -force_gui", "-fileset", 0, 0),
    "create_bd_design": ("-quiet", "-cell -dir", 1, 1),
    "create_bd_cell": ("-quiet", "-type -vlnv -reference", 1, 1),
    "apply_bd_automation": ("-quiet", "-rule -config -opts", 1, 1),
    "get_bd_cells": ("-quiet", "", 1, 1),
    "get_bd_pins": ("-quiet", "", 1, 1),
    "get_bd_intf_pins": ("-quiet", "", 1, 1),
    "get_bd_addr_spaces": ("-quiet", "", 1, 1),
    "get_bd_addr_segs": ("-quiet", "", 1, 1),
    "connect_bd_intf_net": ("-quiet", "-intf_net -boundary_type", 2, 2),
    "connect_bd_net": ("-quiet", "-net", 2, 99),
    "assign_bd_address": ("-quiet -force -external", "-offset -range -target_address_space", 1, 1),
    "validate_bd_design": ("-quiet -force", "", 0, 1),
    "save_bd_design": ("-quiet", "", 0, 1),
    "generate_target": ("-quiet -force", "", 2, 2),
    "make_wrapper": ("-top -testbench -import -force -quiet", "-files -fileset", 0, 0),
    "get_runs": ("-quiet", "-filter", 1, 1),
    "launch_runs": ("-quiet -force", "-jobs -to_step -dir", 1, 9),
    "wait_on_run": ("-quiet", "-timeout", 1, 1),
    "open_run": ("-quiet", "-name", 1, 1),
    "close_design": ("-quiet", "", 0, 0),
    "report_timing_summary": ("-quiet -no_header -delay_type", "-file -max_paths", 0, 0),
    "report_utilization": ("-quiet -hierarchical", "-file", 0, 0),
    "report_power": ("-quiet", "-file", 0, 0),
    "write_hw_platform": ("-fixed -include_bit -force -quiet", "-file", 0, 1),
}


class Runs:
    """Synthesis, implementation and reports."""

    project: Path
    design: str
    validated: bool
    open: str
    runs: dict[str, str]
    properties: dict[tuple[str, str], str]

    def generate_target(self, _: Any, words: Sequence[str]) -> None:
        assert words[0] == "all" and self.validated
        folder = (
            self.project.parent / f"{self.project.name}.gen/sources_1/bd/{self.design}/hw_handoff"
        )
        folder.mkdir(parents=True)
        (folder / f"{self.design}.hwh").write_text("<EDKSYSTEM/>")

    def make_wrapper(self, given: dict[str, str], _: Any) -> None:
        assert given["-files"] == f"{self.design}.bd" and "-top" in given and "-import" in given

    def get_runs(self, _: Any, words: Sequence[str]) -> str:
        assert words[0] in ("synth_1", "impl_1"), f"no run {words[0]}"
        return words[0]

    def launch_runs(self, given: dict[str, str], words: Sequence[str]) -> None:
        (run,) = words
        assert int(given["-jobs"]) >= 1 and ("sources_1", "top") in self.properties
        if run == "synth_1":
            self.runs[run] = "synth_design Complete!"
            return
        step = given.get("-to_step", "route_design")
        assert step in STEPS and self.runs.get("synth_1") == "synth_design Complete!"
        before = self.runs.get(run, "").removesuffix(" Complete!")
        assert STEPS.index(step) > (STEPS.index(before) if before else -1), f"{step} after {before}"
        self.runs[run] = f"{step} Complete!"
        if step == "write_bitstream":
            folder = self.project.parent / f"{self.project.name}.runs" / "impl_1"
            folder.mkdir(parents=True)
            (folder / f"{self.design}_wrapper.bit").write_bytes(b"bits")

    def wait_on_run(self, _: Any, words: Sequence[str]) -> None:
        assert words[0] in self.runs, f"{words[0]} was not launched"

    def open_run(self, _: Any, words: Sequence[str]) -> None:
        assert not self.open and words[0] in self.runs
        self.open = words[0]

    def close_design(self, *_: Any) -> None:
        assert self.open
        self.open = ""

    def _report(self, given: dict[str, str], _: Any) -> None:
        assert self.open, "a report without an open run"
        Path(given["-file"]).write_text("report\n")

    report_timing_summary = report_utilization = report_power = _report

    def write_hw_platform(self, given: dict[str, str], _: Any) -> None:
        assert self.runs["impl_1"] == "write_bitstream Complete!" and "-include_bit" in given
        Path(given["-file"]).write_bytes(b"xsa")
