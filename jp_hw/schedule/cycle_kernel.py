"""The compiled part of the cycle simulation: the RTL's queues and handshakes, cycle by cycle.

Every function advances one kind of unit by one cycle from the registers of the cycle before, so units
are visited from the output to the input. A word is a token's id, MARKER, or NONE; ids index the
tables of `traffic.Traffic`. PEs in a long column, or without work, sleep until something can happen.
"""

# mypy: disable-error-code="no-untyped-def"

import numba
import numpy as np

MARKER, NONE = -1, -2
FAN = 8  # inputs of a merge
DELAY = 7  # cycles from a drain slot to a word's first cycle at the head of the winner queue
FIFO_SLACK, WINNER_SLACK = 1, 6
BEAT_QUEUE = 64  # beats that the tokenizer holds
QUEUE = 128  # words of any queue, at most
NEVER = 1 << 60

# a PE: fetched column (0: marker, -1: none), cycle in which its walk ends, drain and the first cycle
# that it can use, winner queue
COLUMN, END_OF_WALK, BUSY, LEFT, END, START, OUT, HEAD, COUNT, ACTIVE = range(10)
# a register stage of two words
FIRST, SPARE = range(2)
# a dispatcher: pipeline stages 1..3, output register, input row, markers sent for it, PE waited for
STAGE1, STAGE2, STAGE3, SENT, IN_ROW, REPEAT, WAITS = range(7)
# a lane's buffer: level, read position, whether it was filled, ready, its output word
LEVEL, AT, FILLED, READY, WORD = range(5)

jit = numba.njit(cache=True)


@jit
def spill_step(spill, word, ready):
    """Advance a two-word register stage; `word` is what it is offered, NONE if nothing."""
    room = spill[SPARE] == NONE
    if spill[FIRST] == NONE or ready:
        if room:
            spill[FIRST] = word
        else:
            spill[FIRST] = spill[SPARE]
            spill[SPARE] = NONE
    elif room:
        spill[SPARE] = word


@jit
def fetch_column(pe, levels, heads, fifo, depth, ready):
    """Fetch the next column or marker from a PE's lane queues; levels, heads, ready: per lane."""
    lanes = len(levels)
    markers = 0
    pe[COLUMN] = -1
    for lane in range(lanes):
        if levels[lane] > 0:
            if fifo[lane, heads[lane]] == 0:
                markers += 1
            else:
                pe[COLUMN] = fifo[lane, heads[lane]]
                heads[lane] = (heads[lane] + 1) % QUEUE
                levels[lane] -= 1
                ready[lane] = levels[lane] <= depth - 1 - FIFO_SLACK
                return
    if markers == lanes:
        pe[COLUMN] = 0
        for lane in range(lanes):
            heads[lane] = (heads[lane] + 1) % QUEUE
            levels[lane] -= 1
            ready[lane] = levels[lane] <= depth - 1 - FIFO_SLACK


@jit
def drain_step(pe, size, queue, times, won, first_id, cycle):
    """Use an idle cycle of a PE for its drain. size: (outputs of a row, words of an output, pooled)."""
    word = NONE
    if pe[BUSY]:
        pe[LEFT] -= 1
        if pe[LEFT] % size[1] == 0:
            if won[first_id + pe[OUT]]:
                word = first_id + pe[OUT]
            pe[OUT] += 1
        if pe[LEFT] == 0:
            pe[BUSY] = 0
            pe[END] = 1
    else:
        word = MARKER
        pe[END] = 0
    if word != NONE:
        place = (pe[HEAD] + pe[COUNT]) % QUEUE
        queue[place] = word
        times[place] = cycle + DELAY + size[2]
        pe[COUNT] += 1


@jit
def has_room(pe, times, depth, pooled, cycle):
    """Whether the winner queue said in this cycle that words may come."""
    level = pe[COUNT]
    limit = depth - 1 - WINNER_SLACK - pooled
    while level > limit and times[(pe[HEAD] + level - 1) % QUEUE] > cycle:
        level -= 1
    return level <= limit


