/// The streaming accelerator behind AXI4-Streams with TLAST, as a DMA needs them.
#pragma once

#include <ap_axi_sdata.h>

#include "config.hpp"
#include "resmlp_top.hpp"

/// A word of `lanes` int8 elements, lane 0 in the lowest byte, so a DMA sends the bytes of memory
/// in their order.
template <int lanes>
using AxisWord = ap_axiu<8 * lanes, 0, 0, 0>;

template <int lanes>
using AxisStream = hls::stream<AxisWord<lanes>>;

/// Classify one image, again and again (ap_ctrl_none).
///
/// A packet may hold any number of whole images: TLAST on the last word of an image comes out on
/// the last of its logits, and on no other. So a batch of images is one transfer of the DMA in each
/// direction.
/// \param tokens  int8 patches: num_patches x patch_dim elements per image
/// \param logits  int8 scores: num_classes words per image
extern "C" void resmlp_axis(AxisStream<Design::lanes>& tokens, AxisStream<1>& logits);
