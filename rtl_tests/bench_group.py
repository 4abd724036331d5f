"""Bench of jp_group, against sums in Python; columns and thresholds come with the job."""

from random import Random
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from rtl_tests.pools import from_parameters, words
from rtl_tests.streams import (
    IDLE,
    STALL,
    Broadcast,
    Winners,
    job,
    now,
    parameter,
    reset,
    seeded,
    start,
    until,
)

LANES, RING_BITS, VALUE_BITS, COLUMN_BITS, ACC_BITS, SLOTS, OUT_WIDTH, CHANNEL_BITS, X_BITS = (
    parameter(name)
    for name in (
        "Buses",
        "RingBits",
        "ValueBits",
        "ColumnBits",
        "AccBits",
        "Slots",
        "OutWidth",
        "ChannelBits",
        "OutXBits",
    )
)
PES = parameter("Pes")
WEIGHTS = job()["data"]["columns"]  # per PE and column, its [weight, offset]; offsets are the same
COLUMNS = WEIGHTS[0]
THRESHOLDS = job()["data"]["thresholds"]  # per PE and slot, [keep_from, keep_to]
MOST_VALUE = job()["data"]["most_value"]
LEFT, RIGHT = job()["data"]["taps"]  # per column and weight, taps on its left, and on its right
SIDES, CUT_BITS = parameter("SideBits") // 2, parameter("CutBits")
FIRST, LAST = job()["data"]["cuts"]  # per column, entries of its first and of its last output row
RING = 1 << RING_BITS
OUTPUTS = OUT_WIDTH * SLOTS
ROW = parameter("MapWidth") * SLOTS
HEIGHT, OUT_HEIGHT = parameter("MapHeight"), parameter("OutHeight")
POOL = from_parameters(job()["parameters"])
TAPS = POOL.window[0] * POOL.window[1] if POOL else 1
SPAN = RING // ROW  # rows that the ring holds
WORK_WIDTH = 1 + COLUMN_BITS + CUT_BITS + 2 * SIDES + RING_BITS + VALUE_BITS
WORK_MARKER = 1 << (WORK_WIDTH - 1)
MARKER = 1 << (CHANNEL_BITS + X_BITS + ACC_BITS)
LATENCY = 13 + (POOL is not None)
DRAIN = 3  # cycles of an empty row in which a PE is busy, but for those until its last word is read
SINGLE = 0  # column with one entry, at offset 0
COMPLEMENT = (1 << COLUMN_BITS) - 1 if parameter("PairedRoms") else 0  # of columns' numbers

# a touch: lane, column, base counted from the first row in the making, value, PEs as a mask; the
# column's taps that lead beside the map, on the left and on the right, and what is cut of it
Touch = tuple[int, int, int, int, int, tuple[int, int, int]]
WHOLE = (0, 0, 0)


def value(rng: Random) -> int:
    if rng.random() < 0.1:
        return MOST_VALUE
    return (
        rng.randint(-MOST_VALUE - 1, MOST_VALUE)
        if parameter("ValueSigned")
        else rng.randint(0, MOST_VALUE)
    )


def touches(rng: Random, count: int, space: int) -> list[Touch]:
    """Work within `space` words."""
    found = []
    for _ in range(count if space else 0):
        column = rng.randrange(len(COLUMNS))
        reach = max(offset for _, offset in COLUMNS[column])
        if reach >= space:
            column, reach = SINGLE, 0
        base = rng.randrange(space - reach) if rng.random() < 0.7 else 0
        cut = rng.randrange(3) if CUT_BITS else 0
        sides = rng.randrange(1 << SIDES), rng.randrange(1 << SIDES), cut
        lane, pes = rng.randrange(LANES), rng.randrange(1, 1 << PES)
        found.append((lane, column, base, value(rng), pes, sides if rng.random() < 0.5 else WHOLE))
    return found


