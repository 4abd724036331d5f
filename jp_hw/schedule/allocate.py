"""How many PEs every layer gets: the slowest layer gets the next one, as long as that pays."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from jp_hw import golden
from jp_hw.boards import Board
from jp_hw.errors import JpHwError
from jp_hw.ir import INPUT, Int, Layer, Network
from jp_hw.macs import ANY, Beside, margin
from jp_hw.schedule.assign import assign, busiest, busiest_of, channel_work, column_work
from jp_hw.schedule.build import Placement, build_layers, channels_read
from jp_hw.schedule.columns import axes
from jp_hw.schedule.design import LayerDesign
from jp_hw.schedule.estimate import estimate, heaviest, with_memories
from jp_hw.schedule.interleave import Factors, interleave, sums_per_column
from jp_hw.schedule.interleave import tensor as interleaved

WORTH = 0.15
"""A PE is added only if it brings at least this part of the speed-up that its share would be."""
UNEVEN = 1.1
"""A layer is uneven if its busiest PE has so much more to do than its PEs have on average."""
SHARED = 0.8
"""The share of its cycles for which a bus of several lanes may have tokens: they come in bursts."""
MOST_SHARE = 8
"""So many PEs at most share what drains their rows,"""
DRAINING = 0.4
"""and it may have so much to do at most, as a share of the busiest PE's cycles."""
MAX_STREAMS = 4
"""A tensor leaves its layer in so many streams at most."""
Queues = Mapping[str, int]
"""Words of the queues of a layer's PEs, by layer."""


@dataclass(frozen=True)
class Load:
    """One layer's work on every sample.

    work: int64 (samples, out channels) MACs; tokens: per tensor read, int64 (samples,); reaching: how
    many of them reach an output, which go on to a bus; rows_in: markers of any of them; rows and
    row_reads: output rows, and accumulators that are read to drain a row of one channel.
    """

    work: Int
    tokens: tuple[tuple[str, Int], ...]
    reaching: tuple[Int, ...]
    rows_in: int
    rows: int
    row_reads: int

    @property
    def channels(self) -> int:
        """Output channels."""
        return int(self.work.shape[1])

    def pe_cycles(self, channel_of: Int) -> float:
        """Mean cycles per frame that the busiest PE needs if the PEs compute these channels."""
        return busiest(self.work, channel_of) + self.drained(channel_of.shape[1])

    def frame_cycles(
        self, channel_of: Int, streams: Mapping[str, int], *, joined: bool = False
    ) -> NDArray[np.float64]:
        """Cycles of every sample, (samples,): of the busiest PE, or of the tokens, if those are more."""
        tokens = [count / streams.get(name, 1) + self.rows_in for name, count in self.tokens]
        shared = [self._shared() / SHARED] if joined else []
        work = busiest_of(self.work, channel_of) + self.drained(channel_of.shape[1])
        cycles: NDArray[np.float64] = np.max([work, *tokens, *shared], axis=0)
        return cycles

    def placed(self, place: Placement, channel_of: Int) -> Placement:
        """A place with other PEs, of which as many share what drains their rows as time allows."""
        share = DRAINING * self.pe_cycles(channel_of) / self.drained(channel_of.shape[1])
        return replace(place, channel_of=channel_of, share=min(max(int(share), 1), MOST_SHARE))

    def drained(self, slots: int) -> int:
        """Cycles per frame in which a PE of so many slots reads its sums out."""
        return self.rows * (self.row_reads * slots + 1)

    def token_cycles(
        self, streams: Mapping[str, int], *, joined: bool = False
    ) -> tuple[float, str]:
        """Mean cycles per frame of the tokens of the slowest lane or bus, and the tensor that has most.

        streams: of every tensor, 1 unless given. joined: whether all of them share one bus.
        """
        lanes = max(
            (count.mean() / streams.get(tensor, 1) + self.rows_in, tensor)
            for tensor, count in self.tokens
        )
        shared = float(self._shared().mean()) if joined else 0.0
        return max(shared, float(lanes[0])), lanes[1]

    def _shared(self) -> Int:
        """Cycles of every sample, (samples,), of a bus that all lanes share."""
        cycles: Int = np.sum(self.reaching, axis=0) + self.rows_in
        return cycles

    def pace(self, streams: Mapping[str, int], *, joined: bool = False) -> tuple[float, str]:
        """The same, with the time that a shared bus must have to spare."""
        cycles, tensor = self.token_cycles(streams)
        shared = float(self._shared().mean()) if joined else 0.0
        return max(cycles, shared / SHARED), tensor


