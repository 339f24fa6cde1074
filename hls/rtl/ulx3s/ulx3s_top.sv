// The accelerator on a ULX3S board (LFE5U-85F), behind its USB serial port.
//
// The host sends images as int8 tokens, byte by byte, and gets the int8 logits of each. The board's
// oscillator is the clock: the serial line is the limit, 1 Mbaud at 25 MHz and 25 clocks per bit.
// The accelerator takes bytes faster than the line brings them; led[1] stays on if one was lost.
// Only for designs with words of one element. Not run on a board yet.
module ulx3s_top #(
    parameter int unsigned CLOCKS = 25  // per bit
) (
    input  logic       clk_25mhz,
    input  logic       ftdi_txd,   // from the host
    output logic       ftdi_rxd,   // to the host
    output logic       wifi_gpio0,  // high: the board's ESP32 leaves the FPGA alone
    output logic [7:0] led
);
  // The registers of the FPGA are 0 after configuration: the reset ends 15 cycles later.
  logic [3:0] started;
  logic rst;
  initial started = '0;
  assign rst = started != '1;
  always_ff @(posedge clk_25mhz) if (rst) started <= started + 1'b1;

  logic [7:0] received, token, logit;
  logic received_valid, received_ready, token_valid, token_ready;
  logic logit_valid, logit_ready, last, lost;

  uart_receive #(
      .CLOCKS(CLOCKS)
  ) receive (
      .clk(clk_25mhz),
      .rst,
      .line(ftdi_txd),
      .data(received),
      .valid(received_valid)
  );
  fifo #(
      .WIDTH(8),
      .DEPTH(1024)
  ) tokens (
      .clk(clk_25mhz),
      .rst,
      .in_data(received),
      .in_valid(received_valid),
      .in_ready(received_ready),
      .out_data(token),
      .out_valid(token_valid),
      .out_ready(token_ready)
  );
  resmlp_top accelerator (
      .ap_clk(clk_25mhz),
      .ap_rst_n(!rst),
      .tokens_TDATA(token),
      .tokens_TVALID(token_valid),
      .tokens_TREADY(token_ready),
      .logits_TDATA(logit),
      .logits_TVALID(logit_valid),
      .logits_TREADY(logit_ready),
      .logits_TLAST(last)
  );
  uart_send #(
      .CLOCKS(CLOCKS)
  ) send (
      .clk(clk_25mhz),
      .rst,
      .data(logit),
      .valid(logit_valid),
      .ready(logit_ready),
      .line(ftdi_rxd)
  );

  logic [5:0] images;
  always_ff @(posedge clk_25mhz)
    if (rst) begin
      images <= '0;
      lost   <= 1'b0;
    end else begin
      if (logit_valid && logit_ready && last) images <= images + 1'b1;
      if (received_valid && !received_ready) lost <= 1'b1;
    end
  assign wifi_gpio0 = 1'b1;
  assign led = {images, lost, !rst};
endmodule
