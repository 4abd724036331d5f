"""jp_layer as the scheduler fills it: winners of every row equal to a convolution by the book."""

from pathlib import Path

from jp_hw.ir import Pool, Shape
from rtl_tests.common import SEED, on_simulators, run
from rtl_tests.layers import Kind, Scheduled

SETS = {
    "pooled-residual": Kind(
        Shape(5, 6, 3), Shape(3, 3, 4), (3, 3), 3, padding=(1, 1),
        pool=Pool((5, 6), (3, 3), (2, 2), (1, 1)), shortcut=True, mixed=True, streams=2,
        before_streams=2, theta=30, share=2,
    ),
    "joined-residual": Kind(
        Shape(5, 6, 3), Shape(5, 6, 7), (3, 3), 3, padding=(1, 1), shortcut=True, joined=True,
        paired_roms=True,
    ),
    "residual": Kind(
        Shape(5, 6, 3), Shape(5, 6, 7), (3, 3), 3, padding=(1, 1), shortcut=True, paired_roms=True,
        block_ring=True,
    ),
    "groups-of-pes": Kind(
        Shape(7, 5, 2), Shape(4, 3, 22), (3, 3), 11, stride=(2, 2), padding=(1, 1), leaky=True, share=4
    ),
    "linear": Kind(Shape(1, 1, 30), Shape(1, 1, 9), (1, 1), 4),
    "one-pe": Kind(
        Shape(4, 4, 2), Shape(4, 4, 3), (3, 3), 1, padding=(1, 1), fifo_depth=8
    ),
    "fully-connected": Kind(Shape(4, 3, 5), Shape(1, 1, 6), (4, 3), 6, last=True, share=3),
    "depthwise": Kind(
        Shape(6, 4, 6), Shape(6, 4, 6), (3, 3), 2, padding=(1, 1), groups=6, leaky=True
    ),
    "dilated": Kind(Shape(7, 6, 2), Shape(3, 2, 4), (3, 3), 2, dilation=(2, 2), theta=9),
    "stride3": Kind(Shape(8, 8, 1), Shape(3, 3, 5), (2, 2), 5, stride=(3, 3), share=8),
    "padded-rows": Kind(Shape(2, 3, 3), Shape(5, 5, 4), (3, 2), 2, padding=(3, 2)),
    "leaky-residual": Kind(
        Shape(4, 5, 4),
        Shape(4, 5, 4),
        (5, 3),
        4,
        padding=(2, 1),
        shortcut=True,
        leaky=True,
        theta=15,
    ),
    "pool-skips": Kind(
        Shape(8, 7, 2), Shape(3, 2, 5), (3, 3), 2, padding=(1, 1), pool=Pool((8, 7), (2, 1), (3, 4))
    ),
    "pool-2x2": Kind(
        Shape(6, 6, 2), Shape(3, 3, 4), (3, 3), 4, padding=(1, 1), pool=Pool((6, 6), (2, 2), (2, 2)),
        leaky=True, streams=3, theta=20, block_ring=True, share=2,
    ),
    "pool-all": Kind(
        Shape(4, 3, 3), Shape(1, 1, 3), (1, 1), 1, pool=Pool((4, 3), (4, 3), (1, 1)), last=True
    ),
    "three-streams": Kind(
        Shape(4, 5, 2), Shape(4, 5, 7), (2, 2), 6, padding=(1, 1), streams=3, shortcut=True,
        before_streams=3, leaky=True, share=8, winner_depth=128,
    ),
    "four-joined": Kind(
        Shape(5, 4, 2), Shape(2, 2, 5), (3, 3), 4, padding=(1, 1),
        pool=Pool((5, 4), (2, 2), (2, 2)), shortcut=True, mixed=True, before_streams=3, leaky=True,
        theta=30, joined=True, block_ring=True, share=3,
    ),
}  # fmt: skip


@on_simulators(SETS)
def test_layer(simulator: str, parameters: Kind, tmp_path: Path) -> None:
    scheduled = Scheduled(parameters, SEED)
    design, frames = scheduled.design, scheduled.frames(3)
    kept = sum(len(row) for f in frames for rows in f["streams"] for row in rows)
    size = design.out_height * design.out_width * parameters.output.channels * len(frames)
    assert parameters.last or 0.05 * size < kept < 0.95 * size  # the winner rule is at work
    tokens = max(sum(len(row) for rows in f["lanes"] for row in rows) for f in frames)
    run(
        "layer_top",
        {},
        "bench_layer",
        tmp_path,
        simulator,
        files=scheduled.files(),
        data={
            "frames": frames,
            "markers": [1 << (lane.token.width - 1) for lane in design.lanes],
            "stride": max(lane.token.width for lane in design.lanes),
            "winner_marker": 1 << (design.winner_width - 1),
            "streams": len(design.streams),
            "pes": design.pes,
            # more tokens than all queues hold, or more logits, and longer than it takes to fill them
            "plenty": 4 * 16 * design.pes + (10 * tokens if design.out_height == 1 else 0),
            "patience": 1500,
        },
    )
