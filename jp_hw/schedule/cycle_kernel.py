"""The compiled part of the cycle simulation: the RTL's queues and handshakes, cycle by cycle.

Every function advances one kind of unit by one cycle from the registers of the cycle before, so units
are visited from the output to the input. A word is a token's id, MARKER, or NONE; ids index the
tables of `traffic.Traffic`. PEs in a long column, or without work, sleep until something can happen.
Threads may simulate a design each.
"""

# mypy: disable-error-code="no-untyped-def"

import numpy as np

from jp_hw.ir import Int
from jp_hw.schedule.compiled import inlined, jit
from jp_hw.schedule.memories import MERGE_QUEUE, NEAR_MERGE

MARKER, NONE = -1, -2
DELAY = 9  # cycles from the choice of a word to drain to its first cycle in the winner queue
FIFO_SLACK, WINNER_SLACK, MERGE_SLACK = 1, 8, 2
ALL = -2  # every group of a stream is popped
BEAT_QUEUE = 64  # beats that the tokenizer holds
NEVER = 1 << 60

# a PE: fetched column (0: marker, -1: none), cycle in which its walk ends, whether a row waits for its
# drain and from when on it can be read, a cycle that a drain takes, outputs drained so far
COLUMN, END_OF_WALK, PENDING, SINCE, TAKEN, OUT, ACTIVE = range(7)
# a group: PE whose turn it is, words of its row that are left, whether a marker comes next, winner
# queue, the first cycle in which it can ask its merge again, and the one behind its queue's last pop
MEMBER, LEFT, MARK, HEAD, COUNT, ASKS, TAKEN_BY = range(7)
# a register stage of two words
FIRST, SPARE = range(2)
# a dispatcher: pipeline stages 1 and 2 (which holds two words), input row, markers sent for it; its
# words are columns, by their place in `pointers`
STAGE2, SPARE2, STAGE1, IN_ROW, REPEAT = range(5)
# a bus: the stage that joins lanes (two words), stages 3 and 4, output register, PE waited for, and
# the lane whose turn it is; its words are columns, too
JOINED, SPARE_JOINED, STAGE3, STAGE4, SENT, WAITS, TURN = range(7)
# a merge: group whose queue is being popped (-1: none), and in the cycle before, and the one proposed
# to come next, the words that the first two give, the queue behind, and whether a word just left it
POPPING, BEFORE, PROPOSED, POPPED, SENDING, WORDS, AT_WORD, LEFT_IT = range(8)
# a lane's buffer: level, read position, whether it was filled, ready, read from in the cycle before, the
# word read, the one offered
LEVEL, AT, FILLED, READY, READ, WORD, OFFERED = range(7)


@inlined
def after(at, words, queue):
    """The place so many words behind another one; a queue's last axis is a power of two."""
    return (at + words) & (queue.shape[queue.ndim - 1] - 1)


@inlined
def within(at, depth):
    """A place in a buffer; `at` may be up to one round too far."""
    return at - depth if at >= depth else at


@inlined
def spill_step(i, spills, word, ready):
    """Advance a two-word register stage; `word` is what it is offered, NONE if nothing."""
    room = spills[i, SPARE] == NONE
    if spills[i, FIRST] == NONE or ready:
        if room:
            spills[i, FIRST] = word
        else:
            spills[i, FIRST] = spills[i, SPARE]
            spills[i, SPARE] = NONE
    elif room:
        spills[i, SPARE] = word


@inlined
def fetch_column(p, lanes, pes, levels, heads, fifo, ready, popped, depth, cycle):
    """Fetch the next column or marker from a PE's lane queues."""
    markers = 0
    pes[p, COLUMN] = -1
    for lane in range(lanes):
        if levels[p, lane] > 0:
            if fifo[p, lane, heads[p, lane]] == 0:
                markers += 1
            else:
                pes[p, COLUMN] = fifo[p, lane, heads[p, lane]]
                pop(p, lane, levels, heads, fifo, ready, popped, depth, cycle)
                return
    if markers == lanes:
        pes[p, COLUMN] = 0
        for lane in range(lanes):
            pop(p, lane, levels, heads, fifo, ready, popped, depth, cycle)


