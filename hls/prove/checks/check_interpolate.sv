// interpolate = left + floor((right - left) * r / 4 + 1/2) for all pairs of knots and remainders r,
// and the result lies between the knots.
module check_interpolate (
    input logic clk
);
  (* anyconst *)logic signed [7:0] left, right;
  (* anyconst *)logic [1:0] remainder;
  logic signed [7:0] result;
  logic signed [8:0] slope;
  logic signed [15:0] product, quotient;

  assign slope = 9'(right) - 9'(left);
  interpolate unit (
      .knot(left),
      .slope,
      .remainder,
      .result
  );
  assign product  = (16'(right) - 16'(left)) * $signed({14'b0, remainder});
  assign quotient = 16'(result) - 16'(left);
  always_comb begin
    assert (quotient * 8 <= product * 2 + 4 && product * 2 + 4 < (quotient + 1) * 8);
    assert (left <= right ? left <= result && result <= right : right <= result && result <= left);
  end
endmodule
