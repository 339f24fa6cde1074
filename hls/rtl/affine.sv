// out[v][c] = requantize(in[v][c] * w[c], s[c], b[c])
//
// Contract: valid/ready streams of LANES int8 elements, channel 0 first; constants as in
// affine_pipeline.
// Timing: one word per cycle, six cycles from input to output.
module affine #(
    parameter int unsigned CHANNELS = 2,
    parameter int unsigned LANES = 1,
    parameter CONSTANTS = "constants.mem"
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
  assign in_ready = !out_valid || out_ready;

  affine_pipeline #(
      .CHANNELS (CHANNELS),
      .LANES    (LANES),
      .CONSTANTS(CONSTANTS)
  ) pipeline (
      .clk,
      .rst,
      .en(in_ready),
      .in_data,
      .in_valid,
      .out_data,
      .out_valid
  );
endmodule
