// q = floor(v / 2^s + 1/2), for a shift s of 1 to 16: v + 2^(s-1) without its last s bits.
// check_rounding_shift proves that this q is the floor as division with rest defines it.
module nearest #(
    parameter int unsigned BITS = 24
) (
    input  logic signed [BITS-1:0] v,
    input  logic        [     3:0] shift_minus_1,
    output logic signed [  BITS:0] q
);
  always_comb begin
    q = '0;
    for (int s = 1; s <= 16; s++)
      if (shift_minus_1 == s - 1) q = (v + $signed((BITS + 1)'(2 ** (s - 1)))) >>> s;
  end
endmodule
