// The p-th narrow word is part p of its wide word. A FIFO feeds the unit, as its contract says.
module check_unpack #(
    parameter int unsigned PARTS = 2
) (
    input logic               clk,
    input logic [8*PARTS-1:0] in_data,
    input logic               in_valid,
    input logic               out_ready,
    input logic               mark
);
  logic started = 1'b0, rst, in_ready, out_valid, wide_valid, wide_ready, empty;
  logic [8*PARTS-1:0] wide_data;
  logic [7:0] out_data;
  (* anyconst *)logic [$clog2(PARTS)-1:0] part;
  assign rst = !started;
  always_ff @(posedge clk) started <= 1'b1;

  fifo #(
      .WIDTH(8 * PARTS),
      .DEPTH(2)
  ) feed (
      .*,
      .out_data (wide_data),
      .out_valid(wide_valid),
      .out_ready(wide_ready)
  );
  unpack #(
      .FROM(PARTS),
      .TO  (1)
  ) unit (
      .*,
      .in_data (wide_data),
      .in_valid(wide_valid),
      .in_ready(wide_ready)
  );
  scoreboard #(
      .OUT_WORDS(PARTS),
      .IN_BITS  (8 * PARTS),
      .HELD     (2)
  ) board (
      .*,
      .in_place   (1'b0),
      .in_element (in_data[8*part+:8]),
      .out_place  (part),
      .out_element(out_data)
  );
  always_comb
    if (!rst) begin
      assume (part < PARTS);
      if (empty) assert (in_ready);
    end
endmodule
