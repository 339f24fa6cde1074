/// The whole network as one free-running dataflow design; sizes and parameters are generated.
#include "resmlp_top.hpp"

#include "config.hpp"
#include "params.hpp"
#include "resmlp.hpp"

static_assert(Config::num_blocks >= 1, "a ResMLP has at least one block");

void resmlp_top(Stream& tokens, Stream& logits) {
#pragma HLS INTERFACE axis port = tokens
#pragma HLS INTERFACE axis port = logits
#pragma HLS INTERFACE ap_ctrl_none port = return
#pragma HLS DATAFLOW
  Stream embedded("embed_linear"), features("blocks"), pooled("mean");
  linear<Config::num_patches, Identity>(tokens, embedded, embed_linear_w, embed_linear_b,
                                        embed_linear_s);
  TRACE(-1, "embed_linear", embedded);
  Blocks<Config, Block, 0, Config::num_blocks - 1>::run(embedded, features);
  mean<Config::num_patches, Config::embed_dim>(features, pooled);
  TRACE(-1, "mean", pooled);
  linear<1, Identity>(pooled, logits, classifier_linear_w, classifier_linear_b,
                      classifier_linear_s);
  TRACE(-1, "classifier_linear", logits);
}
