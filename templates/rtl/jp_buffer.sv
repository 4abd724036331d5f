// Deep first-in first-out queue: holds a shortcut's tokens while the longer way works, or a burst.
//
// The memory is block RAM, or LUT RAM where Depth is no more than LutDepth.
// Contract: AXI4-Stream handshake on both sides, registered outputs; at least Depth words fit. A word
// comes out three cycles after it went in at the earliest; one word a cycle in the steady state.
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

  // places in mem, behind which two more words can be, and the ones that come next
  logic [AddrBits-1:0] write_q, read_q, write_next_q, read_next_q, read_third_q;
  logic push, pop, filled_q, read_valid_q, read_ready;
  // is exactly one word there: from how many there were a cycle ago, since pop comes late
  logic one, none_q, one_q, two_q, push_q, pop_q;
  logic [Width-1:0] read_data_q;

  function automatic logic [AddrBits-1:0] after(input logic [AddrBits-1:0] at);
    return at == Last ? '0 : at + 1'b1;
  endfunction

  assign one = push_q == pop_q ? one_q : push_q ? none_q : two_q;
  assign push = valid_i && ready_o;
  assign pop = filled_q && (!read_valid_q || read_ready);

  if (Depth <= LutDepth) begin : g_lut
    (* ram_style = "distributed" *)
    logic [Width-1:0] mem [int'(Last) + 1];
    always_ff @(posedge clk_i) begin
      if (push) mem[write_q] <= data_i;
      if (pop) read_data_q <= mem[read_q];
    end
  end else begin : g_block
    (* ram_style = "block" *)
    logic [Width-1:0] mem [int'(Last) + 1];
    always_ff @(posedge clk_i) begin
      if (push) mem[write_q] <= data_i;
      if (pop) read_data_q <= mem[read_q];
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      write_q <= '0;
      read_q <= '0;
      write_next_q <= after('0);
      read_next_q <= after('0);
      read_third_q <= after(after('0));
      filled_q <= 1'b0;
      {none_q, one_q, two_q} <= 3'b100;
      {push_q, pop_q} <= '0;
      read_valid_q <= 1'b0;
      ready_o <= 1'b0;
    end else begin
      if (push) {write_q, write_next_q} <= {write_next_q, after(write_next_q)};
      if (pop) {read_q, read_next_q, read_third_q} <= {read_next_q, read_third_q, after(read_third_q)};
      filled_q <= push || (pop ? !one : filled_q);
      none_q <= read_q == write_q;
      one_q <= read_next_q == write_q;
      two_q <= read_third_q == write_q;
      {push_q, pop_q} <= {push, pop};
      // without a look at pop, which comes late: a full one that gives a word is ready two cycles later
      ready_o <= (ready_o || pop_q || !filled_q) && !(push && write_next_q == read_q);
      if (pop) read_valid_q <= 1'b1;
      else if (read_ready) read_valid_q <= 1'b0;
    end
  end

  // block RAM answers late
  jp_stage #(.Width(Width)) u_stage (
      .clk_i, .rst_ni,
      .valid_i(read_valid_q),
      .ready_o(read_ready),
      .data_i(read_data_q),
      .valid_o, .ready_i, .data_o
  );
endmodule
