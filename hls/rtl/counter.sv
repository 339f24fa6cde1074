// Counts `step` cycles from 0 to LIMIT - 1 and starts again.
//
// LIMIT  number of values, at least 1
// last   is high while value = LIMIT - 1
module counter #(
    parameter int unsigned LIMIT = 2,
    localparam int unsigned BITS = LIMIT > 1 ? $clog2(LIMIT) : 1
) (
    input  logic            clk,
    input  logic            rst,
    input  logic            step,
    output logic [BITS-1:0] value,
    output logic            last
);
  assign last = value == BITS'(LIMIT - 1);

  always_ff @(posedge clk)
    if (rst) value <= '0;
    else if (step) value <= last ? '0 : value + 1'b1;
endmodule
