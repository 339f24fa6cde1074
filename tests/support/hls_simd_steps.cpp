/// Prints the program of the SIMD processor; with images, also the trips of its loops.
///
///     steps              what hls/plan/simd/program.py has, too, name by name
///     steps COUNT        then classifies COUNT black images and prints the trips of every part
#include <cstdio>
#include <cstdlib>

#include "cycle_count.hpp"
#include "driver.hpp"
#include "memory.hpp"

long cycle_counts[num_parts] = {};

int main(int argc, char** argv) {
  std::printf("side %d store_squares %d token_words %d image_words %d logit_words %d\n",
              Network::side, Network::store_squares, Network::token_words, Network::image_words,
              Network::logit_words);
  std::printf("row_words %d channel_words %d start_cycles %d parameter_words %d\n",
              Network::row_words, Network::channel_words, Network::start_cycles,
              Network::parameter_words());
  std::printf("max_vectors %d act_in_words %d act_hidden_words %d\n", Network::max_vectors,
              Network::act_in_words, Network::act_hidden_words);
  std::printf("SUM_CYCLES %d FIFO_WORDS %d LUT_MEMORY_WORDS %d\n", sum_cycles, Network::fifo_words,
              lut_memory_words);
  std::printf("b %d s %d res_affine_w %d res_affine_b %d res_affine_s %d\n", output::b, output::s,
              output::res_affine_w, output::res_affine_b, output::res_affine_s);
  std::printf("affine_1_w %d affine_1_b %d affine_1_s %d affine_2_w %d affine_2_b %d\n",
              channel::affine_1_w, channel::affine_1_b, channel::affine_1_s, channel::affine_2_w,
              channel::affine_2_b);
  std::printf("affine_2_s %d res_affine_w %d res_affine_b %d res_affine_s %d\n",
              channel::affine_2_s, channel::res_affine_w, channel::res_affine_b,
              channel::res_affine_s);
  for (const Step& step : Network::steps.at) {
    std::printf("STEP kind %d block %d by_channel %d vectors %d inputs %d outputs %d ",
                static_cast<int>(step.kind), step.block, step.by_channel, step.vectors, step.inputs,
                step.outputs);
    std::printf("input_tiles %d output_tiles %d output_words %d next_words %d beside_words %d ",
                step.input_tiles, step.output_tiles, step.output_words, step.next_words,
                step.beside_words);
    std::printf("beside_share %d tile_cycles %d cycles %d\n", step.beside_share, step.tile_cycles,
                step.cycles);
  }
  std::printf("CYCLES least %d most %d all %d\n", Network::least_cycles(), Network::most_cycles(),
              Network::all_cycles());
  if (argc == 1) return 0;
  const int count = std::atoi(argv[1]);
  const std::vector<int8_t> tokens(count * Config::num_patches * Config::patch_dim);
  classify(tokens.data(), count);
  std::printf("TRIPS");
  for (long trips : cycle_counts) std::printf(" %ld", trips);
  std::printf("\n");
  return 0;
}
