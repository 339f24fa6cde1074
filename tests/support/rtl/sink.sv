// Takes words with random pauses and compares them with those of a file.
module sink #(
    parameter int unsigned WIDTH = 8,
    parameter int unsigned WORDS = 1,
    parameter FILE = "words.mem",
    parameter PACE = "pace.mem"  // pause: of 256 cycles, those that wait; and a seed
) (
    input  logic             clk,
    input  logic             rst,
    input  logic [WIDTH-1:0] in_data,
    input  logic             in_valid,
    output logic             in_ready,
    output logic             done
);
  logic [WIDTH-1:0] words[WORDS];
  logic [WIDTH-1:0] last_data;
  logic [31:0] at, random, cycle;
  logic waiting;
  logic [31:0] pace[2];
  initial $readmemh(FILE, words);
  initial $readmemh(PACE, pace);

  assign in_ready = {23'b0, random[23:16], 1'b1} > 2 * pace[0];
  assign done = at >= WORDS;
  always_ff @(posedge clk)
    if (rst) begin
      at <= '0;
      waiting <= 1'b0;
      random <= pace[1];
      cycle <= '0;
    end else begin
      random <= random * 32'd1664525 + 32'd1013904223;
      cycle <= cycle + 1;
      waiting <= in_valid && !in_ready;
      last_data <= in_data;
      if (waiting && (!in_valid || in_data != last_data)) $display("%m dropped a waiting word");
      if (in_valid && in_ready) begin
        if (at >= WORDS) $display("%m word too many");
        else if (in_data != words[at[$clog2(WORDS+1)-1:0]])
          $display("%m word %0d is %h, not %h", at, in_data, words[at[$clog2(WORDS+1)-1:0]]);
        at <= at + 1;
        if (at == WORDS - 1) $display("%m ends in cycle %0d", cycle);
      end
    end
endmodule
