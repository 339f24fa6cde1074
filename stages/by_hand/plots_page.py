"""Give `dvc plots` a page that needs no network (`make setup` does it).

DVC's own page loads Vega from the network and is blank without it. This writes
.dvc/plots_page.html, a page with the scripts inside, and sets plots.html_template in
.dvc/config.local. The scripts come from the package vl-convert-python, whose version
constraints.txt pins. Run it in the repository's root.
"""

import logging
import subprocess
import sys
from pathlib import Path

from models.files.atomic import replace_on_success
from models.files.errors import PipelineError
from stages.pipeline.command import run_stage

PAGE = Path(".dvc/plots_page.html")
VEGA_LITE = "5.21"  # the newest of the schema that .dvc/plots and DVC's own templates name
_PLACEHOLDERS = ("{refresh_tag}", "{plot_divs}")  # DVC replaces them; {scripts} loads from the net
_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
{{refresh_tag}}
<meta charset="utf-8">
<link rel="icon" href="data:,">
<title>Plots</title>
<!-- Vega, Vega-Lite and Vega-Embed, Copyright University of Washington Interactive Data Lab and
contributors, and what they depend on (d3, ISC, and others). Licence: BSD-3-Clause,
https://github.com/vega/vega/blob/main/LICENSE -->
<script>
{scripts}
</script>
<style>
body {{ font: 15px system-ui, sans-serif; margin: 2em; }}
img {{ max-width: 100%; }}
</style>
</head>
<body>
{{plot_divs}}
</body>
</html>
"""


def scripts() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script; PipelineError if they are not here."""
    try:
        import vl_convert  # only here: nothing else needs it
    except ImportError:
        raise PipelineError(
            "The package vl-convert-python, which has the scripts, is not installed; run "
            "`make setup`."
        ) from None
    return str(vl_convert.javascript_bundle(vl_version=VEGA_LITE))


def page(script: str) -> str:
    """Return the page for DVC; PipelineError if the script would break it."""
    for text in (*_PLACEHOLDERS, "{scripts}", "</script", "<!--"):
        if text in script:
            raise PipelineError(
                f"The scripts of vl-convert-python hold {text}, which ends the page."
            )
    return _PAGE.format(scripts=script)


def main() -> None:
    """Write the page and tell DVC of it."""
    if not PAGE.parent.is_dir():
        raise PipelineError(f"{PAGE.parent} is missing; run this in the repository's root.")
    text = page(scripts())
    with replace_on_success(PAGE) as temporary:
        temporary.write_text(text)
    setting = ["config", "--quiet", "--local", "plots.html_template", PAGE.name]
    subprocess.run([sys.executable, "-m", "dvc", *setting], check=True)
    logging.info("%s: `dvc plots show` needs no network now", PAGE)


if __name__ == "__main__":
    run_stage(main)
