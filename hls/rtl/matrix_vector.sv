// A matrix product with its activation, PE outputs and SIMD inputs per cycle:
//
//     out[v][o] = act(o, requantize(sum over i of w[o][i] * in[v][i], s[o], b[o]))
//
// Contract: takes a vector in words of SIMD elements, OUTPUTS / PE times (see replay); sends PE
// outputs per word, output 0 first. Word t of the file WEIGHTS is the tile of cycle t: PE rows of
// SIMD weights, from the lowest bits. A word of the file CONSTANTS has for each of PE outputs bias
// (8 bits) and shift minus one (4). The activation is none, max(0, x) (RELU), or a table.
// Timing: one tile per cycle, (OUTPUTS / PE) * (INPUTS / SIMD) cycles per vector.
module matrix_vector #(
    parameter int unsigned INPUTS = 2,
    parameter int unsigned OUTPUTS = 2,
    parameter int unsigned PE = 1,
    parameter int unsigned SIMD = 1,
    parameter WEIGHTS = "weights.mem",
    parameter CONSTANTS = "constants.mem",
    parameter bit RELU = 0,
    parameter bit HAS_TABLE = 0,
    parameter TABLE = "table"  // see read_table
) (
    input  logic              clk,
    input  logic              rst,
    input  logic [8*SIMD-1:0] in_data,
    input  logic              in_valid,
    output logic              in_ready,
    output logic [  8*PE-1:0] out_data,
    output logic              out_valid,
    input  logic              out_ready
);
  localparam int unsigned GROUPS = OUTPUTS / PE;
  localparam int unsigned PARTS = INPUTS / SIMD;
  localparam int unsigned TILES = GROUPS * PARTS;
  localparam int unsigned LEVELS = $clog2(SIMD);
  localparam int unsigned TREE_BITS = 16 + LEVELS;
  localparam int unsigned SUM_BITS = 16 + $clog2(INPUTS);

  logic en;
  assign en = !out_valid || out_ready;
  assign in_ready = en;

  // Weights, with a register behind the ROM, because a block RAM's output is late.
  logic [8*PE*SIMD-1:0] weights[TILES];
  logic [8*PE*SIMD-1:0] read, w;
  logic [8*SIMD-1:0] x, x1;
  logic [(TILES > 1 ? $clog2(TILES) : 1)-1:0] tile;
  logic unused_tile_last;
  initial $readmemh(WEIGHTS, weights);

  counter #(
      .LIMIT(TILES)
  ) tile_counter (
      .clk,
      .rst,
      .step (en && in_valid),
      .value(tile),
      .last (unused_tile_last)
  );

  always_ff @(posedge clk)
    if (en) begin
      read <= weights[tile];
      x <= in_data;
      w <= read;
      x1 <= x;
    end

  // `valid` follows a tile: two registers, the product, then the levels of the tree.
  logic [LEVELS+2:0] valid;
  logic summed;  // a tile's partial sum is at the end of the tree
  assign summed = valid[LEVELS+2];
  always_ff @(posedge clk)
    if (rst) valid <= '0;
    else if (en) valid <= {valid[LEVELS+1:0], in_valid};

  // A sum is complete after its last part.
  logic part_first, part_last, complete;
  logic [(PARTS > 1 ? $clog2(PARTS) : 1)-1:0] part;
  assign part_first = part == '0;
  counter #(
      .LIMIT(PARTS)
  ) part_counter (
      .clk,
      .rst,
      .step (en && summed),
      .value(part),
      .last (part_last)
  );

  // Constants of the group of outputs, read while the sum is accumulated.
  logic [12*PE-1:0] constants[GROUPS];
  logic [12*PE-1:0] constant;
  logic [(GROUPS > 1 ? $clog2(GROUPS) : 1)-1:0] group;
  logic unused_group_last;
  initial $readmemh(CONSTANTS, constants);
  counter #(
      .LIMIT(GROUPS)
  ) group_counter (
      .clk,
      .rst,
      .step (en && summed && part_last),
      .value(group),
      .last (unused_group_last)
  );

  always_ff @(posedge clk) begin
    if (en) constant <= constants[group];
    if (rst) complete <= 1'b0;
    else if (en) complete <= summed && part_last;
  end

  logic [8*PE-1:0] results;
  logic [2:0] result_valid;
  always_ff @(posedge clk)
    if (rst) result_valid <= '0;
    else if (en) result_valid <= {result_valid[1:0], complete};

  for (genvar p = 0; p < PE; p++) begin : g_output
    logic [16*SIMD-1:0] products;
    for (genvar i = 0; i < SIMD; i++) begin : g_input
      logic signed [15:0] product;
      always_ff @(posedge clk)
        if (en) product <= $signed(x1[8*i+:8]) * $signed(w[8*(SIMD*p+i)+:8]);
      assign products[16*i+:16] = product;
    end

    logic signed [TREE_BITS-1:0] tree;
    adder_tree #(
        .TERMS(SIMD)
    ) adders (
        .clk,
        .en,
        .terms(products),
        .sum  (tree)
    );

    logic signed [SUM_BITS-1:0] sum;
    always_ff @(posedge clk)
      if (en && summed) sum <= (part_first ? '0 : sum) + SUM_BITS'(tree);

    logic signed [7:0] result;
    requantize #(
        .BITS(SUM_BITS)
    ) scale (
        .clk,
        .en,
        .sum,
        .shift_minus_1(constant[12*p+8+:4]),
        .bias(constant[12*p+:8]),
        .result
    );
    assign results[8*p+:8] = RELU && result[7] ? '0 : result;
  end

  if (HAS_TABLE) begin : g_table
    read_table #(
        .CHANNELS(OUTPUTS),
        .LANES(PE),
        .TABLE(TABLE)
    ) act (
        .clk,
        .rst,
        .en,
        .in_data  (results),
        .in_valid (result_valid[2]),
        .out_data,
        .out_valid
    );
  end else begin : g_plain
    assign out_data  = results;
    assign out_valid = result_valid[2];
  end
endmodule
