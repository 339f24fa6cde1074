// Element (row, column) of a map leaves as element (column, row). Two maps are in memory; the last
// words of others may be in the REGISTERS words that are on their way out.
module check_transpose #(
    parameter int unsigned ROWS = 2,
    parameter int unsigned COLUMNS = 2,
    parameter int unsigned LANES = 1
) (
    input logic               clk,
    input logic [8*LANES-1:0] in_data,
    input logic               in_valid,
    input logic               out_ready,
    input logic               mark
);
  localparam int unsigned WORDS = ROWS * COLUMNS / LANES;
  localparam int unsigned REGISTERS = 3;
  localparam int unsigned AT = $clog2(WORDS);

  logic started = 1'b0, rst, in_ready, out_valid, empty;
  logic [8*LANES-1:0] out_data;
  (* anyconst *)logic [   $clog2(ROWS)-1:0] row;
  (* anyconst *)logic [$clog2(COLUMNS)-1:0] column;
  assign rst = !started;
  always_ff @(posedge clk) started <= 1'b1;

  transpose #(
      .ROWS   (ROWS),
      .COLUMNS(COLUMNS),
      .LANES  (LANES)
  ) unit (
      .*
  );
  scoreboard #(
      .IN_WORDS (WORDS),
      .OUT_WORDS(WORDS),
      .IN_BITS  (8 * LANES),
      .OUT_BITS (8 * LANES),
      .HELD     (2 + (REGISTERS + WORDS - 1) / WORDS),
      .LATENCY  (REGISTERS)
  ) board (
      .*,
      .in_place   (AT'((row * COLUMNS + column) / LANES)),
      .in_element (in_data[8*(column%LANES)+:8]),
      .out_place  (AT'((column * ROWS + row) / LANES)),
      .out_element(out_data[8*(row%LANES)+:8])
  );
  always_comb
    if (!rst) begin
      assume (row < ROWS && column < COLUMNS);
      if (empty) assert (in_ready);
    end
endmodule
