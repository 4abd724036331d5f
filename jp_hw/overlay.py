"""From a build folder to a bundle: the bitstream by one of the toolchains, and all that goes with it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jp_hw.build import Build
from jp_hw.bundle import bundle_files, metadata_text, write_bundle
from jp_hw.errors import JpHwError
from jp_hw.openxc7 import build_open
from jp_hw.target import simulated_bundle
from jp_hw.vivado import build_overlay

TOOLCHAINS = ("vivado", "openxc7", "simulated")
BUNDLE = "bundle"
"""Folder of the finished bundle, inside a build folder."""


def make_bundle(
    build: Build,
    toolchain: str = "vivado",
    *,
    jobs: int = 2,
    timeout: float = 4 * 3600.0,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Make BUILD/bundle; what the toolchain reports, as plain data.

    toolchain: vivado; openxc7, the open one, for 7-series boards; or simulated, which makes no
    bitstream but a program for machines like this one that takes the board's place. tell: called with
    every step as it begins. Raises JpHwError where a tool is missing or fails.
    """
    if toolchain not in TOOLCHAINS:
        raise JpHwError(f"unknown toolchain {toolchain}; choose one of {', '.join(TOOLCHAINS)}")
    folder, design = build.folder / BUNDLE, build.design
    if toolchain == "simulated":
        tell("simulated board")
        simulated_bundle(build, folder)
        return {"toolchain": toolchain, "bundle": str(folder), "clock_mhz": design.clock_mhz}
    if toolchain == "vivado":
        overlay = build_overlay(build.folder, design, jobs=jobs, timeout=timeout, tell=tell)
        metadata = (overlay.folder / "overlay.hwh").read_text(errors="replace")
        bits, report = (overlay.folder / "overlay.bit").read_bytes(), overlay.to_json()
    else:
        made = build_open(build.folder, design, timeout=timeout, tell=tell)
        metadata = metadata_text(design.board, design.clock_mhz)
        bits, report = made.bitstream.read_bytes(), made.to_json()
    write_bundle(folder, bundle_files(build, bits, metadata))
    return {**report, "bundle": str(folder)}


def bundle_of(build: Path) -> Path:
    """The finished bundle of a build folder; JpHwError where none was made."""
    folder = build / BUNDLE
    if not folder.is_dir():
        raise JpHwError(f"{build} has no bitstream yet; make one: jp-hw build {build}")
    return folder
