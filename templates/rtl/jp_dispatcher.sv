// Dispatcher of one lane: turns tokens into columns of work.
//
// Contract: takes tokens {marker, channel, x, value}, rows in order, a marker after each row. Of a
// value it makes {0, column, base, value} (the value extended), or nothing where its row or x is not live:
// no kernel of any PE reaches it. Of the marker of row y it makes as many markers {1, ...} as output rows
// are complete after it (0, 1 or more).
//   column = FirstColumn + row term + column term + channel
//   base   = row base + column base + start of the frame, modulo the ring
// With SideBits, work is {0, column, right, left, base, value}: how many taps of the column lead beside the
// map, as the columns' table says. With CutBits, it is {0, column, cut, ...}: what is cut of the column, as the
// rows' table says; then the column is CutColumns more for each cut.
// One token a cycle, latency 2 cycles; AXI4-Stream handshake. token_ready_o depends on token_i and
// registers only: stage 2 holds a second word where work waits.
module jp_dispatcher #(
    parameter Prefix = "",  // tables Prefix_rows.mem, Prefix_columns.mem
    parameter int Height = 1,
    parameter int Width = 1,
    parameter int ValueBits = 8,    // of a token
    parameter int ValueSigned = 0,
    parameter int OutValueBits = 8,  // of the work, at least ValueBits
    parameter int XBits = 1,
    parameter int ChannelBits = 1,
    parameter int ColumnBits = 1,
    parameter int FirstColumn = 0,
    parameter int RingBits = 1,
    parameter int SideBits = 0,     // of left and right together
    parameter int CutBits = 0,
    parameter int CutColumns = 0,
    parameter int CompletedBits = 1,
    parameter int FrameStep = 0,
    localparam int TokenWidth = 1 + ChannelBits + XBits + ValueBits,
    localparam int PlaceBits = CutBits + SideBits + RingBits,
    localparam int WorkWidth = 1 + ColumnBits + PlaceBits + OutValueBits
) (
    input  logic                  clk_i,
    input  logic                  rst_ni,
    input  logic                  token_valid_i,
    output logic                  token_ready_o,
    input  logic [TokenWidth-1:0] token_i,
    output logic                  valid_o,
    input  logic                  ready_i,
    output logic [WorkWidth-1:0]  work_o,
    output logic                  count_token_o
);
  localparam int RowBits = Height > 1 ? $clog2(Height) : 1;
  localparam int RowDepth = Height > 1 ? Height : 2;
  localparam int ColDepth = Width > 1 ? Width : 2;
  localparam int RowWidth = CutBits + 1 + CompletedBits + RingBits + ColumnBits;
  localparam int ColWidth = 1 + SideBits + RingBits + ColumnBits;

  logic marker;
  logic [ChannelBits-1:0] channel;
  logic [XBits-1:0] x;
  logic [ValueBits-1:0] value;
  assign {marker, channel, x, value} = token_i;

  // this row's table word, the number of the row behind, and the frame's place in the ring
  logic [RowBits-1:0] behind_q;
  logic [RowWidth-1:0] row_word, row_word_q;
  logic [ColWidth-1:0] col_word;
  logic [CompletedBits-1:0] completed, sent_q;
  logic [RingBits-1:0] row_base, frame_q;
  logic [ColumnBits-1:0] row_term;
  logic row_live;
  assign {row_live, completed, row_base, row_term} = row_word_q[RowWidth-CutBits-1:0];

  jp_table #(.File({Prefix, "_rows.mem"}), .Width(RowWidth), .Depth(RowDepth), .AddrBits(RowBits))
      u_rows (.addr_i(rst_ni ? behind_q : '0), .data_o(row_word));
  jp_table #(.File({Prefix, "_columns.mem"}), .Width(ColWidth), .Depth(ColDepth), .AddrBits(XBits))
      u_columns (.addr_i(x), .data_o(col_word));

  logic room, take, last_marker, row_ends;
  assign last_marker = completed <= sent_q + 1'b1 || completed == '0;
  assign token_ready_o = room && (!marker || last_marker);
  assign take = token_valid_i && room;
  assign row_ends = take && marker && last_marker;

  logic [ColumnBits-1:0] first;  // column of the next row's kind
  if (CutBits == 0) begin : g_whole
    assign first = ColumnBits'(FirstColumn);
  end else begin : g_cut
    logic twice, once;  // no product, which would be a DSP block
    assign {twice, once} = row_word[RowWidth-1 -: 2];
    assign first = ColumnBits'(FirstColumn + (twice ? 2 * CutColumns : once ? CutColumns : 0));
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni || row_ends) begin
      row_word_q <= row_word;
      row_word_q[ColumnBits-1:0] <= row_word[ColumnBits-1:0] + first;
    end
  end
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      behind_q <= Height > 1 ? RowBits'(1) : '0;
      frame_q <= '0;
      sent_q <= '0;
    end else if (take && marker) begin
      sent_q <= last_marker ? '0 : sent_q + 1'b1;
      if (last_marker) begin
        behind_q <= behind_q == RowBits'(Height - 1) ? '0 : behind_q + 1'b1;
        if (behind_q == '0) frame_q <= frame_q + RingBits'(FrameStep);
      end
    end
  end

  // stage 1: row and column words
  logic valid_1q, marker_1q;
  logic [ColumnBits-1:0] row_sum_1q, col_term_1q;
  logic [RingBits-1:0] row_base_1q;
  logic [PlaceBits-1:0] place_1q;  // {cut, right, left, column base}
  logic [ValueBits-1:0] value_1q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_1q <= 1'b0;
    else if (room) valid_1q <= token_valid_i && (marker ? completed != '0 : row_live && col_word[ColWidth-1]);
  end
  always_ff @(posedge clk_i) begin
    if (room) begin
      marker_1q <= marker;
      row_sum_1q <= row_term + ColumnBits'(channel);
      col_term_1q <= col_word[ColumnBits-1:0];
      place_1q <= PlaceBits'({row_word_q >> (RowWidth - CutBits), col_word[ColWidth-2:ColumnBits]});
      row_base_1q <= row_base + frame_q;
      value_1q <= value;
    end
  end

  // stage 2: column and base, and the end of what a stall can reach
  logic marker_2q;
  logic [ColumnBits-1:0] column_1, column_2q;
  logic [PlaceBits-1:0] place_1, place_2q;
  logic [ValueBits-1:0] value_2q;
  logic [OutValueBits-1:0] wide_2;

  assign column_1 = row_sum_1q + col_term_1q;
  always_comb begin
    place_1 = place_1q;
    place_1[RingBits-1:0] = row_base_1q + place_1q[RingBits-1:0];
  end

  jp_spill #(.Width(1 + ColumnBits + PlaceBits + ValueBits)) u_spill (
      .clk_i, .rst_ni,
      .valid_i(valid_1q),
      .ready_o(room),
      .data_i({marker_1q, column_1, place_1, value_1q}),
      .valid_o, .ready_i,
      .data_o({marker_2q, column_2q, place_2q, value_2q})
  );

  if (ValueSigned != 0) begin : g_signed
    assign wide_2 = OutValueBits'($signed(value_2q));
  end else begin : g_unsigned
    assign wide_2 = OutValueBits'(value_2q);
  end
  assign work_o = {marker_2q, column_2q, place_2q, wide_2};

  assign count_token_o = take && !marker;
endmodule
