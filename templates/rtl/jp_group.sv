// A group of PEs that share what drains them: the thresholds, the comparison, the queue of winners.
//
// Contract: work as for jp_pe, for each PE. When all PEs have come to a marker (each in its own time), an
// output row is complete. The accumulators of one PE after the other are read (with Pool, the greatest of every
// window of them), and each that wins (accumulator >= keep_from, or <= keep_to where TwoSided) becomes
// {0, channel, x, accumulator}, then the row a marker {1, ...}. Winners wait in a queue: winner_valid_o says
// that there is one, and winner_marker_o whether it is a marker; winner_pop_i takes it, and winner_o is
// the word that was popped in the cycle before, zero if none was.
// Edge case: after reset the PEs first clear their rings, one word a cycle, and take no work meanwhile.
// Latency: 13 cycles from a marker at a bus to the first winner of the first PE in the queue; with Pool one more,
// and one for every other word of a window.
module jp_group #(
    parameter Prefix = "",           // Prefix_pe000 of the first PE's memories, Prefix_group000_thresholds.mem
    parameter PoolPrefix = "",       // of the tables of jp_drain
    parameter int First = 0,         // number of the first PE
    parameter int Pes = 1,
    parameter int Buses = 1,
    parameter int ColumnBits = 1,
    parameter int Columns = 2,
    parameter int RingBits = 1,
    parameter int SideBits = 0,
    parameter int TapBits = SideBits,
    parameter int MostBeside = 1,
    parameter int CutBits = 0,
    parameter int ValueBits = 8,
    parameter int ValueSigned = 0,
    parameter int StartBits = 1,
    parameter int MoreBits = 1,
    parameter int FirstBits = 0,
    parameter int LastBits = 0,
    parameter int WeightBits = 8,
    parameter int OffsetBits = 1,
    parameter int Entries = 2,
    parameter int AccBits = 16,
    parameter int PairedRoms = 0,
    parameter int BlockRing = 0,
    parameter int Slots = 1,
    parameter int MapWidth = 1,      // sums of a row, per slot
    parameter int MapHeight = 1,
    parameter int OutWidth = 1,      // outputs of a row, per slot: the same without pooling
    parameter int OutHeight = 1,
    parameter int Pool = 0,
    parameter int PoolRows = 1,
    parameter int PoolCols = 1,
    parameter int StrideY = 1,
    parameter int StrideX = 1,
    parameter int PadY = 0,
    parameter int PadX = 0,
    parameter int FirstChannel = 0,  // of the first PE
    parameter int ChannelBits = 1,
    parameter int OutXBits = 1,
    parameter int TwoSided = 0,
    parameter int FifoDepth = 16,
    parameter int WinnerDepth = 16,
    localparam int WorkWidth = 1 + ColumnBits + CutBits + SideBits + RingBits + ValueBits,
    localparam int WinnerWidth = 1 + ChannelBits + OutXBits + AccBits
) (
    input  logic                       clk_i,
    input  logic                       rst_ni,
    input  logic [Pes*Buses-1:0]       work_valid_i,
    output logic [Pes*Buses-1:0]       work_ready_o,
    input  logic [Buses*WorkWidth-1:0] work_i,
    output logic                       winner_valid_o,
    output logic                       winner_marker_o,
    input  logic                       winner_pop_i,
    output logic [WinnerWidth-1:0]     winner_o,
    output logic [Pes-1:0]             count_mac_o,
    output logic [Pes-1:0]             busy_o
);
  // ---- which word of which PE is read; the PEs know a cycle later
  localparam int Stages = Pool != 0 ? 8 : 7;  // from that cycle on to the winner
  logic [Pes-1:0] pending, done, read, read_q;
  logic [RingBits-1:0] addr, addr_q, addr_1q;
  logic room, emit, first, live, erase, row_end;
  logic [Stages-1:0] emit_q, end_q;
  logic [4:0] erase_q;

  jp_drain #(
      .Prefix(PoolPrefix),
      .Pes(Pes),
      .RingBits(RingBits),
      .Slots(Slots),
      .MapWidth(MapWidth),
      .MapHeight(MapHeight),
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
      .pending_i(pending),
      .step_i(room),
      .read_o(read),
      .done_o(done),
      .end_o(row_end),
      .addr_o(addr),
      .emit_o(emit),
      .first_o(first),
      .live_o(live),
      .erase_o(erase)
  );

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      read_q <= '0;
      {emit_q, end_q} <= '0;
    end else begin
      read_q <= read;
      emit_q <= {emit_q[Stages-2:0], emit && |read};
      end_q <= {end_q[Stages-2:0], row_end};
    end
  end
  always_ff @(posedge clk_i) begin
    addr_q <= addr;
    addr_1q <= addr_q;
    erase_q <= {erase_q[3:0], erase};
  end

  // ---- PEs
  logic [Pes*AccBits-1:0] drained_5;

  for (genvar p = 0; p < Pes; p++) begin : g_pe
    localparam int N = First + p;
    localparam logic [23:0] Number = {8'h30 + 8'((N / 100) % 10), 8'h30 + 8'((N / 10) % 10), 8'h30 + 8'(N % 10)};
    jp_pe #(
        .Prefix({Prefix, "_pe", Number}),
        .Buses(Buses),
        .ColumnBits(ColumnBits),
        .Columns(Columns),
        .RingBits(RingBits),
        .SideBits(SideBits),
        .TapBits(TapBits),
        .MostBeside(MostBeside),
        .CutBits(CutBits),
        .ValueBits(ValueBits),
        .ValueSigned(ValueSigned),
        .StartBits(StartBits),
        .MoreBits(MoreBits),
        .FirstBits(FirstBits),
        .LastBits(LastBits),
        .WeightBits(WeightBits),
        .OffsetBits(OffsetBits),
        .Entries(Entries),
        .AccBits(AccBits),
        .PairedRoms(PairedRoms),
        .BlockRing(BlockRing),
        .FifoDepth(FifoDepth)
    ) u_pe (
        .clk_i, .rst_ni,
        .work_valid_i(work_valid_i[p*Buses +: Buses]),
        .work_ready_o(work_ready_o[p*Buses +: Buses]),
        .work_i,
        .pending_o(pending[p]),
        .done_i(done[p]),
        .drain_i(read_q[p]),
        .drain_addr_i(addr_1q),
        .drain_erase_i(erase_q[4]),
        .drained_o(drained_5[p*AccBits +: AccBits]),
        .count_mac_o(count_mac_o[p]),
        .busy_o(busy_o[p])
    );
  end

  logic [AccBits-1:0] word_5;
  logic signed [AccBits-1:0] word_6q;
  always_comb begin
    word_5 = '0;
    for (int p = 0; p < Pes; p++) word_5 |= drained_5[p*AccBits +: AccBits];
  end
  always_ff @(posedge clk_i) word_6q <= word_5;

  // ---- the greatest word of a window
  logic signed [AccBits-1:0] result;

  if (Pool == 0) begin : g_plain
    assign result = word_6q;
    logic unused;
    assign unused = &{1'b0, first, live};
  end else begin : g_pool
    logic [6:0] read_some_q, first_q, live_q;
    logic signed [AccBits-1:0] best_7q;

    always_ff @(posedge clk_i) begin
      if (!rst_ni) read_some_q <= '0;
      else read_some_q <= {read_some_q[5:0], |read};
    end
    always_ff @(posedge clk_i) begin
      first_q <= {first_q[5:0], first};
      live_q <= {live_q[5:0], live};
      if (read_some_q[6] && first_q[6] && !live_q[6]) best_7q <= {1'b1, {(AccBits - 1){1'b0}}};
      else if (read_some_q[6] && live_q[6] && (first_q[6] || word_6q > best_7q)) best_7q <= word_6q;
    end
    assign result = best_7q;
  end

  // ---- winners: thresholds of the PE's slot, counted along with the outputs a cycle before their result
  localparam int SlotBits = Slots > 1 ? $clog2(Slots) : 1;
  localparam int PeBits = Pes > 1 ? $clog2(Pes) : 0;
  localparam int PlaceBits = PeBits + SlotBits;  // of a PE in the group, and its slot
  localparam int Thresholds = (Pes - 1) * (1 << SlotBits) + Slots;
  logic [SlotBits-1:0] slot_q;
  logic [PlaceBits-1:0] place;
  logic [ChannelBits-1:0] base, channel_q;  // base: the PE's first channel
  logic [OutXBits-1:0] x_q, result_x_q;
  logic signed [AccBits-1:0] keep_from, keep_to;
  logic emits, slot_end, x_end, winner, winner_valid_q;
  logic [WinnerWidth-1:0] winner_q, first_winner;

  assign emits = emit_q[Stages-2];
  assign slot_end = slot_q == SlotBits'(Slots - 1);
  assign x_end = x_q == OutXBits'(OutWidth - 1);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      slot_q <= '0;
      x_q <= '0;
    end else if (emits) begin
      slot_q <= slot_end ? '0 : slot_q + 1'b1;
      if (slot_end) x_q <= x_end ? '0 : x_q + 1'b1;
    end
  end
  if (Pes == 1) begin : g_alone
    assign place = slot_q;
    assign base = ChannelBits'(FirstChannel);
  end else begin : g_several
    logic [PeBits-1:0] pe_q;
    logic [ChannelBits-1:0] base_q;
    logic pes_end;
    assign pes_end = pe_q == PeBits'(Pes - 1);
    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        pe_q <= '0;
        base_q <= ChannelBits'(FirstChannel);
      end else if (emits && slot_end && x_end) begin
        pe_q <= pes_end ? '0 : pe_q + 1'b1;
        base_q <= pes_end ? ChannelBits'(FirstChannel) : base_q + ChannelBits'(Slots);
      end
    end
    assign place = {pe_q, slot_q};
    assign base = base_q;
  end

  localparam logic [23:0] Number = {8'h30 + 8'((First / 100) % 10), 8'h30 + 8'((First / 10) % 10), 8'h30 + 8'(First % 10)};
  jp_rom #(.File({Prefix, "_group", Number, "_thresholds.mem"}), .Width(2 * AccBits),
           .Depth(Thresholds > 1 ? Thresholds : 2), .AddrBits(PlaceBits)) u_thresholds (
      .clk_i, .en_i(1'b1), .addr_i(place), .data_o({keep_to, keep_from})
  );

  assign winner = emit_q[Stages-1] && (result >= keep_from || (TwoSided != 0 && result <= keep_to));

  always_ff @(posedge clk_i) begin
    if (!rst_ni) winner_valid_q <= 1'b0;
    else winner_valid_q <= winner || end_q[Stages-1];
  end
  always_ff @(posedge clk_i) begin
    channel_q <= base + ChannelBits'(slot_q);
    result_x_q <= x_q;
    winner_q <= {end_q[Stages-1], channel_q, result_x_q, result};
    if (end_q[Stages-1]) winner_q[AccBits +: OutXBits+ChannelBits] <= '0;
  end

  // so many words can be on their way when the queue says that its room ends
  localparam int WinnerSlack = Stages + 1;
  jp_fifo #(.Width(WinnerWidth), .Depth(WinnerDepth), .Slack(WinnerSlack), .Early(1)) u_winners (
      .clk_i, .rst_ni,
      .valid_i(winner_valid_q),
      .ready_o(room),
      .data_i(winner_q),
      .valid_o(winner_valid_o),
      .ready_i(winner_pop_i),
      .data_o(first_winner)
  );
  assign winner_marker_o = first_winner[WinnerWidth-1];

  always_ff @(posedge clk_i) begin
    if (!winner_pop_i) winner_o <= '0;
    else winner_o <= first_winner;
  end
endmodule
