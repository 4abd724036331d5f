"""The commands that bring a build to a board: build, deploy, run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jp_hw.cli.flow import Folder, Json
from jp_hw.cli.output import console, percent, print_json, say, table

if TYPE_CHECKING:
    from jp_hw.ssh import Host

HostName = Annotated[str, typer.Option("--host", help="Board: NAME, USER@NAME or USER@NAME:PORT.")]
Key = Annotated[Path | None, typer.Option(help="Private key file [default: the usual ones].")]
KnownHosts = Annotated[
    Path | None, typer.Option(help="Accepted host keys [default: ~/.ssh/known_hosts].")
]
Password = Annotated[bool, typer.Option("--ask-password", help="Ask for a password.")]
RemoteFolder = Annotated[str, typer.Option("--folder", help="Folder of the bundles on the board.")]
RemotePython = Annotated[str, typer.Option("--python", help="Python on the board.")]
Timeout = Annotated[float, typer.Option(help="Seconds that one batch may take.")]
SHOWN = 20
"""Rows of images that are printed."""


def build(
    build: Folder,
    toolchain: Annotated[
        str, typer.Option(help="vivado, openxc7 (open, 7-series), or simulated.")
    ] = "vivado",
    jobs: Annotated[int, typer.Option(min=1, help="Processes that Vivado may start.")] = 2,
    timeout: Annotated[float, typer.Option(help="Seconds before giving up.")] = 4 * 3600.0,
    json: Json = False,
) -> None:
    """Make the bitstream, and the bundle of all that the board needs."""
    from jp_hw.build import describe, open_build
    from jp_hw.overlay import make_bundle

    opened = open_build(build)
    with console.status(f"{toolchain}: starting") as status:
        result = make_bundle(
            opened,
            toolchain,
            jobs=jobs,
            timeout=timeout,
            tell=lambda step: status.update(f"{toolchain}: {step}") if not json else None,
        )
    if json:
        print_json({**describe(opened), **result})
        return
    if "resources" in result:
        _tell_reports(f"{opened.network.name} on {opened.design.board.name}", result)
    say(f"wrote {result['bundle']}; next: jp-hw deploy {build} --host BOARD")


def _tell_reports(title: str, result: dict[str, Any]) -> None:
    table(
        title,
        ("resource", "used", "available", "share"),
        [
            (
                name.upper(),
                used["used"],
                used["available"],
                percent(used["used"] / used["available"], 1),
            )
            for name, used in result["resources"].items()
            if used["available"]
        ],
    )
    timing = result.get("timing")
    if timing is not None and timing["setup_ns"] is not None:
        say(
            f"timing met at {result['clock_mhz']:g} MHz, slack {timing['setup_ns']:.3f} ns: the worst "
            f"path would do {result['fastest_mhz']:.1f} MHz"
        )
    if "power_w" in result:
        say(
            f"power {result['power_w']:.2f} W, of which {result['static_w']:.2f} W static (estimate)"
        )


def deploy(
    build: Folder,
    host: HostName,
    key: Key = None,
    ask_password: Password = False,
    known_hosts: KnownHosts = None,
    folder: RemoteFolder = "jp_hw",
    python: RemotePython = "python3",
    timeout: Timeout = 30.0,
    json: Json = False,
) -> None:
    """Copy the bundle to a board over SSH, test it there, and switch to it."""
    from jp_hw.build import describe, open_build
    from jp_hw.deploy import Remote
    from jp_hw.deploy import deploy as run
    from jp_hw.overlay import bundle_of

    opened = open_build(build)
    bundle = bundle_of(opened.folder)
    where = _host(host, key, ask_password, known_hosts)
    with console.status(f"connecting to {where.shown}") as status:

        def tell(what: str, done: int, total: int) -> None:
            share = f" ({percent(done / total, 0)})" if total else ""
            status.update(f"{where.shown}: {what}{share}")

        done = run(bundle, where, Remote(folder, python, timeout), tell)
    if json:
        print_json({**describe(opened), **done.to_json()})
        return
    report = done.report
    table(
        f"Counters of the self-test, {report['images']} images",
        ("layer", "tokens", "MACs", "busy cycles", "stalled", "frames"),
        [(layer, *counters.values()) for layer, counters in report["counters"].items()],
    )
    say(
        f"{report['board']} at {where.shown}: all {report['logits']} logits and the counters are as "
        f"recorded; latency {report['latency_us']:.1f} us, {report['cycles_per_image']:.1f} cycles "
        f"per image, {_rate(report)}"
    )
    say(
        f"bundle {done.bundle} is now current" + (f", {done.previous} was" if done.previous else "")
    )


def _rate(report: dict[str, Any]) -> str:
    """Images per second: as measured on a board, as the cycles say on a simulated one."""
    if "jp_hw" in report["pynq"]:
        rate = report["clock_mhz"] * 1e6 / report["cycles_per_image"]
        return f"{rate:,.0f} images/s if it were at {report['clock_mhz']:g} MHz (simulated)"
    return f"{report['images_per_second']:,.0f} images/s"


def run(
    build: Folder,
    images: Annotated[Path, typer.Option(help="PNG, NPY or IDX file, or a folder of them.")],
    target: Annotated[
        str, typer.Option(help="sim (the simulated board), or a board as --host of deploy.")
    ] = "sim",
    key: Key = None,
    ask_password: Password = False,
    known_hosts: KnownHosts = None,
    folder: RemoteFolder = "jp_hw",
    python: RemotePython = "python3",
    timeout: Timeout = 600.0,
    json: Json = False,
) -> None:
    """Classify images on a board, or on the simulated one."""
    from jp_hw.build import describe, open_build
    from jp_hw.deploy import Remote
    from jp_hw.images import read_images
    from jp_hw.target import classify_here, classify_there

    opened = open_build(build)
    found = read_images(images, opened.network.samples.shape[1:])
    with console.status(f"{len(found.names)} images on {target}"):
        if target == "sim":
            result = classify_here(opened, found, timeout)
        else:
            where = _host(target, key, ask_password, known_hosts)
            result = classify_there(opened, found, where, Remote(folder, python, timeout))
    scores = result.scores(opened.network.logit_scale)
    rows = list(zip(found.names, map(int, result.classes), map(float, scores), strict=True))
    if json:
        print_json(
            {
                **describe(opened),
                "target": target,
                "latency_us": result.latency_us,
                "cycles_per_image": result.cycles_per_image,
                "images_per_second": result.images_per_second,
                "images": [{"name": n, "class": c, "score": s} for n, c, s in rows],
                "logits": result.logits.tolist(),
            }
        )
        return
    table(
        f"{opened.network.name} on {target}",
        ("image", "class", "score", "latency"),
        [(n, c, percent(s, 1), f"{result.latency_us:.1f} us") for n, c, s in rows[:SHOWN]],
    )
    if len(rows) > SHOWN:
        say(f"and {len(rows) - SHOWN:,} more; --json tells them all")
    say(f"{result.cycles_per_image:.1f} cycles per image at {opened.design.clock_mhz:g} MHz")


def _host(text: str, key: Path | None, ask: bool, known_hosts: Path | None) -> "Host":
    from jp_hw.ssh import Host

    options: dict[str, Any] = {"key": key}
    if known_hosts is not None:
        options["known_hosts"] = known_hosts
    if ask:
        options["password"] = typer.prompt(f"Password of {text}", hide_input=True)
    return Host.parse(text, **options)
