/// Taps of the processor for C-simulation. One step computes several layers, so some values exist
/// for one cycle only; the taps collect them. The synthesised design has no taps.
#pragma once

/// The tapped positions of a step, in the order in which a value passes them.
enum class Tap { operand, product, scaled, result };
constexpr int num_taps = static_cast<int>(Tap::result) + 1;

#ifdef __SYNTHESIS__
#define NOTE(...)
#else
#define NOTE(...) __VA_ARGS__

#include <vector>

#include "program.hpp"
#include "trace.hpp"

/// Collects the values of one step if there is a tracer.
class Taps {
 public:
  explicit Taps(const Step& step) : step_(step) {
    if (!tracer()) return;
    for (int tap = 0; tap < num_taps; ++tap) {
      if (name(tap)) values_[tap].resize(step.vectors * length(tap));
    }
  }

  /// Record elements of vector `across`, starting at `along`; skip padding beyond its end.
  template <int lanes>
  void keep(Tap which, int across, int along, const Vector<lanes>& values) {
    const int tap = static_cast<int>(which);
    if (values_[tap].empty()) return;
    for (int i = 0; i < lanes && along + i < length(tap); ++i) {
      const int place = step_.by_channel ? (along + i) * step_.vectors + across
                                         : across * length(tap) + along + i;
      values_[tap][place] = values.lane[i];
    }
  }

  /// Pass every layer of the step to the tracer.
  void show() const {
    for (int tap = 0; tap < num_taps; ++tap) {
      if (!values_[tap].empty()) tracer()->see(step_.block, name(tap), values_[tap]);
    }
  }

 private:
  int length(int tap) const { return tap == 0 ? step_.inputs : step_.outputs; }

  /// Return the layer's name as in hls/headers/network.py; null if the position has no tap.
  const char* name(int tap) const {
    static const char* const names[num_kinds][num_taps] = {
        {nullptr, nullptr, nullptr, "embed_linear"},
        {"token_mixer_affine_1", "token_mixer_linear", "token_mixer_affine_2", "token_mixer"},
        {"mlp_act_in", nullptr, nullptr, "mlp_act_hidden"},
        {nullptr, "mlp_linear_2", nullptr, "mlp"},
        {nullptr, nullptr, nullptr, "mean"},
        {nullptr, nullptr, nullptr, "classifier_linear"},
    };
    return names[static_cast<int>(step_.kind)][tap];
  }

  const Step& step_;
  std::vector<int8_t> values_[num_taps];
};

#endif