@inlined
def ready_from(level, popped, limit, cycle):
    """From when on a queue says that it is ready, if nothing but what moved in this cycle moves.

    It does not look at what is being popped.
    """
    if level + popped <= limit:
        return cycle + 1
    return cycle + 2 if level <= limit else NEVER


@inlined
def pop(p, lane, levels, heads, fifo, ready, popped, depth, cycle):
    """Take the first word of a PE's lane queue."""
    heads[p, lane] = after(heads[p, lane], 1, fifo)
    levels[p, lane] -= 1
    popped[p, lane] = cycle
    ready[p, lane] = ready_from(levels[p, lane], 1, depth - 1 - FIFO_SLACK, cycle)


@inlined
def has_room(g, groups, times, limit, cycle):
    """Whether a group's winner queue said in this cycle that words may come; a word is there from its
    time on."""
    level, most = groups[g, COUNT], limit - (groups[g, TAKEN_BY] == cycle)
    while level > most and times[g, after(groups[g, HEAD], level - 1, times)] > cycle:
        level -= 1
    return level <= most


@inlined
def group_step(g, first, last, lo, pes, groups, size, room, queues, times, won, won_at, ids, cycle):
    """Advance what drains a group, PEs first..last-1 of a layer whose PEs begin at `lo`.

    size: outputs of a row, words of an output, pooled. ids: of one PE.
    """
    outputs, taps, pooled = size[0], size[1], size[2]
    p, word = first + groups[g, MEMBER], NONE
    reads = pes[p, PENDING] and pes[p, SINCE] <= cycle
    if not (groups[g, MARK] or reads) or not has_room(g, groups, times, room, cycle):
        return
    if groups[g, MARK]:
        word, groups[g, MARK] = MARKER, 0
    else:
        if groups[g, LEFT] == 0:
            groups[g, LEFT] = outputs * taps
        groups[g, LEFT] -= 1
        if groups[g, LEFT] % taps == 0:
            out = (p - lo) * ids + pes[p, OUT]
            pes[p, OUT] += 1
            if won[won_at + out]:
                word = out
        pes[p, TAKEN] = cycle + 1
        if pes[p, END_OF_WALK] > cycle + 1:
            pes[p, END_OF_WALK] += 1
        if groups[g, LEFT] == 0:
            pes[p, PENDING] = 0
            groups[g, MARK] = p + 1 == last
            groups[g, MEMBER] = 0 if groups[g, MARK] else groups[g, MEMBER] + 1
    if word != NONE:
        place = after(groups[g, HEAD], groups[g, COUNT], queues)
        queues[g, place] = word
        times[g, place] = cycle + DELAY + pooled
        groups[g, COUNT] += 1


@inlined
def pe_step(p, lanes, pes, levels, heads, fifo, ready, popped, depth, cycle):
    """Advance a PE; returns (MACs that it began, cycle in which it must be looked at again)."""
    end = pes[p, END_OF_WALK]
    column = pes[p, COLUMN]
    column_ready = (
        end - cycle <= 1 and pes[p, TAKEN] != cycle and not (column == 0 and pes[p, PENDING])
    )
    fetch = column < 0 or column_ready
    macs = 0
    if column >= 0 and column_ready:
        if column == 0:
            pes[p, PENDING] = 1
            pes[p, SINCE] = cycle + 2
        else:
            macs = column
            end = cycle + 1 + macs
            pes[p, END_OF_WALK] = end
    if fetch:
        fetch_column(p, lanes, pes, levels, heads, fifo, ready, popped, depth, cycle)
    full = False
    for lane in range(lanes):
        full |= levels[p, lane] > 0
    left = end - (cycle + 1)
    waiting = pes[p, COLUMN] >= 0
    active = full or waiting or left > 0 or pes[p, PENDING]
    pes[p, ACTIVE] = active
    if not active:
        return macs, NEVER
    if left >= 2 and (waiting or not full):
        return macs, cycle + left
    return macs, cycle + 1


