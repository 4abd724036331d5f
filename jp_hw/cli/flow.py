"""The commands along the road: generate, csim, simulate, synth."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jp_hw.cli.output import percent, print_json, say, table

if TYPE_CHECKING:
    from jp_hw.datasets import Split
    from jp_hw.ir import Layer, Network
    from jp_hw.schedule import Design
    from jp_hw.schedule.estimate import Resources
    from jp_hw.simulate import Report

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
Folder = Annotated[Path, typer.Argument(help="Build folder.", metavar="BUILD")]


def generate(
    model: Annotated[
        str, typer.Argument(help="Zoo model, folder of a trained one, or network .safetensors.")
    ] = "mlp3",
    board: Annotated[str, typer.Option(help="Board name, or a board file (.toml).")] = "pynq-z2",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Build folder [default: build/MODEL-BOARD].")
    ] = None,
    pes: Annotated[int | None, typer.Option(min=1, help="At most so many PEs in all.")] = None,
    clock: Annotated[float | None, typer.Option(help="Clock in MHz.")] = None,
    utilization: Annotated[
        float | None,
        typer.Option(help="PEs do a MAC in at least this share of their cycles, e.g. 0.8."),
    ] = None,
    dense: Annotated[
        bool, typer.Option("--dense", help="The dense twin: the same array, nothing skipped.")
    ] = False,
    force: Annotated[bool, typer.Option(help="Replace an existing build folder.")] = False,
    json: Json = False,
) -> None:
    """Quantize and schedule a network, and write its RTL and HLS C++ to a build folder."""
    from jp_hw import boards
    from jp_hw.build import describe, emit, open_build
    from jp_hw.schedule import schedule
    from jp_hw.schedule.cycles import simulate_cycles
    from jp_hw.schedule.estimate import estimate
    from jp_hw.twin import dense_twin

    target = boards.load(board)
    network, samples = _network(model)
    network = dense_twin(network) if dense else network
    design = schedule(network, target, pes, clock, utilization)
    folder = out or Path("build") / f"{network.name}-{target.name}"
    plan = emit(design, *((samples.images, samples.labels) if samples else (None, None)))
    plan.write(folder, force=force)
    build = open_build(folder)
    predicted = simulate_cycles(design, build.images).cycles_per_image
    resources = estimate(design.layers)
    if json:
        print_json(
            {
                **describe(build),
                "clock_mhz": design.clock_mhz,
                "pes": design.pes,
                "predicted_cycles_per_image": predicted,
                "estimated_resources": vars(resources),
                "budget": target.budget.model_dump(),
                "layers": [
                    {
                        "name": layer.name,
                        "pes": layer.pes,
                        "slots": layer.slots,
                        "silent_channels": design.silent.get(layer.name, 0),
                        "accumulator_bits": layer.accumulator_bits,
                    }
                    for layer in design.layers
                ],
            }
        )
    else:
        _tell(design, folder, predicted, resources)


def _tell(design: "Design", folder: Path, predicted: float, resources: "Resources") -> None:
    """What was generated, for people."""
    table(
        f"{design.network.name} for {design.board.description}, {design.clock_mhz:g} MHz",
        ("layer", "output", "PEs", "channels per PE", "weights kept", "accumulator"),
        [
            (
                d.name,
                str(n.output),
                d.pes,
                d.slots,
                _kept(design.network, n),
                f"{d.accumulator_bits} bit",
            )
            for d, n in zip(design.layers, design.network.layers, strict=True)
        ],
    )
    for layer in design.network.layers:
        if layer.name in design.silent:
            say(
                f"no PE computes {design.silent[layer.name]} of {layer.name}'s {layer.output.channels} "
                "channels: they are always zero, or never read"
            )
    budget = design.board.budget
    say(
        f"{design.pes} PEs; predicted {predicted:.1f} cycles per image; about "
        f"{resources.lut:,} of {budget.lut:,} LUT, {resources.dsp} of {budget.dsp} DSP, "
        f"{resources.bram18} of {budget.bram18} BRAM18 (synth tells exactly)"
    )
    say(f"wrote {folder}; next: jp-hw csim {folder}, jp-hw simulate {folder}, jp-hw synth {folder}")


def _kept(network: "Network", layer: "Layer") -> str:
    live = [network.live(source.weights) for source in layer.sources]
    return percent(sum(int(part.sum()) for part in live) / sum(part.size for part in live), 1)


def _network(model: str) -> "tuple[Network, Split | None]":
    """A network by zoo name, artifact folder, or file of its own; with its sample images."""
    from jp_hw import ir_file, zoo
    from jp_hw.evaluate import network_of

    if model.endswith(".safetensors"):
        return ir_file.load(Path(model)), None
    artifact = zoo.load(model)
    return network_of(artifact), artifact.samples()


def csim(
    build: Folder,
    images: Annotated[int | None, typer.Option(min=1, help="Images [default: all].")] = None,
    json: Json = False,
) -> None:
    """Compile the HLS C++ with g++, run it on the build's images, and compare with the golden model."""
    from jp_hw import golden
    from jp_hw.build import describe, open_build
    from jp_hw.csim import binary
    from jp_hw.csim import csim as run

    opened = open_build(build)
    batch, labels = opened.first_images(len(opened.images) if images is None else images)
    begin = time.monotonic()
    binary(opened.folder)
    compiled = time.monotonic()
    logits = run(opened.folder, batch)
    ran = time.monotonic()
    wrong = int((logits != golden.run(opened.network, batch)).sum())
    result = {
        **describe(opened),
        "images": len(batch),
        "bit_exact": wrong == 0,
        "mismatches": wrong,
        "correct": int((logits.argmax(1) == labels).sum()) if (labels >= 0).all() else None,
        "compile_seconds": compiled - begin,
        "run_seconds": ran - compiled,
    }
    if json:
        print_json(result)
    else:
        verdict = _verdict(wrong, logits.size)
        say(f"csim: {len(batch)} images, {_correct(result['correct'], len(batch))}{verdict}")
    if wrong:
        raise typer.Exit(1)