@jit
def pe_step(pe, levels, heads, fifo, ready, depths, size, queue, times, won, first_id, cycle):
    """Advance a PE; returns (MACs that it began, cycle in which it must be looked at again)."""
    walking = pe[END_OF_WALK] > cycle
    draining = pe[BUSY] or pe[END]
    free = pe[END_OF_WALK] - cycle <= 1
    column_ready = free and not (pe[COLUMN] == 0 and draining)
    fetch = pe[COLUMN] < 0 or column_ready
    macs = 0
    may = pe[START] <= cycle and not walking and draining
    if may and has_room(pe, times, depths[1], size[2], cycle):
        drain_step(pe, size, queue, times, won, first_id, cycle)
    if pe[COLUMN] >= 0 and column_ready:
        if pe[COLUMN] == 0:
            pe[BUSY] = 1
            pe[START] = cycle + 2
            pe[LEFT] = size[0] * size[1]
        else:
            macs = pe[COLUMN]
            pe[END_OF_WALK] = cycle + 1 + macs
    if fetch:
        fetch_column(pe, levels, heads, fifo, depths[0], ready)
    full = False
    for lane in range(len(levels)):
        full |= levels[lane] > 0
    left = pe[END_OF_WALK] - (cycle + 1)
    draining = pe[BUSY] or pe[END]
    pe[ACTIVE] = full or pe[COLUMN] >= 0 or left > 0 or draining
    if not pe[ACTIVE]:
        return macs, NEVER
    if left >= 2 and (pe[COLUMN] >= 0 or not full):
        return macs, cycle + left
    return macs, cycle + 1


@jit
def pes_step(lo, hi, wake, pes, levels, heads, fifo, ready, depths, size, queues, times, won, ids,
             cycle):  # fmt: skip
    """Advance the PEs of a layer that are awake; ids: of one PE. Returns MACs begun."""
    macs = 0
    for p in range(lo, hi):
        if wake[p] <= cycle:
            did, wake[p] = pe_step(
                pes[p], levels[p], heads[p], fifo[p], ready[p], depths, size, queues[p], times[p],
                won, (p - lo) * ids, cycle,
            )  # fmt: skip
            macs += did
    return macs


@jit
def push(p, lane, work, wake, pes, levels, heads, fifo, ready, depth, cycle):
    """Put a column's length, or 0 for a marker, into a PE's lane queue."""
    fifo[p, lane, (heads[p, lane] + levels[p, lane]) % QUEUE] = work
    levels[p, lane] += 1
    ready[p, lane] = levels[p, lane] <= depth - 1 - FIFO_SLACK
    pes[p, ACTIVE] = 1
    if pes[p, COLUMN] < 0:
        wake[p] = cycle + 1


@jit
def stalls(state, lane, lo, hi, ready, table, pointers, targets):
    """Whether the token in stage 3 must wait for a PE; table: column of every id."""
    word = state[STAGE3]
    if word == NONE:
        return False
    if state[WAITS] >= 0 and not ready[state[WAITS], lane]:
        return True
    state[WAITS] = -1
    if word == MARKER:
        for p in range(lo, hi):
            if not ready[p, lane]:
                state[WAITS] = p
                return True
        return False
    for i in range(pointers[table[word]], pointers[table[word] + 1]):
        if not ready[lo + targets[i], lane]:
            state[WAITS] = lo + targets[i]
            return True
    return False


@jit
def send(word, lane, lo, hi, table, pointers, targets, lengths, wake, pes, levels, heads, fifo, ready,
         depth, cycle):  # fmt: skip
    """Put a dispatched token, or marker, into the queues of its PEs."""
    if word == MARKER:
        for p in range(lo, hi):
            push(p, lane, 0, wake, pes, levels, heads, fifo, ready, depth, cycle)
    elif word != NONE:
        for i in range(pointers[table[word]], pointers[table[word] + 1]):
            p = lo + targets[i]
            push(p, lane, lengths[i], wake, pes, levels, heads, fifo, ready, depth, cycle)


@jit
def dispatcher_step(state, stalled, word, completed):
    """Advance a dispatcher; `word` is the offered token. Returns whether it was taken."""
    if stalled:
        state[SENT] = NONE
        return False
    state[SENT] = state[STAGE3]
    state[STAGE3] = state[STAGE2]
    state[STAGE2] = state[STAGE1]
    state[STAGE1] = word
    if word != MARKER:
        return word != NONE
    outputs = completed[state[IN_ROW]]
    if outputs == 0:
        state[STAGE1] = NONE
    last = outputs <= state[REPEAT] + 1
    state[REPEAT] = 0 if last else state[REPEAT] + 1
    if last:
        state[IN_ROW] = (state[IN_ROW] + 1) % len(completed)
    return last


@jit
def buffer_step(buffer, memory, word, taken, depth):
    """Advance a lane's buffer; word: offered, taken: whether its output was. Returns if it took."""
    pushed = word != NONE and buffer[READY]
    popped = buffer[FILLED] and (buffer[WORD] == NONE or taken)
    if taken:
        buffer[WORD] = NONE
    if popped:
        buffer[WORD] = memory[buffer[AT]]
        buffer[AT] = (buffer[AT] + 1) % depth
        buffer[LEVEL] -= 1
    if pushed:
        memory[(buffer[AT] + buffer[LEVEL]) % depth] = word
        buffer[LEVEL] += 1
    buffer[FILLED] = buffer[LEVEL] > 0
    buffer[READY] = buffer[LEVEL] <= depth - 1
    return pushed


