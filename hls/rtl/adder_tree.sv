// Adds TERMS signed terms, with a register after each level of two-input adders.
//
// Contract: term i is at bits [IN_BITS*i +: IN_BITS].
// Timing: ceil(log2(TERMS)) cycles while `en` is high; the sum never overflows OUT_BITS.
module adder_tree #(
    parameter int unsigned TERMS = 2,
    parameter int unsigned IN_BITS = 16,
    localparam int unsigned LEVELS = $clog2(TERMS),
    localparam int unsigned OUT_BITS = IN_BITS + LEVELS
) (
    input  logic                               clk,
    input  logic                               en,
    input  logic        [IN_BITS*TERMS-1:0] terms,
    output logic signed [     OUT_BITS-1:0] sum
);
  if (TERMS == 1) begin : g_one
    logic unused;
    assign sum = terms;
    assign unused = clk && en;
  end else begin : g_level
    localparam int unsigned HALF = (TERMS + 1) / 2;
    logic [(IN_BITS+1)*HALF-1:0] pairs;
    for (genvar i = 0; i < HALF; i++) begin : g_pair
      logic signed [IN_BITS:0] left, right, pair;
      assign left = (IN_BITS + 1)'($signed(terms[IN_BITS*2*i+:IN_BITS]));
      if (2 * i + 1 < TERMS) begin : g_right
        assign right = (IN_BITS + 1)'($signed(terms[IN_BITS*(2*i+1)+:IN_BITS]));
      end else begin : g_none
        assign right = '0;
      end
      always_ff @(posedge clk) if (en) pair <= left + right;
      assign pairs[(IN_BITS+1)*i+:IN_BITS+1] = pair;
    end
    adder_tree #(
        .TERMS  (HALF),
        .IN_BITS(IN_BITS + 1)
    ) rest (
        .clk,
        .en,
        .terms(pairs),
        .sum
    );
  end
endmodule
