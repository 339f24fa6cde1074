// The arithmetic that `affine` and `residual` share: requantize(x * w, s, b), channel by channel.
//
// Contract: takes LANES neighbouring channels per cycle, channel 0 first, CHANNELS in all, then
// again from channel 0. A word of the ROM file CONSTANTS has, for each lane from the lowest bits,
// weight (8 bits), bias (8), shift minus one (4).
// Timing: LATENCY = 6 cycles while `en` is high.
module affine_pipeline #(
    parameter int unsigned CHANNELS = 2,
    parameter int unsigned LANES = 1,
    parameter CONSTANTS = "constants.mem"
) (
    input  logic               clk,
    input  logic               rst,
    input  logic               en,
    input  logic [8*LANES-1:0] in_data,
    input  logic               in_valid,
    output logic [8*LANES-1:0] out_data,
    output logic               out_valid
);
  localparam int unsigned LATENCY = 6;
  localparam int unsigned WORDS = CHANNELS / LANES;

  logic [20*LANES-1:0] constants[WORDS];
  logic [20*LANES-1:0] read, constant;
  logic [8*LANES-1:0] x, x1;
  logic [LATENCY-1:0] valid;
  logic [(WORDS > 1 ? $clog2(WORDS) : 1)-1:0] word;
  logic unused_last;

  initial $readmemh(CONSTANTS, constants);

  counter #(
      .LIMIT(WORDS)
  ) word_counter (
      .clk,
      .rst,
      .step (en && in_valid),
      .value(word),
      .last (unused_last)
  );

  always_ff @(posedge clk)
    if (en) begin
      read <= constants[word];
      x <= in_data;
      constant <= read;
      x1 <= x;
    end

  for (genvar i = 0; i < LANES; i++) begin : g_lane
    logic signed [15:0] product;
    logic signed [7:0] bias;
    logic [3:0] shift_minus_1;
    always_ff @(posedge clk)
      if (en) begin
        product <= $signed(x1[8*i+:8]) * $signed(constant[20*i+:8]);
        bias <= constant[20*i+8+:8];
        shift_minus_1 <= constant[20*i+16+:4];
      end
    requantize #(
        .BITS(16)
    ) scale (
        .clk,
        .en,
        .sum(product),
        .shift_minus_1,
        .bias,
        .result(out_data[8*i+:8])
    );
  end

  assign out_valid = valid[LATENCY-1];
  always_ff @(posedge clk)
    if (rst) valid <= '0;
    else if (en) valid <= {valid[LATENCY-2:0], in_valid};
endmodule
