// Two read-only memories in one block RAM, each with a port of its own.
//
// Contract: as two jp_rom of the same width and address bits, A and B; A's output is always enabled.
module jp_rom_pair #(
    parameter FileA = "",
    parameter FileB = "",
    parameter int Width = 8,
    parameter int DepthA = 2,
    parameter int DepthB = 2,
    parameter int AddrBits = 1
) (
    input  logic                clk_i,
    input  logic [AddrBits-1:0] a_addr_i,
    output logic [Width-1:0]    a_data_o,
    input  logic                b_en_i,
    input  logic [AddrBits-1:0] b_addr_i,
    output logic [Width-1:0]    b_data_o
);
  localparam int Half = 1 << AddrBits;

  (* rom_style = "block" *)
  logic [Width-1:0] mem [2 * Half];
  initial begin
    $readmemh(FileA, mem, 0, DepthA - 1);
    $readmemh(FileB, mem, Half, Half + DepthB - 1);
  end

  always_ff @(posedge clk_i) a_data_o <= mem[{1'b0, a_addr_i}];
  always_ff @(posedge clk_i) if (b_en_i) b_data_o <= mem[{1'b1, b_addr_i}];
endmodule
