// Two read-only memories in one block RAM, each with a port of its own.
//
// Contract: as two jp_rom, A and B; A's output is always enabled. A's words are at the bottom of the
// file, B's at its top, the first one last, and b_addr_i is the complement of a word's number: so no
// address needs an adder, and none an inverter here.
module jp_rom_pair #(
    parameter File = "",  // 1 << AddrBits words
    parameter int Width = 8,
    parameter int AddrBits = 1,
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
  (* rom_style = "block" *)
  logic [Width-1:0] mem [1 << AddrBits];
  initial $readmemh(File, mem);
  localparam logic [AddrBits-1:0] Top = ~((AddrBits'(1) << AddrBitsB) - 1'b1);

  always_ff @(posedge clk_i) a_data_o <= mem[AddrBits'(a_addr_i)];
  always_ff @(posedge clk_i) if (b_en_i) b_data_o <= mem[Top | AddrBits'(b_addr_i)];
endmodule
