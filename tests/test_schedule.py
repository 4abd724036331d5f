"""The memory images alone hold the network: an independent decoder reads them bit by bit."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from decoder import Decoder, shuffled, tokenize, words
from networks import Convolution, accumulators, chain, every_kind, mlp, vector_layer, with_layers

from jp_hw import boards, golden
from jp_hw.boards import Board
from jp_hw.errors import JpHwError
from jp_hw.ir import INPUT, Network, Requantize, Shape, Source
from jp_hw.schedule import Design, place, schedule
from jp_hw.schedule.allocate import loads
from jp_hw.schedule.assign import assign, channel_work
from jp_hw.schedule.estimate import estimate

KINDS = every_kind()
BOARD = boards.load("pynq-z2")


@cache
def design_of(kind: str) -> Design:
    """Every layer on several PEs, and slots that stay unused."""
    network = KINDS[kind]
    tensors = golden.tensors(network, network.samples)
    works = [channel_work(layer, tensors) for layer in network.layers]
    pes = [min(work.shape[1], 2 + i) for i, work in enumerate(works)]
    return place(network, BOARD, 100.0, [assign(w, p) for w, p in zip(works, pes, strict=True)])


def read_by_later(network: Network, name: str) -> np.ndarray:
    """Which channels of a layer any later one has a weight for."""
    sources = [s for layer in network.layers for s in layer.sources if s.tensor == name]
    read = np.zeros(network.tensor_shape(name).channels, bool)
    for source in sources:
        per_group = source.weights.shape[1]
        for out, within, _, _ in np.argwhere(source.weights):
            read[out // (len(source.weights) // source.groups) * per_group + within] = True
    return read


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_images_alone_reproduce_the_golden_model(kind: str, late: bool) -> None:
    """Every accumulator, every winner and every logit, over consecutive frames."""
    design = design_of(kind)
    network = design.network
    tensors = golden.tensors(network, network.samples)
    frames = shuffled(tokenize(design, network.samples), 1)
    for layer, ir in zip(design.layers, network.layers, strict=True):
        decoder = Decoder(layer)
        results = list(decoder.run(frames, late=late))
        exact = accumulators(ir.sources[0], tensors[ir.sources[0].tensor], ir.output)
        found = np.array([decoder.accumulators(result) for result in results])
        assert np.array_equal(found, exact)
        if layer.requantize is None:
            logits = np.array([decoder.logits(result) for result in results])
            assert np.array_equal(logits, golden.run(network, network.samples))
            return
        frames = [decoder.tokens(result) for result in results]
        channel_of = layer.channel_of.reshape(-1)
        for n, frame in enumerate(frames):
            sent = np.zeros(tensors[layer.name].shape[1:], np.int64)
            for y, row in enumerate(frame):
                for channel, x, value in row:
                    assert value != 0
                    sent[y, x, channel_of[channel]] = value
            read = read_by_later(network, layer.name)
            assert np.array_equal(sent, tensors[layer.name][n] * read)
        frames = shuffled(frames, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_impulses_reconstruct_the_dense_weights_and_the_masks(kind: str) -> None:
    """The whole linear operator of every layer; and a PE gets a token only if it has work."""
    design = design_of(kind)
    network = design.network
    for i, (layer, ir) in enumerate(zip(design.layers, network.layers, strict=True)):
        shape = network.tensor_shape(ir.sources[0].tensor)
        physical = list(range(shape.channels))
        if i:
            slots = design.layers[i - 1].channel_of.reshape(-1).tolist()
            physical = [slots.index(channel) for channel in range(shape.channels)]
        impulses = np.eye(shape.size, dtype=np.int64).reshape(-1, *_sizes(shape))
        exact = accumulators(ir.sources[0], impulses, ir.output)
        frames, places = [], list(np.ndindex(*_sizes(shape)))
        for y, x, channel in places:
            frames.append(
                [[(physical[channel], x, 1)] if y == row else [] for row in range(shape.height)]
            )
        decoder = Decoder(layer)
        found = [decoder.accumulators(result) for result in decoder.run(frames, late=True)]
        assert np.array_equal(np.array(found), exact)
        pe_of = {int(k): p for (p, _), k in np.ndenumerate(layer.channel_of) if k >= 0}
        for response, (y, x, channel) in zip(exact, places, strict=True):
            number = decoder.rows[y]["term"] + decoder.columns[x]["term"] + physical[channel]
            busy = {pe_of[int(k)] for k in np.unique(np.nonzero(response)[2])}
            assert {p for p, bit in enumerate(decoder.masks[number]) if bit} == busy


@pytest.mark.parametrize("kind", KINDS)
def test_columns_fill_the_weight_memories_without_gap_or_overlap(kind: str) -> None:
    for layer in design_of(kind).layers:
        decoder = Decoder(layer)
        for p in range(layer.pes):
            spans = sorted(
                (decoder.pointers[p][number]["start"], decoder.pointers[p][number]["more"] + 1)
                for number, mask in enumerate(decoder.masks)
                if mask[p]
            )
            end = 0
            for start, count in spans:
                assert start == end
                end += count
            assert all(word["weight"] for word in decoder.weights[p][:end])
            assert not any(word["weight"] for word in decoder.weights[p][end:])


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
        frames = tokenize(design, design.network.samples)
        values = golden.tensors(design.network, design.network.samples)[INPUT]
        exact = accumulators(ir.sources[0], values, ir.output)
        try:
            found = [decoder.accumulators(result) for result in decoder.run(frames, late=True)]
        except AssertionError:  # an unused slot was hit
            wrong += 1
        else:
            wrong += not np.array_equal(np.array(found), exact)
    assert wrong >= 4


def test_the_tokenizer_drops_bytes_that_no_weight_reads() -> None:
    design = schedule(mlp(3, (20, 6, 4), density=0.05), BOARD)
    read = (design.network.layers[0].sources[0].weights != 0).any((0, 2, 3))
    assert 0 < read.sum() < 20
    keep = [bit for word in words(design.input_keep) for bit in word.values()]
    assert keep[:20] == read.astype(int).tolist()
    assert not any(keep[20:])


def test_words_that_do_not_fit_are_caught() -> None:
    memory = design_of("mlp").layers[0].post
    wide = replace(memory, values=(memory.values[0] + (1 << 40), *memory.values[1:]))
    with pytest.raises(AssertionError, match=r"layer0_post\.bias leaves"):
        _ = wide.words
    short = replace(memory, values=(memory.values[0], memory.values[1][:1], memory.values[2]))
    with pytest.raises(AssertionError, match=r"layer0_post\.multiplier: 1 words"):
        _ = short.words


# --- how many PEs ------------------------------------------------------------------------------


def estimated_cycles(design: Design) -> float:
    """Of the slowest layer."""
    network = design.network
    every = loads(network, golden.tensors(network, network.samples))
    return max(load.cycles(d.channel_of) for load, d in zip(every, design.layers, strict=True))


LARGE = {
    "mlp": mlp(21, (128, 60, 40, 10)),
    "conv": chain(22, Shape(8, 8, 3), (Convolution(12, padding=(1, 1)), Convolution(16))),
}


@pytest.mark.parametrize("kind", LARGE)
def test_more_pes_never_cost_much_and_the_cap_is_kept(kind: str) -> None:
    best = float("inf")
    reached = []
    for cap in (3, 4, 5, 6, 8, 10, 12, 16, 24, 40):
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
    message = rf"does not fit pynq-z2 even with one PE per layer: it would take \d+ {name} of \d+;"
    with pytest.raises(JpHwError, match=message):
        schedule(LARGE["mlp"], small_board(**budget))


def test_block_ram_that_does_not_fit_is_named() -> None:
    with pytest.raises(JpHwError, match=r"it would take \d+ BRAM18 of 1; prune it further"):
        schedule(mlp(23, (400, 100, 40, 10), density=0.9), small_board(bram18=1))


def test_the_budget_is_kept() -> None:
    free = schedule(LARGE["conv"], BOARD)
    tight = schedule(LARGE["conv"], small_board(dsp=9))
    assert estimate(free.layers).dsp > 9 >= estimate(tight.layers).dsp
    assert not estimate(tight.layers).exceeds(tight.board.budget)
    assert 3 < tight.pes < free.pes


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


# --- what cannot be generated ------------------------------------------------------------------


def test_two_sources_are_refused() -> None:
    network = mlp(0, (4, 3, 2))
    extra = Source(INPUT, np.ones((2, 4, 1, 1), np.int64))
    both = replace(network.layers[1], sources=(*network.layers[1].sources, extra))
    message = "layer layer1 reads layer0, input; only chains .* have to read layer0 alone"
    with pytest.raises(JpHwError, match=message):
        schedule(with_layers(network, network.layers[0], both), BOARD)
    with pytest.raises(JpHwError, match="only chains"):
        place(with_layers(network, network.layers[0], both), BOARD, 100.0, [])


def test_a_skipped_layer_is_refused() -> None:
    ones = np.ones(2, np.int64)
    rule = Requantize(ones, ones, 1, 0, 255)
    first = vector_layer("a", INPUT, np.eye(2), rule)
    network = mlp(0, (2, 3, 2))
    skipping = with_layers(network, first, vector_layer("b", INPUT, np.eye(2), None))
    with pytest.raises(JpHwError, match="layer b reads input; only chains"):
        schedule(skipping, BOARD)


def test_sums_beyond_the_logits_are_refused() -> None:
    network: Network = mlp(0, (4, 3, 2))
    huge = replace(network.layers[1], bias=np.array([0, 1 << 31]))
    with pytest.raises(JpHwError, match="layer layer1: sums need 33 bits, logits have 32"):
        schedule(with_layers(network, network.layers[0], huge), BOARD)


def _sizes(shape: Shape) -> tuple[int, int, int]:
    return shape.height, shape.width, shape.channels
