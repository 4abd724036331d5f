// One layer: lane dispatchers, buses to an array of PEs in groups, and the merges of their winners.
//
// Contract: takes one token stream per lane, gives Streams streams of winners {marker, channel, x,
// accumulator}, each with a marker after each output row; stream s has the PEs from StreamFirst[s]
// up to StreamFirst[s + 1], and its channels are counted from the first of them. With Joined, all lanes
// share one bus, and a PE has one queue instead of one for each lane. Frames follow one another without a
// gap. Parameters whose name begins with Lane or Stream hold 32 bits for each.
// Counters are cleared by reset and wrap at 32 bits: tokens, MACs, cycles with any work (busy),
// cycles in which a bus waited for a full PE (stalled), frames.
module jp_layer #(
    parameter Prefix = "",
    parameter int Lanes = 1,
    parameter int Joined = 0,
    localparam int Buses = Joined != 0 ? 1 : Lanes,
    parameter int Pes = 1,
    parameter int Share = 1,          // PEs of a group, at most
    parameter [32*Lanes-1:0] LaneHeight = 1,
    parameter [32*Lanes-1:0] LaneWidth = 1,
    parameter [32*Lanes-1:0] LaneValueBits = 8,
    parameter [32*Lanes-1:0] LaneValueSigned = 0,
    parameter [32*Lanes-1:0] LaneXBits = 1,
    parameter [32*Lanes-1:0] LaneChannelBits = 1,
    parameter [32*Lanes-1:0] LaneFirstColumn = 0,
    parameter [32*Lanes-1:0] LaneColumns = 1,  // without cut ones
    parameter [32*Lanes-1:0] LaneCompletedBits = 1,
    parameter [32*Lanes-1:0] LaneTokenWidth = 11,
    parameter [32*Buses-1:0] BusColumns = 2,
    parameter int TokenStride = 11,   // distance of two lanes' tokens in token_i
    parameter int Streams = 1,
    parameter [32*(Streams+1)-1:0] StreamFirst = {32'd1, 32'd0},
    parameter int ValueBits = 8,      // holds the values of all lanes
    parameter int ValueSigned = 0,
    parameter int ColumnBits = 1,     // of a column's place in the masks
    parameter int CutBits = 0,        // of what is cut of a column
    parameter int Columns = 2,
    parameter int RingBits = 1,
    parameter int SideBits = 0,       // of both sides together: taps that lead beside the map
    parameter int TapBits = SideBits,
    parameter int MostBeside = 1,
    parameter int FrameStep = 0,
    parameter int StartBits = 1,
    parameter int MoreBits = 1,
    parameter int FirstBits = 0,      // of how many entries lead to a column's first output row
    parameter int LastBits = 0,       // ... to its last one
    parameter int WeightBits = 8,
    parameter int OffsetBits = 1,
    parameter int Entries = 2,
    parameter int AccBits = 16,
    parameter int PairedRoms = 0,
    parameter int BlockRing = 0,
    parameter int Slots = 1,
    parameter int MapWidth = 1,
    parameter int MapHeight = 1,
    parameter int OutWidth = 1,
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
    localparam int WinnerWidth = 1 + ChannelBits + OutXBits + AccBits
) (
    input  logic                         clk_i,
    input  logic                         rst_ni,
    input  logic [Lanes-1:0]             token_valid_i,
    output logic [Lanes-1:0]             token_ready_o,
    input  logic [Lanes*TokenStride-1:0] token_i,
    output logic [Streams-1:0]           winner_valid_o,
    input  logic [Streams-1:0]           winner_ready_i,
    output logic [Streams*WinnerWidth-1:0] winner_o,
    output logic [5*32-1:0]              counters_o  // {frames, stalled, busy, MACs, tokens}
);
  localparam int PeColumnBits = $clog2(Columns);
  localparam int PlaceBits = CutBits + SideBits + RingBits;
  localparam int WorkWidth = 1 + ColumnBits + PlaceBits + ValueBits;
  localparam int PeWidth = 1 + PeColumnBits + PlaceBits + ValueBits;
  localparam int BusLanes = Joined != 0 ? Lanes : 1;

  // ---- dispatchers
  logic [Lanes-1:0] lane_valid, lane_ready;
  logic [Lanes*WorkWidth-1:0] lane_work;
  logic [Lanes-1:0] lane_token, lane_stall;
  logic [Buses-1:0][Pes-1:0] bus_valid, bus_ready;
  logic [Buses*PeWidth-1:0] bus_work, pe_work;
  logic [Buses-1:0] bus_stall;

  for (genvar l = 0; l < Lanes; l++) begin : g_lane
    localparam logic [15:0] Number = {8'h30 + 8'(l / 10), 8'h30 + 8'(l % 10)};
    jp_dispatcher #(
        .Prefix({Prefix, "_lane", Number}),
        .Height(LaneHeight[32*l +: 32]),
        .Width(LaneWidth[32*l +: 32]),
        .ValueBits(LaneValueBits[32*l +: 32]),
        .ValueSigned(LaneValueSigned[32*l +: 32]),
        .OutValueBits(ValueBits),
        .XBits(LaneXBits[32*l +: 32]),
        .ChannelBits(LaneChannelBits[32*l +: 32]),
        .ColumnBits(ColumnBits),
        .FirstColumn(Joined != 0 ? LaneFirstColumn[32*l +: 32] : 0),
        .RingBits(RingBits),
        .SideBits(SideBits),
        .CutBits(CutBits),
        .CutColumns(Joined != 0 ? Columns : LaneColumns[32*l +: 32]),
        .CompletedBits(LaneCompletedBits[32*l +: 32]),
        .FrameStep(FrameStep)
    ) u_dispatcher (
        .clk_i, .rst_ni,
        .token_valid_i(token_valid_i[l]),
        .token_ready_o(token_ready_o[l]),
        .token_i(token_i[l*TokenStride +: LaneTokenWidth[32*l +: 32]]),
        .valid_o(lane_valid[l]),
        .ready_i(lane_ready[l]),
        .work_o(lane_work[l*WorkWidth +: WorkWidth]),
        .count_token_o(lane_token[l])
    );
    assign lane_stall[l] = bus_stall[Joined != 0 ? 0 : l];
  end

  // ---- buses
  for (genvar b = 0; b < Buses; b++) begin : g_bus
    localparam logic [15:0] Number = {8'h30 + 8'(b / 10), 8'h30 + 8'(b % 10)};
    jp_bus #(
        .Prefix({Prefix, "_bus", Number}),
        .Lanes(BusLanes),
        .Pes(Pes),
        .Columns(BusColumns[32*b +: 32]),
        .FirstColumn(Joined != 0 ? 0 : LaneFirstColumn[32*b +: 32]),
        .ColumnBits(ColumnBits),
        .PlaceBits(PlaceBits),
        .CutBits(CutBits),
        .CutColumns(Joined != 0 ? Columns : LaneColumns[32*b +: 32]),
        .ValueBits(ValueBits),
        .PeColumnBits(PeColumnBits)
    ) u_bus (
        .clk_i, .rst_ni,
        .valid_i(lane_valid[b*BusLanes +: BusLanes]),
        .ready_o(lane_ready[b*BusLanes +: BusLanes]),
        .work_i(lane_work[b*BusLanes*WorkWidth +: BusLanes*WorkWidth]),
        .pe_valid_o(bus_valid[b]),
        .pe_ready_i(bus_ready[b]),
        .pe_work_o(bus_work[b*PeWidth +: PeWidth]),
        .count_stall_o(bus_stall[b])
    );
    // paired memories take a column's complement
    localparam logic [PeWidth-1:0] Column = ((PeWidth'(1) << PeColumnBits) - 1'b1) << (PlaceBits + ValueBits);
    assign pe_work[b*PeWidth +: PeWidth] = bus_work[b*PeWidth +: PeWidth] ^ (PairedRoms != 0 ? Column : '0);
  end

  // a token narrower than TokenStride leaves bits
  logic unused;
  assign unused = &{1'b0, token_i};

  // ---- PEs
  logic [Pes-1:0] pe_mac, pe_busy;

  for (genvar s = 0; s < Streams; s++) begin : g_stream
    // PEs are shared out among groups as evenly as can be
    localparam int Start = StreamFirst[32*s +: 32];
    localparam int Count = StreamFirst[32*(s+1) +: 32] - Start;
    localparam int Groups = (Count + Share - 1) / Share;
    logic [Groups-1:0] valid, marker, pop;
    logic [Groups*WinnerWidth-1:0] winner;

    for (genvar g = 0; g < Groups; g++) begin : g_group
      localparam int First = Start + g * Count / Groups;
      localparam int Size = Start + (g + 1) * Count / Groups - First;
      logic [Size*Buses-1:0] work_valid, work_ready;
      for (genvar p = 0; p < Size; p++) begin : g_pe
        for (genvar b = 0; b < Buses; b++) begin : g_bus
          assign work_valid[p*Buses + b] = bus_valid[b][First + p];
          assign bus_ready[b][First + p] = work_ready[p*Buses + b];
        end
      end
      jp_group #(
          .Prefix(Prefix),
          .PoolPrefix(Prefix),
          .First(First),
          .Pes(Size),
          .Buses(Buses),
          .ColumnBits(PeColumnBits),
          .Columns(Columns),
          .RingBits(RingBits),
          .SideBits(SideBits),
          .TapBits(TapBits),
          .MostBeside(MostBeside),
          .CutBits(CutBits),
          .FirstBits(FirstBits),
          .LastBits(LastBits),
          .ValueBits(ValueBits),
          .ValueSigned(ValueSigned),
          .StartBits(StartBits),
          .MoreBits(MoreBits),
          .WeightBits(WeightBits),
          .OffsetBits(OffsetBits),
          .Entries(Entries),
          .AccBits(AccBits),
          .PairedRoms(PairedRoms),
          .BlockRing(BlockRing),
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
          .PadX(PadX),
          .FirstChannel((First - Start) * Slots),
          .ChannelBits(ChannelBits),
          .OutXBits(OutXBits),
          .TwoSided(TwoSided),
          .FifoDepth(FifoDepth),
          .WinnerDepth(WinnerDepth)
      ) u_group (
          .clk_i, .rst_ni,
          .work_valid_i(work_valid),
          .work_ready_o(work_ready),
          .work_i(pe_work),
          .winner_valid_o(valid[g]),
          .winner_marker_o(marker[g]),
          .winner_pop_i(pop[g]),
          .winner_o(winner[g*WinnerWidth +: WinnerWidth]),
          .count_mac_o(pe_mac[First +: Size]),
          .busy_o(pe_busy[First +: Size])
      );
    end

    jp_merge #(.Inputs(Groups), .Width(WinnerWidth)) u_merge (
        .clk_i, .rst_ni,
        .valid_i(valid),
        .marker_i(marker),
        .pop_o(pop),
        .data_i(winner),
        .valid_o(winner_valid_o[s]),
        .ready_i(winner_ready_i[s]),
        .data_o(winner_o[s*WinnerWidth +: WinnerWidth])
    );
  end

  // ---- counters, one cycle behind
  jp_counters #(.Lanes(Lanes), .Pes(Pes), .OutHeight(OutHeight)) u_counters (
      .clk_i, .rst_ni,
      .token_i(lane_token),
      .mac_i(pe_mac),
      .busy_i(pe_busy),
      .stall_i(lane_stall),
      .row_i(winner_valid_o[0] && winner_ready_i[0] && winner_o[WinnerWidth-1]),
      .counters_o
  );
endmodule
