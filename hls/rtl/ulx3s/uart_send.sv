// Sends bytes over a serial line: 8 data bits, no parity, one stop bit.
//
// CLOCKS  clock cycles per bit, at least 2
// Contract: a valid/ready stream of bytes; the next byte is taken after the stop bit.
module uart_send #(
    parameter int unsigned CLOCKS = 25
) (
    input  logic       clk,
    input  logic       rst,
    input  logic [7:0] data,
    input  logic       valid,
    output logic       ready,
    output logic       line
);
  localparam int unsigned BITS = $clog2(CLOCKS);

  logic [8:0] rest;  // bits that follow, the next one at the right; ones after the last
  logic [BITS-1:0] wait_for;
  logic [3:0] bits;  // that are still to be sent, 0 while idle

  assign ready = bits == 0;
  always_ff @(posedge clk)
    if (rst) begin
      line <= 1'b1;
      bits <= '0;
    end else if (ready) begin
      line <= !valid;
      rest <= {1'b1, data};
      wait_for <= BITS'(CLOCKS - 1);
      if (valid) bits <= 4'd10;
    end else if (wait_for != 0) begin
      wait_for <= wait_for - 1'b1;
    end else begin
      line <= rest[0];
      rest <= {1'b1, rest[8:1]};
      wait_for <= BITS'(CLOCKS - 1);
      bits <= bits - 1'b1;
    end
endmodule
