// Forks the input of a residual sublayer and applies a table, if any, to the branch.
//
//     branch[v][c] = act(c, in[v][c]),  shortcut[v][c] = in[v][c]
//
// Contract: valid/ready streams of LANES int8 elements, channel 0 first. A word is taken when both
// outputs have room for it.
// Timing: one word per cycle. The shortcut's word leaves one cycle later, the branch's too, or four
// cycles later with a table.
module duplicate #(
    parameter int unsigned CHANNELS = 2,
    parameter int unsigned LANES = 1,
    parameter bit HAS_TABLE = 0,
    parameter TABLE = "table"  // see read_table
) (
    input  logic               clk,
    input  logic               rst,
    input  logic [8*LANES-1:0] in_data,
    input  logic               in_valid,
    output logic               in_ready,
    output logic [8*LANES-1:0] branch_data,
    output logic               branch_valid,
    input  logic               branch_ready,
    output logic [8*LANES-1:0] shortcut_data,
    output logic               shortcut_valid,
    input  logic               shortcut_ready
);
  logic en, take;
  assign en = !branch_valid || branch_ready;
  assign in_ready = en && (!shortcut_valid || shortcut_ready);
  assign take = in_valid && in_ready;

  always_ff @(posedge clk) begin
    if (take) shortcut_data <= in_data;
    if (rst) shortcut_valid <= 1'b0;
    else if (take) shortcut_valid <= 1'b1;
    else if (shortcut_ready) shortcut_valid <= 1'b0;
  end

  if (HAS_TABLE) begin : g_table
    read_table #(
        .CHANNELS(CHANNELS),
        .LANES(LANES),
        .TABLE(TABLE)
    ) act (
        .clk,
        .rst,
        .en,
        .in_data,
        .in_valid (take),
        .out_data (branch_data),
        .out_valid(branch_valid)
    );
  end else begin : g_identity
    always_ff @(posedge clk) begin
      if (rst) branch_valid <= 1'b0;
      else if (en) branch_valid <= take;
      if (en) branch_data <= in_data;
    end
  end
endmodule
