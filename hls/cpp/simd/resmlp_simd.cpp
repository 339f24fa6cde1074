/// Top function of the SIMD accelerator: the whole network on one array of multipliers. The sizes
/// of network and array are generated headers; the parameters are read from memory.
#include "resmlp_simd.hpp"

#include "processor.hpp"

namespace {

constexpr int columns = Network::columns;

/// Send `words` words for each of `count` images.
/// \tparam same  true: the same words for every image; false: the next words for each image
template <int words, bool same>
void fetch(const Word* memory, Stream<columns>& out, int count) {
images:
  for (int image = 0; image < count; ++image) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 1
  words:
    for (int word = 0; word < words; ++word) {
#pragma HLS PIPELINE II = 1
      out.write(memory[(same ? 0 : image * words) + word]);
    }
  }
}

/// Store the scores.
void put(Stream<columns>& in, Word* memory, int count) {
words:
  for (int word = 0; word < count * Network::logit_words; ++word) {
#pragma HLS PIPELINE II = 1
#pragma HLS LOOP_TRIPCOUNT min = Network::logit_words max = Network::logit_words
    memory[word] = in.read();
  }
}

}  // namespace

extern "C" void resmlp_simd(const Word* parameters, const Word* images, Word* logits, int count) {
#pragma HLS INTERFACE m_axi port = parameters bundle = parameters offset = slave depth = \
    parameter_words max_widen_bitwidth = port_bits
#pragma HLS INTERFACE m_axi port = images bundle = images offset = slave depth = \
    image_words max_widen_bitwidth = port_bits
#pragma HLS INTERFACE m_axi port = logits bundle = logits offset = slave depth = \
    logit_words max_widen_bitwidth = port_bits
#pragma HLS INTERFACE s_axilite port = count
#pragma HLS INTERFACE s_axilite port = return
#pragma HLS DATAFLOW
  Stream<columns> weights("parameters"), patches("images"), scores("logits");
#pragma HLS STREAM variable = weights depth = Network::fifo_words
#pragma HLS STREAM variable = patches depth = Network::fifo_words
#pragma HLS STREAM variable = scores depth = 2
#pragma HLS BIND_STORAGE variable = weights type = fifo impl = bram
#pragma HLS BIND_STORAGE variable = patches type = fifo impl = bram
  fetch<parameter_words, true>(parameters, weights, count);
  fetch<Network::image_words, false>(images, patches, count);
  Processor<Config, Design>::run(weights, patches, scores, count);
  put(scores, logits, count);
}