class Model:
    """Rows are counted over frames: of sums, and of outputs (self.row)."""

    def __init__(self) -> None:
        self.rings = [[0] * RING for _ in range(PES)]
        self.row = 0
        self.macs = 0

    def window(self, number: int) -> tuple[int, int]:
        """First row of sums that an output row needs, and the first one that it does not."""
        if POOL is None:
            return number, number + 1
        frame, row = divmod(number, OUT_HEIGHT)
        live = [i for i, on in enumerate(POOL.live(0, row)) if on]
        first = frame * HEIGHT + row * POOL.stride[0] - POOL.padding[0]
        return first + live[0], first + live[-1] + 1

    def making(self) -> tuple[int, int]:
        """Rows of sums that may be worked on now: from, to; the row before may still be drained."""
        if POOL is None:
            return self.row, self.row + SPAN - 1
        frame = self.row // OUT_HEIGHT
        oldest, final = self.window(self.row - 1) if self.row else (0, 0)
        return max(final, frame * HEIGHT), min((frame + 1) * HEIGHT, oldest + SPAN)

    @property
    def space(self) -> int:
        """Words in the making."""
        first, end = self.making()
        return max(0, end - first) * ROW

    def words(self, row: list[Touch]) -> list[list[tuple[int, int]]]:
        """Work of a row and its PEs, by lane, the marker last; adds it up."""
        lanes: list[list[tuple[int, int]]] = [[] for _ in range(LANES)]
        for lane, column, place, value, pes, (left, right, cut) in row:
            base = (self.making()[0] * ROW + place) % RING
            pattern = value & ((1 << VALUE_BITS) - 1)
            named = column ^ COMPLEMENT
            sides = (cut << SIDES | right) << SIDES | left
            where = (named << CUT_BITS + 2 * SIDES | sides) << RING_BITS | base
            begin = FIRST[column] if cut == 1 else 0
            end = len(COLUMNS[column]) - (LAST[column] if cut == 2 else 0)
            lanes[lane].append((where << VALUE_BITS | pattern, pes))
            for p, ring in enumerate(self.rings):
                for i, (weight, offset) in enumerate(WEIGHTS[p][column]):
                    if not pes >> p & 1 or not begin <= i < end:
                        continue
                    if LEFT[column][i] < left or RIGHT[column][i] < right:
                        continue
                    at = (base + offset) % RING
                    ring[at] += weight * value
                    assert -(1 << (ACC_BITS - 1)) <= ring[at] < 1 << (ACC_BITS - 1)
            self.macs += (end - begin) * pes.bit_count()
        return [[*words, (WORK_MARKER, (1 << PES) - 1)] for words in lanes]

    def windows(self) -> list[list[tuple[int, bool, bool]]]:
        """Per output of the oldest row, (address, live, erase) of its words."""
        if POOL is None:
            return [[(self.row * ROW + i, True, True)] for i in range(ROW)]
        return words(POOL, SLOTS, *divmod(self.row, OUT_HEIGHT))

    def drain(self) -> list[int]:
        """Winners of the oldest row, of one PE after the other, and its marker."""
        winners = []
        for p, ring in enumerate(self.rings):
            for i, window in enumerate(self.windows()):
                acc = max(ring[at % RING] for at, live, _ in window if live)
                for at, _, erase in window:
                    ring[at % RING] *= not erase
                x, slot = divmod(i, SLOTS)
                keep_from, keep_to = THRESHOLDS[p][slot]
                if acc >= keep_from or (parameter("TwoSided") and acc <= keep_to):
                    place = (parameter("FirstChannel") + p * SLOTS + slot) << X_BITS | x
                    winners.append(place << ACC_BITS | acc & ((1 << ACC_BITS) - 1))
        self.row += 1
        return [*winners, MARKER]


