// A FIFO of DEPTH words: in LUT RAM up to SHALLOW words, in block RAM beyond. It is ready while it
// is empty, and holds DEPTH words when its output has been stalled for two cycles.
module check_fifo #(
    parameter int unsigned DEPTH = 4,
    parameter int unsigned SHALLOW = 64,
    parameter int unsigned LATENCY = 0
) (
    input logic       clk,
    input logic [7:0] in_data,
    input logic       in_valid,
    input logic       out_ready,
    input logic       mark
);
  logic started = 1'b0, rst, in_ready, out_valid, empty, stalled;
  logic [7:0] out_data;
  logic [$clog2(DEPTH+1)-1:0] words;
  assign rst = !started;

  fifo #(
      .DEPTH  (DEPTH),
      .SHALLOW(SHALLOW)
  ) unit (
      .*
  );
  scoreboard #(
      .HELD   (DEPTH),
      .LATENCY(LATENCY)
  ) board (
      .*,
      .in_place   (1'b0),
      .in_element (in_data),
      .out_place  (1'b0),
      .out_element(out_data)
  );

  always_ff @(posedge clk) begin
    started <= 1'b1;
    stalled <= !rst && !out_ready;
    if (rst) words <= '0;
    else words <= words + (in_valid && in_ready) - (out_valid && out_ready);
  end
  always_comb
    if (!rst) begin
      if (empty) assert (in_ready);
      if (stalled && !out_ready && !in_ready) assert (words == DEPTH);
    end
endmodule
