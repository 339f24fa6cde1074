"""Write golden.hpp: golden samples and their taps as C++ arrays for the test bench."""

from hls.headers.text import array_text
from models.integer.params import Samples, is_layer_name, published_name

GOLDEN_TAP_SAMPLES = 8  # samples with compiled-in sublayer outputs; g++ needs 7 MB for each

_GOLDEN = """\
/// Golden samples of one network: inputs, logits and taps from numpy. Generated; do not edit.
#pragma once

#include <cstdint>

{arrays}
/// What a layer gives for the first `samples` inputs: samples x vectors x channels values.
struct GoldenTap {{
  const char* layer;
  int samples, vectors, channels;
  const int8_t* values;
}};

constexpr int num_samples = {count};
const GoldenTap golden_taps[] = {{
{taps}
}};
"""


def golden_text(samples: Samples) -> str:
    """Return the text of golden.hpp: inputs and logits of all samples, taps of the first ones.

    The outputs of the embedding and of the sublayers are included for GOLDEN_TAP_SAMPLES samples,
    the outputs of all other layers for the first sample only. ValueError if a name is no layer's.
    """
    arrays = [
        array_text("samples_input", samples.input, "int8_t"),
        array_text("samples_output", samples.output, "int8_t"),
    ]
    taps = []
    for layer, values in samples.layers.items():
        if not is_layer_name(layer):  # it becomes C++
            raise ValueError(f"{layer!r} is not the name of a layer")
        tap_name = _tap_name(layer)
        if tap_name is None:
            continue
        count = min(GOLDEN_TAP_SAMPLES if _is_sublayer(layer) else 1, len(values))
        tap = values[:count].reshape(count, -1, values.shape[-1])
        array = f"samples_{published_name(layer)}"
        arrays.append(array_text(array, tap, "int8_t"))
        sizes = ", ".join(str(size) for size in tap.shape)
        taps.append(f'    {{"{tap_name}", {sizes}, &{array}[0][0][0]}},')
    return _GOLDEN.format(arrays="\n".join(arrays), count=len(samples.input), taps="\n".join(taps))


def _is_sublayer(layer: str) -> bool:
    return layer == "embed_linear" or layer.endswith(("_token_mixer", "_mlp"))


def _tap_name(layer: str) -> str | None:
    """Return the name of the stream in resmlp.hpp that holds a layer's output, None without one.

    mlp_linear_1 and its activation are one process, and so are the rescaled shortcut and the
    addition. The values between the two never pass through a stream, so they have no tap.
    """
    if layer.endswith(("_mlp_linear_1", "_residual")):
        return None
    return layer.replace("_mlp_relu", "_mlp_act_hidden")
