// Receives bytes from a serial line: 8 data bits, no parity, one stop bit.
//
// CLOCKS  clock cycles per bit, at least 4
// Contract: `valid` is high for one cycle with each byte; a byte without its stop bit is dropped.
module uart_receive #(
    parameter int unsigned CLOCKS = 25
) (
    input  logic       clk,
    input  logic       rst,
    input  logic       line,
    output logic [7:0] data,
    output logic       valid
);
  localparam int unsigned BITS = $clog2(CLOCKS);

  logic [2:0] sampled;  // two registers against metastability, then the line's state
  logic [BITS-1:0] wait_for;
  logic [3:0] bits;  // that are still to come, the stop bit included; 0 while idle

  always_ff @(posedge clk) begin
    sampled <= {sampled[1:0], line};
    valid   <= 1'b0;
    if (rst) begin
      bits <= '0;
    end else if (bits == 0) begin
      // A falling edge begins a byte. Its first bit is sampled after one and a half bit times, of
      // which the half is waited here and the rest as for any bit.
      if (sampled[2] && !sampled[1]) begin
        bits <= 4'd10;
        wait_for <= BITS'(CLOCKS / 2 - 1);
      end
    end else if (wait_for != 0) begin
      wait_for <= wait_for - 1'b1;
    end else begin
      wait_for <= BITS'(CLOCKS - 1);
      bits <= bits - 1'b1;
      if (bits == 4'd10 && sampled[1]) bits <= '0;  // no start bit: a disturbance
      else if (bits == 4'd1) valid <= sampled[1];
      else data <= {sampled[1], data[7:1]};  // the start bit leaves again at the right
    end
  end
endmodule
