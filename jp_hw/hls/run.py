"""Runs an HLS compiler on a build's C++ and keeps its RTL, its report and where they came from.

BUILD/hls_rtl/ after a run: work/ (all that the compiler left, its log first), rtl/ (RTL, memory
contents and our shell), report.json (written last: without it there is no result).
"""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from jp_hw.boards import Board
from jp_hw.errors import JpHwError
from jp_hw.hls.compilers import LOG, command, find, report_file, rtl_files
from jp_hw.hls.reports import HlsReport, read_report
from jp_hw.hls.wrapper import write_wrapper
from jp_hw.plan import run_tool, write_inside

FOLDER, REPORT = "hls_rtl", "report.json"
SECONDS = 6 * 3600.0
STEPS = ("csim", "csynth", "cosim", "export")


@dataclass(frozen=True)
class HlsBuild:
    """RTL that an HLS compiler made of a build. rtl: folder to simulate in, shell included."""

    rtl: Path
    report: HlsReport


def compile_hls(
    build: Path,
    compiler: str,
    board: Board,
    clock_mhz: float,
    *,
    steps: tuple[str, ...] = ("csynth",),
    environment: dict[str, str] | None = None,
    timeout: float = SECONDS,
) -> HlsBuild:
    """Compile BUILD/hls to RTL in BUILD/hls_rtl.

    compiler: `vitis` or `bambu`. steps: for Vitis, of csim, csynth, cosim, export; csim and cosim
    need JP_IMAGES and JP_EXPECTED in the environment, see run_hls.tcl. timeout: seconds. Raises
    JpHwError, with the log's path, if the compiler is missing, too old, fails, takes too long, or
    leaves no RTL or report; an earlier result is gone then.
    """
    folder = build.absolute()
    if not (folder / "hls" / "top.cpp").is_file():
        raise JpHwError(f"{folder} has no hls/top.cpp; make the build with `jp-hw generate`")
    unknown = [step for step in steps if step not in STEPS]
    if unknown or "csynth" not in steps:
        what = f"unknown step {unknown[0]}" if unknown else "csynth must be among the steps"
        raise JpHwError(f"{what}: choose of {', '.join(STEPS)}")
    found = find(compiler)
    if compiler == "bambu" and steps != ("csynth",):
        raise JpHwError("bambu has no steps but csynth")
    result = folder / FOLDER
    work = result / "work"
    shutil.rmtree(result, ignore_errors=True)
    work.mkdir(parents=True)
    words, changes = command(found, folder / "hls", board.family, 1000.0 / clock_mhz)
    run_tool(
        words,
        work,
        log=LOG,
        timeout=timeout,
        environment={**changes, "JP_STEPS": " ".join(steps), **(environment or {})},
    )
    files = rtl_files(found, work)
    if not any(path.suffix in (".v", ".sv") for path in files):
        raise JpHwError(f"{found.label} ended without RTL; see {work / LOG}")
    partial = result / "rtl.partial"
    partial.mkdir()
    for path in files:
        shutil.copy2(path, partial)
    write_wrapper(compiler, found.version, partial)
    partial.replace(result / "rtl")
    report = read_report(compiler, found.version, 1000.0 / clock_mhz, work / report_file(found))
    values = {"sources": digest_of(folder / "hls"), **report.to_json()}
    write_inside(result, REPORT, json.dumps(values, indent=2) + "\n")
    return HlsBuild(result / "rtl", report)


def open_hls(build: Path) -> HlsBuild:
    """What `compile_hls` made last; JpHwError if there is nothing, or the C++ has changed since."""
    folder = build.absolute() / FOLDER
    path = folder / REPORT
    if not path.is_file():
        raise JpHwError(f"{build} has no RTL of an HLS compiler; make it with `jp-hw hls {build}`")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        sources = values.pop("sources")
        report = HlsReport.from_json(values)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise JpHwError(f"{path} is damaged; run `jp-hw hls {build}` again") from error
    if sources != digest_of(build.absolute() / "hls"):
        raise JpHwError(
            f"{build}/hls is not what {path} was made of; run `jp-hw hls {build}` again"
        )
    return HlsBuild(folder / "rtl", report)


def digest_of(sources: Path) -> str:
    """SHA-256 over the names and contents of the C++ that compilers read."""
    digest = hashlib.sha256()
    for path in sorted([*sources.glob("*.cpp"), *sources.glob("*.hpp")]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
