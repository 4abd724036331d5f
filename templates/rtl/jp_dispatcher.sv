// Dispatcher of one lane: turns tokens into columns of work, and says which PEs have any.
//
// Contract: takes tokens {marker, channel, x, value}, rows in order, a marker after each row. Of a
// value it makes {0, column, base, value} for the PEs whose mask bit is set (the value extended); of the
// marker of row y as many markers {1, ...} for all PEs as output rows are complete after it (0, 1 or more).
//   column = FirstColumn + row term + column term + channel
//   base   = row base + column base + start of the frame, modulo the ring
// One token a cycle; 4 cycles from token_i to work_o. The pipeline moves while ready_i is high, where it
// must be, too, when valid_o is low. target_o is zero for a column that no PE has, and without valid_o.
// token_ready_o depends on token_i and registers only: stage 2 holds a second word where work waits.
module jp_dispatcher #(
    parameter Prefix = "",  // tables Prefix_rows.mem, Prefix_columns.mem, Prefix_masks.mem
    parameter int Pes = 1,
    parameter int Height = 1,
    parameter int Width = 1,
    parameter int ValueBits = 8,    // of a token
    parameter int ValueSigned = 0,
    parameter int OutValueBits = 8,  // of the work, at least ValueBits
    parameter int XBits = 1,
    parameter int ChannelBits = 1,
    parameter int ColumnBits = 1,
    parameter int Columns = 2,      // words of the mask table
    parameter int FirstColumn = 0,
    parameter int RingBits = 1,
    parameter int CompletedBits = 1,
    parameter int FrameStep = 0,
    localparam int TokenWidth = 1 + ChannelBits + XBits + ValueBits,
    localparam int WorkWidth = 1 + ColumnBits + RingBits + OutValueBits
) (
    input  logic                  clk_i,
    input  logic                  rst_ni,
    input  logic                  token_valid_i,
    output logic                  token_ready_o,
    input  logic [TokenWidth-1:0] token_i,
    output logic                  valid_o,
    input  logic                  ready_i,
    output logic [Pes-1:0]        target_o,
    output logic [WorkWidth-1:0]  work_o,
    output logic                  count_token_o,
    output logic                  count_stall_o
);
  localparam int RowBits = Height > 1 ? $clog2(Height) : 1;
  localparam int RowDepth = Height > 1 ? Height : 2;
  localparam int ColDepth = Width > 1 ? Width : 2;
  localparam int RowWidth = CompletedBits + RingBits + ColumnBits;
  localparam int ColWidth = RingBits + ColumnBits;
  localparam int MaskBits = $clog2(Columns);

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
  assign {completed, row_base, row_term} = row_word_q;

  jp_table #(.File({Prefix, "_rows.mem"}), .Width(RowWidth), .Depth(RowDepth), .AddrBits(RowBits))
      u_rows (.addr_i(rst_ni ? behind_q : '0), .data_o(row_word));
  jp_table #(.File({Prefix, "_columns.mem"}), .Width(ColWidth), .Depth(ColDepth), .AddrBits(XBits))
      u_columns (.addr_i(x), .data_o(col_word));

  logic room, take, last_marker, row_ends;
  assign last_marker = completed <= sent_q + 1'b1 || completed == '0;
  assign token_ready_o = room && (!marker || last_marker);
  assign take = token_valid_i && room;
  assign row_ends = take && marker && last_marker;

  always_ff @(posedge clk_i) begin
    if (!rst_ni || row_ends) row_word_q <= row_word;
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
  logic [RingBits-1:0] row_base_1q, col_base_1q;
  logic [ValueBits-1:0] value_1q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_1q <= 1'b0;
    else if (room) valid_1q <= token_valid_i && !(marker && completed == '0);
  end
  always_ff @(posedge clk_i) begin
    if (room) begin
      marker_1q <= marker;
      row_sum_1q <= row_term + ColumnBits'(channel);
      {col_base_1q, col_term_1q} <= col_word;
      row_base_1q <= row_base + frame_q;
      value_1q <= value;
    end
  end

  // stage 2: column and base, and the end of what a stall can reach
  logic valid_2q, marker_2q, advance;
  logic [ColumnBits-1:0] column_1, column_2q;
  logic [RingBits-1:0] base_1, base_2q;
  logic [ValueBits-1:0] value_2q;

  assign column_1 = row_sum_1q + col_term_1q;
  assign base_1 = row_base_1q + col_base_1q;

  jp_spill #(.Width(1 + ColumnBits + RingBits + ValueBits)) u_spill (
      .clk_i, .rst_ni,
      .valid_i(valid_1q),
      .ready_o(room),
      .data_i({marker_1q, column_1, base_1, value_1q}),
      .valid_o(valid_2q),
      .ready_i(advance),
      .data_o({marker_2q, column_2q, base_2q, value_2q})
  );

  // stage 3: mask; stage 4: which PEs
  logic valid_3q, marker_3q, marker_4q;
  logic [ColumnBits-1:0] column_3q, column_4q;
  logic [RingBits-1:0] base_3q, base_4q;
  logic [ValueBits-1:0] value_3q, value_4q;
  logic [Pes-1:0] mask_3;

  assign advance = ready_i;

  jp_rom #(.File({Prefix, "_masks.mem"}), .Width(Pes), .Depth(Columns), .AddrBits(MaskBits))
      u_masks (
          .clk_i, .en_i(advance), .addr_i(MaskBits'(column_2q)), .data_o(mask_3)
      );

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      valid_3q <= 1'b0;
      valid_o <= 1'b0;
      target_o <= '0;
    end else if (advance) begin
      valid_3q <= valid_2q;
      valid_o <= valid_3q;
      target_o <= {Pes{valid_3q}} & (mask_3 | {Pes{marker_3q}});
    end
  end
  always_ff @(posedge clk_i) begin
    if (advance) begin
      {marker_3q, base_3q, value_3q} <= {marker_2q, base_2q, value_2q};
      column_3q <= column_2q + ColumnBits'(FirstColumn);
      {marker_4q, column_4q, base_4q, value_4q} <= {marker_3q, column_3q, base_3q, value_3q};
    end
  end

  logic [OutValueBits-1:0] wide_4;
  if (ValueSigned != 0) begin : g_signed
    assign wide_4 = OutValueBits'($signed(value_4q));
  end else begin : g_unsigned
    assign wide_4 = OutValueBits'(value_4q);
  end
  assign work_o = {marker_4q, column_4q, base_4q, wide_4};

  assign count_token_o = take && !marker;
  assign count_stall_o = !advance;
endmodule
