"""Write the C++ headers of one variant: its sizes and its parameters.

Reads data/<variant>/int8.pkl; writes data/<variant>/headers/config.hpp and params.hpp. They hold no
images, so they can be shared.
"""

from hls.headers import config_text, params_text
from models.atomic_file import replace_on_success
from models.int_params import load_int_params
from stages._params import load_params
from stages._paths import artifact
from stages._stage import run_variant_stage


def main(name: str) -> None:
    """Generate the headers of one variant."""
    load_params().variant(name)
    network = load_int_params(artifact(name, "int8.pkl"))
    texts = {"config.hpp": config_text(network), "params.hpp": params_text(network)}
    for file, text in texts.items():
        with replace_on_success(artifact(name, "headers") / file) as temporary:
            temporary.write_text(text)


if __name__ == "__main__":
    run_variant_stage(main)
