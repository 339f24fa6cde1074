/// The blocks of the ResMLP; each layer is a process of its own, connected by streams.
///
///     token_mixer:  y = residual(affine_2(token_linear(affine_1(x))), x)
///     channel_mlp:  y = residual(linear_2(act_hidden(linear_1(act_in(x)))), x)
///     block:        y = channel_mlp(token_mixer(x))
///
/// `Config` holds the sizes and `Block<i>` the parameters of block i, both generated
/// (hls/headers.py).
#pragma once

#include "affine.hpp"
#include "linear.hpp"
#include "trace.hpp"

/// The cross-patch sublayer.
///
/// The shortcut waits while the branch stores two maps, so its FIFO holds two images and two
/// vectors of pipeline. Half of that would run, at half the speed.
/// \tparam Config  Sizes
/// \tparam Params  Parameters of the block
template <class Config, class Params>
void token_mixer(Stream& in, Stream& out) {
#pragma HLS DATAFLOW
  constexpr int tokens = Config::num_patches;
  constexpr int channels = Config::embed_dim;
  constexpr int shortcut_depth = 2 * (tokens + tokens * channels);
  static_assert(
      shortcut_depth >= tokens * channels,
      "the first sum needs the whole image: a shortcut that cannot hold it blocks forever");
  Stream branch("token_mixer_branch"), shortcut("token_mixer_shortcut");
  Stream scaled("token_mixer_affine_1"), mixed("token_mixer_linear"), y("token_mixer_affine_2");
#pragma HLS STREAM variable = shortcut depth = shortcut_depth
  duplicate<tokens, channels, Identity>(in, branch, shortcut);
  affine<tokens>(branch, scaled, Params::token_mixer_affine_1_w, Params::token_mixer_affine_1_b,
                 Params::token_mixer_affine_1_s);
  TRACE(Params::index, "token_mixer_affine_1", scaled);
  token_linear<channels>(scaled, mixed, Params::token_mixer_linear_w, Params::token_mixer_linear_b,
                         Params::token_mixer_linear_s);
  TRACE(Params::index, "token_mixer_linear", mixed);
  affine<tokens>(mixed, y, Params::token_mixer_affine_2_w, Params::token_mixer_affine_2_b,
                 Params::token_mixer_affine_2_s);
  TRACE(Params::index, "token_mixer_affine_2", y);
  residual<tokens>(y, shortcut, out, Params::token_mixer_res_affine_w,
                   Params::token_mixer_res_affine_b, Params::token_mixer_res_affine_s);
  TRACE(Params::index, "token_mixer", out);
}

/// The cross-channel sublayer.
///
/// The shortcut waits while linear_1 collects a vector (channels cycles), linear_2 collects another
/// (hidden cycles), and for the depth of the pipelines; one vector more is read ahead.
/// \tparam Config  Sizes
/// \tparam Params  Parameters of the block
template <class Config, class Params>
void channel_mlp(Stream& in, Stream& out) {
#pragma HLS DATAFLOW
  constexpr int tokens = Config::num_patches;
  constexpr int channels = Config::embed_dim;
  constexpr int pipeline_depth = 64;
  constexpr int shortcut_depth = 2 * channels + Config::hidden_dim + pipeline_depth;
  static_assert(
      shortcut_depth >= channels,
      "the first sum needs the whole token: a shortcut that cannot hold it blocks forever");
  Stream branch("mlp_act_in"), shortcut("mlp_shortcut");
  Stream hidden("mlp_act_hidden"), y("mlp_linear_2");
#pragma HLS STREAM variable = shortcut depth = shortcut_depth
  duplicate<tokens, channels, typename Params::ActIn>(in, branch, shortcut);
  TRACE(Params::index, "mlp_act_in", branch);
  linear<tokens, typename Params::ActHidden>(branch, hidden, Params::mlp_linear_1_w,
                                             Params::mlp_linear_1_b, Params::mlp_linear_1_s);
  TRACE(Params::index, "mlp_act_hidden", hidden);
  linear<tokens, Identity>(hidden, y, Params::mlp_linear_2_w, Params::mlp_linear_2_b,
                           Params::mlp_linear_2_s);
  TRACE(Params::index, "mlp_linear_2", y);
  residual<tokens>(y, shortcut, out, Params::mlp_res_affine_w, Params::mlp_res_affine_b,
                   Params::mlp_res_affine_s);
  TRACE(Params::index, "mlp", out);
}

/// One block.
/// \tparam Config  Sizes
/// \tparam Params  Parameters of the block
template <class Config, class Params>
void block(Stream& in, Stream& out) {
#pragma HLS DATAFLOW
  Stream mixed("token_mixer");
  token_mixer<Config, Params>(in, mixed);
  channel_mlp<Config, Params>(mixed, out);
}

/// Block `first` and all that follow: one dataflow region per block, each holding the next.
/// \tparam Config  Sizes
/// \tparam Block   Parameters of block i as Block<i>
/// \tparam first   Index of the first block
/// \tparam last    Index of the last block
template <class Config, template <int> class Block, int first, int last>
struct Blocks {
  static void run(Stream& in, Stream& out) {
#pragma HLS DATAFLOW
    Stream link("block");
    block<Config, Block<first>>(in, link);
    Blocks<Config, Block, first + 1, last>::run(link, out);
  }
};

template <class Config, template <int> class Block, int last>
struct Blocks<Config, Block, last, last> {
  static void run(Stream& in, Stream& out) { block<Config, Block<last>>(in, out); }
};
