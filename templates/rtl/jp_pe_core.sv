// Processing element: walks weight columns, accumulates, drains finished rows, keeps the winners.
//
// Contract: each bus brings work {0, column, base, value} or {1, ...}, a marker. For a column the
// PE adds weight * value to the accumulators base + offset (modulo the ring) of its non-zero weights,
// one a cycle. When all buses have come to a marker, the oldest output row is complete: the PE drains
// its accumulators in idle cycles (with Pool, the greatest of every window of them), while the columns
// of later rows go on, and sends {0, channel, x, accumulator} for each that wins (accumulator >=
// keep_from, or <= keep_to where TwoSided), then a marker {1, ...}. A further marker waits until the
// drain before it has ended. Winners wait in a queue: winner_valid_o says that there is one, and
// winner_marker_o whether it is a marker; winner_pop_i takes it, and winner_o is the word that was popped
// in the cycle before, zero if none was.
// Edge cases: a column must not be empty (the dispatcher's masks see to that). After reset the PE
// first clears its ring, one word a cycle, and takes no work meanwhile.
// Its read-only memories are outside, and answer in the next cycle (pointers keep their word while
// pointer_en_o is low). So all PEs of a layer are one module.
// Latency: 11 cycles from a marker at a bus to the first winner in the queue; with Pool one more,
// and one for every other word of a window.
module jp_pe_core #(
    parameter PoolPrefix = "",       // of the tables of jp_drain
    parameter int Buses = 1,
    parameter int ColumnBits = 1,
    parameter int RingBits = 1,
    parameter int ValueBits = 8,
    parameter int ValueSigned = 0,
    parameter int StartBits = 1,
    parameter int MoreBits = 1,
    parameter int WeightBits = 8,
    parameter int OffsetBits = 1,
    parameter int Entries = 2,       // words of the weight memory
    parameter int AccBits = 16,
    parameter int BlockRing = 0,     // whether the accumulators are block RAM
    parameter int Slots = 1,
    parameter int MapWidth = 1,      // sums of a row, per slot
    parameter int MapHeight = 1,
    parameter int RowWords = MapWidth * Slots,  // from one row of sums to the next
    parameter int OutWidth = 1,      // outputs of a row, per slot: the same without pooling
    parameter int OutHeight = 1,
    parameter int Pool = 0,
    parameter int PoolRows = 1,
    parameter int PoolCols = 1,
    parameter int StrideY = 1,
    parameter int StrideX = 1,
    parameter int PadY = 0,
    parameter int PadX = 0,
    parameter int ChannelBits = 1,
    parameter int OutXBits = 1,
    parameter int TwoSided = 0,
    parameter int FifoDepth = 16,
    parameter int WinnerDepth = 16,
    localparam int WorkWidth = 1 + ColumnBits + RingBits + ValueBits,
    localparam int WinnerWidth = 1 + ChannelBits + OutXBits + AccBits,
    localparam int EntryBits = $clog2(Entries),
    localparam int SlotBits = Slots > 1 ? $clog2(Slots) : 1
) (
    input  logic                       clk_i,
    input  logic                       rst_ni,
    input  logic [Buses-1:0]           work_valid_i,
    output logic [Buses-1:0]           work_ready_o,
    input  logic [Buses*WorkWidth-1:0] work_i,
    output logic                       winner_valid_o,
    output logic                       winner_marker_o,
    input  logic                       winner_pop_i,
    output logic [WinnerWidth-1:0]     winner_o,
    output logic                       count_mac_o,
    output logic                       busy_o,
    input  logic [ChannelBits-1:0]     first_channel_i,
    output logic                       pointer_en_o,
    output logic [ColumnBits-1:0]      pointer_addr_o,
    input  logic [MoreBits+StartBits-1:0] pointer_i,
    output logic [EntryBits-1:0]       entry_addr_o,
    input  logic [OffsetBits+WeightBits-1:0] entry_i,
    output logic [SlotBits-1:0]        slot_o,
    input  logic [2*AccBits-1:0]       thresholds_i
);
  /* verilator no_inline_module */
  // ---- a queue for each bus, and the choice of the one to serve
  logic [Buses-1:0] head_valid, head_marker, head_pop, wants;
  logic [Buses-1:0][WorkWidth-1:0] head;
  logic [WorkWidth-1:0] chosen;
  logic [Buses-1:0] grant;
  logic fetch, all_markers;

  for (genvar b = 0; b < Buses; b++) begin : g_bus
    jp_fifo #(.Width(WorkWidth), .Depth(FifoDepth), .Slack(1)) u_fifo (
        .clk_i, .rst_ni,
        .valid_i(work_valid_i[b]),
        .ready_o(work_ready_o[b]),
        .data_i(work_i[b*WorkWidth +: WorkWidth]),
        .valid_o(head_valid[b]),
        .ready_i(head_pop[b]),
        .data_o(head[b])
    );
    assign head_marker[b] = head[b][WorkWidth-1];
  end

  assign wants = head_valid & ~head_marker;
  assign all_markers = &(head_valid & head_marker);
  assign grant = wants & (~wants + 1'b1);  // the first queue that has a column
  assign head_pop = fetch ? (all_markers ? '1 : grant) : '0;

  always_comb begin
    chosen = head[Buses-1];  // if no queue has one, nobody looks
    for (int b = Buses - 2; b >= 0; b--) if (wants[b]) chosen = head[b];
  end
  logic unused_marker;
  assign unused_marker = chosen[WorkWidth-1];

  // ---- fetch: the column's pointer
  logic column_valid_q, column_marker_q, column_ready;
  logic [RingBits-1:0] column_base_q;
  logic [ValueBits-1:0] column_value_q;
  logic [StartBits-1:0] column_start;
  logic [MoreBits-1:0] column_more;

  assign fetch = !column_valid_q || column_ready;

  assign pointer_en_o = fetch;
  assign pointer_addr_o = chosen[RingBits+ValueBits +: ColumnBits];
  assign {column_more, column_start} = pointer_i;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) column_valid_q <= 1'b0;
    else if (fetch) column_valid_q <= |wants || all_markers;
  end
  always_ff @(posedge clk_i) begin
    if (fetch) begin
      column_marker_q <= all_markers;
      {column_base_q, column_value_q} <= chosen[RingBits+ValueBits-1:0];
    end
  end

  // ---- walk: one entry of the column a cycle; drains and the clearing after reset fill idle cycles
  logic walk_valid_q, walk_open_q, walk_load;  // open: idle, or at its last entry
  logic [EntryBits-1:0] walk_entry_q;
  logic [MoreBits-1:0] walk_more_q, walk_less;
  logic [RingBits-1:0] walk_base_q;
  logic [ValueBits-1:0] walk_value_q;
  logic drain_busy, drain_end, drain_start, start_q, clearing, drain_go, winner_room;
  logic drain_emit, drain_first, drain_live, drain_erase;
  logic [RingBits-1:0] drain_addr;

  // one less, without a carry chain: few bits
  always_comb begin
    for (int i = 0; i < MoreBits; i++) walk_less[i] = walk_more_q[i] ^ ((walk_more_q & ((MoreBits'(1) << i) - 1'b1)) == '0);
  end

  assign column_ready = walk_open_q && !clearing && !(column_marker_q && (drain_busy || drain_end));
  assign walk_load = column_valid_q && !column_marker_q && column_ready;
  assign drain_start = column_valid_q && column_marker_q && column_ready;
  // the first word is two cycles behind the last column of its row: see drained_5q
  assign drain_go = !walk_valid_q && !start_q && (clearing || winner_room);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      walk_valid_q <= 1'b0;
      walk_open_q <= 1'b1;
    end else if (walk_open_q) begin
      walk_valid_q <= walk_load;
      walk_open_q <= !walk_load || column_more == '0;
    end else begin
      walk_open_q <= walk_more_q == MoreBits'(1);
    end
  end
  always_ff @(posedge clk_i) begin
    if (!rst_ni) start_q <= 1'b0;
    else start_q <= drain_start;
  end
  always_ff @(posedge clk_i) begin
    // one LUT a bit: the choice is an input of the carry chain
    walk_entry_q <= (walk_open_q ? EntryBits'(column_start) : walk_entry_q) + EntryBits'(!walk_open_q);
    walk_more_q <= walk_open_q ? column_more : walk_less;
    if (walk_open_q) begin
      walk_base_q <= column_base_q;
      walk_value_q <= column_value_q;
    end
  end

  jp_drain #(
      .Prefix(PoolPrefix),
      .RingBits(RingBits),
      .Slots(Slots),
      .MapWidth(MapWidth),
      .MapHeight(MapHeight),
      .RowWords(RowWords),
      .OutWidth(OutWidth),
      .OutHeight(OutHeight),
      .Pool(Pool),
      .PoolRows(PoolRows),
      .PoolCols(PoolCols),
      .StrideY(StrideY),
      .StrideX(StrideX),
      .PadY(PadY),
      .PadX(PadX)
  ) u_drain (
      .clk_i, .rst_ni,
      .start_i(drain_start),
      .step_i(drain_go),
      .clearing_o(clearing),
      .busy_o(drain_busy),
      .end_o(drain_end),
      .addr_o(drain_addr),
      .emit_o(drain_emit),
      .first_o(drain_first),
      .live_o(drain_live),
      .erase_o(drain_erase)
  );

  // ---- stage 1: the entry arrives; stage 2: the address; stage 3: the ring is read; stage 4: product
  // ---- and old value; stage 5: the sum is written; then the greatest of a window, the comparison,
  // ---- the winner
  logic mac_1q, mac_2q, mac_3q, mac_4q;
  logic drain_1q, drain_2q, drain_3q, drain_4q;  // a word is read
  logic erase_1q, erase_2q, erase_3q, erase_4q;  // and cleared
  logic emit_1q, emit_2q, emit_3q, emit_4q;      // and completes an output
  logic end_1q, end_2q, end_3q, end_4q, end_5q;
  logic write_4, write_5q;
  logic [RingBits-1:0] base_1q, drain_addr_1q, addr_2q, addr_3q, addr_4q, addr_5q;
  logic [ValueBits-1:0] value_1q;
  logic [WeightBits-1:0] weight_1;
  logic [OffsetBits-1:0] offset_1;
  logic signed [AccBits-1:0] old_4, sum_5, drained_5q;
  logic same_3q, other_4q;

  assign entry_addr_o = walk_entry_q;
  assign {offset_1, weight_1} = entry_i;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      {mac_1q, mac_2q, mac_3q, mac_4q, write_5q} <= '0;
      {drain_1q, drain_2q, drain_3q, drain_4q} <= '0;
      {erase_1q, erase_2q, erase_3q, erase_4q} <= '0;
      {emit_1q, emit_2q, emit_3q, emit_4q} <= '0;
      {end_1q, end_2q, end_3q, end_4q, end_5q} <= '0;
      {same_3q, other_4q} <= '0;
    end else begin
      mac_1q <= walk_valid_q;
      drain_1q <= drain_go && drain_busy;
      erase_1q <= drain_go && drain_busy && drain_erase;
      emit_1q <= drain_go && drain_busy && drain_emit;
      end_1q <= drain_go && drain_end;
      {mac_2q, drain_2q, erase_2q, emit_2q, end_2q} <= {mac_1q, drain_1q, erase_1q, emit_1q, end_1q};
      {mac_3q, drain_3q, erase_3q, emit_3q, end_3q} <= {mac_2q, drain_2q, erase_2q, emit_2q, end_2q};
      {mac_4q, drain_4q, erase_4q, emit_4q, end_4q} <= {mac_3q, drain_3q, erase_3q, emit_3q, end_3q};
      {write_5q, end_5q} <= {write_4, end_4q};
      // is the word that stage 3 reads being written by stage 5; is stage 4's another one than that
      same_3q <= addr_2q == addr_4q && write_4;
      other_4q <= !(addr_3q == addr_4q && write_4);
    end
  end

  assign write_4 = mac_4q || erase_4q;

  always_ff @(posedge clk_i) begin
    // zero without a walk, so that the drain's address can be added
    if (!walk_valid_q) base_1q <= '0;
    else base_1q <= walk_base_q;
    drain_addr_1q <= drain_addr;
    value_1q <= walk_value_q;
    addr_2q <= base_1q - ~(mac_1q ? RingBits'(offset_1) : drain_addr_1q);
    addr_3q <= addr_2q;
    addr_4q <= addr_3q;
    addr_5q <= addr_4q;
    // a drain never reads what stage 5 is about to write: no column of its row is so near before it
    drained_5q <= old_4;
  end

  jp_ring #(.Width(AccBits), .AddrBits(RingBits), .Block(BlockRing)) u_ring (
      .clk_i,
      .read_addr_i(addr_3q),
      .bypass_i(same_3q),
      .data_o(old_4),
      .write_i(write_5q),
      .write_addr_i(addr_5q),
      .write_data_i(sum_5)
  );
  jp_mac #(.WeightBits(WeightBits), .ValueBits(ValueBits + 1), .AccBits(AccBits)) u_mac (
      .clk_i,
      .weight_i(weight_1),
      .value_i({ValueSigned != 0 && value_1q[ValueBits-1], value_1q}),
      .old_i(old_4),
      .add_old_i(other_4q),
      .clear_i(drain_4q),
      .sum_o(sum_5)
  );

  // ---- the greatest word of a window: result is the output of which emit spoke a cycle before
  logic emit, result_end;
  logic signed [AccBits-1:0] result;

  if (Pool == 0) begin : g_plain
    assign emit = emit_4q;
    assign result = drained_5q;
    assign result_end = end_5q;
    logic unused;
    assign unused = &{1'b0, drain_first, drain_live, drain_4q};
  end else begin : g_pool
    logic first_1q, first_2q, first_3q, first_4q, first_5q;
    logic live_1q, live_2q, live_3q, live_4q, live_5q;
    logic drain_5q, emit_5q, end_6q;
    logic signed [AccBits-1:0] best_6q;

    always_ff @(posedge clk_i) begin
      {first_1q, live_1q} <= {drain_first, drain_live};
      {first_2q, live_2q} <= {first_1q, live_1q};
      {first_3q, live_3q} <= {first_2q, live_2q};
      {first_4q, live_4q} <= {first_3q, live_3q};
      {first_5q, live_5q} <= {first_4q, live_4q};
      if (drain_5q && first_5q && !live_5q) best_6q <= {1'b1, {(AccBits - 1){1'b0}}};
      else if (drain_5q && live_5q && (first_5q || drained_5q > best_6q)) best_6q <= drained_5q;
    end
    always_ff @(posedge clk_i) begin
      if (!rst_ni) {drain_5q, emit_5q, end_6q} <= '0;
      else {drain_5q, emit_5q, end_6q} <= {drain_4q, emit_4q, end_5q};
    end
    assign emit = emit_5q;
    assign result = best_6q;
    assign result_end = end_6q;
  end

  // ---- winners: thresholds of the slot, counted along with the outputs
  localparam int QueueWidth = 1 + SlotBits + OutXBits + AccBits;
  logic [SlotBits-1:0] slot_q, result_slot_q;
  logic [OutXBits-1:0] x_q, result_x_q;
  logic signed [AccBits-1:0] keep_from, keep_to;
  logic emit_q, winner, winner_valid_q;
  logic [QueueWidth-1:0] winner_q, first_winner;

  assign slot_o = slot_q;
  assign {keep_to, keep_from} = thresholds_i;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      slot_q <= '0;
      x_q <= '0;
      emit_q <= 1'b0;
    end else begin
      emit_q <= emit;
      if (emit) begin
        slot_q <= slot_q == SlotBits'(Slots - 1) ? '0 : slot_q + 1'b1;
        if (slot_q == SlotBits'(Slots - 1)) x_q <= x_q == OutXBits'(OutWidth - 1) ? '0 : x_q + 1'b1;
      end
    end
  end
  always_ff @(posedge clk_i) begin
    result_slot_q <= slot_q;
    result_x_q <= x_q;
  end

  assign winner = emit_q && (result >= keep_from || (TwoSided != 0 && result <= keep_to));

  always_ff @(posedge clk_i) begin
    if (!rst_ni) winner_valid_q <= 1'b0;
    else winner_valid_q <= winner || result_end;
  end
  always_ff @(posedge clk_i) begin
    winner_q <= {result_end, result_slot_q, result_x_q, result};
    if (result_end) winner_q[AccBits+:OutXBits+SlotBits] <= '0;
  end

  // so many words can be on their way when the queue says that its room ends
  localparam int WinnerSlack = Pool != 0 ? 7 : 6;
  jp_fifo #(.Width(QueueWidth), .Depth(WinnerDepth), .Slack(WinnerSlack)) u_winners (
      .clk_i, .rst_ni,
      .valid_i(winner_valid_q),
      .ready_o(winner_room),
      .data_i(winner_q),
      .valid_o(winner_valid_o),
      .ready_i(winner_pop_i),
      .data_o(first_winner)
  );
  assign winner_marker_o = first_winner[QueueWidth-1];

  // slots become channels behind the queue, where they take no memory
  always_ff @(posedge clk_i) begin
    if (!winner_pop_i) winner_o <= '0;
    else begin
      winner_o <= {winner_marker_o, first_channel_i + ChannelBits'(first_winner[AccBits+OutXBits+:SlotBits]),
                   first_winner[AccBits+OutXBits-1:0]};
      if (winner_marker_o) winner_o[AccBits+OutXBits+:ChannelBits] <= '0;
    end
  end

  assign count_mac_o = mac_1q;
  assign busy_o = walk_valid_q || column_valid_q || |head_valid || drain_end
                  || (drain_busy && !clearing);
endmodule
