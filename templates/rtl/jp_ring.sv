// A PE's accumulators: a memory with one read and one write port, in block RAM or in LUTs.
//
// Contract: data_o is the word that was at read_addr_i when the last clock edge came; if another was
// written there at that very edge, bypass_i must have been high, and data_o is that one.
module jp_ring #(
    parameter int Width = 16,
    parameter int AddrBits = 1,
    parameter int Block = 0
) (
    input  logic                    clk_i,
    input  logic [AddrBits-1:0]     read_addr_i,
    input  logic                    bypass_i,
    output logic signed [Width-1:0] data_o,
    input  logic                    write_i,
    input  logic [AddrBits-1:0]     write_addr_i,
    input  logic signed [Width-1:0] write_data_i
);
  if (Block != 0) begin : g_block
    (* ram_style = "block" *)
    logic signed [Width-1:0] mem [1 << AddrBits];
    logic signed [Width-1:0] read_q, written_q;
    logic bypass_q;

    always_ff @(posedge clk_i) begin
      if (write_i) mem[write_addr_i] <= write_data_i;
    end
    always_ff @(posedge clk_i) begin
      read_q <= mem[read_addr_i];
      written_q <= write_data_i;
      bypass_q <= bypass_i;
    end
    assign data_o = bypass_q ? written_q : read_q;
  end else begin : g_lut
    // read behind the clock edge: what was written then is there already
    (* ram_style = "distributed" *)
    logic signed [Width-1:0] mem [1 << AddrBits];
    logic [AddrBits-1:0] read_addr_q;

    always_ff @(posedge clk_i) begin
      if (write_i) mem[write_addr_i] <= write_data_i;
      read_addr_q <= read_addr_i;
    end
    assign data_o = mem[read_addr_q];
    logic unused;
    assign unused = bypass_i;
  end
endmodule
