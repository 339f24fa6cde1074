// Watches a unit between an input stream and an output stream.
//
// A block of IN_WORDS words makes a block of OUT_WORDS words. One element of a block is followed,
// from its place in the input to its place in the output; `mark` says of which block. Both are
// free, so what is proved holds for every element of every block within the bound.
//
// Assumes that the source holds a word until it is taken. Demands that
//   - a waiting word stays as it is (holds data while stalled),
//   - a word leaves only while a whole block is inside (invents nothing),
//   - at most HELD blocks are inside (takes nothing that it has no room for),
//   - a word waits at the output at most LATENCY cycles after a block is inside (loses nothing),
//   - the element leaves at its place of its block (keeps order and values).
module scoreboard #(
    parameter int unsigned IN_WORDS = 1,
    parameter int unsigned OUT_WORDS = 1,
    parameter int unsigned IN_BITS = 8,
    parameter int unsigned OUT_BITS = 8,
    parameter int unsigned BITS = 8,  // of the element
    parameter int unsigned HELD = 1,
    parameter int unsigned LATENCY = 0,
    localparam int unsigned IN_AT = IN_WORDS > 1 ? $clog2(IN_WORDS) : 1,
    localparam int unsigned OUT_AT = OUT_WORDS > 1 ? $clog2(OUT_WORDS) : 1,
    localparam int unsigned HELD_BITS = $clog2(HELD + 2),
    localparam int unsigned IDLE_BITS = $clog2(LATENCY + 2)
) (
    input  logic                clk,
    input  logic                rst,
    input  logic                mark,
    input  logic [ IN_BITS-1:0] in_data,
    input  logic                in_valid,
    input  logic                in_ready,
    input  logic [   IN_AT-1:0] in_place,     // the element's word in a block of the input
    input  logic [    BITS-1:0] in_element,   // the element, while this word is at the input
    input  logic [OUT_BITS-1:0] out_data,
    input  logic                out_valid,
    input  logic                out_ready,
    input  logic [  OUT_AT-1:0] out_place,    // the same for the output
    input  logic [    BITS-1:0] out_element,
    output logic                empty         // no whole block is inside
);
  logic [IN_AT-1:0] in_word;
  logic [OUT_AT-1:0] out_word;
  logic [HELD_BITS-1:0] held, ahead;  // blocks inside, and those of them before the element's
  logic [IDLE_BITS-1:0] idle;
  logic [BITS-1:0] element;
  logic [IN_BITS-1:0] in_last;
  logic [OUT_BITS-1:0] out_last;
  logic take, give, taken, given, follows, in_waits, out_waits;

  assign take = in_valid && in_ready;
  assign give = out_valid && out_ready;
  assign taken = take && in_word == IN_AT'(IN_WORDS - 1);
  assign given = give && out_word == OUT_AT'(OUT_WORDS - 1);
  assign empty = held == 0;

  always_ff @(posedge clk) begin
    in_last  <= in_data;
    out_last <= out_data;
    if (rst) begin
      in_word <= '0;
      out_word <= '0;
      held <= '0;
      idle <= '0;
      {follows, in_waits, out_waits} <= '0;
    end else begin
      in_waits  <= in_valid && !in_ready;
      out_waits <= out_valid && !out_ready;
      if (take) in_word <= taken ? '0 : in_word + 1'b1;
      if (give) out_word <= given ? '0 : out_word + 1'b1;
      held <= held + HELD_BITS'(taken) - HELD_BITS'(given);
      idle <= out_valid || empty ? '0 : idle + 1'b1;
      if (follows && given) begin
        ahead <= ahead - 1'b1;
        if (ahead == 0) follows <= 1'b0;
      end else if (!follows && take && mark && in_word == in_place) begin
        follows <= 1'b1;
        element <= in_element;
        ahead   <= held - HELD_BITS'(given);
      end
    end
  end

  always_comb
    if (!rst) begin
      if (in_waits) assume (in_valid && in_data == in_last);
      if (out_waits) assert (out_valid && out_data == out_last);
      if (out_valid) assert (!empty);
      assert (held <= HELD_BITS'(HELD));
      assert (idle <= IDLE_BITS'(LATENCY));
      if (follows && ahead == 0 && out_valid && out_word == out_place)
        assert (out_element == element);
    end
endmodule
