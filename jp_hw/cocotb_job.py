"""Runs one cocotb job in a process of its own: `python -m jp_hw.cocotb_job JOB.json`."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cocotb_tools.check_results import get_results
from cocotb_tools.runner import get_runner


def main(path: Path) -> int:
    """Build and test; the number of failed tests, or 1 if the simulation ended abnormally."""
    job: dict[str, Any] = json.loads(path.read_text())
    folder = Path(job["folder"])
    build = folder / "build"
    build.mkdir(parents=True, exist_ok=True)
    runner = get_runner(job["simulator"])
    arguments = ["-g2012"]
    if job["simulator"] == "verilator":
        arguments = _verilator_arguments(job)
        os.environ["MAKEFLAGS"] = f"-j{min(4, os.cpu_count() or 1)} -- OPT_FAST=-O1 OPT_GLOBAL=-O1"
    runner.build(
        sources=job["sources"],
        hdl_toplevel=job["top"],
        parameters=job["parameters"],
        build_args=arguments,
        build_dir=build,
        timescale=("1ns", "1ps"),
        waves=job["waves"],
    )
    results = runner.test(
        hdl_toplevel=job["top"],
        test_module=job["test_module"],
        build_dir=build,
        test_dir=job["run_folder"],
        results_xml=str(folder / "results.xml"),
        extra_env=job["environment"],
        waves=job["waves"],
        timescale=("1ns", "1ps"),
    )
    tests, failed = get_results(results)
    print(f"{tests} tests, {failed} failed")
    return 1 if failed or not tests else 0


def _verilator_arguments(job: Mapping[str, Any]) -> list[str]:
    # one source file: with several, the precompiled header of this Verilator breaks the link step
    arguments = ["-Wno-fatal", "--output-split", "0", "-O3", "--x-assign", "unique"]
    if job["coverage"]:
        arguments += ["--coverage-line", "--coverage-toggle"]
    return arguments + (["--trace"] if job["waves"] else [])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
