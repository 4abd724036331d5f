"""The memory images alone hold the network: an independent decoder reads them bit by bit."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from decoder import Decoder, decode, gathered, tokenize, words
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import (
    Convolution,
    accumulators,
    chain,
    every_kind,
    mlp,
    pooled,
    residual,
    sums,
    wide,
    with_layers,
)
from random_networks import networks

from jp_hw import boards, golden
from jp_hw.boards import Board
from jp_hw.build import emit, open_build
from jp_hw.errors import JpHwError
from jp_hw.ir import INPUT, Network, Shape, Source
from jp_hw.macs import ANY
from jp_hw.schedule import Design, Lane, LayerDesign, Placement, place, schedule, search
from jp_hw.schedule.allocate import SHARED, Load, loads
from jp_hw.schedule.assign import assign, channel_work, in_turn
from jp_hw.schedule.columns import axes
from jp_hw.schedule.cycles import simulate_cycles
from jp_hw.schedule.estimate import estimate, layer_resources
from jp_hw.schedule.explain import explain
from jp_hw.schedule.geometry import FIRST, LAST, NONE
from jp_hw.schedule.traffic import traffic

KINDS = every_kind()
BOARD = boards.load("pynq-z2")


def spread(network: Network, first: int = 2, wide: int = -1, beside: int = ANY) -> Design:
    """Every layer on several PEs, slots that stay unused, and tensors in several streams.

    wide: every second layer, from this one on, computes what is `beside` its map; none if negative.
    """
    tensors = golden.tensors(network, network.samples)
    placements = []
    for i, layer in enumerate(network.layers):
        work = channel_work(network, layer, tensors)
        pes = min(work.shape[1], first + i)
        streams = 1 if layer is network.layers[-1] else 1 + i % min(3, pes)
        own = beside if i % 2 == wide else 0
        placements.append(Placement(assign(work, pes), streams, beside=own))
    return place(network, BOARD, 100.0, placements)


@cache
def design_of(kind: str, wide: int = -1) -> Design:
    return spread(KINDS[kind], wide=wide)


def read_by_later(network: Network, name: str) -> np.ndarray:
    """Which channels of a layer any later one has a weight for."""
    sources = [s for layer in network.layers for s in layer.sources if s.tensor == name]
    read = np.full(network.tensor_shape(name).channels, network.dense)
    for source in sources:
        per_group = source.weights.shape[1]
        for out, within, _, _ in np.argwhere(source.weights):
            read[out // (len(source.weights) // source.groups) * per_group + within] = True
    return read


def check(design: Design, *, late: bool, seed: int = 0) -> None:
    """Every accumulator, every winner and every logit, over consecutive frames."""
    network = design.computed
    tensors = golden.tensors(network, network.samples)
    logits, outputs, streams = decode(design, network.samples, late=late, seed=seed)
    assert np.array_equal(logits, golden.run(design.network, network.samples))
    for layer, ir in zip(design.layers, network.layers, strict=True):
        assert np.array_equal(outputs[layer.name], sums(ir, tensors))
        for n in range(len(network.samples)) if ir.requantize else ():
            read = read_by_later(network, layer.name)
            sent = gathered(layer, streams, n, dense=network.dense)
            assert np.array_equal(sent, tensors[layer.name][n] * read)


@pytest.mark.parametrize("wide", [-1, 0, 1])
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_images_alone_reproduce_the_golden_model(kind: str, late: bool, wide: int) -> None:
    check(design_of(kind, wide), late=late, seed=1)


@settings(
    max_examples=100, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck)
)
@given(networks(), st.booleans(), st.integers(0, 3), st.integers(-1, 1), st.sampled_from([1, ANY]))
def test_any_network_is_in_its_images(
    network: Network, late: bool, seed: int, wide: int, beside: int
) -> None:
    check(spread(network, 1 + seed, wide, beside), late=late, seed=seed)


def channels_in(design: Design, lane: Lane) -> list[int]:
    """The channel behind every physical one of a lane, -1 where there is none."""
    for layer in design.layers:
        if layer.name == lane.tensor:
            stream = layer.streams[lane.stream]
            own = layer.channel_of[stream.first_pe : stream.first_pe + stream.pes]
            return own.reshape(-1).tolist()
    return list(range(design.network.input.shape.channels))


CONVOLUTIONS = [kind for kind in KINDS if kind != "pooled"]


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_impulses_reconstruct_the_dense_weights_and_the_masks(kind: str) -> None:
    """The whole linear operator of every lane; and a PE gets a token only if it has work."""
    design = design_of(kind)
    network = design.network
    for layer, ir in zip(design.layers, network.layers, strict=True):
        decoder = Decoder(layer)
        pe_of = {int(k): p for (p, _), k in np.ndenumerate(layer.channel_of) if k >= 0}
        for i, lane in enumerate(layer.lanes):
            (source,) = (s for s in ir.sources if s.tensor == lane.tensor)
            shape = network.tensor_shape(lane.tensor)
            physical = channels_in(design, lane)
            places = [p for p in np.ndindex(*_sizes(shape)) if p[2] in physical]
            silence: list[list[tuple[int, int, int]]] = [[] for _ in range(shape.height)]
            impulses = np.zeros((len(places), *_sizes(shape)), np.int64)
            frames = []
            for n, (y, x, channel) in enumerate(places):
                impulses[n, y, x, channel] = 1
                token = (physical.index(channel), x, 1)
                frames.append([[token] if y == row else [] for row in range(shape.height)])
            inputs = [
                frames if j == i else [silence[:1] * other.height] * len(frames)
                for j, other in enumerate(layer.lanes)
            ]
            exact = accumulators(source, impulses, ir.map)
            found = [decoder.outputs(result) for result in decoder.run(inputs, late=True)]
            assert np.array_equal(np.array(found), exact)
            own = decoder.lanes[i]
            for response, (y, x, channel) in zip(exact, places, strict=True):
                number = own.rows[y]["term"] + own.columns[x]["term"] + physical.index(channel)
                number += own.rows[y].get("cut", 0) * lane.stored
                busy = {pe_of[int(k)] for k in np.unique(np.nonzero(response)[2])}
                assert {p for p, bit in enumerate(own.masks[number]) if bit} == busy


@pytest.mark.parametrize("kind", KINDS)
def test_columns_cover_the_weight_memories(kind: str) -> None:
    """No weight that nobody reads; columns of a lane share words, those of two lanes do not."""
    for layer in design_of(kind).layers:
        decoder = Decoder(layer)
        for p in range(layer.pes):
            end, covered = 0, set[int]()
            for lane in range(len(decoder.lanes)):
                own = spans(decoder, lane, p)
                assert own.isdisjoint(covered)
                covered |= own
                end = max([end, *(place + 1 for place in own)])
            assert covered == set(range(end))
            assert all(word["weight"] for word in decoder.weights[p][:end])
            assert not any(word["weight"] for word in decoder.weights[p][end:])


def spans(decoder: Decoder, lane: int, p: int) -> set[int]:
    """Words of a PE's weight memory that a lane's columns take."""
    found = set[int]()
    for number, mask in enumerate(decoder.lanes[lane].masks):
        if mask[p]:
            own = decoder.entries(p, lane, number)
            assert own
            found |= set(own)
    return found


def stored(layer: LayerDesign) -> int:
    return sum(len(m.values[0][m.values[0] != 0]) for m in layer.weights)


def test_columns_trimmed_at_a_border_cost_no_weights() -> None:
    """Rows at the border walk a piece of the column of the rows inside, and share its pointer."""
    network = chain(3, Shape(8, 1, 3), (Convolution(6, kernel=(3, 1), padding=(1, 0)),))
    layer = spread(network).layers[0]
    assert stored(layer) == np.count_nonzero(network.layers[0].sources[0].weights)
    lane = layer.lanes[0]
    assert lane.masks.depth == 3 * 3  # classes: first row, inner rows, last row
    assert lane.stored == layer.pointers[0].depth == 3


def test_wide_kernels_store_more_pointers() -> None:
    """Of five taps one is cut; further ones need pointers of their own, but no weights."""
    network = chain(3, Shape(9, 1, 3), (Convolution(6, kernel=(5, 1), padding=(2, 0)),))
    layer = spread(network).layers[0]
    assert stored(layer) == np.count_nonzero(network.layers[0].sources[0].weights)
    (lane,) = layer.lanes
    pieces, of_class = axes(network.layers[0].sources[0], Shape(9, 1, 3), network.layers[0])[
        0
    ].stored(cut=True)
    assert sorted((first, last) for _, first, last in pieces) == [(0, 3), (0, 5), (2, 5)]
    assert sorted(cut for _, cut in of_class) == [NONE, NONE, NONE, FIRST, LAST]
    assert (lane.stored, lane.cuts) == (3 * 3, 3)


def test_an_average_is_stored_once() -> None:
    """All taps of a kernel are equal, so there is one class of rows, and one of columns."""
    network = chain(4, Shape(4, 4, 5), (Convolution(5, kernel=(1, 1)),), classes=5)
    last = network.layers[-1]
    mean = replace(last.sources[0], weights=np.tile(last.sources[0].weights[:, :, :1, :1], (4, 4)))
    layer = spread(with_layers(network, network.layers[0], replace(last, sources=(mean,)))).layers[
        -1
    ]
    assert stored(layer) == np.count_nonzero(mean.weights[:, :, 0, 0])


@pytest.mark.parametrize("kind", KINDS)
def test_every_channel_has_one_place(kind: str) -> None:
    for layer, ir in zip(design_of(kind).layers, KINDS[kind].layers, strict=True):
        placed = layer.channel_of[layer.channel_of >= 0]
        assert sorted(placed.tolist()) == list(range(ir.output.channels))
        assert layer.slots == -(-ir.output.channels // layer.pes)


def test_a_smaller_ring_would_not_do() -> None:
    """The decoder sees rows that share an address: with the ring halved some kinds go wrong."""
    wrong = 0
    for kind in KINDS:
        design = design_of(kind)
        layer, ir = design.layers[0], design.network.layers[0]
        half = replace(layer, ring_bits=layer.ring_bits - 1)
        if half.row_words > 1 << half.ring_bits:
            continue
        decoder = Decoder(half)
        frames = [tokenize(design, design.network.samples)]
        exact = sums(ir, golden.tensors(design.network, design.network.samples))
        try:
            found = [decoder.outputs(result) for result in decoder.run(frames, late=True)]
        except AssertionError:  # an unused slot was hit, or something stayed in the ring
            wrong += 1
        else:
            wrong += not np.array_equal(np.array(found), exact)
    assert wrong >= 5


def test_the_tokenizer_drops_bytes_that_no_weight_reads() -> None:
    design = schedule(mlp(3, (20, 6, 4), density=0.05), BOARD)
    read = (design.network.layers[0].sources[0].weights != 0).any((0, 2, 3))
    assert 0 < read.sum() < 20
    keep = [bit for word in words(design.input_keep) for bit in word.values()]
    assert keep[:20] == read.astype(int).tolist()
    assert not any(keep[20:])


def test_words_that_do_not_fit_are_caught() -> None:
    memory = design_of("mlp").layers[0].streams[0].post
    wide = replace(memory, values=(memory.values[0] + (1 << 40), *memory.values[1:]))
    with pytest.raises(AssertionError, match=r"layer0_post0\.bias leaves"):
        _ = wide.words
    short = replace(memory, values=(memory.values[0], memory.values[1][:1], memory.values[2]))
    with pytest.raises(AssertionError, match=r"layer0_post0\.multiplier: 1 words"):
        _ = short.words


# --- how many PEs ------------------------------------------------------------------------------


def estimated_cycles(design: Design) -> float:
    """Of the slowest layer."""
    network = design.computed
    every = loads(network, golden.tensors(network, network.samples))
    streams = {layer.name: len(layer.streams) for layer in design.layers}
    return max(
        max(load.pe_cycles(d.channel_of), load.token_cycles(streams)[0])
        for load, d in zip(every, design.layers, strict=True)
    )


LARGE = {
    "mlp": mlp(21, (128, 60, 40, 10)),
    "conv": chain(22, Shape(8, 8, 3), (Convolution(12, padding=(1, 1)), Convolution(16))),
    "residual": residual(23),
    "pooled": pooled(24),
}


@pytest.mark.parametrize("kind", LARGE)
def test_more_pes_never_cost_much_and_the_cap_is_kept(kind: str) -> None:
    best = float("inf")
    reached = []
    for cap in (3, 4, 5, 6, 8, 10, 12, 16, 24, 40):
        if cap < len(LARGE[kind].layers):
            continue
        design = schedule(LARGE[kind], BOARD, pes=cap)
        assert design.pes <= cap
        cycles = estimated_cycles(design)
        assert cycles <= 1.1 * best
        best = min(best, cycles)
        reached.append(cycles)
    assert reached[-1] < reached[0] / 2


@pytest.mark.parametrize("cap", [2, 1, 0, -3])
def test_too_few_pes_are_refused(cap: int) -> None:
    with pytest.raises(
        JpHwError, match=rf"{cap} PEs are too few: 3 layers need one each \(--pes\)"
    ):
        schedule(LARGE["mlp"], BOARD, pes=cap)


@pytest.mark.parametrize("clock", [0.5, 1001.0, 0.0, -1.0, float("nan"), float("inf")])
def test_impossible_clocks_are_refused(clock: float) -> None:
    with pytest.raises(JpHwError, match=r"MHz is outside 1\.\.1000"):
        schedule(LARGE["mlp"], BOARD, clock_mhz=clock)


def test_scheduling_is_deterministic() -> None:
    first, second = (schedule(LARGE["conv"], BOARD) for _ in range(2))
    assert first.clock_mhz == second.clock_mhz == BOARD.clock_mhz
    for a, b in zip(first.layers, second.layers, strict=True):
        assert np.array_equal(a.channel_of, b.channel_of)
        assert [m.words for m in a.memories] == [m.words for m in b.memories]


def small_board(**budget: int) -> Board:
    return BOARD.model_copy(update={"budget": BOARD.budget.model_copy(update=budget)})


@pytest.mark.parametrize(
    ("budget", "name"),
    [({"lut": 100}, "LUT"), ({"ff": 100}, "FF"), ({"dsp": 2}, "DSP")],
)
def test_what_does_not_fit_is_named(budget: dict[str, int], name: str) -> None:
    message = rf"does not fit pynq-z2 even with one PE per layer: .* \d+ {name} of \d+ usable"
    with pytest.raises(JpHwError, match=message):
        schedule(LARGE["mlp"], small_board(**budget))


def test_block_ram_that_does_not_fit_is_named() -> None:
    network = mlp(23, (400, 100, 40, 10), density=0.9)
    message = rf"\d+ BRAM18 of 1 usable, layer {network.layers[0].name} takes \d+ BRAM18; prune it"
    with pytest.raises(JpHwError, match=message):
        schedule(network, small_board(bram18=1))


def test_the_budget_is_kept() -> None:
    free = schedule(LARGE["conv"], BOARD)
    tight = schedule(LARGE["conv"], small_board(dsp=9))
    assert estimate(free.layers).dsp > 9 >= estimate(tight.layers).dsp
    assert not estimate(tight.layers).exceeds(tight.board.budget)
    assert 3 < tight.pes < free.pes
    # a tenth of the logic stays free
    most = estimate(free.layers).lut
    assert schedule(LARGE["conv"], small_board(lut=-(-10 * most // 9))).pes == free.pes
    assert schedule(LARGE["conv"], small_board(lut=most)).pes < free.pes


def test_work_is_spread_evenly_and_equal_work_by_slots() -> None:
    assert assign(np.array([[8, 7, 6, 5, 4, 2]]), 2).tolist() == [[0, 3, 4], [1, 2, 5]]
    assert assign(np.zeros((3, 5), np.int64), 2).tolist() == [[0, 2, 4], [1, 3, -1]]
    rng = np.random.default_rng(0)
    work = rng.integers(0, 100, (8, 37))
    placed = assign(work, 6)
    assert sorted(placed[placed >= 0].tolist()) == list(range(37))
    assert placed.shape == (6, 7)
    padded = np.append(work.sum(0), 0)
    load = padded[placed].sum(1)
    assert load.max() < 1.2 * load.mean()


def test_channels_pruned_in_balance_are_dealt_out_in_turn() -> None:
    """Every token then costs all PEs the same, and the PEs stay in step."""
    rng = np.random.default_rng(3)
    channels, groups = 24, 8
    tokens = rng.integers(200, 900, (5, 16))  # per sample and input channel
    sets = rng.integers(0, 3, (16, channels // groups))  # weights of each member of every group
    weights = np.repeat(sets, groups, axis=1)
    assert assign(tokens @ weights, groups).tolist() == in_turn(channels, groups).tolist()
    assert in_turn(5, 2).tolist() == [[0, 2, 4], [1, 3, -1]]
    uneven = tokens @ rng.integers(0, 4, (16, channels))
    assert assign(uneven, groups).tolist() != in_turn(channels, groups).tolist()


# --- streams -----------------------------------------------------------------------------------


def test_a_tensor_leaves_in_streams_where_its_tokens_are_too_many() -> None:
    """Few weights on many tokens: more PEs do not help, more lanes do."""
    shape = Shape(10, 10, 2)
    wide = (Convolution(32, padding=(1, 1)), Convolution(4, (1, 1)))
    network = chain(25, shape, wide, density=0.05, activity=0.9, theta=1)
    design = schedule(network, BOARD)
    streams = [len(layer.streams) for layer in design.layers]
    assert streams[0] in (2, 4)
    assert [lane.stream for lane in design.layers[1].lanes] == list(range(streams[0]))
    assert streams[-1] == 1
    for layer in design.layers:
        assert sum(stream.pes for stream in layer.streams) == layer.pes
        assert layer.streams[0].first_pe == 0
    check(design, late=False)


def test_lanes_of_different_formats_share_one() -> None:
    """An unsigned 8-bit lane and a signed one: values of 9 bits in the PEs."""
    network = residual()
    design = spread(network)
    mixed = [layer for layer in design.layers if len({la.token for la in layer.lanes}) > 1]
    signs = {lane.token.value_signed for layer in mixed for lane in layer.lanes}
    assert signs == {False, True}
    final = next(layer for layer in mixed if layer.value_signed)
    assert final.value_bits == 9
    assert {lane.token.value_bits for lane in final.lanes} == {8}


def test_buffers_are_where_a_shorter_way_waits_for_a_longer_one() -> None:
    design = spread(residual())
    buffers = {
        (layer.name, lane.tensor, lane.stream): lane.waits
        for layer in design.layers
        for lane in layer.lanes
        if lane.waits
    }
    assert {key[:2] for key in buffers} == {("a2", "stem"), ("b2", "a2")}
    # two 3x3 convolutions of padding 1: row y of their sums needs rows up to y + 2 of the stem
    for key in buffers:
        if key[0] == "a2":
            stem = design.layers[0].streams[key[2]]
            own = design.layers[0].channel_of[stream_slice(stem.first_pe, stem.pes)]
            assert buffers[key] == 2 * (7 * np.count_nonzero(own >= 0) + 1)


def stream_slice(first: int, pes: int) -> slice:
    return slice(first, first + pes)


def test_in_a_chain_nothing_has_to_wait() -> None:
    for kind in ("mlp", "groups", "stride and padding"):
        assert not any(lane.waits for layer in design_of(kind).layers for lane in layer.lanes)


def test_maps_have_room_for_two_rows_at_least_before_a_layer() -> None:
    """But not the input, which waits in the host, nor what is too little to be worth a memory."""
    design = spread(residual())
    for lane in (lane for layer in design.layers for lane in layer.lanes):
        if lane.tensor == INPUT or lane.height == 1:
            assert lane.buffer == lane.waits == 0
        else:
            own = next(layer for layer in design.layers if layer.name == lane.tensor)
            stream = own.streams[lane.stream]
            used = own.channel_of[stream_slice(stream.first_pe, stream.pes)] >= 0
            row = lane.width * np.count_nonzero(used) + 1
            slack = min(128, 2 * row)
            assert lane.buffer == max(lane.waits, slack if slack >= 64 else 0)
    assert any(lane.buffer > lane.waits for layer in design.layers for lane in layer.lanes)
    assert not any(lane.buffer for layer in design_of("mlp").layers for lane in layer.lanes)


def test_layers_get_more_room_for_what_waits_where_that_is_faster(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without the exchange, whose mixes wait less from the beginning."""
    network = wide()
    monkeypatch.setattr(search, "exchange", lambda *given: given[4])
    roomy = schedule(network, BOARD, pes=24)
    monkeypatch.setattr(search, "ROOM", ())
    usual = schedule(network, BOARD, pes=24)
    assert not any(layer.slack for layer in usual.layers)
    assert [layer.pes for layer in usual.layers] == [layer.pes for layer in roomy.layers]
    fewer, more = (
        simulate_cycles(design, network.samples).cycles_per_image for design in (roomy, usual)
    )
    assert fewer < 0.99 * more
    for layer, before in zip(roomy.layers, usual.layers, strict=True):
        assert layer.fifo_depth >= before.fifo_depth
        assert layer.winner_depth >= before.winner_depth
        for lane, other in zip(layer.lanes, before.lanes, strict=True):
            assert lane.waits == other.waits
            assert lane.buffer == max(other.buffer, layer.slack if lane.height > 1 else 0)
    emit(roomy).write(tmp_path / "build")
    again = open_build(tmp_path / "build").design
    for layer, same in zip(roomy.layers, again.layers, strict=True):
        assert [lane.buffer for lane in layer.lanes] == [lane.buffer for lane in same.lanes]
        assert (layer.fifo_depth, layer.winner_depth) == (same.fifo_depth, same.winner_depth)
        assert (layer.share, layer.groups) == (same.share, same.groups)


