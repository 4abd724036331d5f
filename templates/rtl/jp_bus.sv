// The way of work to the PEs that have any: from one lane, or from all lanes of a layer.
//
// Contract: a lane brings work {0, column, place, value} or {1, ...}, a marker, with an AXI4-Stream
// handshake. A column goes to the PEs whose bit is set in its mask, under the number column + FirstColumn; with
// CutBits, the first bits of `place` say how many times CutColumns less that is. A marker goes to all PEs. One
// word a cycle; 3 cycles from work_i to pe_valid_o, 4 with several lanes.
// A word waits while any PE that it is for is not ready, and all that follow wait behind it. pe_ready_i
// may be a cycle late: the FIFOs behind pe_valid_o need one word of slack.
// Several lanes take turns with their columns. A lane's marker waits until all lanes have come to one;
// together they are one marker.
// Edge case: a column that no PE has takes a cycle, and nothing is sent.
module jp_bus #(
    parameter Prefix = "",  // table Prefix_masks.mem
    parameter int Lanes = 1,
    parameter int Pes = 1,
    parameter int Columns = 2,      // words of the mask table
    parameter int FirstColumn = 0,
    parameter int ColumnBits = 1,
    parameter int PlaceBits = 1,
    parameter int CutBits = 0,       // of PlaceBits
    parameter int CutColumns = 0,
    parameter int ValueBits = 8,
    parameter int PeColumnBits = ColumnBits,
    localparam int Width = 1 + ColumnBits + PlaceBits + ValueBits,
    localparam int PeWidth = 1 + PeColumnBits + PlaceBits + ValueBits
) (
    input  logic                   clk_i,
    input  logic                   rst_ni,
    input  logic [Lanes-1:0]       valid_i,
    output logic [Lanes-1:0]       ready_o,
    input  logic [Lanes*Width-1:0] work_i,
    output logic [Pes-1:0]         pe_valid_o,
    input  logic [Pes-1:0]         pe_ready_i,
    output logic [PeWidth-1:0]     pe_work_o,
    output logic                   count_stall_o
);
  localparam int MaskBits = $clog2(Columns);

  // stage 2: the word of one lane, or of all of them
  logic valid_2, advance;
  logic [Width-1:0] work_2;

  if (Lanes == 1) begin : g_alone
    assign valid_2 = valid_i;
    assign work_2 = work_i;
    assign ready_o = advance;
  end else begin : g_shared
    logic [Lanes-1:0] marker, column, chosen, turn_q;
    logic [Width-1:0] work;
    logic together, room;

    always_comb begin
      for (int l = 0; l < Lanes; l++) marker[l] = work_i[l*Width + Width - 1];
      column = valid_i & ~marker;
      // the first lane with a column, from the one on whose turn it is
      chosen = column;
      for (int l = 0; l < Lanes; l++)
        for (int t = 0; t < Lanes; t++)
          for (int i = 0; i < Lanes; i++)
            if (i < (l - t + Lanes) % Lanes && turn_q[t] && column[(t + i) % Lanes]) chosen[l] = 1'b0;
      work = '0;
      for (int l = 0; l < Lanes; l++) if (chosen[l]) work |= work_i[l*Width +: Width];
      work[Width-1] = together;
    end
    assign together = &(valid_i & marker);
    assign ready_o = {Lanes{room}} & (chosen | {Lanes{together}});

    always_ff @(posedge clk_i) begin
      if (!rst_ni) turn_q <= Lanes'(1);
      else if (room && |column) turn_q <= {chosen[Lanes-2:0], chosen[Lanes-1]};  // the next one's
    end

    jp_spill #(.Width(Width)) u_spill (
        .clk_i, .rst_ni,
        .valid_i(|column || together),
        .ready_o(room),
        .data_i(work),
        .valid_o(valid_2),
        .ready_i(advance),
        .data_o(work_2)
    );
  end

  // stage 3: mask; stage 4: which PEs; stage 5: to the PEs
  logic valid_3q, stall;
  logic [ColumnBits-1:0] column_2, first;
  logic [PeWidth-1:0] work_3q, work_4q;
  logic [Pes-1:0] mask_3, target_4q;

  assign column_2 = work_2[PlaceBits+ValueBits +: ColumnBits];
  if (CutBits == 0) begin : g_whole
    assign first = ColumnBits'(FirstColumn);
  end else begin : g_cut
    logic twice, once;  // no product, which would be a DSP block
    assign {twice, once} = work_2[PlaceBits+ValueBits-1 -: 2];
    assign first = ColumnBits'(FirstColumn - (twice ? 2 * CutColumns : once ? CutColumns : 0));
  end

  jp_rom #(.File({Prefix, "_masks.mem"}), .Width(Pes), .Depth(Columns), .AddrBits(MaskBits)) u_masks (
      .clk_i, .en_i(advance), .addr_i(MaskBits'(column_2)), .data_o(mask_3)
  );

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      valid_3q <= 1'b0;
      target_4q <= '0;
    end else if (advance) begin
      valid_3q <= valid_2;
      target_4q <= {Pes{valid_3q}} & (mask_3 | {Pes{work_3q[PeWidth-1]}});
    end
  end
  always_ff @(posedge clk_i) begin
    if (advance) begin
      work_3q <= {work_2[Width-1], PeColumnBits'(column_2 + first), work_2[PlaceBits+ValueBits-1:0]};
      work_4q <= work_3q;
    end
  end

  assign stall = |(target_4q & ~pe_ready_i);
  assign advance = !stall;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) pe_valid_o <= '0;
    else pe_valid_o <= target_4q & {Pes{!stall}};
  end
  always_ff @(posedge clk_i) pe_work_o <= work_4q;

  assign count_stall_o = stall;
endmodule
