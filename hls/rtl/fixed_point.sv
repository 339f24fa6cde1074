// The integer arithmetic of the network; models/integer/fixed_point.py and
// hls/cpp/common/fixed_point.hpp have the same rules under the same names.
//
//     rounding_shift(v, s) = floor(v / 2^s + 1/2)
//     saturate(v)          = min(127, max(-128, v))
//     requantize(v, s, b)  = saturate(rounding_shift(v, s) + b)
//     interpolate(k, d, r) = k + rounding_shift(d * r, 2)
//
// A shift is 1 to 16 and is stored minus one, in 4 bits.

/* verilator lint_off DECLFILENAME */  // one file for the rules, as in Python and C++

// Divides by 2^(shift_minus_1 + 1) and rounds half up. Combinational.
//
// Shifting by shift - 1 before the addition takes one shifter, and the adder is narrow.
module rounding_shift #(
    parameter int unsigned BITS = 16,  // width of the value
    parameter int unsigned SHIFT_BITS = 4
) (
    input  logic signed [      BITS-1:0] value,
    input  logic        [SHIFT_BITS-1:0] shift_minus_1,
    output logic signed [      BITS-1:0] result
);
  logic signed [BITS:0] shifted;
  logic unused;
  assign shifted = (BITS + 1)'(value >>> shift_minus_1) + (BITS + 1)'(1);
  assign {result, unused} = shifted;
endmodule

// Clamps to the int8 range. Combinational.
module saturate #(
    parameter int unsigned BITS = 16  // width of the value, at least 9
) (
    input  logic signed [BITS-1:0] value,
    output logic signed [     7:0] result
);
  logic sign;
  logic fits;
  assign sign   = value[BITS-1];
  assign fits   = value[BITS-1:7] == {(BITS - 7) {sign}};
  assign result = fits ? value[7:0] : {sign, {7{~sign}}};
endmodule

// Requantises a sum to int8. Three cycles while `en` is high; the inputs go together.
//
// The shifter is split in two (multiples of four, then the rest), because it limits the clock.
module requantize #(
    parameter int unsigned BITS = 24  // width of the sum, at least 9
) (
    input  logic                   clk,
    input  logic                   en,
    input  logic signed [BITS-1:0] sum,
    input  logic        [     3:0] shift_minus_1,
    input  logic signed [     7:0] bias,
    output logic signed [     7:0] result
);
  logic signed [BITS-1:0] coarse, rounded, fine;
  logic signed [BITS:0] biased;
  logic signed [7:0] coarse_bias, rounded_bias, clamped;
  logic [1:0] rest;

  rounding_shift #(
      .BITS(BITS),
      .SHIFT_BITS(2)
  ) round (
      .value(coarse),
      .shift_minus_1(rest),
      .result(fine)
  );
  assign biased = (BITS + 1)'(rounded) + (BITS + 1)'(rounded_bias);
  saturate #(.BITS(BITS + 1)) clamp (
      .value (biased),
      .result(clamped)
  );

  always_ff @(posedge clk)
    if (en) begin
      coarse <= sum >>> {shift_minus_1[3:2], 2'b00};
      rest <= shift_minus_1[1:0];
      coarse_bias <= bias;
      rounded <= fine;
      rounded_bias <= coarse_bias;
      result <= clamped;
    end
endmodule

// Adds `remainder` quarters of the slope to a knot. Combinational.
//
// The result is between two knots, so its upper bits carry no information.
module interpolate (
    input  logic signed [7:0] knot,
    input  logic signed [8:0] slope,      // right knot - left knot
    input  logic        [1:0] remainder,
    output logic signed [7:0] result
);
  logic signed [10:0] product, step;
  logic unused;
  assign product = (remainder[0] ? 11'(slope) : '0) + (remainder[1] ? 11'(slope) <<< 1 : '0);
  rounding_shift #(
      .BITS(11),
      .SHIFT_BITS(1)
  ) round (
      .value(product),
      .shift_minus_1(1'b1),
      .result(step)
  );
  assign result = knot + step[7:0];
  assign unused = &step[10:8];
endmodule
