// Evaluates an activation: one table of 64 segments per channel.
//
// Contract: takes LANES neighbouring channels per cycle, channel 0 first, CHANNELS in all, then
// again from channel 0. There are LANES ROMs; ROM i has channels i, i + LANES, ..., each 64 words of
// slope (9 bits) and knot (8 bits), in the file TABLE_<i in two digits>.mem.
// Timing: four cycles while `en` is high.
module read_table #(
    parameter int unsigned CHANNELS = 2,
    parameter int unsigned LANES = 1,
    parameter TABLE = "table"
) (
    input  logic               clk,
    input  logic               rst,
    input  logic               en,
    input  logic [8*LANES-1:0] in_data,
    input  logic               in_valid,
    output logic [8*LANES-1:0] out_data,
    output logic               out_valid
);
  localparam int unsigned WORDS = CHANNELS / LANES;
  localparam int unsigned WORD_BITS = WORDS > 1 ? $clog2(WORDS) : 1;
  localparam int unsigned ADDRESS_BITS = $clog2(64 * WORDS);

  logic [WORD_BITS-1:0] word;
  logic unused_last;
  logic [3:0] valid;

  counter #(
      .LIMIT(WORDS)
  ) word_counter (
      .clk,
      .rst,
      .step (en && in_valid),
      .value(word),
      .last (unused_last)
  );

  for (genvar i = 0; i < LANES; i++) begin : g_lane
    logic [16:0] segments[64*WORDS];
    logic [7:0] offset;
    logic [ADDRESS_BITS-1:0] address;
    logic [16:0] read, segment;
    logic [1:0] remainder, read_remainder, segment_remainder;
    logic signed [7:0] value;

    initial $readmemh({TABLE, "_", 8'(48 + i / 10), 8'(48 + i % 10), ".mem"}, segments);

    assign offset = in_data[8*i+:8] ^ 8'h80;  // value + 128
    interpolate line (
        .knot(segment[7:0]),
        .slope(segment[16:8]),
        .remainder(segment_remainder),
        .result(value)
    );

    always_ff @(posedge clk)
      if (en) begin
        address <= ADDRESS_BITS'({word, offset[7:2]});
        remainder <= offset[1:0];
        read <= segments[address];
        read_remainder <= remainder;
        segment <= read;
        segment_remainder <= read_remainder;
        out_data[8*i+:8] <= value;
      end
  end

  assign out_valid = valid[3];
  always_ff @(posedge clk)
    if (rst) valid <= '0;
    else if (en) valid <= {valid[2:0], in_valid};
endmodule
