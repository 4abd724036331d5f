"""Runs Vivado on a build folder, and reads what it did."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jp_hw.boards import Board
from jp_hw.errors import JpHwError
from jp_hw.plan import run_tool, write_inside
from jp_hw.progress_log import Steps
from jp_hw.schedule import Design
from jp_hw.shell import shell_files
from jp_hw.vivado.reports import Reports, over_full, read_reports, read_utilization
from jp_hw.vivado.script import DESIGN, FOLDER, vivado_files

RESULTS = ("overlay.bit", "overlay.hwh", "overlay.xsa")
LOG = "vivado.log"


@dataclass(frozen=True)
class Overlay:
    """A finished bitstream; folder holds overlay.bit, overlay.hwh, overlay.xsa and the reports."""

    folder: Path
    toolchain: str
    clock_mhz: float
    reports: Reports

    def to_json(self) -> dict[str, object]:
        """Plain data under stable keys."""
        return {
            "toolchain": self.toolchain,
            "folder": str(self.folder),
            "clock_mhz": self.clock_mhz,
            "fastest_mhz": self.reports.fastest_mhz(self.clock_mhz),
            **self.reports.to_json(),
        }


def vivado_command() -> Path:
    """Vivado on PATH; JpHwError says how to get it."""
    found = shutil.which("vivado")
    if found is None:
        raise JpHwError(
            "Vivado is not installed: install AMD Vivado (2022.1 or later, the free edition does) and "
            "source its settings64.sh, or use --toolchain openxc7"
        )
    return Path(found)


def build_overlay(
    build: Path,
    design: Design,
    *,
    jobs: int = 2,
    timeout: float = 4 * 3600.0,
    tell: Callable[[str], None] = lambda _: None,
) -> Overlay:
    """Make the bitstream of a build folder with Vivado.

    tell: called with the name of every step as it begins. Files go to BUILD/vivado, results to
    BUILD/vivado/out. Raises JpHwError where Vivado is missing, fails or takes longer than `timeout`
    seconds, where the design does not fit the board, and where it does not meet its clock.
    """
    program = vivado_command()
    build = build.absolute()
    folder, out = build / FOLDER, build / FOLDER / "out"
    for name, text in {**shell_files(design), **vivado_files(design, jobs)}.items():
        write_inside(build, name, text)
    shutil.rmtree(out, ignore_errors=True)
    options = ["-mode", "batch", "-nojournal", "-notrace", "-log", "full.log"]
    try:
        with Steps(folder / LOG, tell):
            run_tool([program, *options, "-source", "build.tcl"], folder, log=LOG, timeout=timeout)
    except JpHwError as error:
        raise _explained(error, folder, design.board) from error
    reports = read_reports(out)
    _check_timing(reports, design, out)
    missing = [name for name in RESULTS if not (out / name).is_file()]
    if missing:
        raise JpHwError(f"Vivado ended without {', '.join(missing)}; see {folder / LOG}")
    overlay = Overlay(out, "vivado", design.clock_mhz, reports)
    write_inside(folder, "report.json", json.dumps(overlay.to_json(), indent=2) + "\n")
    return overlay


def _check_timing(reports: Reports, design: Design, out: Path) -> None:
    timing = reports.timing
    if timing.met:
        return
    worst = [
        (s, n) for s, n in ((timing.setup_ns, "setup"), (timing.hold_ns, "hold")) if s is not None
    ]
    slack, name = min(worst, default=(timing.pulse_ns or 0.0, "pulse width"))
    advice = "see the report"
    if name == "setup":
        fastest = reports.fastest_mhz(design.clock_mhz)
        advice = (
            f"the worst path would do {fastest:.1f} MHz: generate with --clock {fastest // 1:.0f}"
        )
    raise JpHwError(
        f"timing is not met at {design.clock_mhz:g} MHz: {name} slack {slack:.3f} ns, {timing.failing} "
        f"paths fail; {advice} ({out / 'timing.rpt'})"
    )


def _explained(error: JpHwError, folder: Path, board: Board) -> JpHwError:
    """A failure of Vivado in plain words, where its logs tell more than its exit status."""
    logs = [folder / LOG, *sorted((folder / "project" / f"{DESIGN}.runs").glob("*/runme.log"))]
    text = "\n".join(path.read_text(errors="replace") for path in logs if path.is_file())
    lacks = over_full(text)
    early = folder / "out" / "utilization_synth.rpt"
    if not lacks and "over-utilized" in text and early.is_file():
        lacks = [
            f"{used.used:,.0f} {name.upper()} of {used.available:,.0f}"
            for name, used in read_utilization(early).items()
            if used.used > used.available
        ]
    if lacks:
        return JpHwError(
            f"the design does not fit {board.name}: it needs {', '.join(lacks)}; generate with fewer "
            f"--pes ({folder / LOG})"
        )
    if "exit status -9" in str(error):
        return JpHwError(
            f"Vivado was killed, most likely because memory ran out; try --jobs 1 ({folder / LOG})"
        )
    lines = [line.strip() for line in text.splitlines() if line.startswith("ERROR:")]
    if lines and "took more than" not in str(error):
        return JpHwError(f"Vivado failed: {lines[0][:200]}; see {folder / LOG}")
    return error
