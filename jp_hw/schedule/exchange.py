"""Layers exchange PEs, columns and memories until a full board does the most with what it has.

`allocate` gives the slowest layer one PE after the other; when the board is full, another mix of
layers may be faster: one column less interleaved, or PEs enough that a PE's accumulators need half the
words. So every layer's ways to be computed are listed around what it has now, each with its cycles and
resources. For a wanted number of cycles, one way of each layer that is fast enough is chosen so that
all together need the fewest LUTs with the block RAM there is: a multiple-choice knapsack, solved exactly
by dynamic programming over block RAMs. The least number of cycles that fits is found by bisection. From
there on ways are exchanged by what single frames take (`polish`). What layers wait for one another
nothing of that knows: the simulation of the most promising mixes decides.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from jp_hw.boards import KINDS, Board, Budget
from jp_hw.ir import Int, Layer, Network
from jp_hw.macs import ANY
from jp_hw.schedule.allocate import MAX_STREAMS, Allocation, Load, Samples, allocation
from jp_hw.schedule.assign import assign
from jp_hw.schedule.build import Placement, build_layers, layer_design, savings
from jp_hw.schedule.design import LayerDesign
from jp_hw.schedule.estimate import (
    IO,
    Resources,
    estimate,
    layer_resources,
    ring_choices,
    with_memories,
)
from jp_hw.schedule.interleave import MOST, Factors, fault, interleave
from jp_hw.schedule.memories import paired
from jp_hw.schedule.polish import polish

Shape = tuple[tuple[int, int], ...]
"""Columns interleaved and output streams, of every layer."""
Key = tuple[int, Shape]
"""A layer's number, its columns and streams, and those of the layers that it reads."""
Choices = tuple[Resources, Resources]
"""What a layer needs, by the memories of its accumulators (`ring_choices`)."""
Needs = dict[tuple[object, ...], tuple[Choices, Choices]]
"""What was asked for before (`_Round.choices`)."""
WINDOW = (0.3, 0.8, 1.02)
"""Ways are listed whose cycles are so many times today's: few below the second number, and those only
where block RAM is SCARCE, as they are of use where PEs with less to do need less memory each."""
SCARCE = 0.9
"""The share of the board's block RAM in use."""
STEP = (0.92, 0.98)
"""The next one must have no more of the cycles than that, in the two parts of the window."""
MORE = 1.08
"""So many times the PEs are listed although they do not save as much."""
PRICES = (0.0, 1.0, 8.0)
"""Prices of a share of the board's DSP slices and flip-flops, in shares of its LUTs."""
EASE = (1.0, 0.3, 0.1, 0.03, 0.0)
"""What is left of a board goes to layers that are nearly the slowest: prices of their work."""
STEPS = 6
"""So many layers' interleaved columns or streams are changed at most."""
HEAVY = 5
"""Of so many layers, those that take most of the board, and of as many of the slowest."""
TAKEN = 0.96
"""The share of the block RAM that layers may take: the rest makes room for what waits (`search`)."""
ROUNDS = 8
"""Ways are listed so many times, as long as that pays: each time only those around what was found, and
what a layer costs depends on how its neighbours are computed."""
PAYS = 0.99
"""Another round follows when one left no more of the cost than that."""
SHAPES = 4
"""Of so many shapes, the most promising ones, mixes are built in a round, two at most of each."""
POLISHED = (1.0, 0.995, 0.99, 0.98)
"""Shares of what layers may take that a polished mix is tried with: built, it may need more."""
MISSES = 12
"""So many mixes of a shape are built that the board does not hold after all,"""
APART = 1.005
"""each with so many times the cycles of the one before."""


@dataclass(frozen=True)
class Way:
    """One way to compute a layer.

    work: cycles of its PEs; cycles: of the slower, PEs or tokens; frames: the same of every sample.
    """

    place: Placement
    work: float
    cycles: float
    frames: NDArray[np.float64]
    need: Resources


@dataclass(frozen=True)
class Limits:
    """What all layers may take together: of the board, and PEs."""

    budget: Budget
    pes: int

    def hold(self, ways: Sequence[Way]) -> bool:
        """Whether the layers' ways fit."""
        need = sum((way.need for way in ways), start=IO)
        pes = sum(len(way.place.channel_of) for way in ways)
        return pes <= self.pes and not need.exceeds(self.budget)


