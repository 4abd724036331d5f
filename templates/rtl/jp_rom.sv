// Read-only memory with a registered output, loaded from a file of hexadecimal words.
//
// Contract: when en_i is high, data_o holds word addr_i after the clock edge; else it stays.
module jp_rom #(
    parameter File = "",
    parameter int Width = 8,
    parameter int Depth = 2,
    parameter int AddrBits = 1
) (
    input  logic                clk_i,
    input  logic                en_i,
    input  logic [AddrBits-1:0] addr_i,
    output logic [Width-1:0]    data_o
);
  logic [Width-1:0] mem [Depth];
  initial $readmemh(File, mem);

  always_ff @(posedge clk_i) if (en_i) data_o <= mem[addr_i];
endmodule