@jit
def group_step(spill, lo, hi, pes, queues, times, ready, cycle):
    """Advance the merge of some PEs' winner queues into `spill`."""
    room = spill[SPARE] == NONE
    word, chosen, markers = NONE, -1, 0
    for p in range(lo, hi):
        if pes[p, COUNT] > 0 and times[p, pes[p, HEAD]] <= cycle:
            head = queues[p, pes[p, HEAD]]
            if head == MARKER:
                markers += 1
            elif chosen < 0:
                chosen, word = p, head
    if markers == hi - lo:
        word = MARKER
    if room and word != NONE:
        for p in range(lo, hi):
            if p == chosen or word == MARKER:
                pes[p, HEAD] = (pes[p, HEAD] + 1) % QUEUE
                pes[p, COUNT] -= 1
    spill_step(spill, word, ready)


@jit
def merge_step(final, groups, lo, hi, pes, queues, times, ready, cycle):
    """Advance the two levels of merges of one stream, PEs lo..hi."""
    number = len(groups)
    room = final[SPARE] == NONE
    word, chosen, markers = NONE, -1, 0
    for g in range(number):
        if groups[g, FIRST] == MARKER:
            markers += 1
        elif groups[g, FIRST] != NONE and chosen < 0:
            chosen, word = g, groups[g, FIRST]
    if markers == number:
        word = MARKER
    spill_step(final, word, ready)
    for g in range(number):
        taken = room and (g == chosen or word == MARKER)
        own = lo + g * FAN
        group_step(groups[g], own, min(own + FAN, hi), pes, queues, times, taken, cycle)


@jit
def requantizer_step(stages, spill, word, ready):
    """Advance a requantizer's pipeline and its output register."""
    advance = spill[SPARE] == NONE
    last = len(stages) - 1
    spill_step(spill, stages[last], ready)
    if advance:
        for i in range(last, 0, -1):
            stages[i] = stages[i - 1]
        stages[0] = word


