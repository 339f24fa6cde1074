// A FIFO of DEPTH words of WIDTH bits.
//
// Contract: valid/ready on both sides; words leave in the order in which they came; `out_data` and
// `out_valid` stay until `out_ready`. No path leads from a ready input to a ready output, so FIFOs
// between units keep ready paths short.
// Timing: a word can leave one cycle after it came (shallow: LUT RAM), or two (deep: block RAM,
// more than SHALLOW words). One word in and one word out per cycle.
module fifo #(
    parameter int unsigned WIDTH = 8,
    parameter int unsigned DEPTH = 2,
    parameter int unsigned SHALLOW = 64
) (
    input  logic             clk,
    input  logic             rst,
    input  logic [WIDTH-1:0] in_data,
    input  logic             in_valid,
    output logic             in_ready,
    output logic [WIDTH-1:0] out_data,
    output logic             out_valid,
    input  logic             out_ready
);
  // In block RAM one more word is in the output register.
  localparam bit DEEP = DEPTH > SHALLOW;
  localparam int unsigned WORDS = DEEP ? DEPTH - 1 : DEPTH;
  localparam int unsigned ADDRESS_BITS = WORDS > 1 ? $clog2(WORDS) : 1;
  localparam int unsigned COUNT_BITS = $clog2(WORDS + 1);

  logic [WIDTH-1:0] words[WORDS];
  logic [ADDRESS_BITS-1:0] write_at, read_at;
  logic [COUNT_BITS-1:0] count;
  logic write, read, unused_write_last, unused_read_last;

  assign in_ready = count != COUNT_BITS'(WORDS);
  assign write = in_valid && in_ready;

  counter #(
      .LIMIT(WORDS)
  ) write_counter (
      .clk,
      .rst,
      .step(write),
      .value(write_at),
      .last(unused_write_last)
  );
  counter #(
      .LIMIT(WORDS)
  ) read_counter (
      .clk,
      .rst,
      .step(read),
      .value(read_at),
      .last(unused_read_last)
  );

  always_ff @(posedge clk) begin
    if (write) words[write_at] <= in_data;
    if (rst) count <= '0;
    else if (write && !read) count <= count + 1'b1;
    else if (read && !write) count <= count - 1'b1;
  end

  if (DEEP) begin : g_deep
    assign read = count != 0 && (!out_valid || out_ready);
    always_ff @(posedge clk) begin
      if (read) out_data <= words[read_at];
      if (rst) out_valid <= 1'b0;
      else if (read) out_valid <= 1'b1;
      else if (out_ready) out_valid <= 1'b0;
    end
  end else begin : g_shallow
    assign out_valid = count != 0;
    assign out_data = words[read_at];
    assign read = out_valid && out_ready;
  end
endmodule
