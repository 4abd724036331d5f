// A processing element (jp_pe_core) with its column pointers, weights and thresholds.
//
// Contract: that of jp_pe_core; with PairedRoms, work names a column by the complement of its number.
module jp_pe #(
    parameter Prefix = "",  // of its memory images: _pointers.mem, _weights.mem (or _roms.mem), _thresholds.mem
    parameter PoolPrefix = "",       // of the tables of jp_drain
    parameter int Buses = 1,
    parameter int ColumnBits = 1,
    parameter int Columns = 2,       // words of the pointer memory
    parameter int RingBits = 1,
    parameter int ValueBits = 8,
    parameter int ValueSigned = 0,
    parameter int StartBits = 1,
    parameter int MoreBits = 1,
    parameter int WeightBits = 8,
    parameter int OffsetBits = 1,
    parameter int Entries = 2,       // words of the weight memory
    parameter int AccBits = 16,
    parameter int PairedRoms = 0,    // whether pointers and weights share a block RAM
    parameter int BlockRing = 0,
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
    parameter int FirstChannel = 0,
    parameter int ChannelBits = 1,
    parameter int OutXBits = 1,
    parameter int TwoSided = 0,
    parameter int FifoDepth = 16,
    parameter int WinnerDepth = 16,
    localparam int WorkWidth = 1 + ColumnBits + RingBits + ValueBits,
    localparam int WinnerWidth = 1 + ChannelBits + OutXBits + AccBits
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
    output logic                       busy_o
);
  localparam int SlotBits = Slots > 1 ? $clog2(Slots) : 1;
  localparam int EntryBits = $clog2(Entries);

  logic pointer_en;
  logic [ColumnBits-1:0] pointer_addr;
  logic [MoreBits+StartBits-1:0] pointer;
  logic [EntryBits-1:0] entry_addr;
  logic [OffsetBits+WeightBits-1:0] entry;
  logic [SlotBits-1:0] slot;
  logic [2*AccBits-1:0] thresholds;

  if (PairedRoms != 0) begin : g_pair
    localparam int PointerBits = MoreBits + StartBits;
    localparam int WordBits = OffsetBits + WeightBits;
    localparam int Width = PointerBits > WordBits ? PointerBits : WordBits;
    logic [Width-1:0] a_data, b_data;
    jp_rom_pair #(.File({Prefix, "_roms.mem"}), .Width(Width), .AddrBits($clog2(Entries + Columns)),
                  .AddrBitsA(EntryBits), .AddrBitsB(ColumnBits)) u_roms (
        .clk_i,
        .a_addr_i(entry_addr), .a_data_o(a_data),
        .b_en_i(pointer_en), .b_addr_i(pointer_addr), .b_data_o(b_data)
    );
    assign entry = WordBits'(a_data);
    assign pointer = PointerBits'(b_data);
    logic unused;
    assign unused = &{1'b0, a_data, b_data};
  end else begin : g_roms
    jp_rom #(.File({Prefix, "_pointers.mem"}), .Width(MoreBits + StartBits), .Depth(Columns),
             .AddrBits(ColumnBits)) u_pointers (
        .clk_i, .en_i(pointer_en), .addr_i(pointer_addr), .data_o(pointer)
    );
    jp_rom #(.File({Prefix, "_weights.mem"}), .Width(OffsetBits + WeightBits), .Depth(Entries),
             .AddrBits(EntryBits)) u_weights (
        .clk_i, .en_i(1'b1), .addr_i(entry_addr), .data_o(entry)
    );
  end
  jp_rom #(.File({Prefix, "_thresholds.mem"}), .Width(2 * AccBits),
           .Depth(Slots > 1 ? Slots : 2), .AddrBits(SlotBits)) u_thresholds (
      .clk_i, .en_i(1'b1), .addr_i(slot), .data_o(thresholds)
  );

  jp_pe_core #(
      .PoolPrefix(PoolPrefix),
      .Buses(Buses),
      .ColumnBits(ColumnBits),
      .RingBits(RingBits),
      .ValueBits(ValueBits),
      .ValueSigned(ValueSigned),
      .StartBits(StartBits),
      .MoreBits(MoreBits),
      .WeightBits(WeightBits),
      .OffsetBits(OffsetBits),
      .Entries(Entries),
      .AccBits(AccBits),
      .BlockRing(BlockRing),
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
      .PadX(PadX),
      .ChannelBits(ChannelBits),
      .OutXBits(OutXBits),
      .TwoSided(TwoSided),
      .FifoDepth(FifoDepth),
      .WinnerDepth(WinnerDepth)
  ) u_core (
      .clk_i, .rst_ni,
      .work_valid_i, .work_ready_o, .work_i,
      .winner_valid_o, .winner_marker_o, .winner_pop_i, .winner_o,
      .count_mac_o, .busy_o,
      .first_channel_i(ChannelBits'(FirstChannel)),
      .pointer_en_o(pointer_en),
      .pointer_addr_o(pointer_addr),
      .pointer_i(pointer),
      .entry_addr_o(entry_addr),
      .entry_i(entry),
      .slot_o(slot),
      .thresholds_i(thresholds)
  );
endmodule