@inlined
def pes_step(lo, hi, lanes, wake, pes, levels, heads, fifo, ready, popped, depth, cycle):
    """Advance the PEs of a layer that are awake. Returns MACs begun."""
    macs = 0
    for p in range(lo, hi):
        if wake[p] <= cycle:
            did, wake[p] = pe_step(p, lanes, pes, levels, heads, fifo, ready, popped, depth, cycle)
            macs += did
    return macs


@inlined
def push(p, lane, work, wake, pes, levels, heads, fifo, ready, popped, depth, cycle):
    """Put a column's length, or 0 for a marker, into a PE's lane queue."""
    fifo[p, lane, after(heads[p, lane], levels[p, lane], fifo)] = work
    levels[p, lane] += 1
    just = popped[p, lane] == cycle
    ready[p, lane] = ready_from(levels[p, lane], just, depth - 1 - FIFO_SLACK, cycle)
    pes[p, ACTIVE] = 1
    if pes[p, COLUMN] < 0:
        wake[p] = cycle + 1


@inlined
def stalls(bus, own, buses, lo, hi, ready, pointers, targets, cycle):
    """Whether the column in a bus's stage 4 must wait for a PE. own: the bus's number in its layer."""
    column = buses[bus, STAGE4]
    if column == NONE:
        return False
    waits = buses[bus, WAITS]
    if waits >= 0 and ready[waits, own] > cycle:
        return True
    buses[bus, WAITS] = -1
    if column == MARKER:
        for p in range(lo, hi):
            if ready[p, own] > cycle:
                buses[bus, WAITS] = p
                return True
        return False
    for i in range(pointers[column], pointers[column + 1]):
        if ready[lo + targets[i], own] > cycle:
            buses[bus, WAITS] = lo + targets[i]
            return True
    return False


@inlined
def turn_of(bus, buses, first, last, states):
    """The lane that a bus of lanes first..last-1 takes a word from: ALL for a marker of each, or -1."""
    turn, markers = buses[bus, TURN], 0
    for i in range(last - first):
        lane = first + (turn + i) % (last - first)
        if states[lane, STAGE2] >= 0:
            return lane
        markers += states[lane, STAGE2] == MARKER
    return ALL if markers == last - first else -1


@inlined
def bus_step(bus, buses, stalled, column):
    """Advance a bus's stages 3 to 5; column: what it is offered, NONE if nothing."""
    buses[bus, SENT] = NONE
    if not stalled:
        buses[bus, SENT] = buses[bus, STAGE4]
        buses[bus, STAGE4] = buses[bus, STAGE3]
        buses[bus, STAGE3] = column


@inlined
def send(column, own, lo, hi, pointers, targets, lengths, wake, pes, levels, heads, fifo, ready, popped,
         depth, cycle):  # fmt: skip
    """Put a dispatched column, or marker, into the queues of its PEs."""
    if column == MARKER:
        for p in range(lo, hi):
            push(p, own, 0, wake, pes, levels, heads, fifo, ready, popped, depth, cycle)
    elif column != NONE:
        for i in range(pointers[column], pointers[column + 1]):
            p = lo + targets[i]
            push(p, own, lengths[i], wake, pes, levels, heads, fifo, ready, popped, depth, cycle)


@inlined
def dispatcher_step(lane, states, goes, word, column, completed, first, rows):
    """Advance a dispatcher; goes: whether its bus takes what it offers; word: the offered token, column:
    its column, NONE if it has none.

    first, rows: the lane's part of `completed`. Returns whether the token was taken.
    """
    room = states[lane, SPARE2] == NONE
    spill_step(lane, states, states[lane, STAGE1], goes)
    if not room:
        return False
    states[lane, STAGE1] = column
    if word != MARKER:
        return word != NONE
    outputs = completed[first + states[lane, IN_ROW]]
    if outputs == 0:
        states[lane, STAGE1] = NONE
    last = outputs <= states[lane, REPEAT] + 1
    states[lane, REPEAT] = 0 if last else states[lane, REPEAT] + 1
    if last:
        states[lane, IN_ROW] = (states[lane, IN_ROW] + 1) % rows
    return last


