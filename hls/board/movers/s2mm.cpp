/// Mover of an Alveo card: stores the logits of the accelerator in memory.
#include "resmlp_axis.hpp"

/// \param memory  `words` int8 elements
/// \param words   Number of logits; it ends the transfer, TLAST is not used
/// \param stream  From resmlp_axis, port `logits`
extern "C" void s2mm(ap_uint<8>* memory, unsigned words, AxisStream<1>& stream) {
#pragma HLS INTERFACE m_axi port = memory bundle = gmem offset = slave
#pragma HLS INTERFACE s_axilite port = memory
#pragma HLS INTERFACE s_axilite port = words
#pragma HLS INTERFACE s_axilite port = return
#pragma HLS INTERFACE axis port = stream
words:
  for (unsigned word = 0; word < words; ++word) {
#pragma HLS PIPELINE II = 1
    memory[word] = stream.read().data;
  }
}
