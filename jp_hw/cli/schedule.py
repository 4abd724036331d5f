"""`jp-hw schedule`: why a build is as fast as it is."""

from typing import TYPE_CHECKING, Annotated

import typer

from jp_hw.cli.flow import Folder, Json
from jp_hw.cli.output import percent, print_json, say, table

if TYPE_CHECKING:
    from jp_hw.schedule.explain import Explanation, LayerReport

HINT = 1.2
"""Of PEs with a channel each, so many times the mean one's work is worth a hint."""


def schedule(
    build: Folder,
    images: Annotated[int | None, typer.Option(min=1, help="Images [default: all].")] = None,
    json: Json = False,
) -> None:
    """Say what each layer of a build got, what bounds its cycles, and what one more PE would bring."""
    from jp_hw.build import describe, open_build
    from jp_hw.schedule.explain import explain

    opened = open_build(build)
    batch, _ = opened.first_images(len(opened.images) if images is None else images)
    report = explain(opened.design, batch)
    if json:
        print_json({**describe(opened), "pes": opened.design.pes, **report.to_json()})
    else:
        table(
            f"{opened.network.name} on {opened.design.board.name}, cycles per image",
            (
                "layer", "PEs", "ch/PE", "MACs", "busiest", "drain", "tokens", "bound", "busy",
                "+1 PE",
            ),
            [
                (
                    layer.name, layer.pes, _channels(layer), round(layer.macs),
                    round(layer.busiest), layer.drain, round(layer.tokens), layer.bound,
                    percent(layer.utilization, 0), _saving(layer.one_more),
                )
                for layer in report.layers
            ],
        )  # fmt: skip
        _tell(report)


def _channels(layer: "LayerReport") -> str:
    """Channels of a PE, interleaved columns (x2) and output streams (/2) where there are several.

    A + is for layers that also compute (some of) what lies beside their map.
    """
    columns = "" if layer.columns == 1 else f" x{layer.columns}"
    streams = "" if layer.streams == 1 else f" /{layer.streams}"
    return f"{layer.channels}{columns}{streams}" + (" +" if layer.beside else "")


def _saving(share: float | None) -> str:
    return "-" if share is None else f"-{100 * share:.0f}%"


def _tell(report: "Explanation") -> None:
    slowest = next(layer for layer in report.layers if layer.name == report.slowest)
    say(
        f"{report.cycles:.1f} cycles per image over {report.images} images (99 % within "
        f"{report.p99:.0f}, worst {report.worst}), utilization {percent(report.utilization, 1)}"
    )
    if report.input > slowest.cycles:
        say(f"the input bounds it: its beats take {report.input} cycles per image")
    else:
        say(f"{slowest.name} bounds it by {slowest.bound}: at least {slowest.cycles:.0f} cycles")
        if slowest.bound == "MACs" and slowest.channels == 1 and slowest.uneven > HINT:
            say(
                f"its busiest channel has {slowest.uneven:.1f} times as much to do as the mean one: "
                "networks can be trained to have even ones (channel_caps in docs/training.md)"
            )
