"""The command ``jp-hw hls``."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from jp_hw.cli.flow import Folder, Json
from jp_hw.cli.output import print_json, say, table

if TYPE_CHECKING:
    from jp_hw.build import Build
    from jp_hw.hls import HlsReport


def hls(
    build: Folder,
    compiler: Annotated[str, typer.Option(help="vitis or bambu.")] = "vitis",
    steps: Annotated[
        str, typer.Option(help="For vitis, of csim, csynth, cosim, export, with commas.")
    ] = "csynth",
    images: Annotated[int, typer.Option(min=1, help="Images for csim and cosim.")] = 4,
    timeout: Annotated[float, typer.Option(help="Seconds before giving up.")] = 6 * 3600.0,
    json: Json = False,
) -> None:
    """Compile the HLS C++ to RTL with an HLS compiler; `jp-hw simulate --rtl hls` runs that RTL."""
    from jp_hw.build import describe, open_build
    from jp_hw.hls import compile_hls

    opened = open_build(build)
    design, chosen = opened.design, tuple(steps.split(","))
    vectors = _vectors(opened, images) if {"csim", "cosim"} & set(chosen) else {}
    made = compile_hls(
        opened.folder,
        compiler,
        design.board,
        design.clock_mhz,
        steps=chosen,
        environment=vectors,
        timeout=timeout,
    )
    if json:
        print_json({**describe(opened), "rtl": str(made.rtl), **made.report.to_json()})
    else:
        _tell(made.report)
        say(f"wrote {made.rtl}; next: jp-hw simulate {build} --rtl hls")


def _vectors(build: "Build", count: int) -> dict[str, str]:
    """Images and the golden model's logits in files, as the test bench reads them."""
    from jp_hw import golden
    from jp_hw.plan import write_inside
    from jp_hw.simulate import frame_bytes

    images, _ = build.first_images(count)
    logits = golden.run(build.network, images).astype("<i4")
    files = {
        "JP_IMAGES": ("images.bin", b"".join(frame_bytes(images))),
        "JP_EXPECTED": ("expected.bin", logits.tobytes()),
    }
    return {
        name: os.fspath(write_inside(build.folder, f"hls_vectors/{file}", data))
        for name, (file, data) in files.items()
    }


def _tell(report: "HlsReport") -> None:
    """A compiler's report, for people."""
    table(
        f"{report.compiler} {report.version}",
        ("process", "latency", "states", *report.resources),
        [
            (
                module.name,
                "-" if module.latency_cycles is None else module.latency_cycles,
                "-" if module.states is None else module.states,
                *(module.resources.get(kind, "-") for kind in report.resources),
            )
            for module in report.modules
        ],
    )
    used = ", ".join(f"{value:,} {kind}" for kind, value in report.resources.items())
    reached = "unknown" if report.estimated_ns is None else f"{report.estimated_ns:.2f} ns"
    say(f"clock {report.clock_ns:.2f} ns asked for, {reached} estimated; {used}")
    if report.loops:
        slow = report.slow_loops
        say(f"{len(report.loops) - len(slow)} of {len(report.loops)} pipelined loops have II=1")
        for loop in slow:
            say(f"[bold red]{loop.module}.{loop.name}: II={loop.interval}[/]")