def _correct(correct: object, images: int) -> str:
    return "" if correct is None else f"{correct} of {images} classified as labelled, "


def _verdict(wrong: int, logits: int) -> str:
    if wrong:
        return f"[bold red]{wrong} of {logits} logits differ from the golden model[/]"
    return f"[green]all {logits} logits equal the golden model's[/]"


def simulate(
    build: Folder,
    images: Annotated[int, typer.Option(min=1, help="How many of the build's images.")] = 20,
    rtl: Annotated[
        str, typer.Option(help="own, or hls: what `jp-hw hls` made of the C++.")
    ] = "own",
    simulator: Annotated[str, typer.Option(help="verilator or icarus.")] = "verilator",
    stall: Annotated[
        float, typer.Option(help="Probability of a pause in each cycle, on both sides.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of the pauses.")] = 1,
    waves: Annotated[bool, typer.Option(help="Record waveforms.")] = False,
    bench: Annotated[
        str | None, typer.Option(help="cocotb, or compiled [default: compiled above 40 PEs].")
    ] = None,
    json: Json = False,
) -> None:
    """Simulate the RTL on the build's images, and compare every logit with the golden model."""
    from jp_hw.simulate import simulate as run

    report = run(
        build,
        images,
        rtl=rtl,
        simulator=simulator,
        bench=bench,
        stall=stall,
        seed=seed,
        waves=waves,
    )
    if json:
        print_json(report.to_json())
    else:
        _tell_simulation(report)
    if not report.passed:
        raise typer.Exit(1)


def _tell_simulation(report: "Report") -> None:
    """What was simulated, for people."""
    raw, predicted = report.to_json(), report.predicted
    layers = raw["layers"]
    assert isinstance(layers, list)
    own = report.target.kind == "own"
    made_by = "" if own else f", RTL by {report.target.made_by}"
    table(
        f"{raw['model']} on {raw['board']}, {report.simulator}{made_by}",
        ("layer", "PEs", "tokens", "MACs", "busy cycles", "stalled", "utilization"),
        [
            (
                *(layer[key] for key in ("name", "pes", "tokens", "macs", "busy_cycles")),
                layer["stalled_cycles"],
                percent(layer["utilization"], 1),
            )
            for layer in layers
        ],
    )
    foretold = "" if predicted is None else f" (predicted {predicted:.1f})"
    say(
        f"{report.run.cycles_per_image:.1f} cycles per image{foretold}, "
        f"latency {report.run.latency_cycles} cycles, utilization of all "
        f"{report.build.design.pes} PEs {percent(report.utilization(), 1)}"
    )
    if not own:
        say("this RTL has no counters and no registers: logits, tlast and tuser were compared")
    verdict = _verdict(report.mismatches, report.run.logits.size)
    say(f"{report.images} images, {_correct(report.correct, report.images)}{verdict}")
    if report.counters_exact is False:
        say("[bold red]the hardware's counters differ from the golden model's counts[/]")
    if report.waves is not None:
        say(f"waveforms are in {report.waves}")


def synth(
    build: Folder,
    timeout: Annotated[float, typer.Option(help="Seconds before giving up.")] = 1800.0,
    json: Json = False,
) -> None:
    """Synthesize the RTL with Yosys, and compare its size with the board."""
    from jp_hw.build import describe, open_build
    from jp_hw.synth import synth as run
    from jp_hw.timing import Path as TimingPath

    def path(found: TimingPath | None) -> str:
        return "" if found is None else f"{found.delay:.1f} ns"

    opened = open_build(build)
    names = [layer.name for layer in opened.design.layers]
    report = run(opened.folder, opened.design.board, names, timeout=timeout)
    if json:
        print_json({**describe(opened), **report.to_json()})
    else:
        table(
            f"{opened.network.name} on {opened.design.board.name}, synthesized by Yosys",
            ("part", "LUT", "of which RAM", "FF", "DSP", "BRAM18", "longest path"),
            [
                (name, *vars(resources).values(), path(report.timing.get(key)))
                for name, key, resources in [
                    *((part.name, part.name, part.resources) for part in report.layers),
                    ("io and requantizers", "io", report.io),
                    ("all", "", report.total),
                ]
            ],
        )
        if report.mhz is not None:
            say(f"about {report.mhz:.0f} MHz before placement (nets are estimated)")
        say(("[bold red]" if report.over_budget else "[green]") + report.verdict)
    if report.over_budget:
        raise typer.Exit(1)
