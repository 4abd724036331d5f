// Small read-only table without a register, loaded from a file of hexadecimal words.
//
// Contract: data_o is word addr_i in the same cycle; addr_i < Depth.
module jp_table #(
    parameter File = "",
    parameter int Width = 8,
    parameter int Depth = 2,
    parameter int AddrBits = 1
) (
    input  logic [AddrBits-1:0] addr_i,
    output logic [Width-1:0]    data_o
);
  logic [Width-1:0] mem [Depth];
  initial $readmemh(File, mem);
  assign data_o = mem[addr_i];
endmodule
