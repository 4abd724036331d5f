// Read-only memory with a registered output, loaded from a file of hexadecimal words.
//
// Contract: when en_i is high, data_o holds word addr_i after the clock edge; else it stays. From 2.5
// kbit on, or with Block, it asks for a block RAM: else LUTs are cheaper.
module jp_rom #(
    parameter File = "",
    parameter int Width = 8,
    parameter int Depth = 2,
    parameter int AddrBits = 1,
    parameter int Block = 0
) (
    input  logic                clk_i,
    input  logic                en_i,
    input  logic [AddrBits-1:0] addr_i,
    output logic [Width-1:0]    data_o
);
  localparam int IndexBits = Depth > 1 ? $clog2(Depth) : 1;
  logic unused;
  assign unused = &{1'b0, addr_i};  // a reader may have bits to spare

  if (Block != 0 || Width * Depth >= 2560) begin : g_block
    (* rom_style = "block" *)
    logic [Width-1:0] mem [Depth];
    initial $readmemh(File, mem);
    always_ff @(posedge clk_i) if (en_i) data_o <= mem[IndexBits'(addr_i)];
  end else begin : g_lut
    logic [Width-1:0] mem [Depth];
    initial $readmemh(File, mem);
    always_ff @(posedge clk_i) if (en_i) data_o <= mem[IndexBits'(addr_i)];
  end
endmodule
