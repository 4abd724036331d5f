"""The cycle simulation: exact counts, hand-checked small cases, and pinned results."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from networks import Builder, Convolution, chain, every_kind, mlp, residual, vector_layer

from jp_hw import boards, golden
from jp_hw.errors import JpHwError
from jp_hw.ir import INPUT, Input, Int, Network, Shape
from jp_hw.macs import count
from jp_hw.schedule import Design, LayerDesign, Placement, place, schedule
from jp_hw.schedule import cycles as module
from jp_hw.schedule.build import MARKER_COLUMN
from jp_hw.schedule.cycles import CycleReport, run_traffic, simulate_cycles
from jp_hw.schedule.traffic import Traffic, traffic

KINDS = every_kind()
BOARD = boards.load("pynq-z2")

# Cycles from an input beat to the logits of a network of one layer, PE and class, work excepted:
# the way through tokenizer, dispatcher, PE, merge and output, and one logit.
LATENCY = 33


def round_robin(channels: int, pes: int) -> Int:
    slots = -(-channels // pes)
    table = np.full(slots * pes, -1)
    table[:channels] = np.arange(channels)
    return table.reshape(slots, pes).T


def placed(network: Network, first: int = 9) -> Design:
    """Layers on 9, 6, 3... PEs at most, channels in turn: whatever the scheduler would do."""
    sizes = [layer.output.channels for layer in network.layers]
    tables = [round_robin(size, min(size, max(1, first - 3 * i))) for i, size in enumerate(sizes)]
    return place(network, BOARD, 100.0, [Placement(table) for table in tables])


def dense_layer(table: Int, pes: int) -> Design:
    """One fully connected layer, the output channels dealt to the PEs in blocks."""
    layer = vector_layer("fc", INPUT, table, None)
    images = np.ones((1, 1, 1, table.shape[1]), np.int64)
    network = Network("one", Input(Shape(1, 1, table.shape[1])), (layer,), images)
    return place(network, BOARD, 100.0, [Placement(np.arange(len(table)).reshape(pes, -1))])


def ones(frames: int, inputs: int) -> Int:
    return np.ones((frames, 1, 1, inputs), np.int64)


@pytest.mark.parametrize("kind", KINDS)
def test_macs_are_exactly_the_kept_ones(kind: str) -> None:
    network = KINDS[kind]
    for design in (placed(network), schedule(network, BOARD)):
        report = simulate_cycles(design, network.samples)
        assert report.macs.tolist() == [layer.macs for layer in count(network, network.samples)]
        for layer, busy, macs in zip(design.layers, report.busy, report.macs, strict=True):
            assert busy * layer.pes >= macs > 0
        assert (np.diff(report.end_cycles) > 0).all()


@pytest.mark.parametrize("tokens", [1, 2, 8, 9, 16, 40])
def test_one_frame_on_one_pe(tokens: int) -> None:
    report = simulate_cycles(dense_layer(np.ones((1, tokens)), 1), ones(1, tokens))
    assert report.end_cycles.tolist() == [LATENCY + tokens]
    assert report.macs.tolist() == [tokens]
    assert report.cycles_per_image == LATENCY + tokens


def test_tokens_that_are_zero_cost_nothing() -> None:
    images = ones(1, 40)
    images[..., 3:] = 0
    report = simulate_cycles(dense_layer(np.ones((1, 40)), 1), images)
    # three tokens in the first beat; the row's marker comes with the fifth beat, four cycles later
    assert report.end_cycles.tolist() == [LATENCY + 4]
    assert report.macs.tolist() == [3]


@pytest.mark.parametrize(("inputs", "pes"), [(16, 4), (40, 4), (64, 8)])
def test_a_dispatcher_sends_one_column_a_cycle(inputs: int, pes: int) -> None:
    """PEs in turn, one weight each: a frame takes a cycle per token and one for the marker."""
    table = np.zeros((pes, inputs), np.int64)
    table[np.arange(inputs) % pes, np.arange(inputs)] = 1
    report = simulate_cycles(dense_layer(table, pes), ones(8, inputs))
    assert np.diff(report.end_cycles).tolist() == [inputs + 1] * 7
    assert report.cycles_per_image == inputs + 1
    assert report.macs.tolist() == [8 * inputs]


@pytest.mark.parametrize(
    ("inputs", "outputs", "pes"), [(8, 1, 1), (40, 2, 1), (16, 5, 1), (9, 4, 2)]
)
def test_a_busy_pe_does_one_mac_a_cycle(inputs: int, outputs: int, pes: int) -> None:
    """A full PE takes its MACs, a slot to drain each output, and a cycle for the marker."""
    slots = outputs // pes
    report = simulate_cycles(dense_layer(np.ones((outputs, inputs)), pes), ones(8, inputs))
    # the last frame has none behind it to wait for
    assert np.diff(report.end_cycles)[:-1].tolist() == [inputs * slots + slots + 1] * 6


@pytest.mark.parametrize(("pes", "cycles"), [(2, 5), (1, 6)])
def test_frames_without_work_take_no_longer_than_their_logits(pes: int, cycles: int) -> None:
    """As in the RTL: one bank of logits fills while the other leaves; two cycles from one word
    of a PE to the next."""
    design = dense_layer(np.zeros((2, 1)), pes)
    assert set(np.diff(simulate_cycles(design, ones(9, 1)).end_cycles)) == {cycles}


def test_the_slowest_layer_sets_the_pace() -> None:
    network = mlp(31, (32, 24, 16, 8), density=0.9, activity=0.9)
    images = np.tile(network.samples[:1], (12, 1, 1, 1))
    wide, narrow = (
        simulate_cycles(place(network, BOARD, 100.0, [Placement(t) for t in tables]), images)
        for tables in (
            [round_robin(24, 24), round_robin(16, 1), round_robin(8, 8)],
            [round_robin(24, 1), round_robin(16, 1), round_robin(8, 1)],
        )
    )
    kept = [layer.macs / 12 for layer in count(network, images)]
    assert kept[0] > kept[1] > kept[2]
    # as for one busy PE: MACs, drained words, a cycle for the marker
    assert np.diff(wide.end_cycles)[1:-1].tolist() == [kept[1] + 16 + 1] * 9
    assert np.diff(narrow.end_cycles)[1:-2].tolist() == [kept[0] + 24 + 1] * 8


def test_deeper_queues_never_cost_much() -> None:
    network = chain(32, Shape(8, 8, 3), (Convolution(8, padding=(1, 1)), Convolution(8)))
    design = placed(network)
    flow = traffic(design, network.samples)
    cycles = [_run(flow, design, depth, depth + 14).end_cycles[-1] for depth in (2, 4, 8, 16, 64)]
    assert cycles[-1] < cycles[0]
    assert all(b <= 1.05 * a for a, b in pairwise(cycles))


PINNED: dict[tuple[str, tuple[int, int]], tuple[list[int], list[int]]] = {
    ("mlp", (16, 32)): ([113, 125, 134, 144], [36, 42, 34]),
    ("mlp", (3, 16)): ([116, 133, 142, 152], [51, 44, 34]),
    ("leaky", (16, 32)): ([127, 146, 165, 181], [40, 75, 52]),
    ("leaky", (3, 16)): ([129, 148, 167, 183], [48, 75, 56]),
    ("stride and padding", (16, 32)): ([636, 1124, 1608, 2116], [1940, 1814, 600]),
    ("stride and padding", (3, 16)): ([680, 1187, 1660, 2160], [1946, 1851, 589]),
    ("groups", (16, 32)): ([415, 665, 886, 1092], [939, 892, 360]),
    ("groups", (3, 16)): ([437, 685, 932, 1170], [1009, 893, 456]),
}
"""Ends of frames and busy cycles, by network and queue depths, of the kernel that was checked against
the RTL, without slack before the lanes: a faster or shorter kernel must give the same."""


@pytest.mark.parametrize(("kind", "depths"), PINNED)
def test_results_stay_what_they_were(kind: str, depths: tuple[int, int]) -> None:
    network = KINDS[kind]
    design = placed(network)
    design = replace(design, layers=cut(design, 1.0))
    report = _run(traffic(design, network.samples), design, *depths)
    assert (report.end_cycles.tolist(), report.busy.tolist()) == PINNED[kind, depths]


def test_traffic_is_what_the_golden_model_computes() -> None:
    network = KINDS["stride and padding"]
    design = placed(network)
    flow = traffic(design, network.samples)
    tensors = golden.tensors(network, network.samples)
    counts = count(network, network.samples)
    events = [beat[1 : 1 + beat[0]] for beat in flow.beats.reshape(-1, flow.beats.shape[2])]
    sent = np.concatenate(events)
    assert (sent != MARKER_COLUMN).sum() == counts[0].tokens
    assert (sent == MARKER_COLUMN).sum() == 4 * network.input.shape.height
    for part, layer in zip(flow.layers[:-1], network.layers, strict=False):
        assert part.won.sum() == np.count_nonzero(tensors[layer.name])
    assert flow.layers[-1].won.sum() == 4 * network.classes
    for part, layer in zip(flow.layers, network.layers, strict=True):
        for lane in part.lanes:
            assert lane.completed.sum() == layer.output.height


# --- several lanes, streams and buffers ----------------------------------------------------------


def deepest(network: Network, streams: Sequence[int]) -> Design:
    tables = [round_robin(layer.output.channels, 3) for layer in network.layers[:-1]]
    tables.append(round_robin(network.classes, 1))
    placements = [Placement(t, s) for t, s in zip(tables, streams, strict=True)]
    return place(network, BOARD, 100.0, placements)


def test_streams_speed_up_a_layer_that_waits_for_tokens() -> None:
    """Dense tokens, a weight or two each: with three streams three tokens travel at a time."""
    grown = Builder(41, Shape(6, 6, 3))
    first = grown.layer("wide", (INPUT, Convolution(12, padding=(1, 1))), density=0.9, leaky=True)
    second = grown.layer("thin", (first, Convolution(3, (1, 1))), density=0.2)
    network = grown.network(second)
    images = np.tile(network.samples[:1], (4, 1, 1, 1))
    ends = [
        simulate_cycles(deepest(network, (n, 1, 1)), images).end_cycles.tolist() for n in (1, 3)
    ]
    assert ends[1][-1] < ends[0][-1]


def cut(design: Design, share: float) -> tuple[LayerDesign, ...]:
    """The layers with every buffer cut to a share of what freedom from deadlock asks for."""
    return tuple(
        replace(
            layer,
            lanes=tuple(
                replace(lane, buffer=max(2, int(lane.waits * share)) if lane.waits else 0)
                for lane in layer.lanes
            ),
        )
        for layer in design.layers
    )


def hangs(network: Network, share: float) -> bool:
    design = placed(network)
    assert any(lane.waits for layer in design.layers for lane in layer.lanes)
    flow = traffic(design, network.samples)
    try:
        run_traffic(flow, cut(design, share))
    except JpHwError as error:
        assert "waits for itself forever" in str(error)
        return True
    return False


def long_way(seed: int, convolutions: int) -> Network:
    """The identity around some 5x5 convolutions, on maps where nearly all is a token."""
    grown = Builder(seed, Shape(24, 10, 2))
    same = Convolution(6, (5, 5), padding=(2, 2))
    before = stem = grown.layer("stem", (INPUT, same), density=0.9, leaky=True)
    for i in range(convolutions):
        before = grown.layer(f"way{i}", (before, same), density=0.3, leaky=True)
    last = (before, Convolution(6, (1, 1)))
    return grown.network(grown.layer("sum", last, (stem, Convolution(6, (1, 1)))))


def test_buffers_keep_the_design_from_waiting_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """As computed, no network hangs; cut to a third, a long way around does."""
    monkeypatch.setattr(module, "LIMIT", 1 << 17)
    assert not hangs(residual(), 1.0)
    for seed, convolutions in ((1, 2), (2, 3)):
        assert not hangs(long_way(seed, convolutions), 1.0)
        assert hangs(long_way(seed, convolutions), 0.33)


def test_slack_before_layers_or_deep_queues_even_out_the_pace() -> None:
    """Layers of a residual network hold one another up less, and so do the PEs of each of them."""
    grown, same = Builder(3, Shape(24, 24, 3)), Convolution(8, padding=(1, 1))
    stem = grown.layer("stem", (INPUT, same), density=0.8)
    first = grown.layer("first", (stem, same), density=0.5)
    second = grown.layer("second", (first, same), (stem, Convolution(8, (1, 1))), density=0.5)
    network = grown.network(grown.layer("last", (second, same), density=0.5))
    tables = [*[round_robin(8, 8)] * 4, round_robin(network.classes, 1)]
    design = place(network, BOARD, 100.0, [Placement(table, share=8) for table in tables])
    flow = traffic(design, np.tile(network.samples, (3, 1, 1, 1)))
    tight = cut(design, 1.0)
    deep = tuple(replace(layer, fifo_depth=512) for layer in tight)
    own, neither, queues = (
        run_traffic(flow, layers).cycles_per_image for layers in (design.layers, tight, deep)
    )
    assert neither > 1.015 * own
    assert neither > 1.02 * queues


def _run(flow: Traffic, design: Design, fifo: int, winners: int) -> CycleReport:
    layers = [
        replace(layer, fifo_depth=fifo, winner_depth=winners) for layer in design.layers
    ]  # fmt: skip
    return run_traffic(flow, layers)