def loads(network: Network, tensors: Mapping[str, Int], beside: Beside | None = None) -> list[Load]:
    """Work of every layer on the tensors that the samples make.

    beside: layers that also compute some of what lies beside their maps.
    """
    limits = beside or {}
    works = (channel_work(network, la, tensors, limits.get(la.name, 0)) for la in network.layers)
    return [
        load_of(network, layer, tensors, work)
        for layer, work in zip(network.layers, works, strict=True)
    ]


def load_of(network: Network, layer: Layer, tensors: Mapping[str, Int], work: Int) -> Load:
    """A layer's work on the tensors that it reads. work: its `channel_work`."""
    tokens, reaching = [], []
    for source in layer.sources:
        sent = _sent(network, source.tensor, tensors)
        vertical, horizontal = axes(source, network.tensor_shape(source.tensor), layer)
        reaches = np.outer(vertical.live(), horizontal.live())[..., None]
        tokens.append((source.tensor, _count(sent)))
        reaching.append(_count(sent & reaches))
    taps = 1 if layer.pool is None else int(np.prod(layer.pool.side_by_side.window))
    return Load(
        work,
        tuple(tokens),
        tuple(reaching),
        max(network.tensor_shape(s.tensor).height for s in layer.sources),
        layer.output.height,
        layer.output.width * taps,
    )


def _sent(network: Network, tensor: str, tensors: Mapping[str, Int]) -> NDArray[np.bool_]:
    """Which values become tokens; what no weight reads is never sent."""
    sent: NDArray[np.bool_] = network.live(tensors[tensor]) & channels_read(network, tensor)
    return sent


def _count(sent: NDArray[np.bool_]) -> Int:
    """Tokens per sample."""
    tokens: Int = np.asarray(np.count_nonzero(sent, axis=(1, 2, 3)), np.int64)
    return tokens


class DoesNotFit(JpHwError):
    """A network is too large for a board."""


@dataclass(frozen=True)
class Samples:
    """What a network's samples make it do.

    tensors: by name. works: a layer's `column_work` by its name and `Placement.beside`. known: what
    `loads` found. Both are filled as they are asked for.
    """

    network: Network
    tensors: Mapping[str, Int]
    works: dict[tuple[str, int], Int] = field(default_factory=dict, compare=False)
    known: dict[tuple[object, ...], Load] = field(default_factory=dict, compare=False)

    @cached_property
    def macs(self) -> float:
        """Mean MACs of a frame, within the maps."""
        every = self.loads(self.network, {})
        return float(sum(load.work.sum() for load in every)) / len(self.network.samples)

    def loads(self, inside: Network, columns: Factors, beside: Beside | None = None) -> list[Load]:
        """Work of every layer with columns interleaved; inside: the network like that.

        beside: of interleaved layers, and those that read them, 0 or ANY. Raises ValueError for others.
        """
        limits = beside or {}
        return [
            self._load(inside, inside_layer, layer, columns, limits.get(layer.name, 0))
            for inside_layer, layer in zip(inside.layers, self.network.layers, strict=True)
        ]

    def _load(
        self, inside: Network, inside_layer: Layer, layer: Layer, columns: Factors, beside: int
    ) -> Load:
        """One layer's work, remembered: it depends on the columns of the layer and of what it reads."""
        of = {
            name: columns.get(name, 1) for name in (layer.name, *(s.tensor for s in layer.sources))
        }
        if 0 < beside < ANY and any(factor != 1 for factor in of.values()):
            raise ValueError(f"{layer.name}: {beside} taps beside a map of interleaved columns")
        key = (beside, *of.items())
        if key not in self.known:
            read = {source.tensor for source in layer.sources}
            tensors = {name: interleaved(self.tensors[name], of[name]) for name in read}
            work = self._channels(layer, of[layer.name], beside)
            self.known[key] = load_of(inside, inside_layer, tensors, work)
        return self.known[key]

    def _channels(self, layer: Layer, factor: int, beside: int) -> Int:
        """Work of a layer's channels, (samples, channels * factor)."""
        key = (layer.name, beside)
        if key not in self.works:
            self.works[key] = column_work(self.network, layer, self.tensors, beside)
        own, first = self.works[key], -margin(self.network, layer) if beside else 0
        part = np.arange(first, first + own.shape[1]) // sums_per_column(layer) % factor
        parts = [own[:, part == i].sum(1) for i in range(factor)]
        return np.stack(parts, axis=-1).reshape(len(own), -1)


