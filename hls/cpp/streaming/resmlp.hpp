/// The blocks of the ResMLP. Each layer is a separate process; streams connect the processes. Every
/// function here is inlined, so that all processes lie in the one flat region of resmlp_top: a
/// start token passes from process to process, and none waits for a whole sublayer
/// (docs/hardware.md).
///
///     token_mixer:  y = residual(affine_2(token_linear(affine_1(x))), x)
///     channel_mlp:  y = residual(linear_2(act_hidden(linear_1(act_in(x)))), x)
///     block:        y = channel_mlp(token_mixer(x))
///
/// `Config` holds the sizes, `Design` the folding and the FIFO depths, `Block<i>` the parameters of
/// block i. All are generated (hls/headers). README.md in this folder gives an overview.
#pragma once

#include "affine.hpp"
#include "linear.hpp"
#include "trace.hpp"

/// The cross-patch sublayer. The shortcut waits while the branch stores two maps.
/// \tparam Config  Sizes
/// \tparam Design  Folding and depths
/// \tparam Params  Parameters of the block
template <class Config, class Design, class Params>
void token_mixer(Stream<Design::lanes>& in, Stream<Design::lanes>& out) {
#pragma HLS INLINE
  constexpr int tokens = Config::num_patches;
  constexpr int channels = Config::embed_dim;
  static_assert(
      Design::token_mixer_shortcut_depth * Design::lanes >= tokens * channels,
      "the first sum needs the whole image: a shortcut that cannot hold it blocks forever");
  Stream<Design::lanes> branch("token_mixer_branch"), shortcut("token_mixer_shortcut");
  Stream<Design::lanes> scaled("token_mixer_affine_1"), mixed("token_mixer_linear");
  Stream<Design::lanes> y("token_mixer_affine_2");
#pragma HLS STREAM variable = branch depth = Design::link_depth
#pragma HLS STREAM variable = shortcut depth = Design::token_mixer_shortcut_depth
#pragma HLS STREAM variable = scaled depth = Design::link_depth
#pragma HLS STREAM variable = mixed depth = Design::link_depth
#pragma HLS STREAM variable = y depth = Design::link_depth
#pragma HLS BIND_STORAGE variable = branch type = fifo impl = srl
#pragma HLS BIND_STORAGE variable = scaled type = fifo impl = srl
#pragma HLS BIND_STORAGE variable = mixed type = fifo impl = srl
#pragma HLS BIND_STORAGE variable = y type = fifo impl = srl
  Bind<Design::token_mixer_shortcut_storage>::fifo(shortcut);
  PROCESS(duplicate<tokens, channels, Identity>(in, branch, shortcut));
  PROCESS(affine<tokens, Design>(branch, scaled, Params::token_mixer_affine_1_w,
                                 Params::token_mixer_affine_1_b, Params::token_mixer_affine_1_s));
  TRACE(Params::index, "token_mixer_affine_1", scaled);
  REGION(token_linear<channels, tokens, Design, typename Design::token_mixer_linear_fold>(
      scaled, mixed, Params::token_mixer_linear_w, Params::token_mixer_linear_b,
      Params::token_mixer_linear_s));
  TRACE(Params::index, "token_mixer_linear", mixed);
  PROCESS(affine<tokens, Design>(mixed, y, Params::token_mixer_affine_2_w,
                                 Params::token_mixer_affine_2_b, Params::token_mixer_affine_2_s));
  TRACE(Params::index, "token_mixer_affine_2", y);
  PROCESS(residual<tokens, Design>(y, shortcut, out, Params::token_mixer_res_affine_w,
                                   Params::token_mixer_res_affine_b,
                                   Params::token_mixer_res_affine_s));
  TRACE(Params::index, "token_mixer", out);
}

