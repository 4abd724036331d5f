// Processing element: walks weight columns, accumulates, and lets finished rows be drained.
//
// Contract: each bus brings work {0, column, cut, right, left, base, value} or {1, ...}, a marker. For a column
// the PE adds weight * value to the accumulators base + offset (modulo the ring) of its non-zero weights, one a
// cycle; one with fewer taps than `left` on its left, or `right` on its right, leads beside the map: it takes
// its cycle, and adds nothing. With cut 1, a column's entries to its first output row are left out, with cut 2
// those to its last one; its pointer says how many they are. When all buses have come to a marker, the oldest
// output row is complete: pending_o rises, and falls with done_i; a further marker waits for that, while the
// columns of later rows go on.
// In a cycle with drain_i, which takes precedence over the columns, the PE reads a word: at drain_addr_i in
// the next cycle, and drain_erase_i 4 cycles later says whether to clear it. The word is on drained_o 5
// cycles after drain_i; else that is zero.
// Edge cases: a column must not be empty (the dispatcher's masks see to that). After reset the ring must be
// cleared by drains, and drain_i must be high from the second cycle on until it is.
// Its read-only memories are outside, and answer in the next cycle (pointers keep their word while
// pointer_en_o is low). So all PEs of a layer are one module.
module jp_pe_core #(
    parameter int Buses = 1,
    parameter int ColumnBits = 1,
    parameter int RingBits = 1,
    parameter int SideBits = 0,      // of left and right together
    parameter int TapBits = SideBits,  // the same of an entry; or fewer, in which case see below
    parameter int MostBeside = 1,    // the greatest left or right
    parameter int CutBits = 0,       // 2, or 0 where no column is cut
    parameter int ValueBits = 8,
    parameter int ValueSigned = 0,
    parameter int StartBits = 1,
    parameter int MoreBits = 1,
    parameter int FirstBits = 0,
    parameter int LastBits = 0,
    parameter int WeightBits = 8,
    parameter int OffsetBits = 1,
    parameter int Entries = 2,       // words of the weight memory
    parameter int AccBits = 16,
    parameter int BlockRing = 0,     // whether the accumulators are block RAM
    parameter int FifoDepth = 16,
    parameter int EarlyQueues = 0,   // as in jp_fifo
    localparam int PlaceBits = CutBits + SideBits + RingBits,
    localparam int WorkWidth = 1 + ColumnBits + PlaceBits + ValueBits,
    localparam int EntryBits = $clog2(Entries)
) (
    input  logic                       clk_i,
    input  logic                       rst_ni,
    input  logic [Buses-1:0]           work_valid_i,
    output logic [Buses-1:0]           work_ready_o,
    input  logic [Buses*WorkWidth-1:0] work_i,
    output logic                       pending_o,
    input  logic                       done_i,
    input  logic                       drain_i,
    input  logic [RingBits-1:0]        drain_addr_i,
    input  logic                       drain_erase_i,
    output logic [AccBits-1:0]         drained_o,
    output logic                       count_mac_o,
    output logic                       busy_o,
    output logic                       pointer_en_o,
    output logic [ColumnBits-1:0]      pointer_addr_o,
    input  logic [LastBits+FirstBits+MoreBits+StartBits-1:0] pointer_i,
    output logic [EntryBits-1:0]       entry_addr_o,
    input  logic [TapBits+OffsetBits+WeightBits-1:0] entry_i
);
  /* verilator no_inline_module */
  // ---- a queue for each bus, and the choice of the one to serve
  logic [Buses-1:0] head_valid, head_marker, head_pop, wants;
  logic [Buses-1:0][WorkWidth-1:0] head;
  logic [WorkWidth-1:0] chosen;
  logic [Buses-1:0] grant;
  logic fetch, all_markers;

  for (genvar b = 0; b < Buses; b++) begin : g_bus
    // what comes behind a queue, a choice or pointers in LUTs, must not come too late
    jp_fifo #(.Width(WorkWidth), .Depth(FifoDepth), .Slack(1), .Early(EarlyQueues)) u_fifo (
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
  logic [PlaceBits-1:0] column_place_q;
  logic [ValueBits-1:0] column_value_q;
  logic [StartBits-1:0] column_start;
  logic [MoreBits-1:0] column_more, column_skip, column_left;  // less one: entries, those left; cut at the start

  assign fetch = !column_valid_q || column_ready;

  assign pointer_en_o = fetch;
  assign pointer_addr_o = chosen[PlaceBits+ValueBits +: ColumnBits];
  assign {column_more, column_start} = pointer_i[MoreBits+StartBits-1:0];

  if (CutBits == 0) begin : g_whole
    assign column_skip = '0;
    assign column_left = column_more;
  end else begin : g_cut
    logic cut_last, cut_first;
    assign {cut_last, cut_first} = column_place_q[PlaceBits-1 -: 2];
    assign column_skip = cut_first ? MoreBits'(pointer_i[StartBits+MoreBits +: FirstBits]) : '0;
    assign column_left = column_more
        - (cut_last ? MoreBits'(pointer_i[StartBits+MoreBits+FirstBits +: LastBits]) : column_skip);
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) column_valid_q <= 1'b0;
    else if (fetch) column_valid_q <= |wants || all_markers;
  end
  always_ff @(posedge clk_i) begin
    if (fetch) begin
      column_marker_q <= all_markers;
      {column_place_q, column_value_q} <= chosen[PlaceBits+ValueBits-1:0];
    end
  end

  // ---- walk: one entry of the column a cycle, unless the cycle is a drain's
  logic walk_valid_q, walk_open_q, walk_load, row_ends;  // open: idle, or at its last entry
  logic [EntryBits-1:0] walk_entry_q;
  logic [MoreBits-1:0] walk_more_q, walk_less;
  logic [SideBits+RingBits-1:0] walk_place_q;
  logic [ValueBits-1:0] walk_value_q;

  // one less, without a carry chain: few bits
  always_comb begin
    for (int i = 0; i < MoreBits; i++) walk_less[i] = walk_more_q[i] ^ ((walk_more_q & ((MoreBits'(1) << i) - 1'b1)) == '0);
  end

  assign column_ready = walk_open_q && !drain_i && !(column_marker_q && pending_o);
  assign walk_load = column_valid_q && !column_marker_q && column_ready;
  assign row_ends = column_valid_q && column_marker_q && column_ready;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      walk_valid_q <= 1'b0;
      walk_open_q <= 1'b1;
    end else if (!drain_i) begin
      if (walk_open_q) begin
        walk_valid_q <= walk_load;
        walk_open_q <= !walk_load || column_left == '0;
      end else begin
        walk_open_q <= walk_more_q == MoreBits'(1);
      end
    end
  end
  always_ff @(posedge clk_i) begin
    if (!rst_ni) pending_o <= 1'b0;
    else pending_o <= row_ends || (pending_o && !done_i);
  end
  always_ff @(posedge clk_i) begin
    if (!drain_i) begin
      // one LUT a bit: the choice is an input of the carry chain
      walk_entry_q <= (walk_open_q ? EntryBits'(column_start) : walk_entry_q)
          + (walk_open_q ? EntryBits'(column_skip) : EntryBits'(1));
      walk_more_q <= walk_open_q ? column_left : walk_less;
      if (walk_open_q) begin
        walk_place_q <= column_place_q[SideBits+RingBits-1:0];
        walk_value_q <= column_value_q;
      end
    end
  end

  // ---- stage 1: the entry arrives; stage 2: the address; stage 3: the ring is read; stage 4: product
  // ---- and old value; stage 5: the sum is written, or the drained word is sent
  logic mac_1q, mac_2q, mac_3q, mac_4q;
  logic drain_1q, drain_2q, drain_3q, drain_4q;
  logic write_4, write_5q;
  logic [RingBits-1:0] base_1q, addr_2q, addr_3q, addr_4q, addr_5q;
  logic [ValueBits-1:0] value_1q;
  logic [WeightBits-1:0] weight_1;
  logic [OffsetBits-1:0] offset_1;
  logic signed [AccBits-1:0] old_4, sum_5;
  logic same_3q, other_4q, beside_1;

  assign entry_addr_o = walk_entry_q;
  assign {offset_1, weight_1} = entry_i[OffsetBits+WeightBits-1:0];

  if (SideBits == 0) begin : g_inside
    assign beside_1 = 1'b0;
  end else begin : g_sides
    localparam int Bits = SideBits / 2;
    logic [Bits-1:0] left_1q, right_1q;
    always_ff @(posedge clk_i) {right_1q, left_1q} <= walk_place_q[RingBits +: SideBits];
    if (TapBits == SideBits) begin : g_both
      logic [Bits-1:0] left_1, right_1;  // taps on the entry's sides
      assign {right_1, left_1} = entry_i[OffsetBits+WeightBits +: TapBits];
      assign beside_1 = left_1 < left_1q || right_1 < right_1q;
    end else begin : g_one
      // one number says both: taps on its left, or 2 * MostBeside less those on its right; MostBeside if both are
      // at least that many
      logic [TapBits-1:0] tap_1;
      assign tap_1 = entry_i[OffsetBits+WeightBits +: TapBits];
      assign beside_1 = int'(tap_1) < int'(left_1q) || int'(tap_1) + int'(right_1q) > 2 * MostBeside;
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      {mac_1q, mac_2q, mac_3q, mac_4q, write_5q} <= '0;
      {drain_1q, drain_2q, drain_3q, drain_4q} <= '0;
      {same_3q, other_4q} <= '0;
    end else begin
      mac_1q <= walk_valid_q && !drain_i;
      drain_1q <= drain_i;
      {mac_2q, drain_2q} <= {mac_1q && !beside_1, drain_1q};
      {mac_3q, drain_3q} <= {mac_2q, drain_2q};
      {mac_4q, drain_4q} <= {mac_3q, drain_3q};
      write_5q <= write_4;
      // is the word that stage 3 reads being written by stage 5; is stage 4's another one than that
      same_3q <= addr_2q == addr_4q && write_4;
      other_4q <= !(addr_3q == addr_4q && write_4);
    end
  end

  assign write_4 = mac_4q || (drain_4q && drain_erase_i);

  always_ff @(posedge clk_i) begin
    // zero in a drain, so that the drain's address can be added
    if (drain_i || !walk_valid_q) base_1q <= '0;
    else base_1q <= walk_place_q[RingBits-1:0];
    value_1q <= walk_value_q;
    // all words of the ring lie one place further; so a bit of the address is one LUT
    addr_2q <= base_1q - ~(mac_1q ? RingBits'(offset_1) : drain_addr_i);
    addr_3q <= addr_2q;
    addr_4q <= addr_3q;
    addr_5q <= addr_4q;
    // a drain never reads what stage 5 is about to write: no column of its row is so near before it
    if (!drain_4q) drained_o <= '0;
    else drained_o <= old_4;
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

  assign count_mac_o = mac_1q;
  assign busy_o = walk_valid_q || column_valid_q || |head_valid || pending_o;
endmodule
