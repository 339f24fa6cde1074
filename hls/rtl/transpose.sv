// Turns a row-major map of int8 elements into a column-major one: out[c][r] = in[r][c].
//
// Contract: takes ROWS x COLUMNS elements per image, row by row, in words of LANES elements of a
// row; sends them column by column, in words of LANES elements of a column. Two maps are stored:
// one fills while the other drains.
// Timing: one word per cycle on each side. The first word leaves three cycles after the last word
// of its map came.
//
// There are LANES memories of whole words. Memory m holds rows m, m + LANES, ..., so a word of a
// row is one write, and a word of a column is one read of every memory.
module transpose #(
    parameter int unsigned ROWS = 2,
    parameter int unsigned COLUMNS = 2,
    parameter int unsigned LANES = 1
) (
    input  logic               clk,
    input  logic               rst,
    input  logic [8*LANES-1:0] in_data,
    input  logic               in_valid,
    output logic               in_ready,
    output logic [8*LANES-1:0] out_data,
    output logic               out_valid,
    input  logic               out_ready
);
  localparam int unsigned WORDS = COLUMNS / LANES;  // words per row
  localparam int unsigned GROUPS = ROWS / LANES;  // words per column
  localparam int unsigned SIZE = WORDS * GROUPS;  // words per memory and map
  localparam int unsigned ADDRESS_BITS = $clog2(2 * SIZE);
  localparam int unsigned LANE_BITS = LANES > 1 ? $clog2(LANES) : 1;

  logic [1:0] full;  // which maps hold an image
  logic fill_map, drain_map;

  // Fill: word by word along a row; the lane of a row is its memory.
  logic fill, fill_word_last, fill_lane_last, fill_group_last, filled;
  logic [(WORDS > 1 ? $clog2(WORDS) : 1)-1:0] fill_word;
  logic [LANE_BITS-1:0] fill_lane;
  logic [(GROUPS > 1 ? $clog2(GROUPS) : 1)-1:0] unused_fill_group;
  logic [ADDRESS_BITS-1:0] fill_base, fill_at;

  assign in_ready = !full[fill_map];
  assign fill = in_valid && in_ready;
  assign filled = fill && fill_word_last && fill_lane_last && fill_group_last;
  assign fill_at = fill_base + ADDRESS_BITS'(fill_word);

  counter #(
      .LIMIT(WORDS)
  ) fill_word_counter (
      .clk,
      .rst,
      .step (fill),
      .value(fill_word),
      .last (fill_word_last)
  );
  counter #(
      .LIMIT(LANES)
  ) fill_lane_counter (
      .clk,
      .rst,
      .step (fill && fill_word_last),
      .value(fill_lane),
      .last (fill_lane_last)
  );
  counter #(
      .LIMIT(GROUPS)
  ) fill_group_counter (
      .clk,
      .rst,
      .step (fill && fill_word_last && fill_lane_last),
      .value(unused_fill_group),
      .last (fill_group_last)
  );

  always_ff @(posedge clk)
    if (rst) begin
      fill_map  <= 1'b0;
      fill_base <= '0;
    end else if (filled) begin
      fill_map  <= !fill_map;
      fill_base <= fill_map ? '0 : ADDRESS_BITS'(SIZE);
    end else if (fill && fill_word_last && fill_lane_last) begin
      fill_base <= fill_base + ADDRESS_BITS'(WORDS);
    end

  // Drain: group by group down a column; the lane of a column picks the element of each word.
  logic en, drain, drain_word_last, drain_lane_last, drain_group_last, emptied;
  logic [(WORDS > 1 ? $clog2(WORDS) : 1)-1:0] drain_word;
  logic [LANE_BITS-1:0] drain_lane, read_lane, picked_lane;
  logic [(GROUPS > 1 ? $clog2(GROUPS) : 1)-1:0] unused_drain_group;
  logic [ADDRESS_BITS-1:0] drain_row, drain_at;
  logic [1:0] valid;

  assign en = !out_valid || out_ready;
  assign drain = en && full[drain_map];
  assign emptied = drain && drain_group_last && drain_lane_last && drain_word_last;
  assign drain_at = (drain_map ? ADDRESS_BITS'(SIZE) : '0) + drain_row + ADDRESS_BITS'(drain_word);

  counter #(
      .LIMIT(GROUPS)
  ) drain_group_counter (
      .clk,
      .rst,
      .step (drain),
      .value(unused_drain_group),
      .last (drain_group_last)
  );
  counter #(
      .LIMIT(LANES)
  ) drain_lane_counter (
      .clk,
      .rst,
      .step (drain && drain_group_last),
      .value(drain_lane),
      .last (drain_lane_last)
  );
  counter #(
      .LIMIT(WORDS)
  ) drain_word_counter (
      .clk,
      .rst,
      .step (drain && drain_group_last && drain_lane_last),
      .value(drain_word),
      .last (drain_word_last)
  );

  always_ff @(posedge clk)
    if (rst) begin
      drain_map <= 1'b0;
      drain_row <= '0;
      full <= '0;
      {out_valid, valid} <= '0;
    end else begin
      if (drain) drain_row <= drain_group_last ? '0 : drain_row + ADDRESS_BITS'(WORDS);
      if (emptied) drain_map <= !drain_map;
      if (filled) full[fill_map] <= 1'b1;
      if (emptied) full[drain_map] <= 1'b0;
      if (en) {out_valid, valid} <= {valid, full[drain_map]};
    end

  always_ff @(posedge clk)
    if (en) begin
      read_lane   <= drain_lane;
      picked_lane <= read_lane;
    end

  for (genvar m = 0; m < LANES; m++) begin : g_memory
    logic [8*LANES-1:0] words[2*SIZE];
    logic [8*LANES-1:0] read, picked;
    always_ff @(posedge clk) begin
      if (fill && fill_lane == LANE_BITS'(m)) words[fill_at] <= in_data;
      if (en) begin
        read <= words[drain_at];
        picked <= read;  // the register of the block RAM
        out_data[8*m+:8] <= picked[8*picked_lane+:8];
      end
    end
  end
endmodule