@inlined
def buffer_step(lane, buffers, memory, word, taken, depth):
    """Advance a lane's buffer; word: offered, taken: whether its output was. Returns if it took."""
    pushed = word != NONE and buffers[lane, READY]
    moves = taken or buffers[lane, OFFERED] == NONE
    popped = buffers[lane, FILLED] and (moves or buffers[lane, WORD] == NONE)
    if moves:
        buffers[lane, OFFERED] = buffers[lane, WORD]
        buffers[lane, WORD] = NONE
    meets = pushed and buffers[lane, LEVEL] == depth - 1
    buffers[lane, READY] = (
        buffers[lane, READY] or buffers[lane, READ] or not buffers[lane, FILLED]
    ) and not meets
    buffers[lane, READ] = popped
    if popped:
        buffers[lane, WORD] = memory[lane, buffers[lane, AT]]
        buffers[lane, AT] = within(buffers[lane, AT] + 1, depth)
        buffers[lane, LEVEL] -= 1
    if pushed:
        memory[lane, within(buffers[lane, AT] + buffers[lane, LEVEL], depth)] = word
        buffers[lane, LEVEL] += 1
    buffers[lane, FILLED] = buffers[lane, LEVEL] > 0
    return pushed


@inlined
def merged(s, merges, memory):
    """The word that a merge's queue offers."""
    return memory[s, merges[s, AT_WORD]] if merges[s, WORDS] > 0 else NONE


@inlined
def near_choice(s, lo, hi, merges, groups, queues, times, cycle):
    """Group that a merge pops next (ALL: a marker from each, -1: none); it sees all queues at once."""
    popping, markers = merges[s, POPPING], 0
    if popping == ALL:
        return -1
    for g in range(lo, hi):
        if g == popping or groups[g, COUNT] == 0 or times[g, groups[g, HEAD]] > cycle:
            continue
        if queues[g, groups[g, HEAD]] != MARKER:
            return g
        markers += 1
    return ALL if markers == hi - lo else -1


@inlined
def far_choice(s, lo, hi, merges, groups, queues, times, room, cycle):
    """The same where groups ask a cycle late, in blocks, and what the first block proposes is popped."""
    chosen = merges[s, PROPOSED] if room else -1
    if chosen >= 0:
        groups[chosen, ASKS] += 1
    merges[s, PROPOSED] = -1
    block = 4 if hi - lo <= 24 else (hi - lo + 5) // 6
    markers, first = 0, lo
    while first < hi:
        asking = -1
        for g in range(first, min(first + block, hi)):
            if groups[g, COUNT] == 0 or times[g, groups[g, HEAD]] + 1 > cycle:
                continue
            if queues[g, groups[g, HEAD]] == MARKER:
                markers += g not in (merges[s, POPPING], merges[s, BEFORE])
            elif asking < 0 and groups[g, ASKS] <= cycle and merges[s, BEFORE] != ALL:
                asking = g
        if asking >= 0:
            groups[asking, ASKS] = cycle + 3
            if merges[s, PROPOSED] < 0:
                merges[s, PROPOSED] = asking
        first += block
    if markers == hi - lo and room and merges[s, POPPING] != ALL and merges[s, BEFORE] != ALL:
        return ALL
    return chosen


@inlined
def merge_step(s, merges, memory, lo, hi, groups, queues, times, ready, cycle):
    """Advance the merge of a stream, groups lo..hi-1; ready: whether its word is taken."""
    popping, popped = merges[s, POPPING], merges[s, POPPED]
    room = merges[s, WORDS] + merges[s, LEFT_IT] <= MERGE_QUEUE - 1 - MERGE_SLACK
    if hi - lo > NEAR_MERGE:
        chosen = far_choice(s, lo, hi, merges, groups, queues, times, room, cycle)
    else:
        chosen = near_choice(s, lo, hi, merges, groups, queues, times, cycle) if room else -1
    word = NONE if chosen == -1 else MARKER
    if chosen >= 0:
        word = queues[chosen, groups[chosen, HEAD]]
    if popped != NONE:
        first, last = (lo, hi) if popping == ALL else (popping, popping + 1)
        for g in range(first, last):
            groups[g, HEAD] = after(groups[g, HEAD], 1, queues)
            groups[g, COUNT] -= 1
            groups[g, TAKEN_BY] = cycle + 1
    merges[s, LEFT_IT] = merges[s, WORDS] > 0 and ready
    if merges[s, LEFT_IT]:
        merges[s, AT_WORD] = (merges[s, AT_WORD] + 1) % MERGE_QUEUE
        merges[s, WORDS] -= 1
    if merges[s, SENDING] != NONE:
        memory[s, (merges[s, AT_WORD] + merges[s, WORDS]) % MERGE_QUEUE] = merges[s, SENDING]
        merges[s, WORDS] += 1
    merges[s, SENDING], merges[s, BEFORE] = popped, popping
    merges[s, POPPING], merges[s, POPPED] = chosen, word


