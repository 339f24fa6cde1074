/// Mover of an Alveo card: sends images from memory to the accelerator.
#include "resmlp_axis.hpp"

/// \param memory  `words` words of Design::lanes int8 elements
/// \param words   Number of words; the last one ends the packet
/// \param stream  To resmlp_axis, port `tokens`
extern "C" void mm2s(const ap_uint<8 * Design::lanes>* memory, unsigned words,
                     AxisStream<Design::lanes>& stream) {
#pragma HLS INTERFACE m_axi port = memory bundle = gmem offset = slave
#pragma HLS INTERFACE s_axilite port = memory
#pragma HLS INTERFACE s_axilite port = words
#pragma HLS INTERFACE s_axilite port = return
#pragma HLS INTERFACE axis port = stream
words:
  for (unsigned word = 0; word < words; ++word) {
#pragma HLS PIPELINE II = 1
    AxisWord<Design::lanes> packet;
    packet.data = memory[word];
    packet.keep = packet.strb = -1;
    packet.last = word == words - 1;
    stream.write(packet);
  }
}
