/// Top function for a board: the streaming accelerator between a process that takes the words out
/// of a DMA's packets, and one that makes packets of the logits.
#include "resmlp_axis.hpp"

// The accelerator's processes become processes of this region. As a region of its own it could
// start only as many images ahead as its start FIFO to `wrap` is deep. The attribute is what the
// pragma INLINE means, which would have to stand in the function.
#define RESMLP_INLINE
inline __attribute__((always_inline)) void resmlp_top(Stream<Design::lanes>& tokens,
                                                      Stream<1>& logits);
#include "resmlp_top.cpp"

namespace {

constexpr int lanes = Design::lanes;
constexpr int image_words = Config::num_patches * Config::patch_dim / lanes;

/// More images than the accelerator can hold at once: a block holds less than 16. A process that
/// waits for room here would keep the last words of an image from the accelerator.
constexpr int images_inside = 16 * (Config::num_blocks + 1);

/// Take one image out of its packet; `ends` says whether the packet ends with it.
void unwrap(AxisStream<lanes>& in, Stream<lanes>& tokens, hls::stream<ap_uint<1>>& ends) {
words:
  for (int word = 0; word < image_words; ++word) {
#pragma HLS PIPELINE II = 1 style = flp
    const AxisWord<lanes> packet = in.read();
    Vector<lanes> x;
  lanes:
    for (int i = 0; i < lanes; ++i) {
#pragma HLS UNROLL
      x.lane[i] = packet.data.range(8 * i + 7, 8 * i).to_int();
    }
    tokens.write(x);
    if (word == image_words - 1) ends.write(packet.last);
  }
}

/// Send the logits of one image; the packet ends with the last of them if `ends` says so.
void wrap(Stream<1>& logits, hls::stream<ap_uint<1>>& ends, AxisStream<1>& out) {
logits:
  for (int i = 0; i < Config::num_classes; ++i) {
#pragma HLS PIPELINE II = 1 style = flp
    AxisWord<1> packet;
    packet.data = logits.read().lane[0];
    packet.keep = packet.strb = 1;
    packet.last = i == Config::num_classes - 1 ? ends.read() : ap_uint<1>(0);
    out.write(packet);
  }
}

}  // namespace

void resmlp_axis(AxisStream<Design::lanes>& tokens, AxisStream<1>& logits) {
#pragma HLS INTERFACE axis port = tokens
#pragma HLS INTERFACE axis port = logits
#pragma HLS INTERFACE ap_ctrl_none port = return
#pragma HLS DATAFLOW
  Stream<Design::lanes> unwrapped("unwrapped");
  Stream<1> scores("scores");
  hls::stream<ap_uint<1>> ends("ends");
#pragma HLS STREAM variable = unwrapped depth = Design::link_depth
#pragma HLS STREAM variable = scores depth = Design::link_depth
#pragma HLS STREAM variable = ends depth = images_inside
  unwrap(tokens, unwrapped, ends);
  resmlp_top(unwrapped, scores);
  wrap(scores, ends, logits);
}