@inlined
def requantizer_step(s, stages, last, outs, word, ready):
    """Advance a requantizer's pipeline, stages 0..last, and its output register 1 + s."""
    advance = outs[1 + s, SPARE] == NONE
    spill_step(1 + s, outs, stages[s, last], ready)
    if advance:
        for i in range(last, 0, -1):
            stages[s, i] = stages[s, i - 1]
        stages[s, 0] = word


@inlined
def tokenizer_step(state, beats, queue, outs, ready):
    """Advance the tokenizer; state: frame, beat, queue ready, level, head, entry, now, event, placed.

    entry, now: 1 + number of a beat (frames end to end), 0 for none. Its output register is outs[0].
    """
    frames, count = beats.shape[:2]
    advance = outs[0, SPARE] == NONE
    spill_step(0, outs, state[8], ready)
    word, finish = NONE, False
    if state[6] > 0:
        frame, beat = (state[6] - 1) // count, (state[6] - 1) % count
        word = beats[frame, beat, 1 + state[7]]
        finish = state[7] + 1 == beats[frame, beat, 0]
    if advance:
        state[8] = word
        if state[6] > 0:
            state[7] += 1
    popped = (state[6] == 0 or (advance and finish)) and state[3] > 0
    if state[6] == 0 or (advance and finish):
        state[6] = 0
        state[7] = 0
        if popped:
            state[6] = queue[state[4]]
            state[4] = (state[4] + 1) % BEAT_QUEUE
            state[3] -= 1
    if state[5] > 0:
        queue[(state[4] + state[3]) % BEAT_QUEUE] = state[5]
        state[3] += 1
    state[5] = 0
    if state[2] and state[0] < frames:
        if beats[state[0], state[1], 0] > 0:
            state[5] = 1 + state[0] * count + state[1]
        state[1] += 1
        if state[1] == count:
            state[1] = 0
            state[0] += 1
    state[2] = state[3] + popped <= BEAT_QUEUE - 1 - FIFO_SLACK


@inlined
def logits_step(state, ends, done, word, classes, cycle):
    """Advance the logits' pipeline and two banks; returns (whether they took the word, frames done).

    state: stages 1 and 2, how full the banks are, bank written, bank read, class read.
    """
    write, read = state[4], state[5]
    advance = state[1] == NONE or not state[2 + write]
    filled = advance and state[1] == MARKER
    if state[2 + read]:
        state[6] += 1
        if state[6] == classes:
            ends[done] = cycle + 2
            done += 1
            state[6], state[2 + read], state[5] = 0, 0, 1 - read
    if filled:
        state[2 + write], state[4] = 1, 1 - write
    if advance:
        state[1], state[0] = state[0], word
    return advance, done


@inlined
def wire_taken(wire_first, readers, wire, took, done):
    """Whether all readers of a wire have its word; clears their marks if so."""
    for r in range(wire_first[wire], wire_first[wire + 1]):
        lane = readers[r]
        if not (took[lane] or done[lane]):
            for s in range(wire_first[wire], wire_first[wire + 1]):
                done[readers[s]] |= took[readers[s]]
            return False
    for r in range(wire_first[wire], wire_first[wire + 1]):
        done[readers[r]] = False
    return True


def words_for(depth) -> int:
    """Places of all queues of which the deepest has so many words."""
    return 1 << (int(depth) - 1).bit_length()


def empty(rows, words) -> Int:
    """Registers that hold no word."""
    return np.full((rows, words), NONE, np.int64)


