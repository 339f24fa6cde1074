// Every word leaves on both ports of `duplicate`, at the pace of each.
module check_duplicate (
    input logic       clk,
    input logic [7:0] in_data,
    input logic       in_valid,
    input logic       branch_ready,
    input logic       shortcut_ready,
    input logic       mark
);
  logic started = 1'b0, rst, in_ready, branch_valid, shortcut_valid, branch_empty, shortcut_empty;
  logic [7:0] branch_data, shortcut_data;
  assign rst = !started;
  always_ff @(posedge clk) started <= 1'b1;

  duplicate unit (.*);
  scoreboard branch (
      .*,
      .in_place   (1'b0),
      .in_element (in_data),
      .out_data   (branch_data),
      .out_valid  (branch_valid),
      .out_ready  (branch_ready),
      .out_place  (1'b0),
      .out_element(branch_data),
      .empty      (branch_empty)
  );
  scoreboard shortcut (
      .*,
      .in_place   (1'b0),
      .in_element (in_data),
      .out_data   (shortcut_data),
      .out_valid  (shortcut_valid),
      .out_ready  (shortcut_ready),
      .out_place  (1'b0),
      .out_element(shortcut_data),
      .empty      (shortcut_empty)
  );
  always_comb if (!rst && branch_empty && shortcut_empty) assert (in_ready);
endmodule
