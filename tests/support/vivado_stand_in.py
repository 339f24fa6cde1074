"""A stand-in for Vivado's Tcl: it knows the ports of the cells and refuses every other name.

`run` executes a design.tcl in a real Tcl, in its folder. The ports of the kernel are read off the
pragmas of its C++.
"""

import re

import pytest

# Interface and scalar pins of the cells that are no kernel, by the beginning of their VLNV.
PINS = {
    "xilinx.com:ip:processing_system7": ("M_AXI_GP0", "S_AXI_HP0", "FCLK_CLK0"),
    "xilinx.com:ip:zynq_ultra_ps_e": ("M_AXI_HPM0_FPD", "S_AXI_HP0_FPD", "pl_clk0"),
    "xilinx.com:ip:axi_dma": (
        *("S_AXI_LITE", "M_AXI_MM2S", "M_AXI_S2MM", "M_AXIS_MM2S", "S_AXIS_S2MM"),
    ),
}
ENABLED_BY = {  # ports of a processor that a property switches on
    "M_AXI_GP0": "CONFIG.PCW_USE_M_AXI_GP0",
    "S_AXI_HP0": "CONFIG.PCW_USE_S_AXI_HP0",
    "M_AXI_HPM0_FPD": "CONFIG.PSU__USE__M_AXI_GP0",
    "S_AXI_HP0_FPD": "CONFIG.PSU__USE__S_AXI_GP2",
}
IGNORED = (
    *("create_project", "update_ip_catalog", "create_bd_design", "validate_bd_design"),
    *("save_bd_design", "make_wrapper", "wait_on_run", "open_run", "current_project"),
    *("current_fileset", "get_files", "get_runs", "assign_bd_address"),
)


def kernel_ports(source, top):
    """Return (axis ports, m_axi bundles, has registers) of the top function of a C++ text."""
    body = source.split(f"void {top}(", 1)[1].split("{", 1)[1]
    pragmas = re.sub(r"\\\n", " ", body)
    axis = re.findall(r"#pragma HLS INTERFACE axis port = (\w+)", pragmas)
    memories = re.findall(r"#pragma HLS INTERFACE m_axi port = \w+ bundle = (\w+)", pragmas)
    return axis, memories, "INTERFACE s_axilite port = return" in pragmas


class Vivado:
    """Runs a script; `connected` are the pins that it connected, `said` what it printed."""

    def __init__(self, folder, kernel, ports, boards):
        axis, memories, registers = ports
        self.folder, self.kernel, self.boards = folder, kernel, boards
        names = [*axis, *(f"m_axi_{memory}" for memory in memories), "ap_clk"]
        self.kernel_pins = [*names, *(["s_axi_control"] if registers else [])]
        self.cells, self.properties, self.connected = {}, {}, set()
        self.said, self.made, self.status = [], [], None

    def run(self, script):
        """Run the text of a script; an unknown command, cell or pin is an error."""
        tkinter = pytest.importorskip("tkinter")
        self.tcl = tcl = tkinter.Tcl()
        errors = []

        def command(name, function):
            def call(*arguments):
                try:
                    return function(*arguments)
                except Exception as error:  # Tcl would lose it
                    errors.append(error)
                    raise

            tcl.createcommand(name, call)

        tcl.eval(f"cd {{{self.folder}}}")
        for name in IGNORED:
            command(name, lambda *arguments: arguments[-1] if arguments else "")
        for name in ("create_bd_cell", "get_bd_cells", "get_bd_intf_pins", "get_bd_pins"):
            command(name, getattr(self, name))
        for name in ("connect_bd_intf_net", "apply_bd_automation", "set_property"):
            command(name, getattr(self, name))
        command("get_board_parts", self.get_board_parts)
        command("get_ipdefs", lambda *a: f"{a[-1][:-1]}1.0 {a[-1][:-1]}7.1")
        command("get_property", lambda *a: "100%")
        command("launch_runs", self.launch_runs)
        for report in ("report_utilization", "report_timing_summary"):
            command(report, lambda *a: self.made.append(a[-1]) or "")
        command("puts", lambda text: self.said.append(text) or "")
        tcl.eval("proc exit status { set ::status $status; error exited }")
        try:
            tcl.eval(script)
        except tkinter.TclError as error:
            if str(error) != "exited":
                raise (errors[0] if errors else error) from None
        self.status = int(tcl.getvar("status"))

    def create_bd_cell(self, *arguments):
        vlnv, name = arguments[-2], arguments[-1]
        if vlnv == f"xilinx.com:hls:{self.kernel}:1.0":
            self.cells[name] = self.kernel_pins
        else:
            kind = vlnv.rsplit(":", 1)[0]
            self.cells[name] = PINS[kind]
        return name

    def get_bd_cells(self, name):
        assert name in self.cells, name
        return name

    def get_bd_intf_pins(self, name):
        cell, pin = name.split("/")
        assert pin in self.cells[cell], name
        switch = ENABLED_BY.get(pin)
        assert switch is None or self.properties.get(switch) == "1", f"{pin} is off"
        return name

    get_bd_pins = get_bd_intf_pins

    def connect_bd_intf_net(self, first, second):
        for pin in (first, second):
            assert pin not in self.connected, f"{pin} is connected twice"
            self.connected.add(pin)
        return ""

    def apply_bd_automation(self, *arguments):
        options = dict(zip(arguments[::2], arguments[1::2], strict=False))
        rule, config = options["-rule"], self.tcl.splitlist(options["-config"])
        values = dict(zip(config[::2], config[1::2], strict=True))
        if rule == "xilinx.com:bd_rule:axi4":
            for key in ("Master", "Slave"):
                self.connected.add(self.get_bd_intf_pins(values[key].removeprefix("/")))
        for key in ("Clk", "Clk_master", "Clk_slave", "Clk_xbar"):
            if values.get(key, "Auto") != "Auto":
                self.get_bd_pins(values[key].removeprefix("/"))
        if rule == "xilinx.com:bd_rule:clkrst":
            self.connected.add(arguments[-1])
        return ""

    def set_property(self, *arguments):
        if arguments[0] == "-dict":
            values = self.tcl.splitlist(arguments[1])
            self.properties |= dict(zip(values[::2], values[1::2], strict=True))
        elif arguments[0] == "ip_repo_paths":
            assert (self.folder / arguments[1]).is_dir(), arguments[1]
        elif arguments[0] == "board_part":
            assert arguments[1] in self.boards
        return ""

    def get_board_parts(self, *arguments):
        stem = arguments[-1].removesuffix("*")
        return " ".join(board for board in self.boards if board.startswith(stem))

    def launch_runs(self, *arguments):
        """Write what the implementation writes."""
        assert arguments[:3] == ("impl_1", "-to_step", "write_bitstream")
        runs = self.folder / "vivado/resmlp.runs/impl_1"
        handoff = self.folder / "vivado/resmlp.gen/sources_1/bd/design_1/hw_handoff"
        for path in (runs / "design_1_wrapper.bit", handoff / "design_1.hwh"):
            path.parent.mkdir(parents=True)
            path.write_text(path.name)
        return ""
