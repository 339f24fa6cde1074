"""Write C++ headers in the authors' text form, for tests that read them."""

import dataclasses

import numpy as np

from models.integer.params import IntTable, published_name

PREAMBLE = """\
#ifndef QUANT_PARAMS_H_
#define QUANT_PARAMS_H_
#include "ap_int.h"  // const ap_int<8> not_an_array[1] = {1};
"""


def array_text(name, values):
    """Return the C++ text of an array in the authors' form: one line per row, shifts unsigned."""
    c_type = "ap_uint<8>" if name.endswith("_s") else "ap_int<8>"
    sizes = "".join(f"[{size}]" for size in np.shape(values))
    return f"const {c_type} {name}{sizes} = \n{_braces(np.asarray(values))};\n"


def header_text(arrays):
    """Return a header file with the arrays {name: values}."""
    return PREAMBLE + "\n".join(array_text(*item) for item in arrays.items()) + "\n#endif\n"


def with_published_tables(network):
    """Return the network with the last knot of every table equal to the knot before it.

    The published form stores 64 knots, so this is what a reader of it gets.
    """
    blocks = []
    for block in network.blocks:
        points = (table.knots[:, :-1] for table in (block.mlp.act_in, block.mlp.act_hidden))
        act_in, act_hidden = map(IntTable.from_points, points)
        mlp = dataclasses.replace(block.mlp, act_in=act_in, act_hidden=act_hidden)
        blocks.append(dataclasses.replace(block, mlp=mlp))
    return dataclasses.replace(network, blocks=tuple(blocks))


def network_arrays(network):
    """Return a network's arrays by their published names; tables have 64 of their 65 knots."""
    arrays = {}
    for leaf_name, leaf in network.leaves():
        name = published_name(leaf_name)
        if isinstance(leaf, IntTable):
            arrays[f"{name}_lerp_lut"] = leaf.knots[:, :-1]
        else:
            arrays |= {f"{name}_{key}": getattr(leaf, key) for key in "wbs"}
    return arrays


def sample_arrays(samples):
    """Return the arrays of golden samples by their published names."""
    inter = {f"samples_inter_{index}": values for index, values in enumerate(samples.inter)}
    return {"samples_input": samples.input, **inter, "samples_output": samples.output}


def write_headers(folder, network, samples=None):
    """Write a network's headers as the authors do, with tables and samples in separate files."""
    arrays = network_arrays(network)
    tables = {name: values for name, values in arrays.items() if name.endswith("lerp_lut")}
    files = {"quant_params.h": {name: arrays[name] for name in arrays if name not in tables}}
    files |= {"lerp_psa_params.h": tables} if tables else {}
    files |= {"quant_samples.h": sample_arrays(samples)} if samples else {}
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(header_text(content))


def _braces(values):
    if values.ndim == 1:
        return "{" + ", ".join(map(str, values.tolist())) + "}"
    return "{\n" + ",\n".join(_braces(row) for row in values) + "\n}"
