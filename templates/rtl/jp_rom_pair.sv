// Two read-only memories in one block RAM, each with a port of its own.
//
// Contract: as two jp_rom of the same width, A and B; A's output is always enabled. A's words are at
// the bottom of the block RAM, B's at the top, the first one last, so no address needs an adder.
module jp_rom_pair #(
    parameter FileA = "",
    parameter FileB = "",
    parameter int Width = 8,
    parameter int DepthA = 2,
    parameter int DepthB = 2,
    parameter int AddrBitsA = 1,
    parameter int AddrBitsB = 1
) (
    input  logic                 clk_i,
    input  logic [AddrBitsA-1:0] a_addr_i,
    output logic [Width-1:0]     a_data_o,
    input  logic                 b_en_i,
    input  logic [AddrBitsB-1:0] b_addr_i,
    output logic [Width-1:0]     b_data_o
);
  localparam int AddrBits = $clog2(DepthA + DepthB);
  localparam int Depth = 1 << AddrBits;

  (* rom_style = "block" *)
  logic [Width-1:0] mem [Depth];
`ifdef VERILATOR
  // it reads no file downwards
  logic [Width-1:0] words [DepthB];
  initial begin
    $readmemh(FileA, mem, 0, DepthA - 1);
    $readmemh(FileB, words);
    for (int i = 0; i < DepthB; i++) mem[Depth-1-i] = words[i];
  end
`else
  initial begin
    $readmemh(FileA, mem, 0, DepthA - 1);
    $readmemh(FileB, mem, Depth - 1, Depth - DepthB);
  end
`endif

  always_ff @(posedge clk_i) a_data_o <= mem[AddrBits'(a_addr_i)];
  always_ff @(posedge clk_i) if (b_en_i) b_data_o <= mem[~AddrBits'(b_addr_i)];
endmodule
