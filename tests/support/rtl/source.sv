// Sends the words of a file, with random pauses.
module source #(
    parameter int unsigned WIDTH = 8,
    parameter int unsigned WORDS = 1,
    parameter FILE = "words.mem",
    parameter PACE = "pace.mem"  // pause: of 256 cycles, those that wait; and a seed
) (
    input  logic             clk,
    input  logic             rst,
    output logic [WIDTH-1:0] out_data,
    output logic             out_valid,
    input  logic             out_ready
);
  logic [WIDTH-1:0] words[WORDS];
  logic [31:0] at, random;
  logic waiting;
  logic [31:0] pace[2];
  initial $readmemh(FILE, words);
  initial $readmemh(PACE, pace);

  assign out_valid = at < WORDS && (waiting || {23'b0, random[23:16], 1'b1} > 2 * pace[0]);
  assign out_data  = out_valid ? words[at[$clog2(WORDS+1)-1:0]] : 'x;
  always_ff @(posedge clk)
    if (rst) begin
      at <= '0;
      waiting <= 1'b0;
      random <= pace[1];
    end else begin
      random  <= random * 32'd1664525 + 32'd1013904223;
      waiting <= out_valid && !out_ready;
      if (out_valid && out_ready) at <= at + 1;
    end
endmodule