def test_room_takes_no_more_than_what_is_left() -> None:
    """On a full board, and with each kind of room alone."""
    board = small_board(lut=5400, bram18=24)
    for network in (wide(), KINDS["residual"]):
        design = schedule(network, board)
        assert not estimate(design.layers).exceeds(board.budget.usable)


@pytest.mark.parametrize("share", [1, 2, 3, 8])
def test_groups_share_out_the_pes_of_a_stream(share: int) -> None:
    network = mlp(3, (9, 22, 5))
    table = np.arange(22).reshape(11, 2)
    last = np.arange(5).reshape(1, 5)
    places = [Placement(table, streams=2, share=share), Placement(last)]
    layer = place(network, BOARD, 100.0, places).layers[0]
    assert [sum(count for _, count in stream) for stream in layer.groups] == [6, 5]
    for stream, groups in zip(layer.streams, layer.groups, strict=True):
        firsts, counts = zip(*groups, strict=True)
        assert list(firsts) == [stream.first_pe + sum(counts[:i]) for i in range(len(counts))]
        assert max(counts) <= share
        assert max(counts) - min(counts) <= 1
        assert len(counts) == -(-stream.pes // share)
    found = {memory.name: memory for memory in layer.memories}
    for first, count in (group for groups in layer.groups for group in groups):
        table_ = found[f"layer0_group{first:03}_thresholds"]
        for i in range(count):
            own = layer.thresholds[first + i]
            for field, wanted in zip(table_.values, own.values, strict=True):
                place_ = i * layer.slot_pitch
                assert field[place_ : place_ + layer.slots].tolist() == wanted.tolist()


def test_pes_share_a_drain_as_far_as_it_has_time() -> None:
    """Its reads take two fifths of the busiest PE's cycles at most."""
    work = np.full((4, 32), 1000)
    busy = Load(work, (("in", np.full(4, 9)),), (np.full(4, 9),), 8, 8, 8)
    idle = replace(busy, work=work // 10)
    channel_of = np.arange(32).reshape(16, 2)
    shares = [load.placed(Placement(channel_of), channel_of).share for load in (busy, idle)]
    assert shares == [6, 1]  # 0.4 * 2136 / 136, and 0.4 * 336 / 136


# --- what cannot be generated ------------------------------------------------------------------


def test_too_many_lanes_are_refused() -> None:
    network = mlp(0, (4, 3, 2))
    last = network.layers[1]
    many = replace(last, sources=last.sources * 65)
    message = "layer layer1 reads 65 token streams; 64 are supported"
    with pytest.raises(JpHwError, match=message):
        spread(with_layers(network, network.layers[0], many))


def test_sums_beyond_the_logits_are_refused() -> None:
    network: Network = mlp(0, (4, 3, 2))
    huge = replace(network.layers[1], bias=np.array([0, 1 << 31]))
    with pytest.raises(JpHwError, match="layer layer1: sums need 33 bits, logits have 32"):
        schedule(with_layers(network, network.layers[0], huge), BOARD)


def _sizes(shape: Shape) -> tuple[int, int, int]:
    return shape.height, shape.width, shape.channels


def test_column_ids_are_as_wide_in_the_tables_as_in_the_parameters() -> None:
    """Tables are padded to two words, so that two lanes of one column each look like four."""
    ones = np.ones((2, 1, 1, 1), np.int64)
    network = mlp(0, (1, 2))
    twice = replace(network.layers[0], sources=(Source(INPUT, ones), Source(INPUT, 2 * ones)))
    design = schedule(with_layers(network, twice), BOARD)
    assert [lane.masks.depth for lane in design.layers[0].lanes] == [2, 2]
    assert design.layers[0].column_bits == 1
    for layer in (layer for kind in KINDS for layer in design_of(kind).layers):
        for lane in layer.lanes:
            assert lane.rows.fields[0].bits == lane.columns.fields[0].bits == layer.column_bits
            assert lane.first_column < 1 << layer.column_bits


def joined(design: Design) -> Design:
    """The same with the lanes of each layer on one bus."""
    places = [
        Placement(layer.channel_of, len(layer.streams), joined=True) for layer in design.layers
    ]
    return place(design.network, BOARD, 100.0, places)


def test_lanes_on_one_bus_have_their_masks_one_after_the_other() -> None:
    apart = design_of("residual")
    several = [layer.name for layer in apart.layers if len(layer.lanes) > 1]
    assert several
    for layer, own in zip(joined(apart).layers, apart.layers, strict=True):
        assert layer.joined == (layer.name in several)
        assert layer.buses == len(layer.masks) == (1 if layer.joined else len(layer.lanes))
        assert len({mask.name for mask in [*own.masks, *layer.masks]}) == own.buses
        if layer.joined:
            masks, total = words(layer.masks[0]), layer.pointers[0].depth
            assert len(masks) == layer.cuts * total
            for lane in layer.lanes:
                own_masks = words(lane.masks)
                for cut in range(layer.cuts):
                    at = cut * total + lane.first_column
                    part = own_masks[cut * lane.stored :][: lane.stored] if cut < lane.cuts else []
                    nothing = [dict.fromkeys(masks[0], 0)] * (lane.stored - len(part))
                    assert masks[at : at + lane.stored] == part + nothing
            # of a column that a PE has, the pointer is at the same place
            for p, pointers in enumerate(layer.pointers):
                wanted = [word[f"pe{p}"] for word in masks[:total]]
                assert all(
                    want or not any(word.values())
                    for want, word in zip(wanted, words(pointers), strict=True)
                )


def test_tokens_that_no_kernel_reaches_have_no_columns() -> None:
    """A 1x1 kernel of stride 2 and 3 looks at every second row and third column."""
    network = chain(5, Shape(5, 7, 2), (Convolution(3, kernel=(1, 1), stride=(2, 3)),), density=1.0)
    layer = spread(network).layers[0]
    rows, columns = (words(memory) for memory in (layer.lanes[0].rows, layer.lanes[0].columns))
    assert [word["live"] for word in rows] == [1, 0, 1, 0, 1]
    assert [word["live"] for word in columns] == [1, 0, 0, 1, 0, 0, 1]
    found = traffic(spread(network), network.samples)
    shape = (len(network.samples), 5, 7, 2)
    dropped = (found.layers[0].lanes[0].columns < 0).reshape(shape)
    reached = np.zeros(shape, np.bool_)
    reached[:, ::2, ::3] = True
    assert np.array_equal(dropped, ~reached)


def test_a_shared_bus_has_only_the_tokens_that_reach_an_output() -> None:
    """Of a shortcut with a stride most are dropped before it; they take their lane's cycles only."""
    strided = chain(5, Shape(5, 7, 2), (Convolution(3, kernel=(1, 1), stride=(2, 3)),), density=1.0)
    tensors = golden.tensors(strided, strided.samples)
    load = loads(strided, tensors)[0]
    every, reaching = (
        np.count_nonzero(pixels, axis=(1, 2, 3))
        for pixels in (strided.samples, strided.samples[:, ::2, ::3])
    )
    assert load.tokens[0][1].tolist() == every.tolist()
    assert load.reaching[0].tolist() == reaching.tolist()
    lanes, shared = (load.token_cycles({}, joined=joined)[0] for joined in (False, True))
    assert lanes == shared == every.mean() + 5
    alone = np.arange(3).reshape(3, 1)
    idle = replace(load, work=np.zeros_like(load.work), row_reads=0, rows=0)
    twice = replace(idle, tokens=2 * idle.tokens, reaching=2 * (every,))
    assert idle.frame_cycles(alone, {}, joined=True).tolist() == (every + 5).tolist()
    assert twice.frame_cycles(alone, {}).tolist() == (every + 5).tolist()
    busy = (2 * every + 5) / SHARED
    assert twice.frame_cycles(alone, {}, joined=True).tolist() == busy.tolist()


def test_lanes_share_a_bus_where_that_is_cheaper_and_time_is_left() -> None:
    """Fewer LUTs in every PE, so more PEs on a board that is full of them; never too many tokens."""
    network, board = KINDS["residual"], small_board(lut=5400)
    design = schedule(network, board)
    report = explain(design, network.samples)
    assert any(layer.joined for layer in design.layers)
    for layer, own in zip(design.layers, report.layers, strict=True):
        assert not layer.joined or own.tokens <= report.cycles
        if layer.joined:
            cheaper, dearer = (layer_resources(replace(layer, joined=j)) for j in (True, False))
            assert cheaper.lut < dearer.lut and cheaper.ff < dearer.ff