class Bench:
    def __init__(self, dut: Any, rng: Random, idle: float, stall: float) -> None:
        self.dut, self.rng = dut, rng
        self.source = Broadcast(dut, rng, idle, LANES, PES, WORK_WIDTH)
        self.sink = Winners(dut, rng, stall)
        self.mac_cycles: list[int] = []  # of the first PE
        self.macs = self.busy = 0
        self.clear()
        cocotb.start_soon(self.watch())

    def clear(self) -> None:
        self.model = Model()
        self.expected: list[int] = []
        self.sink.words.clear()
        self.sink.cycles.clear()
        self.mac_cycles.clear()
        self.macs = 0

    async def watch(self) -> None:
        while True:
            await RisingEdge(self.dut.clk_i)
            if self.dut.rst_ni.value == 1:
                self.busy += self.dut.busy_o.value != 0
                macs = int(self.dut.count_mac_o.value)
                self.macs += macs.bit_count()
                if macs & 1:
                    self.mac_cycles.append(now())

    def touch(self, count: int) -> None:
        """Send a row of random work."""
        self.send(touches(self.rng, count, self.model.space))

    def places(self, count: int, rng: Random) -> list[int]:
        return [rng.randrange(self.model.space) for _ in range(count if self.model.space else 0)]

    def send(self, row: list[Touch]) -> None:
        for lane, work in enumerate(self.model.words(row)):
            self.source.send(work, lane)
        self.expected += self.model.drain()

    async def finish(self) -> None:
        await until(self.dut, lambda: len(self.sink.words) >= len(self.expected), 60_000)
        await ClockCycles(self.dut.clk_i, PES * OUTPUTS * TAPS + 20)
        place = ~((1 << (CHANNEL_BITS + X_BITS + ACC_BITS)) - 1)
        words = [word & place if word & MARKER else word for word in self.sink.words]
        assert words == self.expected
        assert self.macs == self.model.macs <= PES * self.busy
        assert self.source.done
        assert self.dut.busy_o.value == 0

    async def ready(self) -> None:
        """Start, and wait until the ring is cleared."""
        await start(self.dut)
        await ClockCycles(self.dut.clk_i, RING + 12)
        assert self.dut.busy_o.value == 0


@cocotb.test()
@cocotb.parametrize(idle=IDLE, stall=STALL)
async def rows(dut: Any, idle: float, stall: float) -> None:
    """Rows of any length, sent during the clearing already; the ring comes round several times."""
    rng = seeded(dut, "rows", idle, stall)
    bench = Bench(dut, rng, idle, stall)
    for _ in range(3 * SPAN + 4):
        bench.touch(rng.choice([0, 1, 2, 5, 12]))
    await start(dut)
    await bench.finish()


@cocotb.test()
@cocotb.parametrize(distance=[1, 2, 3, 4, 5])
async def hazards(dut: Any, distance: int) -> None:
    """Words read while they are being written: the same one again `distance` cycles later."""
    rng = seeded(dut, "hazards", distance)
    bench = Bench(dut, rng, 0.0, 0.0)
    await bench.ready()
    for last in (False, True):
        for _ in range(4):
            space = bench.model.space
            first = space - min(distance, space) if last else 0
            places = [first + i % distance % max(space, 1) for i in range(24 if space else 0)]
            bench.send([(0, SINGLE, place, value(rng), 1, WHOLE) for place in places])
    await bench.finish()