def run(beats, classes, pe_first, lane_first, bus_first, stream_first, group_first, group_pes,
        depths, sizes, stages_of, ids, won, won_at, wire_first, readers, wire_of, deep, in_rows,
        completed, completed_at, tables, table_at, pointers, pointer_at, targets, lengths, limit
        ) -> tuple[Int, Int, Int]:  # fmt: skip
    """Simulate all frames; returns end cycles (frames,), busy cycles and MACs (layers,).

    Per layer: pe_first, lane_first, bus_first (a bus for each lane, or one for all), stream_first (one
    more than layers), depths (lane and winner queues), sizes (outputs of a row, words of an output,
    pooled), stages_of its requantizers, ids per PE, won (by id, from won_at). Per stream: group_first
    (one more than streams). Per group: group_pes (first, last + 1). Wire 0 is the input's, wire 1 + s
    stream s's; readers: lanes, from wire_first. Per lane: wire_of, deep (its buffer), in_rows,
    completed, tables (column of every id, -1: none), pointers and targets, lengths: PEs of a column
    with work.
    """
    frames, layers, lanes = beats.shape[0], len(pe_first) - 1, len(wire_of)
    count, streams, most = pe_first[-1], stream_first[-1], np.diff(lane_first).max()
    pes, wake = np.zeros((count, 7), np.int64), np.full(count, NEVER, np.int64)
    pes[:, COLUMN] = pes[:, TAKEN] = -1
    groups = np.zeros((len(group_pes), 7), np.int64)
    levels, heads = np.zeros((count, most), np.int64), np.zeros((count, most), np.int64)
    fifo = np.zeros((count, most, words_for(depths[:, 0].max())), np.int32)
    ready, popped = np.zeros((count, most), np.int64), np.full((count, most), -1, np.int64)
    size = (len(groups), words_for(depths[:, 1].max()))
    queues, times = (np.zeros(size, kind) for kind in (np.int32, np.int64))
    merges, merge_memory = empty(streams, 8), np.zeros((streams, MERGE_QUEUE), np.int32)
    merges[:, : PROPOSED + 1], merges[:, WORDS:] = -1, 0
    outs, stages = empty(1 + streams, 2), empty(streams, 8)
    states = empty(lanes, 5)
    states[:, IN_ROW:] = 0
    took, done_lane = np.zeros(lanes, np.bool_), np.zeros(lanes, np.bool_)
    buffers = np.zeros((lanes, 7), np.int64)
    buffers[:, READY], buffers[:, WORD:] = 1, NONE
    memory = np.zeros((lanes, max(1, deep.max())), np.int32)
    source, beat_queue = np.zeros(9, np.int64), np.zeros(BEAT_QUEUE, np.int64)
    source[2], source[8] = 1, NONE
    logits = np.zeros(7, np.int64)
    logits[:2] = NONE
    stalled = np.zeros(bus_first[-1], np.bool_)
    buses = empty(bus_first[-1], 7)
    buses[:, WAITS], buses[:, TURN] = -1, 0
    ends, busy, macs = (np.zeros(n, np.int64) for n in (frames, layers, layers))
    advance(
        beats, classes, pe_first, lane_first, bus_first, stream_first, group_first, group_pes, depths,
        sizes, stages_of, ids, won, won_at, wire_first, readers, wire_of, deep, in_rows, completed,
        completed_at, tables, table_at, pointers, pointer_at, targets, lengths, limit, pes, wake, levels,
        heads, fifo, ready, popped, groups, queues, times, merges, merge_memory, outs, stages, states,
        took, done_lane, buffers, memory, source, beat_queue, logits, stalled, buses, ends, busy, macs,
    )  # fmt: skip
    return ends, busy, macs