/// The cross-channel sublayer. The shortcut waits while linear_1 and linear_2 each collect a
/// vector.
/// \tparam Config  Sizes
/// \tparam Design  Folding and depths
/// \tparam Params  Parameters of the block
template <class Config, class Design, class Params>
void channel_mlp(Stream<Design::lanes>& in, Stream<Design::lanes>& out) {
#pragma HLS INLINE
  constexpr int tokens = Config::num_patches;
  constexpr int channels = Config::embed_dim;
  static_assert(
      Design::mlp_shortcut_depth * Design::lanes >= channels,
      "the first sum needs the whole token: a shortcut that cannot hold it blocks forever");
  Stream<Design::lanes> branch("mlp_act_in"), shortcut("mlp_shortcut");
  Stream<Design::lanes> hidden("mlp_act_hidden"), y("mlp_linear_2");
#pragma HLS STREAM variable = branch depth = Design::link_depth
#pragma HLS STREAM variable = shortcut depth = Design::mlp_shortcut_depth
#pragma HLS STREAM variable = hidden depth = Design::link_depth
#pragma HLS STREAM variable = y depth = Design::link_depth
#pragma HLS BIND_STORAGE variable = branch type = fifo impl = srl
#pragma HLS BIND_STORAGE variable = hidden type = fifo impl = srl
#pragma HLS BIND_STORAGE variable = y type = fifo impl = srl
  Bind<Design::mlp_shortcut_storage>::fifo(shortcut);
  PROCESS(duplicate<tokens, channels, typename Params::ActIn>(in, branch, shortcut));
  TRACE(Params::index, "mlp_act_in", branch);
  REGION(linear<tokens, channels, Config::hidden_dim, typename Params::ActHidden, Design,
                typename Design::mlp_linear_1_fold>(
      branch, hidden, Params::mlp_linear_1_w, Params::mlp_linear_1_b, Params::mlp_linear_1_s));
  TRACE(Params::index, "mlp_act_hidden", hidden);
  REGION(linear<tokens, Config::hidden_dim, channels, Identity, Design,
                typename Design::mlp_linear_2_fold>(
      hidden, y, Params::mlp_linear_2_w, Params::mlp_linear_2_b, Params::mlp_linear_2_s));
  TRACE(Params::index, "mlp_linear_2", y);
  PROCESS(residual<tokens, Design>(y, shortcut, out, Params::mlp_res_affine_w,
                                   Params::mlp_res_affine_b, Params::mlp_res_affine_s));
  TRACE(Params::index, "mlp", out);
}

/// One block.
/// \tparam Config  Sizes
/// \tparam Design  Folding and depths
/// \tparam Params  Parameters of the block
template <class Config, class Design, class Params>
void block(Stream<Design::lanes>& in, Stream<Design::lanes>& out) {
#pragma HLS INLINE
  Stream<Design::lanes> mixed("token_mixer");
#pragma HLS STREAM variable = mixed depth = Design::link_depth
#pragma HLS BIND_STORAGE variable = mixed type = fifo impl = srl
  REGION(token_mixer<Config, Design, Params>(in, mixed));
  REGION(channel_mlp<Config, Design, Params>(mixed, out));
}

/// Block `first` and all later blocks.
/// \tparam Config  Sizes
/// \tparam Design  Folding and depths
/// \tparam Block   Parameters of block i as Block<i>
/// \tparam first   Index of the first block
/// \tparam last    Index of the last block
template <class Config, class Design, template <int> class Block, int first, int last>
struct Blocks {
  static void blocks_run(Stream<Design::lanes>& in, Stream<Design::lanes>& out) {
#pragma HLS INLINE
    Stream<Design::lanes> link("mlp");
#pragma HLS STREAM variable = link depth = Design::link_depth
#pragma HLS BIND_STORAGE variable = link type = fifo impl = srl
    REGION(block<Config, Design, Block<first>>(in, link));
    REGION(Blocks<Config, Design, Block, first + 1, last>::blocks_run(link, out));
  }
};

template <class Config, class Design, template <int> class Block, int last>
struct Blocks<Config, Design, Block, last, last> {
  static void blocks_run(Stream<Design::lanes>& in, Stream<Design::lanes>& out) {
#pragma HLS INLINE
    REGION(block<Config, Design, Block<last>>(in, out));
  }
};
