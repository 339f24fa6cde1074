"""Write the C++ headers of one variant: its sizes and its parameters.

Reads data/<variant>/int8.pkl and writes config.hpp and params.hpp to data/<variant>/headers/. The
headers contain no images, so they can be published.
"""

from hls.headers.network import config_text, params_text
from models.files.atomic import replace_on_success
from models.integer.params import load_int_params
from stages.pipeline.command import run_variant_stage
from stages.pipeline.names import check_integer_name
from stages.pipeline.params import load_params
from stages.pipeline.paths import artifact


def main(name: str) -> None:
    """Write the headers of one variant."""
    check_integer_name(load_params(), name)
    network = load_int_params(artifact(name, "int8.pkl"))
    texts = {"config.hpp": config_text(network), "params.hpp": params_text(network)}
    for file, text in texts.items():
        with replace_on_success(artifact(name, "headers") / file) as temporary:
            temporary.write_text(text)


if __name__ == "__main__":
    run_variant_stage(main)
