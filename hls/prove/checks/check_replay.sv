// Element i of a vector leaves in each of TIMES turns, at its place.
module check_replay #(
    parameter int unsigned INPUTS = 2,
    parameter int unsigned SIMD = 1,
    parameter int unsigned TIMES = 2,
    parameter int unsigned HANDOVER = 0
) (
    input logic       clk,
    input logic [7:0] in_data,
    input logic       in_valid,
    input logic       out_ready,
    input logic       mark
);
  localparam int unsigned PARTS = INPUTS / SIMD;
  localparam int unsigned OUT_AT = $clog2(PARTS * TIMES);

  logic started = 1'b0, rst, in_ready, out_valid, empty;
  logic [8*SIMD-1:0] out_data;
  (* anyconst *)logic [$clog2(INPUTS)-1:0] i;
  (* anyconst *)logic [ $clog2(TIMES)-1:0] turn;
  assign rst = !started;
  always_ff @(posedge clk) started <= 1'b1;

  replay #(
      .INPUTS(INPUTS),
      .SIMD  (SIMD),
      .TIMES (TIMES),
      .HANDOVER(HANDOVER)
  ) unit (
      .*
  );
  scoreboard #(
      .IN_WORDS (INPUTS),
      .OUT_WORDS(PARTS * TIMES),
      .OUT_BITS (8 * SIMD),
      .HELD     (2),
      .LATENCY  (HANDOVER)
  ) board (
      .*,
      .in_place   (i),
      .in_element (in_data),
      .out_place  (OUT_AT'(turn * PARTS + i / SIMD)),
      .out_element(out_data[8*(i%SIMD)+:8])
  );
  always_comb
    if (!rst) begin
      assume (i < INPUTS && turn < TIMES);
      if (empty) assert (in_ready);
    end
endmodule
