// Sends bytes to ulx3s_top over its serial line and prints what comes back, in hexadecimal.
//
// Arguments: a file of bytes, the number of bytes that are expected, clocks per bit.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "Vtop.h"

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  std::ifstream file(argv[1], std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const int expected = std::atoi(argv[2]), clocks = std::atoi(argv[3]);
  Vtop top;
  top.ftdi_txd = 1;
  const long start = 100, bits = 10L * bytes.size();
  int received = 0, at = -1, value = 0;
  for (long cycle = 0; received < expected; ++cycle) {
    if (cycle > start + 4 * bits * clocks) return 3;  // no answer
    const long bit = cycle < start ? bits : (cycle - start) / clocks;
    const int place = static_cast<int>(bit % 10);
    const int byte = bit < bits ? static_cast<unsigned char>(bytes[bit / 10]) : 0xff;
    top.ftdi_txd = bit >= bits || place == 9 || (place > 0 && (byte >> (place - 1) & 1));
    top.clk_25mhz = 0;
    top.eval();
    top.clk_25mhz = 1;
    top.eval();
    if (cycle < 20) continue;  // the reset
    // A start bit begins a byte; each bit is read in its middle.
    if (at < 0 && !top.ftdi_rxd) at = 0;
    if (at >= 0 && at % clocks == clocks / 2 && at / clocks > 0) {
      if (at / clocks == 9) {
        if (!top.ftdi_rxd) return 4;  // no stop bit
        std::printf("%02x", value);
        ++received, at = -1, value = 0;
        continue;
      }
      value |= top.ftdi_rxd << (at / clocks - 1);
    }
    if (at >= 0) ++at;
  }
  std::printf("\nled %02x\n", top.led);
  return 0;
}
