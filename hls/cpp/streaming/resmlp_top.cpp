/// Top function of the streaming accelerator: the whole network as one free-running dataflow
/// design. Sizes, folding and parameters are generated headers.
#include "resmlp_top.hpp"

#include "config.hpp"
#include "params.hpp"
#include "resmlp.hpp"

static_assert(Config::num_blocks >= 1, "a ResMLP has at least one block");

void resmlp_top(Stream<Design::lanes>& tokens, Stream<1>& logits) {
#pragma HLS INTERFACE axis port = tokens
#pragma HLS INTERFACE axis port = logits
#pragma HLS INTERFACE ap_ctrl_none port = return
#pragma HLS DATAFLOW
  Stream<Design::lanes> embedded("embed_linear"), features("blocks"), pooled("mean");
#pragma HLS STREAM variable = embedded depth = Design::link_depth
#pragma HLS STREAM variable = features depth = Design::link_depth
#pragma HLS STREAM variable = pooled depth = Design::link_depth
#pragma HLS BIND_STORAGE variable = embedded type = fifo impl = srl
#pragma HLS BIND_STORAGE variable = features type = fifo impl = srl
#pragma HLS BIND_STORAGE variable = pooled type = fifo impl = srl
  REGION(linear<Config::num_patches, Config::patch_dim, Config::embed_dim, Identity, Design,
                Design::embed_linear_fold>(tokens, embedded, embed_linear_w, embed_linear_b,
                                           embed_linear_s));
  TRACE(-1, "embed_linear", embedded);
  REGION(Blocks<Config, Design, Block, 0, Config::num_blocks - 1>::blocks_run(embedded, features));
  PROCESS(mean<Config::num_patches, Config::embed_dim>(features, pooled));
  TRACE(-1, "mean", pooled);
  REGION(linear<1, Config::embed_dim, Config::num_classes, Identity, Design,
                Design::classifier_linear_fold>(pooled, logits, classifier_linear_w,
                                                classifier_linear_b, classifier_linear_s));
  TRACE(-1, "classifier_linear", logits);
}
