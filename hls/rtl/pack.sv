// Joins TO / FROM words of FROM elements into one word of TO elements.
//
// Contract: valid/ready streams; the first narrow word has the lowest elements.
// Timing: one narrow word per cycle; the wide word leaves one cycle after its last part, and the
// next vector enters meanwhile.
module pack #(
    parameter int unsigned FROM = 1,
    parameter int unsigned TO = 2
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
  localparam int unsigned PARTS = TO / FROM;
  localparam int unsigned PART_BITS = PARTS > 1 ? $clog2(PARTS) : 1;

  logic take, last;
  logic [PART_BITS-1:0] part;
  assign in_ready = !out_valid || out_ready;
  assign take = in_valid && in_ready;

  counter #(
      .LIMIT(PARTS)
  ) part_counter (
      .clk,
      .rst,
      .step (take),
      .value(part),
      .last
  );

  always_ff @(posedge clk) begin
    if (take) out_data[8*FROM*part+:8*FROM] <= in_data;
    if (rst) out_valid <= 1'b0;
    else if (take) out_valid <= last;
    else if (out_ready) out_valid <= 1'b0;
  end
endmodule
