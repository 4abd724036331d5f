// Which accumulator of which PE is read next: output rows, of one PE after the other, and the clearing of
// all rings after reset.
//
// Contract: after reset all PEs clear their rings together: 1 << RingBits cycles over all addresses. Then
// pending_i says which PEs have a finished output row. They take turns, the first one first: from the cycle
// after pending_i rose for the PE whose turn it is, a cycle with step_i takes one word of it, which read_o says;
// done_o comes with its last one, and pending_i must be low in the next cycle. After the last PE's last word,
// a cycle with step_i takes the row's marker, which end_o says.
// A row is MapWidth * Slots words. Without pooling (Pool = 0) it is read as it is. With it, every output is a pass over
// its window of PoolRows x PoolCols words, for all slots of an x, then the next x; rows and columns
// of the window are live (on the map) and last (needed by no later window) as the tables say.
//   emit_o: the word is the last one of an output     first_o: ... the first one
//   live_o: the word counts                           erase_o: the word must be cleared
module jp_drain #(
    parameter Prefix = "",  // Prefix_pool_rows.mem, Prefix_pool_columns.mem: {last, live}
    parameter int Pes = 1,
    parameter int RingBits = 1,
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
    parameter int PadX = 0
) (
    input  logic                clk_i,
    input  logic                rst_ni,
    input  logic [Pes-1:0]      pending_i,
    input  logic                step_i,
    output logic [Pes-1:0]      read_o,
    output logic [Pes-1:0]      done_o,
    output logic                end_o,
    output logic [RingBits-1:0] addr_o,
    output logic                emit_o,
    output logic                first_o,
    output logic                live_o,
    output logic                erase_o
);
  localparam int RowWords = MapWidth * Slots;  // from one row of sums to the next
  logic clearing_q, end_q, ready_q, row_end, clear_end, take;
  logic last_turn, turns, ends;
  logic [Pes-1:0] turn_q, next_turn;

  assign last_turn = turn_q[Pes-1];
  assign take = clearing_q || (step_i && ready_q);  // ready: a word of the PE whose turn it is can be read
  assign turns = take && row_end && !clearing_q;
  assign ends = (turns && last_turn) || (end_q && !step_i);
  assign read_o = {Pes{take}} & (turn_q | {Pes{clearing_q}});
  assign done_o = {Pes{turns}} & turn_q;
  assign end_o = step_i && end_q;
  if (Pes == 1) begin : g_alone
    assign next_turn = 1'b1;
  end else begin : g_turns
    assign next_turn = {turn_q[Pes-2:0], turn_q[Pes-1]};
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      clearing_q <= 1'b1;
      end_q <= 1'b0;
      ready_q <= 1'b0;
      turn_q <= Pes'(1);
    end else begin
      if (clear_end) clearing_q <= 1'b0;
      end_q <= ends;
      ready_q <= !ends && (turns ? |(pending_i & next_turn) : |(pending_i & turn_q));
      if (turns) turn_q <= next_turn;
    end
  end

  if (Pool == 0) begin : g_row
    logic [RingBits-1:0] left_q, step;  // left: words that are left, counted upwards, to -1
    assign row_end = left_q == '1;
    assign clear_end = clearing_q && row_end;
    assign {emit_o, first_o, live_o, erase_o} = {!clearing_q, 3'b111};

    always_comb begin
      step = RingBits'(1);
      if (row_end && !clearing_q && !last_turn) step = RingBits'(1 - RowWords);
    end

    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        addr_o <= '0;
        left_q <= '0;
      end else if (take) begin
        addr_o <= addr_o + step;
        left_q <= row_end ? RingBits'(-RowWords) : left_q + 1'b1;
      end
    end
  end else begin : g_pool
    localparam int DyBits = PoolRows > 1 ? $clog2(PoolRows) : 1;
    localparam int DxBits = PoolCols > 1 ? $clog2(PoolCols) : 1;
    localparam int SlotBits = Slots > 1 ? $clog2(Slots) : 1;
    localparam int XBits = OutWidth > 1 ? $clog2(OutWidth) : 1;
    localparam int YBits = OutHeight > 1 ? $clog2(OutHeight) : 1;
    // from the first word of a window to its last, and of a row of windows
    localparam int Across = (PoolCols - 1) * Slots;
    localparam int Window = (PoolRows - 1) * RowWords + Across;
    localparam int Row = Window + (OutWidth - 1) * StrideX * Slots + Slots - 1;
    localparam int First = -(PadY * RowWords + PadX * Slots);

    logic [DyBits-1:0] dy_q;
    logic [DxBits-1:0] dx_q;
    logic [SlotBits-1:0] slot_q;
    logic [XBits-1:0] x_q;
    logic [YBits-1:0] y_q;
    logic dx_end, dy_end, slot_end, x_end, y_end;
    logic [PoolRows-1:0] live_y, last_y;
    logic [PoolCols-1:0] live_x, last_x;
    logic [RingBits-1:0] step;

    jp_table #(.File({Prefix, "_pool_rows.mem"}), .Width(2 * PoolRows),
               .Depth(OutHeight > 1 ? OutHeight : 2), .AddrBits(YBits)) u_rows (
        .addr_i(y_q), .data_o({last_y, live_y})
    );
    jp_table #(.File({Prefix, "_pool_columns.mem"}), .Width(2 * PoolCols),
               .Depth(OutWidth > 1 ? OutWidth : 2), .AddrBits(XBits)) u_columns (
        .addr_i(x_q), .data_o({last_x, live_x})
    );

    assign dx_end = dx_q == DxBits'(PoolCols - 1);
    assign dy_end = dy_q == DyBits'(PoolRows - 1);
    assign slot_end = slot_q == SlotBits'(Slots - 1);
    assign x_end = x_q == XBits'(OutWidth - 1);
    assign y_end = y_q == YBits'(OutHeight - 1);
    assign row_end = dx_end && dy_end && slot_end && x_end;
    assign clear_end = clearing_q && addr_o == '1;

    assign emit_o = dx_end && dy_end && !clearing_q;
    assign first_o = dx_q == '0 && dy_q == '0;
    assign live_o = live_y[dy_q] && live_x[dx_q];
    assign erase_o = clearing_q || (last_y[dy_q] && last_x[dx_q]);

    always_comb begin
      if (clearing_q) step = clear_end ? RingBits'(First + 1) : RingBits'(1);
      else if (!dx_end) step = RingBits'(Slots);
      else if (!dy_end) step = RingBits'(RowWords - Across);
      else if (!slot_end) step = RingBits'(1 - Window);
      else if (!x_end) step = RingBits'(StrideX * Slots - (Slots - 1) - Window);
      else if (!last_turn) step = RingBits'(-Row);
      else if (!y_end) step = RingBits'(StrideY * RowWords - Row);
      else step = RingBits'((MapHeight - (OutHeight - 1) * StrideY) * RowWords - Row);
    end

    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        addr_o <= '0;
        {dx_q, dy_q, slot_q, x_q, y_q} <= '0;
      end else if (take) begin
        addr_o <= addr_o + step;
        if (!clearing_q) begin
          dx_q <= dx_end ? '0 : dx_q + 1'b1;
          if (dx_end) dy_q <= dy_end ? '0 : dy_q + 1'b1;
          if (dx_end && dy_end) slot_q <= slot_end ? '0 : slot_q + 1'b1;
          if (dx_end && dy_end && slot_end) x_q <= x_end ? '0 : x_q + 1'b1;
          if (row_end && last_turn) y_q <= y_end ? '0 : y_q + 1'b1;
        end
      end
    end
  end
endmodule
