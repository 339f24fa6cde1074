// requantize(v, s, b) = min(127, max(-128, floor(v / 2^s + 1/2) + b)) for every v, s and b.
//
// One input, chosen by `mark`, is followed through the pipeline; those before and after it are
// arbitrary, and so is the state in which the pipeline starts.
module check_requantize #(
    parameter int unsigned BITS = 24
) (
    input logic                   clk,
    input logic                   en,
    input logic                   mark,
    input logic signed [BITS-1:0] other_sum,
    input logic        [     3:0] other_shift_minus_1,
    input logic signed [     7:0] other_bias
);
  (* anyconst *)logic signed [BITS-1:0] v;
  (* anyconst *)logic [3:0] shift_minus_1;
  (* anyconst *)logic signed [7:0] b;
  logic signed [BITS:0] q;
  logic signed [BITS+1:0] biased;
  logic signed [7:0] result, expected;
  logic [2:0] followed = 3'b0;

  requantize #(
      .BITS(BITS)
  ) unit (
      .clk,
      .en,
      .sum(mark ? v : other_sum),
      .shift_minus_1(mark ? shift_minus_1 : other_shift_minus_1),
      .bias(mark ? b : other_bias),
      .result
  );
  nearest #(.BITS(BITS)) rule (.*);
  assign biased = q + b;
  assign expected = biased > 127 ? 8'd127 : biased < -128 ? -8'd128 : biased[7:0];

  always_ff @(posedge clk) if (en) followed <= {followed[1:0], mark};
  always_comb if (followed[2]) assert (result == expected);
endmodule
