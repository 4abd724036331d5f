// First-in first-out queue with registered handshake flags.
//
// The memory is LUT RAM, or block RAM where Depth is more than LutDepth.
// Contract: a word is taken when valid_i is high, and leaves when valid_o and ready_i are. ready_o
// falls while there is still room for Slack words, so that a sender whose decision is Slack cycles
// old loses nothing; such a sender may push while ready_o is low. With Slack = 0, valid_i must be
// low or wait while ready_o is low, as usual. valid_o, data_o and ready_o do not depend on this
// cycle's inputs. A word can leave in the cycle after it was taken; ready_o knows a cycle later that it left.
// So a queue of Slack + 2 words takes one every other cycle.
// Edge cases: pushing into a full queue is a fault of the sender, and stops a simulation.
module jp_fifo #(
    parameter int Width = 8,
    parameter int Depth = 16,  // a power of two, at least 2
    parameter int Slack = 0,   // at most Depth - 2
    parameter int Early = 0    // whether data_o must not come through a LUT before the memory
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
  localparam int AddrBits = Depth > 1 ? $clog2(Depth) : 1;

  initial if (Depth != (1 << AddrBits) || Depth < 2 || Slack > Depth - 2)
    $fatal(1, "jp_fifo: Depth %0d, Slack %0d", Depth, Slack);

  localparam int LutDepth = 64;
  // of the longest sequence of AddrBits bits: x^n + x^m + 1 (Xilinx XAPP 052)
  localparam logic [5:0] AllTaps = AddrBits == 5 ? 6'b010100 : 6'(12 << AddrBits >> 4);
  localparam logic [AddrBits-1:0] Taps = AddrBits'(AllTaps);

  logic [AddrBits-1:0] write_q, read_q, read_d;
  logic [AddrBits-1:0] ahead_q;  // Slack + 1 words behind write_q
  logic push, pop;

  // The word after word `at`. In LUT RAM the order of the words is that of a shift register with
  // feedback, which takes one LUT and no carry chain; the zeros' term adds the state that it lacks.
  function automatic logic [AddrBits-1:0] after(input logic [AddrBits-1:0] at);
    if (AddrBits > 6) return at + 1'b1;
    if (AddrBits == 1) return ~at;
    return AddrBits'({at, ^(at & Taps) ^ (AddrBits'(at << 1) == '0)});
  endfunction

  function automatic logic [AddrBits-1:0] place(input int words);
    place = '0;
    for (int i = 0; i < words; i++) place = after(place);
  endfunction

  assign read_d = after(read_q);
  assign push = valid_i && (Slack != 0 || ready_o);
  assign pop = valid_o && ready_i;

  if (Depth <= LutDepth) begin : g_lut
    (* ram_style = "distributed" *)
    logic [Width-1:0] mem [Depth];
    if (Early != 0) begin : g_early
      always_ff @(posedge clk_i) begin
        if (push) mem[write_q] <= data_i;
      end
      assign data_o = mem[read_q];
    end else begin : g_late
      // a word lies at the place behind its own: an address that is no register, of which Yosys would make
      // a second one, with a selector
      always_ff @(posedge clk_i) begin
        if (push) mem[after(write_q)] <= data_i;
      end
      assign data_o = mem[read_d];
    end
  end else begin : g_block
    // block RAM reads a cycle ahead; a word that is written at that very edge goes round it
    (* ram_style = "block" *)
    logic [Width-1:0] mem [Depth];
    logic [Width-1:0] stored_q, pushed_q;
    logic bypass_q;
    always_ff @(posedge clk_i) begin
      if (push) mem[write_q] <= data_i;
    end
    always_ff @(posedge clk_i) begin
      stored_q <= mem[pop ? read_d : read_q];
      pushed_q <= data_i;
      bypass_q <= push && write_q == (pop ? read_d : read_q);
    end
    assign data_o = bypass_q ? pushed_q : stored_q;
  end

  // With one more word there is room for Slack others only. Whether a word leaves now is known late in the
  // cycle: ready_o does not wait for that.
  logic near_full;
  assign near_full = ahead_q == read_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      write_q <= '0;
      ahead_q <= place(Slack + 1);
      read_q <= '0;
      valid_o <= 1'b0;
      ready_o <= 1'b0;
    end else begin
      if (push) write_q <= after(write_q);
      if (push) ahead_q <= after(ahead_q);
      if (pop) read_q <= read_d;
      valid_o <= push || (pop ? read_d != write_q : valid_o);
      ready_o <= near_full ? !push : ready_o || !valid_o;  // behind reset nothing is in the queue
    end
  end

`ifndef SYNTHESIS
  int level;
  always @(posedge clk_i) begin
    level <= rst_ni ? level + int'(push) - int'(pop) : 0;
    if (rst_ni && push && !pop && level == Depth) begin
      $display("jp_fifo: overflow in %m");
      $fatal(1, "jp_fifo: overflow");
    end
  end
`endif
endmodule
