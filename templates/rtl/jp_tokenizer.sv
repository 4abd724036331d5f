// Turns the input stream's dense bytes into tokens, one per byte that counts.
//
// Contract: takes AXI4-Stream beats of 8 bytes, a frame of FrameBytes in row, column, channel order,
// tlast on its last beat; gives tokens {marker, channel, x, value}, rows in order, a marker after each
// row. A byte counts if its magnitude is at least Theta (0: any byte) and its bit in the keep table is
// set (bytes that no weight reads have it clear). Beats without any such byte cost no cycle at the output.
// Edge cases: bytes with tkeep low, and the rest of a frame whose tlast comes early, read as zero: the
// frame is *short*. A frame whose tlast is not on its last beat, or that has bytes beyond its size,
// is *long*: what exceeds is dropped up to tlast. Either gives a pulse and frame_error_o with the
// frame; the next frame is exact. frame_valid_o comes with the marker of a frame's last row.
// Latency: 6 cycles from a beat to its first token.
module jp_tokenizer #(
    parameter Prefix = "",  // Prefix_keep.mem: a word per beat; Prefix_map.mem: {channel, x} per byte
    parameter int Height = 1,
    parameter int RowBytes = 8,
    parameter int Theta = 1,
    parameter int Signed = 0,
    parameter int XBits = 1,
    parameter int ChannelBits = 3,
    localparam int TokenWidth = 1 + ChannelBits + XBits + 8
) (
    input  logic                  clk_i,
    input  logic                  rst_ni,
    input  logic                  s_axis_tvalid_i,
    output logic                  s_axis_tready_o,
    input  logic [63:0]           s_axis_tdata_i,
    input  logic [7:0]            s_axis_tkeep_i,
    input  logic                  s_axis_tlast_i,
    output logic                  token_valid_o,
    input  logic                  token_ready_i,
    output logic [TokenWidth-1:0] token_o,
    output logic                  frame_valid_o,
    input  logic                  frame_ready_i,
    output logic                  frame_error_o,
    output logic                  short_o,
    output logic                  long_o,
    output logic                  receiving_o
);
  localparam int FrameBytes = Height * RowBytes;
  localparam int Beats = (FrameBytes + 7) / 8;
  localparam int TableDepth = Beats > 1 ? Beats : 2;
  localparam int MapDepth = RowBytes > 1 ? RowBytes : 2;
  localparam int BeatBits = $clog2(TableDepth);
  localparam int PosBits = $clog2(MapDepth);
  localparam int RowBits = Height > 1 ? $clog2(Height) : 1;
  localparam logic [7:0] LastBytes = 8'hff >> (8 * Beats - FrameBytes);
  localparam int Skip = 8 % RowBytes;          // how far a beat moves within a row
  localparam int Far = 9;                      // a row end beyond this beat
  localparam int Rows = RowBytes > Far ? Far : RowBytes;

  // ---- receive: which bytes count, where the row ends, is the frame sound
  logic beat_valid, beat_ready, beat_last, beat_take;
  logic [63:0] beat_data;
  logic [7:0] beat_keep, counts, in_frame, table_keep, keep_q;
  localparam logic [BeatBits-1:0] Second = Beats == 1 ? '0 : BeatBits'(1);
  logic [BeatBits-1:0] beat_d, behind_q;  // behind: the beat after this one, 0 after the last
  logic [PosBits-1:0] pos_q, pos_next;
  logic dropping_q, broken_q, is_final, ends, is_short, is_long;
  logic [3:0] limit;

  jp_spill #(.Width(73)) u_beat (
      .clk_i, .rst_ni,
      .valid_i(s_axis_tvalid_i),
      .ready_o(s_axis_tready_o),
      .data_i({s_axis_tlast_i, s_axis_tkeep_i, s_axis_tdata_i}),
      .valid_o(beat_valid),
      .ready_i(beat_ready),
      .data_o({beat_last, beat_keep, beat_data})
  );
  jp_table #(.File({Prefix, "_keep.mem"}), .Width(8), .Depth(TableDepth), .AddrBits(BeatBits))
      u_keep (.addr_i(rst_ni ? beat_d : '0), .data_o(table_keep));

  assign beat_d = beat_last ? '0 : behind_q;
  assign is_final = behind_q == '0;
  assign in_frame = is_final ? LastBytes : 8'hff;
  assign ends = beat_last || is_final;
  assign beat_take = beat_valid && beat_ready && !dropping_q;
  assign is_short = (beat_last && !is_final) || (in_frame & ~beat_keep) != '0;
  assign is_long = is_final && (!beat_last || (beat_keep & ~in_frame) != '0);

  for (genvar i = 0; i < 8; i++) begin : g_byte
    logic [7:0] magnitude;
    assign magnitude = (Signed != 0 && beat_data[8*i+7]) ? -beat_data[8*i +: 8]
                                                         : beat_data[8*i +: 8];
    assign counts[i] = 32'(magnitude) >= Theta && in_frame[i] && beat_keep[i] && keep_q[i];
  end

  // bytes of this beat that come before the end of the row; Far where it does not end here
  always_comb begin
    limit = 4'(Far);
    if (32'(pos_q) + 8 >= RowBytes) limit = 4'(RowBytes - 32'(pos_q));
    if (32'(pos_q) + Skip >= RowBytes) pos_next = PosBits'(32'(pos_q) + Skip - RowBytes);
    else pos_next = PosBits'(32'(pos_q) + Skip);
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      behind_q <= Second;
      pos_q <= '0;
      dropping_q <= 1'b0;
      broken_q <= 1'b0;
      short_o <= 1'b0;
      long_o <= 1'b0;
    end else begin
      if (beat_take) begin
        behind_q <= beat_d == BeatBits'(Beats - 1) ? '0 : beat_d + 1'b1;
        pos_q <= ends ? '0 : pos_next;
        broken_q <= !ends && (broken_q || is_short);
      end
      if (beat_valid && beat_ready) dropping_q <= !beat_last && (dropping_q || is_final);
      short_o <= beat_take && is_short;
      long_o <= beat_take && is_long;
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni || beat_take) keep_q <= table_keep;
  end

  // ---- queue of beats that have something to say
  localparam int EntryWidth = 64 + 8 + PosBits + 4 + 2;
  localparam int QueueWidth = 4 + 2 + EntryWidth;
  logic entry_valid_q, entry_valid, entry_ready;
  logic [EntryWidth-1:0] entry_q;
  logic [7:0] entry_bytes, row_bytes;
  logic [3:0] entry_limit, entry_count;  // count: of bytes that are sent
  logic entry_any, entry_finishes;       // is one of them in the row; is the first word the last one

  always_ff @(posedge clk_i) begin
    if (!rst_ni) entry_valid_q <= 1'b0;
    else entry_valid_q <= beat_take && (counts != '0 || limit != 4'(Far) || ends);
  end
  always_ff @(posedge clk_i) begin
    entry_q <= {beat_data, counts, pos_q, limit, ends, broken_q || is_short || is_long};
  end

  function automatic logic [7:0] in_row(input logic [3:0] limit_i);
    for (int i = 0; i < 8; i++) in_row[i] = 4'(i) < limit_i;
  endfunction

  // where the row behind the next marker ends
  function automatic logic [3:0] after(input logic [3:0] limit_i);
    return 32'(limit_i) + Rows >= Far ? 4'(Far) : limit_i + 4'(Rows);
  endfunction

  // whether a beat's next byte, or else the next marker, is its last word: left_i bytes are left, the row
  // ends behind limit_i of them. Where the frame ends here the last row's marker is, whatever this says
  function automatic logic last_word(input logic byte_i, input logic [3:0] left_i,
                                     input logic [3:0] limit_i, input logic ends_i);
    if (byte_i) return left_i <= 4'd1 && limit_i == 4'(Far) && !ends_i;
    return left_i == '0 && after(limit_i) == 4'(Far);
  endfunction

  always_comb begin
    {entry_bytes, entry_limit} = {entry_q[PosBits+6 +: 8], entry_q[5:2]};
    entry_any = (entry_bytes & in_row(entry_limit)) != '0;
    entry_count = '0;
    for (int i = 0; i < 8; i++) entry_count += 4'(entry_bytes[i]);
    entry_finishes = last_word(entry_any, entry_count, entry_limit, entry_q[1]);
  end

  logic [3:0] count;
  logic any, finishes;
  logic [EntryWidth-1:0] entry;

  jp_fifo #(.Width(QueueWidth), .Depth(64), .Slack(1), .Early(1)) u_entries (
      .clk_i, .rst_ni,
      .valid_i(entry_valid_q),
      .ready_o(beat_ready),
      .data_i({entry_count, entry_any, entry_finishes, entry_q}),
      .valid_o(entry_valid),
      .ready_i(entry_ready),
      .data_o({count, any, finishes, entry})
  );

  // ---- emit: one byte or marker a cycle; whether that is the beat's last one is known a cycle before
  logic now_valid_q, now_ends_q, now_error_q, advance, may, emit_byte, emit_marker, any_q, finishes_q;
  logic last_row_q, last_row_next, behind_last_row;
  logic [63:0] now_data_q;
  logic [7:0] now_bytes_q, next_bytes, candidates_q, chosen, rest, value;
  logic [PosBits-1:0] now_pos_q, pos;
  logic [3:0] now_limit_q, next_limit, now_left_q;  // left: bytes that are still to be sent
  logic [RowBits-1:0] row_q;
  logic [2:0] index;
  logic more;  // bytes of this row

  assign more = (candidates_q & ~chosen) != '0;
  always_comb begin
    for (int i = 0; i < 8; i++)
      chosen[i] = candidates_q[i] && (candidates_q & ((8'd1 << i) - 1'b1)) == '0;
    rest = now_bytes_q & ~chosen;
    index = '0;
    value = '0;
    for (int i = 0; i < 8; i++) begin
      index |= 3'(i) & {3{chosen[i]}};
      value |= now_data_q[8*i +: 8] & {8{chosen[i]}};
    end
  end

  assign next_limit = after(now_limit_q);
  assign next_bytes = now_bytes_q & in_row(next_limit);
  assign row_bytes = entry[PosBits+6 +: 8] & in_row(entry[5:2]);
  assign may = any_q || !last_row_q || frame_ready_i;
  assign emit_byte = now_valid_q && any_q;
  assign emit_marker = now_valid_q && !any_q && may;
  assign entry_ready = !now_valid_q || (advance && finishes_q && may);
  assign behind_last_row = Height == 1 || (row_q == RowBits'(Height - 2) && !last_row_q);
  assign last_row_next = advance && emit_marker ? behind_last_row : last_row_q;
  assign pos = now_pos_q + PosBits'(index);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      now_valid_q <= 1'b0;
      row_q <= '0;
      last_row_q <= Height == 1;
    end else begin
      if (entry_ready) now_valid_q <= entry_valid;
      if (advance && emit_marker) row_q <= last_row_q ? '0 : row_q + 1'b1;
      last_row_q <= last_row_next;
    end
  end
  always_ff @(posedge clk_i) begin
    if (entry_ready) begin
      now_left_q <= count;
      {now_data_q, now_bytes_q, now_pos_q, now_limit_q, now_ends_q, now_error_q} <= entry;
      candidates_q <= row_bytes;
      any_q <= any;
      finishes_q <= entry[1] && !any ? last_row_next : finishes;
    end else if (advance) begin
      now_bytes_q <= rest;
      if (emit_marker) begin
        now_pos_q <= now_pos_q - PosBits'(RowBytes);
        now_limit_q <= next_limit;
        candidates_q <= next_bytes;
        any_q <= next_bytes != '0;
        if (now_ends_q && next_bytes == '0) finishes_q <= behind_last_row;
        else finishes_q <= last_word(next_bytes != '0, now_left_q, next_limit, now_ends_q);
      end else if (emit_byte) begin
        now_left_q <= now_left_q - 1'b1;
        if (now_ends_q && !more) finishes_q <= last_row_q;
        else finishes_q <= last_word(more, now_left_q - 1'b1, now_limit_q, now_ends_q);
        candidates_q <= candidates_q & ~chosen;
        any_q <= more;
      end
    end
  end

  assign frame_valid_o = advance && emit_marker && last_row_q;
  assign frame_error_o = now_error_q;
  assign receiving_o = beat_valid || behind_q != Second || entry_valid_q || entry_valid || now_valid_q;

  // ---- place: position in the row to (channel, x)
  logic placed_valid_q, placed_marker_q;
  logic [7:0] placed_value_q;
  logic [ChannelBits-1:0] channel;
  logic [XBits-1:0] x;

  jp_rom #(.File({Prefix, "_map.mem"}), .Width(ChannelBits + XBits), .Depth(MapDepth),
           .AddrBits(PosBits)) u_map (
      .clk_i, .en_i(advance), .addr_i(pos), .data_o({channel, x})
  );

  always_ff @(posedge clk_i) begin
    if (!rst_ni) placed_valid_q <= 1'b0;
    else if (advance) placed_valid_q <= emit_byte || emit_marker;
  end
  always_ff @(posedge clk_i) begin
    if (advance) begin
      placed_marker_q <= emit_marker;
      placed_value_q <= value;
    end
  end

  logic [ChannelBits+XBits-1:0] place;
  assign place = placed_marker_q ? '0 : {channel, x};
  jp_spill #(.Width(TokenWidth)) u_token (
      .clk_i, .rst_ni,
      .valid_i(placed_valid_q),
      .ready_o(advance),
      .data_i({placed_marker_q, place, placed_value_q}),
      .valid_o(token_valid_o),
      .ready_i(token_ready_i),
      .data_o(token_o)
  );
endmodule