@dataclass(frozen=True)
class Candidates:
    """Placements from one PE per layer up to where no more PEs help or are allowed.

    network: what is computed, with columns interleaved. columns: how many, by layer. loads: of its
    layers. states: the placements; each needs more than the ones before. limited: whether the last
    one has all the PEs that are allowed.
    """

    network: Network
    columns: Factors
    loads: Sequence[Load]
    states: Sequence[Sequence[Placement]]
    limited: bool

    @property
    def pe_cycles(self) -> list[float]:
        """Of every placement, cycles of all its PEs in a mean frame, if nothing ever waited."""
        found = []
        for places in self.states:
            _, work, (tokens, _) = _slowest(self.network, self.loads, places)
            found.append(max(work, tokens, 1.0) * sum(len(place.channel_of) for place in places))
        return found


@dataclass(frozen=True)
class Allocation:
    """Scheduled layers.

    candidates: where they are from. places: where they are computed. full: whether the board, or
    what is allowed, has no room for more. cycles: predicted by `Load`, of the slowest layer. frames:
    of each sample, of the layer that is its slowest, float64 (samples,). slowest: the slowest layer's
    name if nothing but its channels keeps it from more PEs, else None. uneven: names of uneven
    layers, the slowest first. order: names of all layers, those first whose PEs have most to do.
    """

    layers: tuple[LayerDesign, ...]
    candidates: Candidates
    places: Sequence[Placement]
    full: bool
    cycles: float
    frames: NDArray[np.float64]
    slowest: str | None
    uneven: tuple[str, ...]
    order: tuple[str, ...]

    @property
    def pes(self) -> int:
        """PEs of all layers."""
        return sum(layer.pes for layer in self.layers)

    @property
    def expected(self) -> float:
        """Cycles predicted, mean over the samples of the slowest layer of each."""
        return float(self.frames.mean())

    def price(self, cycles: float) -> float:
        """What it costs if a frame takes so many cycles: those, and PEs to the power they are worth."""
        return float(cycles * self.pes**WORTH)


def measured(network: Network) -> Samples:
    """What the network's samples make it do."""
    return Samples(network, golden.tensors(network, network.samples))


def candidates(
    network: Network,
    samples: Samples,
    pes: int | None,
    columns: Factors | None = None,
    *,
    beside: int = 0,
) -> Candidates:
    """What may be tried on a board.

    samples: `measured`. pes: at most so many in all. columns: how many are interleaved, by layer.
    beside: `Placement.beside` of all layers.
    Raises JpHwError if less than one PE per layer is allowed.
    """
    columns = columns or {}
    network = interleave(network, columns)
    every = samples.loads(network, columns, {layer.name: beside for layer in network.layers})
    if pes is not None and pes < len(every):
        raise JpHwError(f"{pes} PEs are too few: {len(every)} layers need one each (--pes)")
    states = list(_growth(network, every, pes, beside))
    limited = pes == sum(len(place.channel_of) for place in states[-1])
    return Candidates(network, columns, every, states, limited)


def allocate(tried: Candidates, board: Board, queues: Queues | None = None) -> Allocation:
    """Layers with as many PEs as fit within what a board has to give.

    queues: words of queues that are not of the usual depth, by layer. Raises DoesNotFit if not even
    one PE per layer does.
    """
    network, budget = tried.network, board.budget.usable

    def placed(state: int) -> list[Placement]:
        return queued(network, tried.states[state], queues or {})

    def build(state: int) -> tuple[LayerDesign, ...]:
        return with_memories(build_layers(network, placed(state)), budget)

    layers = build(0)
    excess = estimate(layers).exceeds(budget)
    if excess:
        raise DoesNotFit(
            f"{network.name} does not fit {board.name} even with one PE per layer: "
            f"it would take {', '.join(excess)} usable, {heaviest(layers, budget)}; prune it "
            "further (`jp-hw train --set weights=SHARE` caps what is stored) or choose a larger board"
        )
    fits, over = 0, len(tried.states)
    while over - fits > 1:  # the largest one that fits
        middle = over - 1 if over == len(tried.states) else (fits + over) // 2
        bigger = build(middle)
        if estimate(bigger).exceeds(budget):
            over = middle
        else:
            fits, layers = middle, bigger
    return allocation(tried, placed(fits), layers, over < len(tried.states) or tried.limited)


def queued(network: Network, places: Sequence[Placement], queues: Queues) -> list[Placement]:
    """The places with other queues, where any are named."""
    return [
        replace(place, queue=queues.get(layer.name, place.queue))
        for layer, place in zip(network.layers, places, strict=True)
    ]


