// out[v][c] = saturate(branch[v][c] + requantize(shortcut[v][c] * w[c], s[c], b[c]))
//
// Contract: valid/ready streams of LANES int8 elements, channel 0 first. A word is taken from both
// inputs or from neither. Constants as in affine_pipeline.
// Timing: one word per cycle, seven cycles from input to output.
module residual #(
    parameter int unsigned CHANNELS = 2,
    parameter int unsigned LANES = 1,
    parameter CONSTANTS = "constants.mem"
) (
    input  logic               clk,
    input  logic               rst,
    input  logic [8*LANES-1:0] branch_data,
    input  logic               branch_valid,
    output logic               branch_ready,
    input  logic [8*LANES-1:0] shortcut_data,
    input  logic               shortcut_valid,
    output logic               shortcut_ready,
    output logic [8*LANES-1:0] out_data,
    output logic               out_valid,
    input  logic               out_ready
);
  localparam int unsigned DELAY = 6;  // latency of affine_pipeline

  logic en, both, scaled_valid;
  logic [8*LANES-1:0] scaled, waiting[DELAY];
  assign en = !out_valid || out_ready;
  assign both = branch_valid && shortcut_valid;
  assign branch_ready = en && shortcut_valid;
  assign shortcut_ready = en && branch_valid;

  affine_pipeline #(
      .CHANNELS (CHANNELS),
      .LANES    (LANES),
      .CONSTANTS(CONSTANTS)
  ) pipeline (
      .clk,
      .rst,
      .en,
      .in_data  (shortcut_data),
      .in_valid (both),
      .out_data (scaled),
      .out_valid(scaled_valid)
  );

  always_ff @(posedge clk) begin
    if (en) begin
      waiting[0] <= branch_data;
      for (int unsigned i = 1; i < DELAY; i++) waiting[i] <= waiting[i-1];
    end
    if (rst) out_valid <= 1'b0;
    else if (en) out_valid <= scaled_valid;
  end

  for (genvar i = 0; i < LANES; i++) begin : g_lane
    logic signed [8:0] sum;
    logic signed [7:0] clamped;
    assign sum = 9'($signed(scaled[8*i+:8])) + 9'($signed(waiting[DELAY-1][8*i+:8]));
    saturate #(
        .BITS(9)
    ) clamp (
        .value (sum),
        .result(clamped)
    );
    always_ff @(posedge clk) if (en) out_data[8*i+:8] <= clamped;
  end
endmodule