@jit
def advance(beats, classes, pe_first, lane_first, bus_first, stream_first, group_first, group_pes,
            depths, sizes, stages_of, ids, won, won_at, wire_first, readers, wire_of, deep, in_rows,
            completed, completed_at, tables, table_at, pointers, pointer_at, targets, lengths, limit,
            pes, wake, levels, heads, fifo, ready, popped, groups, queues, times, merges, merge_memory,
            outs, stages, states, took, done_lane, buffers, memory, source, beat_queue, logits, stalled,
            buses, ends, busy, macs):  # fmt: skip
    """The cycles of `run`, from the registers after reset to the last frame's end or the limit."""
    frames, layers = beats.shape[0], len(pe_first) - 1
    done, cycle = 0, 0
    while done < frames and cycle < limit:
        for i in range(layers - 1, -1, -1):
            lo, hi = pe_first[i], pe_first[i + 1]
            first_lane, last_lane = lane_first[i], lane_first[i + 1]
            for p in range(lo, hi):
                if pes[p, ACTIVE]:
                    busy[i] += 1
                    break
            first_bus, last_bus = bus_first[i], bus_first[i + 1]
            joined = last_bus - first_bus < last_lane - first_lane
            for bus in range(first_bus, last_bus):
                own = bus - first_bus
                stalled[bus] = stalls(bus, own, buses, lo, hi, ready, pointers, targets, cycle)
            macs[i] += pes_step(
                lo,
                hi,
                last_bus - first_bus,
                wake,
                pes,
                levels,
                heads,
                fifo,
                ready,
                popped,
                depths[i, 0],
                cycle,
            )
            free = depths[i, 1] - 1 - WINNER_SLACK - sizes[i, 2]
            for g in range(group_first[stream_first[i]], group_first[stream_first[i + 1]]):
                group_step(
                    g, group_pes[g, 0], group_pes[g, 1], lo, pes, groups, sizes[i], free, queues, times,
                    won, won_at[i], ids[i], cycle,
                )  # fmt: skip
            for bus in range(first_bus, last_bus):
                send(
                    buses[bus, SENT], bus - first_bus, lo, hi, pointers, targets, lengths, wake, pes,
                    levels, heads, fifo, ready, popped, depths[i, 0], cycle,
                )  # fmt: skip
            for s in range(stream_first[i], stream_first[i + 1]):
                offer = merged(s, merges, merge_memory)
                if i == layers - 1:
                    room, done = logits_step(logits, ends, done, offer, classes, cycle)
                else:
                    room = outs[1 + s, SPARE] == NONE
                    taken = outs[1 + s, FIRST] != NONE and wire_taken(
                        wire_first, readers, 1 + s, took, done_lane
                    )
                    requantizer_step(s, stages, stages_of[i] - 1, outs, offer, taken)
                merge_step(
                    s, merges, merge_memory, group_first[s], group_first[s + 1], groups, queues, times,
                    room, cycle,
                )  # fmt: skip
            chosen = ALL
            if joined:
                room = buses[first_bus, SPARE_JOINED] == NONE
                chosen = turn_of(first_bus, buses, first_lane, last_lane, states) if room else -1
                word = NONE if chosen == -1 else MARKER
                if chosen >= 0:
                    word = states[chosen, STAGE2]
                    buses[first_bus, TURN] = (chosen + 1 - first_lane) % (last_lane - first_lane)
                bus_step(first_bus, buses, stalled[first_bus], buses[first_bus, JOINED])
                spill_step(first_bus, buses, word, not stalled[first_bus])
            for lane in range(first_lane, last_lane):
                goes = chosen in (lane, ALL)
                if not joined:
                    bus = first_bus + lane - first_lane
                    goes = not stalled[bus]
                    bus_step(bus, buses, stalled[bus], states[lane, STAGE2])
                word = NONE if done_lane[lane] else outs[wire_of[lane], FIRST]
                offered = buffers[lane, OFFERED] if deep[lane] else word
                column = offered
                if offered >= 0:
                    own = tables[table_at[lane] + offered]
                    column = pointer_at[lane] + own if own >= 0 else NONE
                took[lane] = dispatcher_step(
                    lane,
                    states,
                    goes,
                    offered,
                    column,
                    completed,
                    completed_at[lane],
                    in_rows[lane],
                )
                if deep[lane]:
                    took[lane] = buffer_step(lane, buffers, memory, word, took[lane], deep[lane])
        taken = outs[0, FIRST] != NONE and wire_taken(wire_first, readers, 0, took, done_lane)
        tokenizer_step(source, beats, beat_queue, outs, taken)
        cycle += 1