@cocotb.test()
async def one_column_a_cycle(dut: Any) -> None:
    """Columns of one entry, back to back, also while a row is drained, which takes its cycles; then long
    ones."""
    rng = seeded(dut, "rate")
    bench = Bench(dut, rng, 0.0, 0.0)
    await bench.ready()
    lanes = range(LANES)

    async def at_full_rate(work: list[Touch], drains: int = 0) -> None:
        del bench.mac_cycles[:]
        bench.macs = bench.model.macs = 0
        bench.send(work)
        await bench.finish()
        begin, end = min(bench.mac_cycles, default=0), max(bench.mac_cycles, default=-1)
        drained = drains * OUTPUTS * TAPS
        assert end + 1 - begin <= len(bench.mac_cycles) + drained or parameter("FifoDepth") < 8

    for lane in lanes:  # one lane alone is fast enough
        await at_full_rate(
            [(lane, SINGLE, at, value(rng), 1, WHOLE) for at in bench.places(60, rng)]
        )
    bench.send([])
    await at_full_rate(
        [(rng.choice(lanes), SINGLE, at, value(rng), 1, WHOLE) for at in bench.places(60, rng)], 1
    )
    longest = max(range(len(COLUMNS)), key=lambda c: len(COLUMNS[c]))
    reach = max(offset for _, offset in COLUMNS[longest])
    for _ in range(2 * OUT_HEIGHT):  # up to a row that has room for it
        if bench.model.space <= reach:
            bench.send([])
    await bench.finish()
    longest = longest if bench.model.space > reach else SINGLE
    room = 20 if bench.model.space else 0
    await at_full_rate([(rng.choice(lanes), longest, 0, value(rng), 1, WHOLE) for _ in range(room)])


@cocotb.test()
async def drain_latency(dut: Any) -> None:
    """The first winner (slot 0 always wins) comes LATENCY cycles after the marker, then an output each
    TAPS cycles, of one PE after the other; every second cycle one is popped."""
    bench = Bench(dut, seeded(dut, "latency"), 0.0, 0.0)
    await bench.ready()
    idle = bench.busy
    bench.send([])
    await bench.finish()
    begin = bench.source.cycles[0][-1] + LATENCY
    assert bench.sink.cycles[0] - begin == TAPS - 1
    words = PES * OUTPUTS * TAPS
    waiting = words // 2 if TAPS == 1 else 1  # winners in the queue, at most
    if waiting < parameter("WinnerDepth") - 10:  # else a full queue slows the drain
        assert bench.busy - idle == words + DRAIN
        expected = begin
        for word, popped in zip(bench.sink.words, bench.sink.cycles, strict=True):
            x, channel = word >> ACC_BITS & ((1 << X_BITS) - 1), word >> ACC_BITS + X_BITS
            pe, slot = divmod(channel - parameter("FirstChannel"), SLOTS)
            output = pe * OUTPUTS + x * SLOTS + slot
            place = words if word & MARKER else (output + 1) * TAPS - 1
            expected = max(begin + place, expected)
            assert popped == expected
            expected += 2
    assert bench.model.macs == 0


@cocotb.test()
async def nobody_takes_winners(dut: Any) -> None:
    """Drains wait for room, MACs for drains, and the lanes for MACs; nothing is lost."""
    rng = seeded(dut, "full")
    bench = Bench(dut, rng, 0.0, 1.0)
    await bench.ready()
    for _ in range(30):
        bench.touch(3)
    await ClockCycles(dut.clk_i, 10 * (PES * OUTPUTS * TAPS + 20))
    assert not bench.source.done or len(bench.expected) <= parameter("WinnerDepth")
    assert dut.busy_o.value != 0
    bench.sink.stall = 0.0
    await bench.finish()


@cocotb.test()
async def reset_in_a_row(dut: Any) -> None:
    """Half made rows, queues and drains are forgotten; no work is done while the ring is cleared."""
    rng = seeded(dut, "reset")
    bench = Bench(dut, rng, 0.1, 0.3)
    await start(dut)
    for cycles in (2, 30, RING + 15, RING + 40, RING + 90):
        for _ in range(8):
            bench.touch(8)
        await ClockCycles(dut.clk_i, cycles)
        bench.source.clear()
        await reset(dut)
        bench.clear()
        bench.touch(6)
        bench.touch(6)
        await ClockCycles(dut.clk_i, RING)
        assert bench.sink.words == []
        assert bench.macs == 0
        await bench.finish()