@jit
def tokenizer_step(state, beats, queue, spill, ready):
    """Advance the tokenizer; state: frame, beat, queue ready, level, head, entry, now, event, placed.

    entry, now: 1 + number of a beat (frames end to end), 0 for none.
    """
    frames, count = beats.shape[:2]
    advance = spill[SPARE] == NONE
    spill_step(spill, state[8], ready)
    word, finish = NONE, False
    if state[6] > 0:
        events = beats[(state[6] - 1) // count, (state[6] - 1) % count]
        word = events[1 + state[7]]
        finish = state[7] + 1 == events[0]
    if advance:
        state[8] = word
        if state[6] > 0:
            state[7] += 1
    if state[6] == 0 or (advance and finish):
        state[6] = 0
        state[7] = 0
        if state[3] > 0:
            state[6] = queue[state[4]]
            state[4] = (state[4] + 1) % QUEUE
            state[3] -= 1
    if state[5] > 0:
        queue[(state[4] + state[3]) % QUEUE] = state[5]
        state[3] += 1
    state[5] = 0
    if state[2] and state[0] < frames:
        if beats[state[0], state[1], 0] > 0:
            state[5] = 1 + state[0] * count + state[1]
        state[1] += 1
        if state[1] == count:
            state[1] = 0
            state[0] += 1
    state[2] = state[3] <= BEAT_QUEUE - 1 - FIFO_SLACK


@jit
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


@jit
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


@jit
def empty(rows, words):
    """Registers that hold no word."""
    return np.full((rows, words), NONE, np.int64)


@jit
def run(beats, classes, pe_first, lane_first, stream_first, depths, sizes, stages_of, ids, won, won_at,
        stream_pes, group_first, wire_first, readers, wire_of, deep, in_rows, completed, completed_at,
        tables, table_at, pointers, pointer_at, targets, lengths, limit):  # fmt: skip
    """Simulate all frames; returns end cycles (frames,), busy cycles and MACs (layers,).

    Per layer: pe_first, lane_first, stream_first (one more than layers), depths (lane and winner
    queues), sizes (outputs of a row, words of an output, pooled), stages_of its requantizers, ids
    per PE, won (by id, from won_at). Per stream: stream_pes (first, last + 1), group_first. Wire 0 is
    the input's, wire 1 + s stream s's; readers: lanes, from wire_first. Per lane: wire_of, deep (its
    buffer), in_rows, completed, tables (column of every id), pointers and targets, lengths: PEs of
    a column with work.
    """
    frames, layers, lanes = beats.shape[0], len(pe_first) - 1, len(wire_of)
    count, streams = pe_first[-1], stream_first[-1]
    most = 1
    for i in range(layers):
        most = max(most, lane_first[i + 1] - lane_first[i])
    pes, wake = np.zeros((count, 10), np.int64), np.full(count, NEVER, np.int64)
    pes[:, COLUMN] = -1
    levels, heads = np.zeros((count, most), np.int64), np.zeros((count, most), np.int64)
    fifo, ready = np.zeros((count, most, QUEUE), np.int32), np.ones((count, most), np.bool_)
    queues, times = np.zeros((count, QUEUE), np.int32), np.zeros((count, QUEUE), np.int64)
    groups, finals = empty(group_first[-1], 2), empty(streams, 2)
    outs, stages = empty(1 + streams, 2), empty(streams, 8)
    states = empty(lanes, 7)
    states[:, IN_ROW], states[:, REPEAT], states[:, WAITS] = 0, 0, -1
    took, done_lane = np.zeros(lanes, np.bool_), np.zeros(lanes, np.bool_)
    buffers = np.zeros((lanes, 5), np.int64)
    buffers[:, READY], buffers[:, WORD] = 1, NONE
    memory = np.zeros((lanes, max(1, deep.max())), np.int32)
    source, beat_queue = np.zeros(9, np.int64), np.zeros(QUEUE, np.int64)
    source[2], source[8] = 1, NONE
    logits = np.zeros(7, np.int64)
    logits[:2] = NONE
    ends, busy, macs = (
        np.zeros(frames, np.int64),
        np.zeros(layers, np.int64),
        np.zeros(layers, np.int64),
    )
    stalled = np.zeros(lanes, np.bool_)
    done, cycle = 0, 0
    while done < frames and cycle < limit:
        for i in range(layers - 1, -1, -1):
            lo, hi = pe_first[i], pe_first[i + 1]
            first_lane, last_lane = lane_first[i], lane_first[i + 1]
            own = slice(0, last_lane - first_lane)
            for p in range(lo, hi):
                if pes[p, ACTIVE]:
                    busy[i] += 1
                    break
            for lane in range(first_lane, last_lane):
                stalled[lane] = stalls(
                    states[lane], lane - first_lane, lo, hi, ready, tables[table_at[lane] :],
                    pointers[pointer_at[lane] :], targets,
                )  # fmt: skip
            macs[i] += pes_step(
                lo, hi, wake, pes, levels[:, own], heads[:, own], fifo[:, own], ready[:, own],
                depths[i], sizes[i], queues, times, won[won_at[i] :], ids[i], cycle,
            )  # fmt: skip
            for lane in range(first_lane, last_lane):
                send(
                    states[lane, SENT], lane - first_lane, lo, hi, tables[table_at[lane] :],
                    pointers[pointer_at[lane] :], targets, lengths, wake, pes, levels, heads, fifo,
                    ready, depths[i, 0], cycle,
                )  # fmt: skip
            for s in range(stream_first[i], stream_first[i + 1]):
                if i == layers - 1:
                    room, done = logits_step(logits, ends, done, finals[s, FIRST], classes, cycle)
                else:
                    room = outs[1 + s, SPARE] == NONE
                    taken = outs[1 + s, FIRST] != NONE and wire_taken(
                        wire_first, readers, 1 + s, took, done_lane
                    )
                    requantizer_step(
                        stages[s, : stages_of[i]], outs[1 + s], finals[s, FIRST], taken
                    )
                merge_step(
                    finals[s], groups[group_first[s] : group_first[s + 1]], stream_pes[s, 0],
                    stream_pes[s, 1], pes, queues, times, room, cycle,
                )  # fmt: skip
            for lane in range(first_lane, last_lane):
                word = NONE if done_lane[lane] else outs[wire_of[lane], FIRST]
                offered = buffers[lane, WORD] if deep[lane] else word
                took[lane] = dispatcher_step(
                    states[lane], stalled[lane], offered,
                    completed[completed_at[lane] : completed_at[lane] + in_rows[lane]],
                )  # fmt: skip
                if deep[lane]:
                    took[lane] = buffer_step(
                        buffers[lane], memory[lane], word, took[lane], deep[lane]
                    )
        taken = outs[0, FIRST] != NONE and wire_taken(wire_first, readers, 0, took, done_lane)
        tokenizer_step(source, beats, beat_queue, outs[0], taken)
        cycle += 1
    return ends, busy, macs