def exchange(
    network: Network,
    samples: Samples,
    board: Board,
    pes: int | None,
    start: Allocation,
    judge: Callable[[Sequence[Allocation]], list[float]],
) -> Allocation:
    """An allocation that the board holds and that costs less, as `judge` says, or the same one.

    network: without interleaved columns. pes: at most so many in all. judge: what
    allocations cost that are to be compared.
    """
    usable = board.budget.usable
    budget = usable.model_copy(update={"bram18": int(TAKEN * usable.bram18)})
    limits = Limits(budget, usable.dsp if pes is None else pes)
    best = start
    needs: Needs = {}
    for _ in range(ROUNDS):
        found = _Round(network, samples, limits, best, needs).best()
        cost, *judged = judge([best, *found])
        least = min(judged, default=cost)
        if least >= cost:
            break
        best = found[judged.index(least)]
        if least > PAYS * cost:
            break
    return best


class _Round:
    """Mixes of ways around an allocation."""

    def __init__(
        self,
        network: Network,
        samples: Samples,
        limits: Limits,
        start: Allocation,
        needs: Needs,
    ) -> None:
        self.network, self.samples, self.limits = network, samples, limits
        self.start, self.needs = start, needs
        scarce = estimate(start.layers).bram18 > SCARCE * limits.budget.bram18
        self.window = (WINDOW[0] if scarce else WINDOW[1]) * start.cycles, WINDOW[2] * start.cycles
        self.listed: dict[Key, list[Way]] = {}

    def best(self) -> list[Allocation]:
        """Those of the most promising shapes that fit, the most promising first."""
        columns = self.start.candidates.columns
        now: Shape = tuple(
            (columns.get(layer.name, 1), place.streams)
            for layer, place in zip(self.network.layers, self.start.places, strict=True)
        )
        reached = {now: self.goal(now)}
        for _ in range(0 if self.network.dense else STEPS):
            for other in self.neighbours(now):
                if other not in reached:
                    reached[other] = self.goal(other)
            best = min(reached, key=lambda shape: reached[shape])
            if reached[best] >= reached[now]:
                break
            now = best
        found = [
            mix
            for shape in sorted(reached, key=lambda shape: reached[shape])[:SHAPES]
            for mix in self.mixes(shape)
        ]
        return sorted(found, key=lambda mix: mix.expected)

    def mixes(self, shape: Shape) -> Iterator[Allocation]:
        """Those of a shape that the board holds: one whose slowest layer is fast, and polished."""
        ways, tried, misses = self.ways(shape), 0.0, 0
        least = self.least(ways)
        for goal in _goals(ways):
            if goal < max(least, APART * tried):
                continue
            tried = goal
            for ease in EASE:
                chosen = _chosen(ways, goal, self.limits, ease)
                mix = None if chosen is None else self.built(shape, chosen)
                if chosen is not None and mix is not None:
                    yield mix
                    yield from islice(self.better(shape, ways, chosen), 1)
                    return
            misses += 1
            if misses == MISSES:
                return

    def better(
        self, shape: Shape, ways: Sequence[Sequence[Way]], chosen: Sequence[Way]
    ) -> Iterator[Allocation]:
        """Polished mixes that the board holds, up to where polishing changes nothing."""
        for share in POLISHED:
            found = self.polished(ways, chosen, share)
            if all(way is own for way, own in zip(found, chosen, strict=True)):
                return
            mix = self.built(shape, found)
            if mix is not None:
                yield mix

    def polished(
        self, ways: Sequence[Sequence[Way]], chosen: Sequence[Way], share: float
    ) -> list[Way]:
        """The ways around chosen ones with which a mean frame takes the fewest cycles.

        share: of what layers may take.
        """
        cycles = [np.stack([way.frames for way in each]) for each in ways]
        needs = [
            np.array([_kinds(way.need, len(way.place.channel_of)) for way in each]) for each in ways
        ]
        limits = share * (_kinds(self.limits.budget, self.limits.pes) - _kinds(IO, 0))
        start = [
            next(i for i, way in enumerate(each) if way is own)
            for each, own in zip(ways, chosen, strict=True)
        ]
        best = polish(cycles, needs, limits, start)
        return [each[i] for each, i in zip(ways, best, strict=True)]

    def factors(self, shape: Shape) -> dict[str, int]:
        """Columns by layer."""
        return {layer.name: n for layer, (n, _) in zip(self.network.layers, shape, strict=True)}

    def neighbours(self, shape: Shape) -> Iterator[Shape]:
        """With twice or half as many columns of one heavy or slow layer, or streams, also of one that
        such a layer reads."""
        heavy = sorted(self.start.layers, key=lambda layer: -layer_resources(layer).lut)
        some = {layer.name for layer in heavy[:HEAVY]} | set(self.start.order[:HEAVY])
        read = {
            s.tensor for layer in self.network.layers if layer.name in some for s in layer.sources
        }
        for i, layer in enumerate(self.network.layers):
            columns, streams = shape[i]
            others = (
                [(n, streams) for n in (2 * columns, columns // 2)] if layer.name in some else []
            )
            if layer.requantize is not None and layer.name in some | read:
                others += [(columns, n) for n in (2 * streams, streams // 2)]
            for n, parts in others:
                if 1 <= n <= MOST and 1 <= parts <= MAX_STREAMS and fault(layer, n) is None:
                    yield (*shape[:i], (n, parts), *shape[i + 1 :])

    def goal(self, shape: Shape) -> float:
        """Cycles of a mean frame with the best ways that fit."""
        ways = self.ways(shape)
        chosen = _chosen(ways, self.least(ways), self.limits)
        if chosen is None:
            return np.inf
        best = self.polished(ways, chosen, 1.0)
        return float(np.max([way.frames for way in best], axis=0).mean())

    def least(self, ways: Sequence[Sequence[Way]]) -> float:
        """The least cycles for which there are ways that fit."""
        goals = _goals(ways)
        low, high = 0, len(goals)
        while low < high:
            middle = (low + high) // 2
            if _chosen(ways, goals[middle], self.limits) is None:
                low = middle + 1
            else:
                high = middle
        return goals[low] if low < len(goals) else np.inf

    def ways(self, shape: Shape) -> list[list[Way]]:
        """Of every layer. They depend on columns and streams, its own and those of its sources."""
        network, at = self.network, {layer.name: i for i, layer in enumerate(self.network.layers)}
        keys: list[Key] = [
            (i, (shape[i], *(shape[at[s.tensor]] for s in layer.sources if s.tensor in at)))
            for i, layer in enumerate(network.layers)
        ]
        missing = [i for i, key in enumerate(keys) if key not in self.listed]
        if missing:
            factors = self.factors(shape)
            inside = interleave(network, factors)
            every = self.samples.loads(inside, factors)
            places = [
                load.placed(
                    replace(place, streams=streams),
                    assign(load.work, min(max(len(place.channel_of), streams), load.channels)),
                )
                for place, load, (_, streams) in zip(self.start.places, every, shape, strict=True)
            ]
            designs = {d.name: d for d in build_layers(inside, places)}
            for i in missing:
                self.listed[keys[i]] = []
                for beside, load in self.borders(inside, factors, i):
                    now = replace(places[i], beside=beside)
                    self.listed[keys[i]] += self.of_layer(inside, load, now, designs, keys[i])
        return [self.listed[key] for key in keys]

    def borders(self, inside: Network, factors: Factors, at: int) -> Iterator[tuple[int, Load]]:
        """What a layer may compute beside its map, and its work then.

        Where columns are interleaved nothing or all: in between, `Samples` do not know the work.
        """
        layer = self.network.layers[at]
        plain = all(
            factors.get(n, 1) == 1 for n in (layer.name, *(s.tensor for s in layer.sources))
        )
        more = () if inside.dense else savings(inside, inside.layers[at])
        for beside in (0, *(beside for beside in more if plain or beside == ANY)):
            yield beside, self.samples.loads(inside, factors, {layer.name: beside})[at]

    def of_layer(
        self,
        inside: Network,
        load: Load,
        now: Placement,
        designs: Mapping[str, LayerDesign],
        key: Key,
    ) -> Iterator[Way]:
        """How a layer may be computed while all others are as given. key: the layer's."""
        layer = inside.layers[key[0]]
        streams = {design.name: len(design.streams) for design in designs.values()}
        several = len(designs[layer.name].lanes) > 1
        tokens = {
            joined: load.pace(streams, joined=joined)[0]
            for joined in ((False, True) if several else (False,))
        }
        for channel_of in self.spreads(load):
            place = load.placed(now, channel_of)
            if place.streams > len(channel_of):
                continue
            work = load.pe_cycles(channel_of)
            needs = self.choices(inside, layer, place, designs, key)
            for joined, paced in tokens.items():
                own, cycles = replace(place, joined=joined), max(work, paced)
                frames = load.frame_cycles(channel_of, streams, joined=joined)
                for need in needs[joined]:
                    yield Way(own, work, cycles, frames, need)

    def choices(
        self,
        inside: Network,
        layer: Layer,
        place: Placement,
        designs: Mapping[str, LayerDesign],
        key: Key,
    ) -> tuple[Choices, Choices]:
        """What a layer at a place needs, each lane with its own bus or all with one, by the memories of
        its accumulators. What was asked for before, in other rounds, too, is remembered."""
        buffers = tuple(lane.buffer for lane in designs[layer.name].lanes)
        spread = [place.channel_of]
        spread += [designs[s.tensor].channel_of for s in layer.sources if s.tensor in designs]
        known = (
            *key,
            buffers,
            replace(place, joined=False).settings,
            *((of.shape, of.tobytes()) for of in spread),
        )
        if known not in self.needs:
            design = layer_design(inside, layer, place, dict(designs))
            lanes = (
                replace(lane, buffer=buffer)
                for lane, buffer in zip(design.lanes, buffers, strict=True)
            )
            design = paired(replace(design, lanes=tuple(lanes)))
            apart, joined = (replace(design, joined=joined) for joined in (False, True))
            self.needs[known] = ring_choices(apart), ring_choices(joined)
        return self.needs[known]

    def spreads(self, load: Load) -> Iterator[Int]:
        """Channels spread over PEs, more and more.

        Each time with fewer cycles, fewer slots, or so many more PEs that each may need less memory.
        """
        channels, work = load.channels, float(load.work.sum(1).mean())
        (low, high), last, fewest, before = self.window, np.inf, channels + 1, 0
        for pes in range(max(1, int(work / high)), min(channels, self.limits.pes) + 1):
            slots = -(-channels // pes)
            ideal = work / pes + load.drained(slots)
            near = ideal >= WINDOW[1] * self.start.cycles
            other = slots < fewest or pes >= MORE * before
            enough = np.inf if other else last if near else STEP[0] * last
            if ideal > min(high, enough):
                continue
            channel_of = assign(load.work, pes)
            found = load.pe_cycles(channel_of)
            if found <= high and (other or found < STEP[near] * last):
                last, fewest, before = min(last, found), slots, pes
                yield channel_of
            if last < low:
                return

    def built(self, shape: Shape, ways: Sequence[Way]) -> Allocation | None:
        """The allocation of some ways, None if the board does not hold it."""
        factors, places = self.factors(shape), [way.place for way in ways]
        names = (layer.name for layer in self.network.layers)
        beside = {name: place.beside for name, place in zip(names, places, strict=True)}
        inside = interleave(self.network, factors)
        layers = with_memories(build_layers(inside, places), self.limits.budget)
        if estimate(layers).exceeds(self.limits.budget):
            return None
        tried = replace(
            self.start.candidates,
            network=inside,
            columns=factors,
            loads=self.samples.loads(inside, factors, beside),
            states=[places],
        )
        return allocation(tried, places, layers, full=True)


def _kinds(amounts: Resources | Budget, pes: int) -> NDArray[np.float64]:
    """Everything that is limited, in one order."""
    return np.array([*(getattr(amounts, kind) for kind in KINDS), pes], float)


def _goals(ways: Sequence[Sequence[Way]]) -> list[float]:
    """Cycles that may be aimed at."""
    return sorted({way.cycles for each in ways for way in each})


def _chosen(
    ways: Sequence[Sequence[Way]], goal: float, limits: Limits, ease: float = 0.0
) -> list[Way] | None:
    """For every layer a way with so many cycles, the cheapest that fit together; None if none do.

    ease: the price of PEs that are nearly as slow as the goal.
    """
    fast = [[way for way in each if way.cycles <= goal] for each in ways]
    for price in PRICES if all(fast) else ():
        costs = [
            [_cost(way, limits.budget, price) + ease * (way.work / goal) ** 4 for way in each]
            for each in fast
        ]
        chosen = cheapest(fast, costs, limits.budget.bram18 - IO.bram18)
        if chosen and limits.hold(chosen):
            return chosen
    return None


def _cost(way: Way, budget: Budget, price: float) -> float:
    """What a way takes of all but block RAM; price: of DSP slices and flip-flops."""
    need = way.need
    return need.lut / budget.lut + price * (need.dsp / budget.dsp + need.ff / budget.ff)


def cheapest(
    ways: Sequence[Sequence[Way]], costs: Sequence[Sequence[float]], blocks: int
) -> list[Way] | None:
    """One way of every layer, the cheapest that together take no more than so many block RAMs."""
    blocks = min(blocks, sum(max(way.need.bram18 for way in each) for each in ways))
    least = np.zeros(blocks + 1)  # cost of the layers so far, by block RAMs that they may take
    picks = []
    for each, own in zip(ways, costs, strict=True):
        table = np.full((len(each), blocks + 1), np.inf)
        for row, way, cost in zip(table, each, own, strict=True):
            if way.need.bram18 <= blocks:
                row[way.need.bram18 :] = cost + least[: blocks + 1 - way.need.bram18]
        picks.append(table.argmin(0))
        least = table.min(0)
    if not np.isfinite(least[blocks]):
        return None
    chosen: list[Way] = []
    for each, pick in zip(reversed(ways), reversed(picks), strict=True):
        chosen.append(each[pick[blocks]])
        blocks -= chosen[-1].need.bram18
    return chosen[::-1]
