// Splits a word of FROM elements into FROM / TO words of TO elements.
//
// Contract: valid/ready streams; the lowest elements leave first. The wide word stays at the input
// until its last part has left, so a FIFO must feed this unit. Combinational from input to output.
// Timing: one narrow word per cycle.
module unpack #(
    parameter int unsigned FROM = 2,
    parameter int unsigned TO = 1
) (
    input  logic              clk,
    input  logic              rst,
    input  logic [8*FROM-1:0] in_data,
    input  logic              in_valid,
    output logic              in_ready,
    output logic [  8*TO-1:0] out_data,
    output logic              out_valid,
    input  logic              out_ready
);
  localparam int unsigned PARTS = FROM / TO;
  localparam int unsigned PART_BITS = PARTS > 1 ? $clog2(PARTS) : 1;

  logic last;
  logic [PART_BITS-1:0] part;
  assign out_valid = in_valid;
  assign out_data  = in_data[8*TO*part+:8*TO];
  assign in_ready  = out_ready && last;

  counter #(
      .LIMIT(PARTS)
  ) part_counter (
      .clk,
      .rst,
      .step (out_valid && out_ready),
      .value(part),
      .last
  );
endmodule