def allocation(
    tried: Candidates, places: Sequence[Placement], layers: tuple[LayerDesign, ...], full: bool
) -> Allocation:
    """What is to be known of layers that are computed at some places."""
    network = tried.network
    slowest, work, (tokens, _) = _slowest(network, tried.loads, places)
    return Allocation(
        layers,
        tried,
        places,
        full,
        max(work, tokens),
        _frames(network, tried.loads, places),
        network.layers[slowest].name if work > tokens and not full else None,
        _uneven(network, tried.loads, places),
        _order(network, tried.loads, places),
    )


def _frames(
    network: Network, every: Sequence[Load], placements: Sequence[Placement]
) -> NDArray[np.float64]:
    streams = _streams(network, placements)
    cycles = [
        load.frame_cycles(place.channel_of, streams, joined=place.joined)
        for load, place in zip(every, placements, strict=True)
    ]
    slowest: NDArray[np.float64] = np.max(cycles, axis=0)
    return slowest


def _streams(network: Network, placements: Sequence[Placement]) -> dict[str, int]:
    """Streams of every layer's tensor."""
    pairs = zip(network.layers, placements, strict=True)
    return {layer.name: place.streams for layer, place in pairs}


def _order(
    network: Network, every: Sequence[Load], placements: Sequence[Placement]
) -> tuple[str, ...]:
    cycles = [load.pe_cycles(p.channel_of) for load, p in zip(every, placements, strict=True)]
    return tuple(network.layers[i].name for i in np.argsort(cycles, kind="stable")[::-1])


def _uneven(
    network: Network, every: Sequence[Load], placements: Sequence[Placement]
) -> tuple[str, ...]:
    found = []
    for layer, load, place in zip(network.layers, every, placements, strict=True):
        pes, slots = place.channel_of.shape
        busiest, drained = load.pe_cycles(place.channel_of), load.drained(slots)
        if busiest - drained > UNEVEN * load.work.sum(1).mean() / pes:
            found.append((-busiest, layer.name))
    return tuple(name for _, name in sorted(found))


def _slowest(
    network: Network, every: Sequence[Load], placements: Sequence[Placement]
) -> tuple[int, float, tuple[float, str]]:
    """The slowest layer, cycles per frame of its PEs, and of its slowest tokens with their tensor."""
    streams = _streams(network, placements)
    work = [load.pe_cycles(p.channel_of) for load, p in zip(every, placements, strict=True)]
    tokens = [
        load.pace(streams, joined=place.joined)
        for load, place in zip(every, placements, strict=True)
    ]
    slowest = int(np.argmax([max(a, b) for a, (b, _) in zip(work, tokens, strict=True)]))
    return slowest, work[slowest], tokens[slowest]


def _growth(
    network: Network, every: Sequence[Load], pes: int | None, beside: int
) -> Iterator[list[Placement]]:
    """Placements from one PE per layer up to where no more PEs help or are allowed."""
    placements: list[Placement] | None = [
        load.placed(Placement(alone, beside=beside), alone)
        for load, alone in ((load, assign(load.work, 1)) for load in every)
    ]
    while placements is not None:
        yield placements
        placements = _improve(network, every, placements, pes)


def _improve(
    network: Network, every: Sequence[Load], placements: Sequence[Placement], pes: int | None
) -> list[Placement] | None:
    """Placements in which the slowest layer is faster, None where that cannot be."""
    slowest, work, (tokens, tensor) = _slowest(network, every, placements)
    if tokens >= work:
        return _split([layer.name for layer in network.layers], placements, tensor)
    load, now = every[slowest], len(placements[slowest].channel_of)
    total = sum(len(place.channel_of) for place in placements)
    most = load.work.shape[1] if pes is None else min(load.work.shape[1], now + pes - total)
    for count in range(now + 1, min(most, 2 * now) + 1):
        place = assign(load.work, count)
        gain = 1.0 - max(load.pe_cycles(place), tokens) / work
        if gain >= WORTH * (count - now) / (total + count - now):
            grown = load.placed(placements[slowest], place)
            return [grown if i == slowest else old for i, old in enumerate(placements)]
    return None


def _split(
    names: Sequence[str], placements: Sequence[Placement], tensor: str
) -> list[Placement] | None:
    """Placements in which a tensor leaves its layer in twice as many streams."""
    if tensor == INPUT:
        return None
    at = names.index(tensor)
    streams = 2 * placements[at].streams
    if streams > min(MAX_STREAMS, len(placements[at].channel_of)):
        return None
    split = replace(placements[at], streams=streams)
    return [split if i == at else old for i, old in enumerate(placements)]
