// Performance counters of one layer.
//
// Contract: counts, from reset, tokens (sum of token_i), MACs (sum of mac_i), cycles with any busy_i,
// cycles with any stall_i, and frames (OutHeight pulses of row_i each). 32 bits each, wrapping; up to
// 4 cycles behind.
module jp_counters #(
    parameter int Lanes = 1,
    parameter int Pes = 1,
    parameter int OutHeight = 1
) (
    input  logic             clk_i,
    input  logic             rst_ni,
    input  logic [Lanes-1:0] token_i,
    input  logic [Pes-1:0]   mac_i,
    input  logic [Pes-1:0]   busy_i,
    input  logic [Lanes-1:0] stall_i,
    input  logic             row_i,
    output logic [5*32-1:0]  counters_o
);
  localparam int MacBits = $clog2(Pes + 1);
  localparam int TokenBits = $clog2(Lanes + 1);
  localparam int RowBits = OutHeight > 1 ? $clog2(OutHeight) : 1;

  localparam int Few = 6;  // bits whose sum is a LUT's work
  localparam int Parts = (Pes + Few - 1) / Few;
  localparam int Quads = (Parts + 3) / 4;  // four parts are summed at once

  logic [Parts*Few-1:0] mac_1q;
  logic [Quads*4*3-1:0] parts, parts_2q;
  logic [Quads*5-1:0] quads, quads_3q;
  logic [MacBits-1:0] macs, macs_4q;
  logic [TokenBits-1:0] tokens, tokens_2q;
  logic [Pes-1:0] busy_1q;
  logic [Lanes-1:0] stall_1q;
  logic busy_2q, stall_2q;
  logic [RowBits-1:0] row_q;
  logic [31:0] tokens_q, macs_q, busy_q, stalled_q, frames_q;

  always_comb begin
    parts = '0;
    for (int p = 0; p < Parts * Few; p++) parts[p / Few * 3 +: 3] = parts[p / Few * 3 +: 3] + 3'(mac_1q[p]);
    quads = '0;
    for (int p = 0; p < Parts; p++) quads[p / 4 * 5 +: 5] = quads[p / 4 * 5 +: 5] + 5'(parts_2q[p * 3 +: 3]);
    macs = '0;
    for (int q = 0; q < Quads; q++) macs = macs + MacBits'(quads_3q[q * 5 +: 5]);
    tokens = '0;
    for (int l = 0; l < Lanes; l++) tokens = tokens + TokenBits'(token_i[l]);
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      mac_1q <= '0;
      parts_2q <= '0;
      quads_3q <= '0;
      macs_4q <= '0;
      tokens_2q <= '0;
      busy_1q <= '0;
      stall_1q <= '0;
      {busy_2q, stall_2q} <= '0;
      row_q <= '0;
      {tokens_q, macs_q, busy_q, stalled_q, frames_q} <= '0;
    end else begin
      mac_1q <= (Parts * Few)'(mac_i);
      parts_2q <= parts;
      quads_3q <= quads;
      macs_4q <= macs;
      tokens_2q <= tokens;
      busy_1q <= busy_i;
      stall_1q <= stall_i;
      busy_2q <= |busy_1q;
      stall_2q <= |stall_1q;
      tokens_q <= tokens_q + 32'(tokens_2q);
      macs_q <= macs_q + 32'(macs_4q);
      busy_q <= busy_q + 32'(busy_2q);
      stalled_q <= stalled_q + 32'(stall_2q);
      if (row_i) begin
        row_q <= row_q == RowBits'(OutHeight - 1) ? '0 : row_q + 1'b1;
        if (row_q == RowBits'(OutHeight - 1)) frames_q <= frames_q + 1'b1;
      end
    end
  end

  assign counters_o = {frames_q, stalled_q, busy_q, macs_q, tokens_q};
endmodule
