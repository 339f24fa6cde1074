// rounding_shift(v, s) = floor(v / 2^s + 1/2) for every v and s.
//
// The floor is defined by division with rest: q * 2^(s+1) <= 2 v + 2^s < (q + 1) * 2^(s+1).
module check_rounding_shift #(
    parameter int unsigned BITS = 24
) (
    input logic clk
);
  (* anyconst *)logic signed [BITS-1:0] v;
  (* anyconst *)logic [3:0] shift_minus_1;
  logic signed [BITS-1:0] result;
  logic signed [BITS:0] q;
  logic signed [47:0] quotient, value;

  rounding_shift #(
      .BITS(BITS)
  ) unit (
      .value(v),
      .shift_minus_1,
      .result
  );
  nearest #(.BITS(BITS)) rule (.*);
  assign quotient = q;
  assign value = v;
  always_comb begin
    assert (result == q);
    for (int s = 1; s <= 16; s++)
      if (shift_minus_1 == s - 1)
        assert (quotient * 2 ** (s + 1) <= value * 2 + 2 ** s &&
                value * 2 + 2 ** s < (quotient + 1) * 2 ** (s + 1));
  end
endmodule
