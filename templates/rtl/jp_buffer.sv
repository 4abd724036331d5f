// Deep first-in first-out queue: holds a shortcut's tokens while the longer way works, or a burst.
//
// The memory is block RAM, or LUT RAM where Depth is no more than LutDepth.
// Contract: AXI4-Stream handshake on both sides, registered outputs; at least Depth words fit. A word
// comes out two cycles after it went in at the earliest; one word a cycle in the steady state.
module jp_buffer #(
    parameter int Width = 8,
    parameter int Depth = 1024
) (
    input  logic             clk_i,
    input  logic             rst_ni,
    input  logic             valid_i,
    output logic             ready_o,
    input  logic [Width-1:0] data_i,
    output logic             valid_o,
    input  logic             ready_i,
    output logic [Width-1:0] data_o
);
  localparam int AddrBits = Depth > 2 ? $clog2(Depth) : 1;
  localparam logic [AddrBits-1:0] Last = AddrBits'(Depth > 2 ? Depth - 1 : 1);

  localparam int LutDepth = 128;

  logic [AddrBits-1:0] write_q, read_q;
  logic [AddrBits:0] level_q, level_d;  // words in mem; one more can be in data_o
  logic push, pop, filled_q;

  assign push = valid_i && ready_o;
  assign pop = filled_q && (!valid_o || ready_i);
  assign level_d = level_q + {{AddrBits{pop && !push}}, pop ^ push};

  if (Depth <= LutDepth) begin : g_lut
    (* ram_style = "distributed" *)
    logic [Width-1:0] mem [int'(Last) + 1];
    always_ff @(posedge clk_i) begin
      if (push) mem[write_q] <= data_i;
      if (pop) data_o <= mem[read_q];
    end
  end else begin : g_block
    (* ram_style = "block" *)
    logic [Width-1:0] mem [int'(Last) + 1];
    always_ff @(posedge clk_i) begin
      if (push) mem[write_q] <= data_i;
      if (pop) data_o <= mem[read_q];
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      write_q <= '0;
      read_q <= '0;
      level_q <= '0;
      filled_q <= 1'b0;
      valid_o <= 1'b0;
      ready_o <= 1'b0;
    end else begin
      if (push) write_q <= write_q == Last ? '0 : write_q + 1'b1;
      if (pop) read_q <= read_q == Last ? '0 : read_q + 1'b1;
      level_q <= level_d;
      filled_q <= level_d != '0;
      ready_o <= level_d <= {1'b0, Last};
      if (pop) valid_o <= 1'b1;
      else if (ready_i) valid_o <= 1'b0;
    end
  end
endmodule
