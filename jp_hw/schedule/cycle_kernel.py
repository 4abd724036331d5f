"""The compiled part of the cycle simulation: the RTL's queues and handshakes, cycle by cycle.

All state sits in integer arrays, a row per PE, merge or layer; the constants below name the columns.
Every function advances one kind of unit by one cycle from the registers of the cycle before, so units
are visited from the output to the input. A word is a column number, MARKER, or NONE.
"""

# mypy: disable-error-code="no-untyped-def"

import numba
import numpy as np

MARKER, NONE = -1, -2
FAN = 8  # inputs of a merge
DELAY = 6  # cycles from a drain slot to the winner queue
FIFO_SLACK, WINNER_SLACK = 1, 6
BEAT_QUEUE = 64  # beats that the tokenizer holds
QUEUE = 128  # words of any queue, at most

# a PE
LEVEL, HEAD, READY, COLUMN, WALK, BUSY, LEFT, END, ROW, WON_LEVEL, WON_HEAD, ROOM = range(12)
# a register stage of two words
FIRST, SPARE = range(2)
# a layer's dispatcher: pipeline stages 1..3, output register, input row, markers sent for that row
STAGE1, STAGE2, STAGE3, SENT_OUT, IN_ROW, REPEAT = range(6)

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
def merge_step(spill, heads, pops, ready):
    """Advance a merge of words `heads` into `spill`; sets pops where a word was taken."""
    room = spill[SPARE] == NONE
    word = NONE
    chosen = -1
    markers = 0
    for i in range(len(heads)):
        if heads[i] == MARKER:
            markers += 1
        elif heads[i] != NONE and chosen < 0:
            chosen = i
            word = heads[i]
    if markers == len(heads):
        word = MARKER
    spill_step(spill, word, ready)
    for i in range(len(heads)):
        pops[i] = room and (i == chosen or markers == len(heads))


@jit
def drain_step(pe, row_words, winners, pipe, cycle):
    """Use an idle cycle of a PE for its drain; the word goes into the winner pipeline."""
    if pe[BUSY]:
        word = winners[pe[ROW] * row_words + row_words - pe[LEFT]]
        pe[LEFT] -= 1
        if pe[LEFT] == 0:
            pe[BUSY] = 0
            pe[END] = 1
    else:
        word = MARKER
        pe[END] = 0
        pe[ROW] += 1
    pipe[(cycle + DELAY) % 8] = word


@jit
def winner_step(pe, queue, pipe, cycle, popped, depth):
    """Advance the winner queue of a PE."""
    word = pipe[cycle % 8]
    pipe[cycle % 8] = NONE
    if popped:
        pe[WON_HEAD] = (pe[WON_HEAD] + 1) % QUEUE
        pe[WON_LEVEL] -= 1
    if word != NONE:
        queue[(pe[WON_HEAD] + pe[WON_LEVEL]) % QUEUE] = word
        pe[WON_LEVEL] += 1
    pe[ROOM] = pe[WON_LEVEL] <= depth - 1 - WINNER_SLACK


@jit
def pe_step(pe, fifo, offered, depth, row_words, winners, pipe, cycle):
    """Advance a PE up to its winner pipeline; returns whether it did a MAC.

    offered: length of the column that arrives, 0 for a marker, -1 for nothing. COLUMN holds the
    fetched column the same way.
    """
    mac = pe[WALK] > 0
    idle = not mac
    draining = pe[BUSY] or pe[END]
    free = pe[WALK] <= 1
    blocked = pe[COLUMN] == 0 and draining
    column_ready = free and not blocked
    fetch = pe[COLUMN] < 0 or column_ready
    if idle and draining and pe[ROOM]:
        drain_step(pe, row_words, winners, pipe, cycle)
    if mac:
        pe[WALK] -= 1
    if pe[COLUMN] >= 0 and column_ready:
        if pe[COLUMN] == 0:
            pe[BUSY] = 1
            pe[LEFT] = row_words
        else:
            pe[WALK] = pe[COLUMN]
    if fetch:
        pe[COLUMN] = -1
        if pe[LEVEL] > 0:
            pe[COLUMN] = fifo[pe[HEAD]]
            pe[HEAD] = (pe[HEAD] + 1) % QUEUE
            pe[LEVEL] -= 1
    if offered >= 0:
        fifo[(pe[HEAD] + pe[LEVEL]) % QUEUE] = offered
        pe[LEVEL] += 1
    pe[READY] = pe[LEVEL] <= depth - 1 - FIFO_SLACK
    return mac


@jit
def dispatcher_stalls(state, pes, lengths, first, count):
    """Whether the token in stage 3 must wait for a PE."""
    word = state[STAGE3]
    if word == NONE:
        return False
    for p in range(count):
        if not pes[first + p, READY] and (word == MARKER or lengths[word * count + p] > 0):
            return True
    return False


@jit
def dispatcher_step(state, stalled, word, completed):
    """Advance a dispatcher; `word` is the offered token. Returns whether it was taken."""
    if stalled:
        state[SENT_OUT] = NONE
        return False
    state[SENT_OUT] = state[STAGE3]
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
def requantizer_step(stages, spill, word, ready):
    """Advance a requantizer of five stages and an output register."""
    advance = spill[SPARE] == NONE
    spill_step(spill, stages[4], ready)
    if advance:
        for i in range(4, 0, -1):
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
def layer_pes(layer_pe, fifos, queues, pipes, pops, offered, winners, row_words, depths, cycle):
    """Advance all PEs of a layer; returns (MACs, whether any was at work)."""
    macs = 0
    busy = False
    each = len(winners) // len(layer_pe)
    for p in range(len(layer_pe)):
        pe = layer_pe[p]
        busy |= pe[LEVEL] > 0 or pe[COLUMN] >= 0 or pe[WALK] > 0 or pe[BUSY] > 0 or pe[END] > 0
        own = winners[p * each : (p + 1) * each]
        macs += pe_step(pe, fifos[p], offered[p], depths[0], row_words, own, pipes[p], cycle)
        winner_step(pe, queues[p], pipes[p], cycle, pops[p], depths[1])
    return macs, busy


