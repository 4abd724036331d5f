"""Runs one cocotb job in a process of its own: `python -m jp_hw.cocotb_job JOB.json`."""

import json
import os
import sys
from pathlib import Path

from cocotb_tools.check_results import get_results
from cocotb_tools.runner import get_runner

VERILATOR_ARGUMENTS = ["-Wno-fatal", "--output-split", "0", "-O3", "--x-assign", "unique"]


def main(path: Path) -> int:
    """Build and test; the number of failed tests, or 1 if the simulation ended abnormally."""
    job = json.loads(path.read_text())
    folder = Path(job["folder"])
    arguments: list[str] = []
    if job["simulator"] == "verilator":
        arguments = [*VERILATOR_ARGUMENTS]
        arguments += ["--trace"] if job["waves"] else []
        arguments += ["--coverage-line", "--coverage-toggle"] if job["coverage"] else []
        os.environ.setdefault("OPT_FAST", "-O1")
    else:
        arguments = ["-g2012"]
    runner = get_runner(job["simulator"])
    runner.build(
        sources=job["sources"],
        hdl_toplevel=job["top"],
        parameters=job["parameters"],
        build_args=arguments,
        build_dir=folder / "build",
        timescale=("1ns", "1ps"),
        waves=job["waves"],
    )
    results = runner.test(
        hdl_toplevel=job["top"],
        test_module=job["test_module"],
        build_dir=folder / "build",
        test_dir=job["run_folder"],
        results_xml=str(folder / "results.xml"),
        extra_env=job["environment"],
        waves=job["waves"],
        timescale=("1ns", "1ps"),
    )
    tests, failed = get_results(results)
    print(f"{tests} tests, {failed} failed")
    return 1 if failed or not tests else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
