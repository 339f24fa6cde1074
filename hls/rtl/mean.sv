// Averages VECTORS vectors: out[c] = rounding_shift(sum over v of in[v][c], log2(VECTORS)).
//
// Contract: valid/ready streams of LANES int8 elements, channel 0 first; VECTORS is a power of two,
// at least 2. The averages leave while the last vector enters.
// Timing: one word per cycle, two cycles from input to output.
module mean #(
    parameter int unsigned VECTORS = 2,
    parameter int unsigned CHANNELS = 2,
    parameter int unsigned LANES = 1
) (
    input  logic               clk,
    input  logic               rst,
    input  logic [8*LANES-1:0] in_data,
    input  logic               in_valid,
    output logic               in_ready,
    output logic [8*LANES-1:0] out_data,
    output logic               out_valid,
    input  logic               out_ready
);
  localparam int unsigned WORDS = CHANNELS / LANES;
  localparam int unsigned WORD_BITS = WORDS > 1 ? $clog2(WORDS) : 1;
  localparam int unsigned SHIFT = $clog2(VECTORS);
  localparam int unsigned SUM_BITS = 8 + SHIFT;

  logic en, step, valid, word_last, vector_last, first, last;
  logic [WORD_BITS-1:0] word, at;
  logic [SHIFT-1:0] vector;
  logic [8*LANES-1:0] x;
  assign en = !out_valid || out_ready;
  assign in_ready = en;
  assign step = en && in_valid;

  counter #(
      .LIMIT(WORDS)
  ) word_counter (
      .clk,
      .rst,
      .step,
      .value(word),
      .last (word_last)
  );
  counter #(
      .LIMIT(VECTORS)
  ) vector_counter (
      .clk,
      .rst,
      .step (step && word_last),
      .value(vector),
      .last (vector_last)
  );

  always_ff @(posedge clk) begin
    if (en) begin
      x <= in_data;
      at <= word;
      first <= vector == '0;
      last <= vector_last;
    end
    if (rst) {out_valid, valid} <= '0;
    else if (en) {out_valid, valid} <= {valid && last, in_valid};
  end

  for (genvar i = 0; i < LANES; i++) begin : g_lane
    logic signed [SUM_BITS-1:0] sums[WORDS];
    logic signed [SUM_BITS-1:0] old, sum, average;
    logic unused;
    assign old = first ? '0 : sums[at];
    assign sum = old + SUM_BITS'($signed(x[8*i+:8]));
    rounding_shift #(
        .BITS(SUM_BITS),
        .SHIFT_BITS(4)
    ) divide (
        .value(sum),
        .shift_minus_1(4'(SHIFT - 1)),
        .result(average)
    );
    assign unused = &average[SUM_BITS-1:8];
    always_ff @(posedge clk)
      if (en) begin
        if (valid) sums[at] <= sum;
        out_data[8*i+:8] <= average[7:0];
      end
  end
endmodule