@jit
def merge_layer(pes, queues, groups, final, pops, ready):
    """Advance the two levels of merges of a layer; sets pops of the PEs' winner queues."""
    number = len(groups)
    heads, taken = np.empty(number, np.int64), np.zeros(number, np.bool_)
    for g in range(number):
        heads[g] = groups[g, FIRST]
    merge_step(final, heads, taken, ready)
    for g in range(number):
        first, last = g * FAN, min((g + 1) * FAN, len(pes))
        words = np.empty(last - first, np.int64)
        for i in range(last - first):
            pe = pes[first + i]
            words[i] = queues[first + i, pe[WON_HEAD]] if pe[WON_LEVEL] > 0 else NONE
        merge_step(groups[g], words, pops[first:last], taken[g])


@jit
def layer_step(pes, fifos, queues, pipes, groups, final, state, ready, word, table, winners, row_words,
               completed, depths, stalled, cycle):  # fmt: skip
    """Advance a whole layer; returns (whether the token was taken, MACs, busy)."""
    count = len(pes)
    pops = np.zeros(count, np.bool_)
    offered = np.full(count, -1, np.int64)
    sent = state[SENT_OUT]
    for p in range(count):
        if sent == MARKER:
            offered[p] = 0
        elif sent != NONE and table[sent * count + p] > 0:
            offered[p] = table[sent * count + p]
    merge_layer(pes, queues, groups, final, pops, ready)
    macs, busy = layer_pes(
        pes, fifos, queues, pipes, pops, offered, winners, row_words, depths, cycle
    )
    taken = dispatcher_step(state, stalled, word, completed)
    return taken, macs, busy


@jit
def begins(sizes):
    """Where each of consecutive parts of these sizes begins; the last entry is the whole size."""
    firsts = np.zeros(len(sizes) + 1, np.int64)
    firsts[1:] = np.cumsum(sizes)
    return firsts


@jit
def empty(rows, words):
    """Registers that hold no word."""
    return np.full((rows, words), NONE, np.int64)


@jit
def logits_step(ends, done, word, classes, cycle):
    """Advance the logits' two buffers; returns (whether they took the word, frames done)."""
    ready = done < 2 or ends[done - 2] <= cycle
    if ready and word == MARKER:
        ends[done] = max(cycle + 4, ends[done - 1] if done else 0) + classes
        done += 1
    return ready, done


@jit
def run(beats, pe_counts, row_words, in_rows, lengths, length_at, winners, winner_at,
        completed, completed_at, fifo_depths, winner_depths, classes):  # fmt: skip
    """Simulate all frames; returns end cycles (frames,), busy cycles and MACs (layers,)."""
    frames, layers = beats.shape[0], len(pe_counts)
    firsts, group_firsts = begins(pe_counts), begins((pe_counts + FAN - 1) // FAN)
    pes = np.zeros((firsts[-1], 12), np.int64)
    pes[:, READY], pes[:, ROOM], pes[:, COLUMN] = 1, 1, -1
    fifos, queues, pipes = empty(firsts[-1], QUEUE), empty(firsts[-1], QUEUE), empty(firsts[-1], 8)
    groups, finals, outs = empty(group_firsts[-1], 2), empty(layers, 2), empty(layers, 2)
    states, stages = empty(layers, 6), empty(layers, 5)
    states[:, IN_ROW], states[:, REPEAT] = 0, 0
    source, beat_queue = np.zeros(9, np.int64), np.zeros(QUEUE, np.int64)
    source[2], source[8] = 1, NONE
    first_spill = empty(1, 2)[0]
    ends, busy = np.zeros(frames, np.int64), np.zeros(layers, np.int64)
    macs, taken = np.zeros(layers, np.int64), np.zeros(layers, np.bool_)
    done, cycle = 0, 0
    while done < frames:
        for i in range(layers - 1, -1, -1):
            if i == layers - 1:
                ready, done = logits_step(ends, done, finals[i, FIRST], classes, cycle)
            else:
                ready = outs[i, SPARE] == NONE
                requantizer_step(stages[i], outs[i], finals[i, FIRST], taken[i + 1])
            own = slice(firsts[i], firsts[i + 1])
            table = lengths[length_at[i] :]
            stalled = dispatcher_stalls(states[i], pes, table, firsts[i], pe_counts[i])
            word = first_spill[FIRST] if i == 0 else outs[i - 1, FIRST]
            taken[i], did, active = layer_step(
                pes[own], fifos[own], queues[own], pipes[own],
                groups[group_firsts[i] : group_firsts[i + 1]], finals[i], states[i], ready, word,
                table, winners[winner_at[i] : winner_at[i + 1]], row_words[i],
                completed[completed_at[i] : completed_at[i] + in_rows[i]],
                (fifo_depths[i], winner_depths[i]), stalled, cycle,
            )  # fmt: skip
            macs[i] += did
            busy[i] += active
        tokenizer_step(source, beats, beat_queue, first_spill, taken[0])
        cycle += 1
    return ends, busy, macs
