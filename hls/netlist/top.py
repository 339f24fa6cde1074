"""Write resmlp_top.sv, the top module of a streaming design."""

from hls.netlist.netlist import Instance, Netlist

_TOP = """\
// The streaming accelerator of one network. Generated; do not edit.
//
// Ports are those of the C++ top function: two AXI4-Streams. `tokens` takes an image as int8
// elements, patch by patch. `logits` sends {classes} int8 scores per image, with TLAST on the last.
// Units are those of hls/rtl; $readmemh reads their ROMs from the working folder.
module resmlp_top (
    input  logic {port} ap_clk,
    input  logic {port} ap_rst_n,
    input  logic {tokens} tokens_TDATA,
    input  logic {port} tokens_TVALID,
    output logic {port} tokens_TREADY,
    output logic {logits} logits_TDATA,
    output logic {port} logits_TVALID,
    input  logic {port} logits_TREADY,
    output logic {port} logits_TLAST
);
  logic clk, rst;
  assign clk = ap_clk;
  always_ff @(posedge ap_clk) rst <= !ap_rst_n;

{streams}
  assign tokens_in_data = tokens_TDATA;
  assign tokens_in_valid = tokens_TVALID && !rst;
  assign tokens_TREADY = tokens_in_ready && !rst;
  assign logits_TDATA = logits_out_data;
  assign logits_TVALID = logits_out_valid && !rst;
  assign logits_out_ready = logits_TREADY;

  logic [{class_bits}:0] unused_class;
  counter #(
      .LIMIT({classes})
  ) class_counter (
      .clk,
      .rst,
      .step (logits_TVALID && logits_TREADY),
      .value(unused_class),
      .last (logits_TLAST)
  );

{instances}endmodule
"""


def top_text(design: Netlist) -> str:
    """Return the text of resmlp_top.sv."""
    streams = "\n".join(
        f"  logic [{bits - 1}:0] {name}_data;\n  logic {name}_valid, {name}_ready;"
        for name, bits in design.streams.items()
    )
    widths = {"tokens": design.streams[design.tokens], "logits": design.streams[design.logits]}
    columns = max(len(f"[{bits - 1}:0]") for bits in widths.values())
    return _TOP.format(
        classes=design.classes,
        class_bits=max(1, (design.classes - 1).bit_length()) - 1,
        port=" " * columns,
        streams=streams,
        instances="".join(f"{_instance_text(instance)}\n" for instance in design.instances),
        **{name: f"[{bits - 1}:0]".ljust(columns) for name, bits in widths.items()},
    )


def _instance_text(instance: Instance) -> str:
    parameters = [f".{key}({_literal(value)})" for key, value in instance.parameters.items()]
    ports = [".clk", ".rst"]
    for port, stream in instance.ports.items():
        ports += [f".{port}_{part}({stream}_{part})" for part in ("data", "valid", "ready")]
    lines = [f"  {instance.module} #("]
    lines.append(",\n".join(f"      {text}" for text in parameters))
    lines.append(f"  ) {instance.name} (")
    lines.append(",\n".join(f"      {text}" for text in ports))
    lines.append("  );\n")
    return "\n".join(lines)


def _literal(value: int | str) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
