// A processing element (jp_pe_core) with its column pointers and weights.
//
// Contract: that of jp_pe_core; with PairedRoms, work names a column by the complement of its number. Of more
// than 64 columns the pointers are block RAM, as there is not the time for more than one LUT behind a queue.
module jp_pe #(
    parameter Prefix = "",  // of its memory images: _pointers.mem and _weights.mem, or _roms.mem
    parameter int Buses = 1,
    parameter int ColumnBits = 1,
    parameter int Columns = 2,       // words of the pointer memory
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
    parameter int Entries = 2,       // words of the weight memory
    parameter int AccBits = 16,
    parameter int PairedRoms = 0,    // whether pointers and weights share a block RAM
    parameter int BlockRing = 0,
    parameter int FifoDepth = 16,
    localparam int WorkWidth = 1 + ColumnBits + CutBits + SideBits + RingBits + ValueBits
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
    output logic                       busy_o
);
  localparam int EntryBits = $clog2(Entries);
  localparam int PointerBits = LastBits + FirstBits + MoreBits + StartBits;
  localparam int WordBits = TapBits + OffsetBits + WeightBits;
  localparam int BlockPointers = PairedRoms != 0 || Columns > 64 ? 1 : 0;

  logic pointer_en;
  logic [ColumnBits-1:0] pointer_addr;
  logic [PointerBits-1:0] pointer;
  logic [EntryBits-1:0] entry_addr;
  logic [WordBits-1:0] entry;

  if (PairedRoms != 0) begin : g_pair
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
    jp_rom #(.File({Prefix, "_pointers.mem"}), .Width(PointerBits), .Depth(Columns),
             .AddrBits(ColumnBits), .Block(BlockPointers)) u_pointers (
        .clk_i, .en_i(pointer_en), .addr_i(pointer_addr), .data_o(pointer)
    );
    jp_rom #(.File({Prefix, "_weights.mem"}), .Width(WordBits), .Depth(Entries),
             .AddrBits(EntryBits)) u_weights (
        .clk_i, .en_i(1'b1), .addr_i(entry_addr), .data_o(entry)
    );
  end

  jp_pe_core #(
      .Buses(Buses),
      .ColumnBits(ColumnBits),
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
      .BlockRing(BlockRing),
      .FifoDepth(FifoDepth),
      .EarlyQueues(Buses > 1 || BlockPointers == 0 ? 1 : 0)
  ) u_core (
      .clk_i, .rst_ni,
      .work_valid_i, .work_ready_o, .work_i,
      .pending_o, .done_i, .drain_i, .drain_addr_i, .drain_erase_i, .drained_o,
      .count_mac_o, .busy_o,
      .pointer_en_o(pointer_en),
      .pointer_addr_o(pointer_addr),
      .pointer_i(pointer),
      .entry_addr_o(entry_addr),
      .entry_i(entry)
  );
endmodule
