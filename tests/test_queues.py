"""Deep queues: chosen where the cycle simulation says so, and kept by a build."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from networks import Builder, Convolution

from jp_hw import boards
from jp_hw.build import emit, open_build
from jp_hw.ir import INPUT, Network, Shape
from jp_hw.schedule import Placement, place, schedule
from jp_hw.schedule.assign import assign
from jp_hw.schedule.build import MAP_FIFO_DEPTH
from jp_hw.schedule.cycles import run_traffic
from jp_hw.schedule.design import Design
from jp_hw.schedule.memories import LUT_QUEUE
from jp_hw.schedule.search import DEEP, GAIN
from jp_hw.schedule.traffic import traffic

BOARD = boards.load("pynq-z2")


def uneven(seed: int) -> Network:
    """A sparse layer between maps of many tokens: its PEs' work comes in bursts."""
    grown = Builder(seed, Shape(16, 16, 3))
    first = grown.layer("first", (INPUT, Convolution(12, padding=(1, 1))), density=0.6)
    burst = grown.layer("burst", (first, Convolution(24, padding=(1, 1))), density=0.15)
    half = Convolution(24, padding=(1, 1), stride=(2, 2))
    return grown.network(grown.layer("half", (burst, half), density=0.15))


def with_queues(design: Design, depth: int) -> float:
    """Cycles per image with no queue deeper than that."""
    layers = [replace(la, fifo_depth=min(depth, la.fifo_depth)) for la in design.layers]
    return run_traffic(traffic(design, design.network.samples), layers).cycles_per_image


def test_a_layer_gets_longer_queues_where_that_saves_cycles(tmp_path: Path) -> None:
    design = schedule(uneven(8), BOARD, pes=16)
    depths = {layer.name: layer.fifo_depth for layer in design.layers}
    assert max(depths.values()) > MAP_FIFO_DEPTH
    assert with_queues(design, DEEP) <= GAIN * with_queues(design, 32)
    images = np.asarray(design.network.samples)
    again = open_build(emit(design, images).write(tmp_path / "build")).design
    assert [layer.fifo_depth for layer in again.layers] == list(depths.values())


@pytest.mark.parametrize(("network", "bram18"), [(uneven(0), 280), (uneven(8), 10)])
def test_no_deep_queues_where_they_bring_nothing_or_nothing_is_left(
    network: Network, bram18: int
) -> None:
    budget = BOARD.budget.model_copy(update={"bram18": bram18})
    design = schedule(network, BOARD.model_copy(update={"budget": budget}), pes=16)
    assert all(layer.fifo_depth < DEEP for layer in design.layers)


@pytest.mark.parametrize("depth", [0, 16, 32, LUT_QUEUE, DEEP])
def test_a_build_keeps_queues_of_every_depth(depth: int, tmp_path: Path) -> None:
    network = uneven(0)
    work = [np.ones((1, layer.output.channels), np.int64) for layer in network.layers]
    places = [Placement(assign(each, 2), queue=depth) for each in work]
    design = place(network, BOARD, 100.0, places)
    again = open_build(emit(design, np.asarray(network.samples)).write(tmp_path / "build")).design
    usual = [MAP_FIFO_DEPTH, MAP_FIFO_DEPTH, MAP_FIFO_DEPTH, MAP_FIFO_DEPTH]
    assert [layer.fifo_depth for layer in again.layers] == ([depth] * 4 if depth else usual)
