// A processing element (jp_pe_core) with its column pointers and weights.
//
// Contract: that of jp_pe_core, work {0, column, sides, base, value}; with PairedRoms, a column is named by
// the complement of its number. Pointers that are small enough for LUTs are looked up before the queues,
// behind which there is no time for that.
module jp_pe #(
    parameter Prefix = "",  // of its memory images: _pointers.mem and _weights.mem, or _roms.mem
    parameter int Buses = 1,
    parameter int ColumnBits = 1,
    parameter int Columns = 2,       // words of the pointer memory
    parameter int RingBits = 1,
    parameter int SideBits = 0,
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
    parameter int FifoDepth = 16,
    localparam int WorkWidth = 1 + ColumnBits + SideBits + RingBits + ValueBits
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
  localparam int PointerBits = MoreBits + StartBits;
  localparam int WordBits = SideBits + OffsetBits + WeightBits;
  localparam int Early = PairedRoms == 0 && PointerBits * Columns < 2048 ? 1 : 0;
  localparam int KeyBits = Early != 0 ? PointerBits : ColumnBits;
  localparam int RestBits = SideBits + RingBits + ValueBits;
  localparam int KeyedWidth = 1 + KeyBits + RestBits;

  logic pointer_en;
  logic [KeyBits-1:0] key;
  logic [PointerBits-1:0] pointer;
  logic [EntryBits-1:0] entry_addr;
  logic [WordBits-1:0] entry;
  logic [Buses*KeyedWidth-1:0] work;

  if (PairedRoms != 0) begin : g_pair
    localparam int Width = PointerBits > WordBits ? PointerBits : WordBits;
    logic [Width-1:0] a_data, b_data;
    jp_rom_pair #(.File({Prefix, "_roms.mem"}), .Width(Width), .AddrBits($clog2(Entries + Columns)),
                  .AddrBitsA(EntryBits), .AddrBitsB(ColumnBits)) u_roms (
        .clk_i,
        .a_addr_i(entry_addr), .a_data_o(a_data),
        .b_en_i(pointer_en), .b_addr_i(key), .b_data_o(b_data)
    );
    assign entry = WordBits'(a_data);
    assign pointer = PointerBits'(b_data);
    logic unused;
    assign unused = &{1'b0, a_data, b_data};
  end else begin : g_roms
    if (Early == 0) begin : g_pointers
      jp_rom #(.File({Prefix, "_pointers.mem"}), .Width(PointerBits), .Depth(Columns),
               .AddrBits(ColumnBits)) u_pointers (
          .clk_i, .en_i(pointer_en), .addr_i(key), .data_o(pointer)
      );
    end else begin : g_none
      assign pointer = key;  // the core registers it
      logic unused;
      assign unused = pointer_en;
    end
    jp_rom #(.File({Prefix, "_weights.mem"}), .Width(WordBits), .Depth(Entries),
             .AddrBits(EntryBits)) u_weights (
        .clk_i, .en_i(1'b1), .addr_i(entry_addr), .data_o(entry)
    );
  end

  for (genvar b = 0; b < Buses; b++) begin : g_work
    logic [ColumnBits-1:0] column;
    assign column = work_i[b*WorkWidth + RestBits +: ColumnBits];
    assign work[b*KeyedWidth +: RestBits] = work_i[b*WorkWidth +: RestBits];
    assign work[b*KeyedWidth + KeyedWidth-1] = work_i[b*WorkWidth + WorkWidth-1];
    if (Early == 0) begin : g_column
      assign work[b*KeyedWidth + RestBits +: KeyBits] = column;
    end else begin : g_pointer
      jp_table #(.File({Prefix, "_pointers.mem"}), .Width(PointerBits), .Depth(Columns), .AddrBits(ColumnBits))
          u_pointers (.addr_i(column), .data_o(work[b*KeyedWidth + RestBits +: KeyBits]));
    end
  end

  jp_pe_core #(
      .Buses(Buses),
      .KeyBits(KeyBits),
      .EarlyPointers(Early),
      .RingBits(RingBits),
      .SideBits(SideBits),
      .ValueBits(ValueBits),
      .ValueSigned(ValueSigned),
      .StartBits(StartBits),
      .MoreBits(MoreBits),
      .WeightBits(WeightBits),
      .OffsetBits(OffsetBits),
      .Entries(Entries),
      .AccBits(AccBits),
      .BlockRing(BlockRing),
      .FifoDepth(FifoDepth),
      .EarlyQueues(Buses > 1 ? 1 : 0)
  ) u_core (
      .clk_i, .rst_ni,
      .work_valid_i, .work_ready_o, .work_i(work),
      .pending_o, .done_i, .drain_i, .drain_addr_i, .drain_erase_i, .drained_o,
      .count_mac_o, .busy_o,
      .pointer_en_o(pointer_en),
      .key_o(key),
      .pointer_i(pointer),
      .entry_addr_o(entry_addr),
      .entry_i(entry)
  );
endmodule
