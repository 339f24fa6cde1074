// Part p of a wide word is the p-th of its narrow words.
module check_pack #(
    parameter int unsigned PARTS = 2
) (
    input logic       clk,
    input logic [7:0] in_data,
    input logic       in_valid,
    input logic       out_ready,
    input logic       mark
);
  logic started = 1'b0, rst, in_ready, out_valid, empty;
  logic [8*PARTS-1:0] out_data;
  (* anyconst *)logic [$clog2(PARTS)-1:0] part;
  assign rst = !started;
  always_ff @(posedge clk) started <= 1'b1;

  pack #(
      .FROM(1),
      .TO  (PARTS)
  ) unit (
      .*
  );
  scoreboard #(
      .IN_WORDS(PARTS),
      .OUT_BITS(8 * PARTS)
  ) board (
      .*,
      .in_place   (part),
      .in_element (in_data),
      .out_place  (1'b0),
      .out_element(out_data[8*part+:8])
  );
  always_comb
    if (!rst) begin
      assume (part < PARTS);
      if (empty) assert (in_ready);
    end
endmodule
