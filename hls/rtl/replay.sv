// Stores a vector and sends it TIMES times: it takes the place of the C++ `pack`, the wide FIFO and
// the vector registers of `matrix_vector`.
//
// Contract: takes INPUTS int8 elements in words of LANES, sends them in words of SIMD, all of them,
// TIMES times. Two vectors are stored: one comes in while the other goes out.
// Timing: one word per cycle on each side, and HANDOVER idle cycles after each vector on both sides
// (1 in the published design). The first word leaves one cycle after the last word of its vector.
module replay #(
    parameter int unsigned INPUTS = 4,
    parameter int unsigned LANES = 1,
    parameter int unsigned SIMD = 2,
    parameter int unsigned TIMES = 2,
    parameter bit HANDOVER = 0
) (
    input  logic               clk,
    input  logic               rst,
    input  logic [8*LANES-1:0] in_data,
    input  logic               in_valid,
    output logic               in_ready,
    output logic [ 8*SIMD-1:0] out_data,
    output logic               out_valid,
    input  logic               out_ready
);
  localparam int unsigned WORDS = INPUTS / LANES;
  localparam int unsigned PARTS = INPUTS / SIMD;
  localparam int unsigned PART_BITS = PARTS > 1 ? $clog2(PARTS) : 1;

  logic [1:0] full;
  logic into, out_of;  // the vector that comes in, and the one that goes out
  logic in_pause, out_pause;
  logic take, give, filled, emptied, part_last, time_last, unused_time;
  logic [PART_BITS-1:0] part;
  logic [(TIMES > 1 ? $clog2(TIMES) : 1)-1:0] turn;

  assign in_ready = !full[into] && !in_pause;
  assign take = in_valid && in_ready;
  assign out_valid = full[out_of] && !out_pause;
  assign give = out_valid && out_ready;
  assign emptied = give && part_last && time_last;
  assign unused_time = &turn;

  counter #(
      .LIMIT(PARTS)
  ) part_counter (
      .clk,
      .rst,
      .step (give),
      .value(part),
      .last (part_last)
  );
  counter #(
      .LIMIT(TIMES)
  ) time_counter (
      .clk,
      .rst,
      .step (give && part_last),
      .value(turn),
      .last (time_last)
  );

  always_ff @(posedge clk)
    if (rst) begin
      full <= '0;
      into <= 1'b0;
      out_of <= 1'b0;
      in_pause <= 1'b0;
      out_pause <= 1'b0;
    end else begin
      if (filled) begin
        full[into] <= 1'b1;
        into <= !into;
      end
      if (emptied) begin
        full[out_of] <= 1'b0;
        out_of <= !out_of;
      end
      in_pause  <= HANDOVER && filled;
      out_pause <= HANDOVER && emptied;
    end

  if (SIMD % LANES == 0 && PARTS > 1) begin : g_banks
    // Word w of a vector is in bank w % BANKS at address w / BANKS of the vector's half.
    localparam int unsigned BANKS = SIMD / LANES;
    localparam int unsigned BANK_BITS = BANKS > 1 ? $clog2(BANKS) : 1;
    logic [BANK_BITS-1:0] bank;
    logic [PART_BITS-1:0] write;
    logic bank_last, write_last;
    counter #(
        .LIMIT(BANKS)
    ) bank_counter (
        .clk,
        .rst,
        .step (take),
        .value(bank),
        .last (bank_last)
    );
    counter #(
        .LIMIT(PARTS)
    ) write_counter (
        .clk,
        .rst,
        .step (take && bank_last),
        .value(write),
        .last (write_last)
    );
    assign filled = take && bank_last && write_last;
    for (genvar k = 0; k < BANKS; k++) begin : g_bank
      logic [8*LANES-1:0] words[2**(PART_BITS+1)];
      always_ff @(posedge clk)
        if (take && bank == BANK_BITS'(k)) words[{into, write}] <= in_data;
      assign out_data[8*LANES*k+:8*LANES] = words[{out_of, part}];
    end
  end else begin : g_registers
    localparam int unsigned WORD_BITS = WORDS > 1 ? $clog2(WORDS) : 1;
    logic [8*INPUTS-1:0] vectors[2];
    logic [WORD_BITS-1:0] write;
    logic write_last;
    counter #(
        .LIMIT(WORDS)
    ) write_counter (
        .clk,
        .rst,
        .step (take),
        .value(write),
        .last (write_last)
    );
    assign filled = take && write_last;
    always_ff @(posedge clk) if (take) vectors[into][8*LANES*write+:8*LANES] <= in_data;
    assign out_data = vectors[out_of][8*SIMD*part+:8*SIMD];
  end
endmodule
