// Watches every FIFO in simulation: reports the most words it ever held and, with the argument
// +trace, each word that it takes. Not for synthesis.
module fifo_monitor #(
    parameter int unsigned WIDTH = 8
) (
    input logic             clk,
    input logic             rst,
    input logic [WIDTH-1:0] in_data,
    input logic             in_valid,
    input logic             in_ready,
    input logic             out_valid,
    input logic             out_ready
);
  int unsigned count, high_water;
  bit trace;
  initial trace = $test$plusargs("trace") != 0;

  logic write, read;
  assign write = in_valid && in_ready;
  assign read  = out_valid && out_ready;
  always_ff @(posedge clk)
    if (rst) begin
      count <= 0;
      high_water <= 0;
    end else begin
      if (write && trace) $display("word %m %h", in_data);
      count <= count + 32'(write) - 32'(read);
      if (count + 32'(write) > high_water) high_water <= count + 32'(write);
    end

  final $display("high_water %m %0d", high_water);
endmodule

bind fifo fifo_monitor #(
    .WIDTH(WIDTH)
) monitor (
    .clk,
    .rst,
    .in_data,
    .in_valid,
    .in_ready,
    .out_valid,
    .out_ready
);
