"""The project folder of a design, and the reports that come back from another machine."""

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hls.cpp.accelerators import START_FIFO_DEPTH, STREAMING
from hls.headers import network as headers_module
from hls.headers.design import design_text
from hls.headers.golden import golden_text
from hls.plan.design import Design
from hls.plan.sizes import Sizes
from hls.plan.streaming.dataflow import streaming_network
from hls.plan.streaming.fifo_depths import size_fifos
from hls.plan.streaming.folding import published_folding
from hls.simulate import gpp
from hls.synthesize.metrics import synthesis_metrics, synthesis_tables
from hls.synthesize.project import (
    Manifest,
    Sources,
    accelerator_sources,
    check_sources,
    read_manifest,
    write_project,
)
from hls.synthesize.project_texts import (
    SynthesisTarget,
    config_text,
    readme_text,
    script_text,
)
from hls.synthesize.results import read_brought_back, read_results
from models.files.errors import PipelineError
from models.integer import resmlp as int_resmlp
from tests.support.hls_stand_in import (
    NOT_RUN,
    OLD_EXPORT,
    PART,
    TOP,
    cosim_rpt,
    csynth_xml,
    export_xml,
    install,
    put,
)

NAME = "relu_h96"
TARGET = SynthesisTarget(PART, 5.0)
FULL = SynthesisTarget(PART, 5.0, "vitis", 12.5, True, "impl")
FILES = (["src/top.cpp"], ["src/bench.cpp", "src/more.cpp"])


@pytest.fixture
def headers(tmp_path):
    """Write stand-ins for the generated headers of a design."""
    files = [
        tmp_path / "headers" / f"{name}.hpp" for name in ("config", "params", "golden", "design")
    ]
    for file in files:
        put(file, f"// {file.name}\n#pragma once\n")
    return files


@pytest.fixture
def project(tmp_path, headers):
    folder = tmp_path / "project"
    write_project(folder, NAME, accelerator_sources(STREAMING, *headers), TARGET)
    return folder


def all_bytes(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_project_holds_all_that_its_sources_include(project):
    assert {path.name for path in project.iterdir()} == {
        *("src", "hls_config.cfg", "hls_cosim.cfg", "run.tcl", "README.md", "manifest.json")
    }
    for path in (project / "src").iterdir():
        for included in re.findall(r'^#include "(.+)"', path.read_text(), re.MULTILINE):
            assert (project / "src" / included).is_file(), f"{path.name} includes {included}"


def test_the_same_design_gives_the_same_bytes(project, headers, tmp_path):
    other = tmp_path / "elsewhere" / "project"
    write_project(other, NAME, accelerator_sources(STREAMING, *headers), TARGET)
    assert all_bytes(other) == all_bytes(project)
    assert str(tmp_path).encode() not in b"".join(all_bytes(project).values())


def test_the_manifest_says_what_it_is_of(project):
    manifest = read_manifest(project / "manifest.json")
    assert (manifest.name, manifest.top, manifest.target) == (NAME, TOP, TARGET)
    assert set(manifest.sources) == {f"src/{path.name}" for path in (project / "src").iterdir()}
    check_sources(project, manifest)
    assert re.fullmatch("[0-9a-f]{64}", manifest.source_hash)


def test_any_change_of_a_source_changes_the_hash(project, headers, tmp_path):
    before = read_manifest(project / "manifest.json")
    headers[1].write_text("// other parameters\n")
    after = write_project(project, NAME, accelerator_sources(STREAMING, *headers), TARGET)
    assert after.source_hash != before.source_hash and after.work != before.work
    assert (project / "src/params.hpp").read_text() == "// other parameters\n"
    renamed = {name.replace("params", "other"): digest for name, digest in after.sources.items()}
    assert Manifest(NAME, TOP, after.target, renamed).source_hash != after.source_hash


def test_writing_anew_drops_stale_sources_and_keeps_reports(project, headers):
    put(project / "src/stale.hpp", "// of an earlier version\n")
    put(project / "work_0123456789ab/hls/syn/report/a.xml", "<profile/>")
    write_project(project, NAME, accelerator_sources(STREAMING, *headers), TARGET)
    assert not (project / "src/stale.hpp").exists()
    assert (project / "work_0123456789ab/hls/syn/report/a.xml").is_file()
    assert not [path for path in project.parent.iterdir() if path.name.startswith(".")]


def test_a_missing_source_is_named_and_the_old_project_stays(project, headers):
    before = all_bytes(project)
    headers[2].unlink()
    with pytest.raises(PipelineError, match=r"golden\.hpp cannot be copied"):
        write_project(project, NAME, accelerator_sources(STREAMING, *headers), TARGET)
    assert all_bytes(project) == before


def test_two_files_of_one_name_are_refused(project, headers, tmp_path):
    put(tmp_path / "again" / "config.hpp", "")
    sources = accelerator_sources(STREAMING, *headers, tmp_path / "again" / "config.hpp")
    with pytest.raises(PipelineError, match="two files of this name"):
        write_project(project, NAME, sources, TARGET)


def test_a_design_of_other_files(tmp_path):
    put(tmp_path / "a.cpp", "void a();\n")
    put(tmp_path / "b.cpp", "int main() {}\n")
    sources = Sources("a", (tmp_path / "a.cpp",), (tmp_path / "b.cpp",), ())
    write_project(tmp_path / "p", "simd", sources, TARGET)
    assert "syn.file=src/a.cpp\n" in (tmp_path / "p/hls_config.cfg").read_text()


def test_the_config_file():
    assert config_text("top", *FILES, SynthesisTarget(PART, 3.2)).splitlines() == [
        *(f"part={PART}", "", "[hls]", "clock=3.2ns", "flow_target=vitis", "syn.top=top"),
        f"syn.dataflow.start_fifo_depth={START_FIFO_DEPTH}",
        "syn.file=src/top.cpp",
        "syn.cflags=-std=c++14",
        "tb.file=src/bench.cpp",
        "tb.file=src/more.cpp",
        "tb.cflags=-std=c++14",
        "syn.compile.name_max_length=80",
        "syn.interface.m_axi_alignment_byte_size=1",
        "package.output.syn=false",
    ]
    full = config_text("top", *FILES, FULL).splitlines()
    assert {"clock_uncertainty=12.5%", "package.output.syn=true", "vivado.flow=impl"} <= set(full)


def test_the_config_file_of_co_simulation_differs_in_the_macro_and_the_profile_alone():
    others = set(config_text("top", *FILES, FULL).splitlines())
    cosim = set(config_text("top", *FILES, FULL, cosim=True).splitlines())
    assert others - cosim == {"tb.cflags=-std=c++14"}
    assert cosim - others == {
        "tb.cflags=-std=c++14 -DRTL_SIM",
        "cosim.enable_dataflow_profiling=true",
    }


TCL_STAND_IN = """
set calls {}
foreach name {open_project set_top add_files open_solution set_part create_clock
              set_clock_uncertainty set_param config_compile config_dataflow config_interface
              csim_design csynth_design cosim_design export_design} {
  proc $name args "lappend ::calls \\[list $name {*}\\$args\\]; ran $name"
}
proc ran name { if {$name eq $::broken} { error "it broke" } }
rename info the_info
proc info {word args} {
  if {$word eq "nameofexecutable"} { return $::executable }
  uplevel 1 [list the_info $word {*}$args]
}
proc exit status { set ::status $status; return -code 6 }
proc puts text { lappend ::said $text }
set said {}
"""


def run_tcl(script, executable="/opt/bin/vitis_hls", broken=""):
    """Run a script in a real Tcl; return the calls, what was printed and the exit status."""
    tcl = pytest.importorskip("tkinter").Tcl()
    tcl.setvar("executable", executable)
    tcl.setvar("broken", broken)
    tcl.eval(TCL_STAND_IN)
    tcl.eval(f"catch {{uplevel #0 {{{script}}}}}")
    calls = [tcl.splitlist(call) for call in tcl.splitlist(tcl.getvar("calls"))]
    return calls, tcl.splitlist(tcl.getvar("said")), int(tcl.getvar("status"))


def test_the_script_is_tcl_that_takes_every_step():
    calls, said, status = run_tcl(script_text("top", *FILES, FULL, "project_x"))
    assert calls == [
        ("open_project", "-reset", "project_x"),
        ("set_top", "top"),
        ("add_files", "src/top.cpp", "-cflags", "-std=c++14"),
        ("add_files", "-tb", "src/bench.cpp", "-cflags", "-std=c++14"),
        ("add_files", "-tb", "src/more.cpp", "-cflags", "-std=c++14"),
        ("open_solution", "-reset", "solution", "-flow_target", "vitis"),
        ("config_interface", "-m_axi_alignment_byte_size", "1"),
        ("set_part", PART),
        ("create_clock", "-period", "5"),
        ("config_dataflow", "-start_fifo_depth", str(START_FIFO_DEPTH)),
        ("set_clock_uncertainty", "12.5%"),
        ("config_compile", "-name_max_length", "80"),
        ("set_param", "hls.enable_hidden_option_error", "false"),
        ("config_compile", "-disable_unroll_code_size_check"),
        ("csim_design",),
        ("csynth_design",),
        ("add_files", "-tb", "src/bench.cpp", "-cflags", "-std=c++14 -DRTL_SIM"),
        ("add_files", "-tb", "src/more.cpp", "-cflags", "-std=c++14 -DRTL_SIM"),
        ("cosim_design", "-enable_dataflow_profiling"),
        ("export_design", "-flow", "impl", "-rtl", "verilog"),
    ]
    assert (said, status) == ((), 0)


def test_the_script_without_the_steps_that_nobody_asked_for():
    calls = run_tcl(script_text("top", *FILES, TARGET, "project_x"))[0]
    assert [call[0] for call in calls][-3:] == ["config_compile", "csim_design", "csynth_design"]
    assert not any("RTL_SIM" in word for call in calls for word in call)


def test_vivado_hls_knows_no_flow_target_and_no_profiles():
    script = script_text("top", *FILES, FULL, "project_x")
    calls = run_tcl(script, "/opt/bin/unwrapped/lnx64.o/vivado_hls")[0]
    assert {("open_solution", "-reset", "solution"), ("cosim_design",)} <= set(calls)
    assert not any(call[0] == "config_interface" for call in calls)


def test_a_tool_without_the_hidden_option_goes_on():
    script = script_text("top", *FILES, FULL, "project_x")
    calls, said, status = run_tcl(script, broken="set_param")
    assert calls[-1][0] == "export_design" and (said, status) == ((), 0)


@pytest.mark.parametrize("step", ["csim_design", "csynth_design", "cosim_design", "export_design"])
def test_a_step_that_fails_ends_the_script_with_status_1(step):
    calls, said, status = run_tcl(script_text("top", *FILES, FULL, "project_x"), broken=step)
    assert calls[-1][0] == step and status == 1
    assert said[0].startswith("ERROR: ") and said[0].endswith("it broke")


def test_the_readme_names_the_commands_and_how_to_bring_reports_back(project):
    text = (project / "README.md").read_text()
    work = read_manifest(project / "manifest.json").work
    assert f"v++ -c --mode hls --config hls_config.cfg --work_dir {work}\n" in text
    assert f"vitis-run --mode hls --csim --config hls_config.cfg --work_dir {work}\n" in text
    assert "--cosim" not in text  # the target asks for none
    cosim = readme_text(NAME, TOP, FULL, work, "project_x")
    assert f"vitis-run --mode hls --cosim --config hls_cosim.cfg --work_dir {work}\n" in cosim
    assert "vitis_hls -f run.tcl\n" in text
    assert f"python -m stages.synthesize {NAME} --reports" in text


@pytest.fixture
def elsewhere(project, tmp_path, monkeypatch):
    """Copy the project to another place, as onto a machine with the tool; return a runner there."""
    folder = tmp_path / "machine" / "copy"
    shutil.copytree(project, folder)

    def run(tool, generation="2024.1"):
        install(tmp_path / "bin", tool, generation)
        install(tmp_path / "bin", "v++", generation)
        readme = (folder / "README.md").read_text()
        blocks = re.findall(r"^```\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
        monkeypatch.chdir(folder)
        for command in blocks[0 if tool == "vitis-run" else 1].splitlines():
            assert (
                os.system(f"PATH={tmp_path / 'bin'}:$PATH {command.replace('vitis_hls', tool)}")
                == 0
            )
        monkeypatch.chdir(tmp_path)
        return folder

    return run


@pytest.fixture
def manifest(project):
    return read_manifest(project / "manifest.json")


@pytest.mark.parametrize(
    ("tool", "generation"),
    [("vitis-run", "2025.2"), ("vitis_hls", "2022.2"), ("vivado_hls", "2019.2")],
)
def test_the_commands_of_the_readme_give_reports_that_are_read(
    elsewhere, manifest, tool, generation
):
    measured = read_brought_back(elsewhere(tool, generation), manifest)
    result = synthesis_metrics(measured, manifest)
    assert result["tool"].endswith(f"HLS {generation}") and result["csim"] == "PASS"
    assert (result["lut"], result["dsp"], result["interval_max_cycles"]) == (339116, 29, 6240)
    assert result["lut_percent"] == pytest.approx(100 * 339116 / 871680)
    assert [module["name"] for module in synthesis_tables(measured)["modules"]] == (
        [TOP] if generation < "2020.2" else [TOP, "fill"]
    )


def test_the_manifest_and_the_output_are_enough(elsewhere, manifest):
    folder = elsewhere("vitis_hls")
    shutil.rmtree(folder / "src")
    (folder / "run.tcl").unlink()
    assert read_brought_back(folder.parent, manifest).csim is True


def brought(folder, manifest):
    with pytest.raises(PipelineError) as refused:
        read_brought_back(folder, manifest)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_reports_without_their_manifest_are_refused(elsewhere, manifest, tmp_path):
    folder = elsewhere("vitis_hls")
    assert "must hold one manifest.json, but holds 0" in brought(tmp_path / "nowhere", manifest)
    assert "holds 0" in brought(folder / manifest.project, manifest)
    shutil.copytree(folder, folder.parent / "twice")
    assert "holds 2" in brought(folder.parent, manifest)
    put(folder / manifest.project / "solution/impl/manifest.json", "{}")  # the tool's own
    assert read_brought_back(folder, manifest).csim is True


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"top": "other_top"}, "its top function is other_top, but must be resmlp_top"),
        ({"target": {"part": "xcu280"}}, f"its part is xcu280, but must be {PART}"),
        ({"target": {"clock_ns": 4.0}}, "its clock is 4.0 ns, but must be 5.0 ns"),
        ({"sources": {"src/params.hpp": "0" * 64}}, "src/params.hpp differs"),
        ({"sources": {"src/more.hpp": "0" * 64}}, "src/more.hpp differs"),
    ],
)
def test_a_project_of_another_design_is_refused(elsewhere, manifest, change, message):
    folder = elsewhere("vitis_hls")
    path = folder / "manifest.json"
    values = json.loads(path.read_text())
    for key, value in change.items():
        values[key] = {**values[key], **value} if isinstance(value, dict) else value
    path.write_text(json.dumps(values))
    assert message in brought(folder, manifest)


def test_sources_that_were_changed_over_there_are_refused(elsewhere, manifest):
    folder = elsewhere("vitis_hls")
    path = folder / "src/params.hpp"
    path.write_text(path.read_text() + "// a small change\n")
    assert "src/params.hpp is not the file that" in brought(folder, manifest)


def test_reports_of_earlier_sources_in_the_same_folder_are_passed_over(elsewhere, manifest):
    """The engineer copied new sources over the old folder and forgot to run the tool."""
    folder = elsewhere("vitis_hls")
    (folder / manifest.project).rename(folder / "project_0123456789ab")
    assert "holds no synthesis report resmlp_top_csynth.xml" in brought(folder, manifest)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"top": "another"}, "its top function is another, but must be resmlp_top"),
        ({"part": "xcu280-fsvh2892-2L-e"}, "its part is xcu280-fsvh2892-2L-e"),
        ({"clock": "4.00"}, "its clock is 4 ns, but must be 5 ns"),
        ({"flow": "<FlowTarget>vivado</FlowTarget>"}, "its flow target is vivado"),
    ],
)
def test_a_report_of_another_design_is_refused(elsewhere, manifest, change, message):
    folder = elsewhere("vitis_hls")
    report = folder / manifest.project / f"solution/syn/report/{TOP}_csynth.xml"
    report.write_text(csynth_xml(**change))
    assert message in brought(folder, manifest)
    assert report.name in brought(folder, manifest)


def test_two_runs_in_one_folder_are_told_apart_by_a_person(elsewhere, manifest):
    elsewhere("vitis_hls")
    folder = elsewhere("vitis-run", "2025.2")
    assert "differ; remove the reports of the older run" in brought(folder, manifest)


def write_reports(folder, **changes):
    put(folder / f"{TOP}_csynth.xml", csynth_xml(**changes))


def test_reports_in_one_flat_folder(tmp_path, manifest):
    write_reports(tmp_path / "flat")
    put(tmp_path / "flat" / f"{TOP}_cosim.rpt", cosim_rpt(8000, 8100, 8200, 1, 2, 3, 51000))
    put(tmp_path / "flat" / "hls_cosim.rpt", "a copy")
    put(tmp_path / "flat" / "export_impl.xml", export_xml())
    put(tmp_path / "flat" / "export_syn.xml", export_xml("synth"))
    result = synthesis_metrics(read_results(tmp_path / "flat", manifest), manifest)
    assert (result["cosim"], result["cosim_interval_max_cycles"]) == ("PASS", 3)
    assert (result["export"], result["export_clock_ns"]) == ("impl", 4.321)
    assert result["export_timing_met"] is True
    assert result["note"] == "There is no log of C simulation."
    assert result["csim"] is None and result["sources"] == manifest.source_hash[:12]


def test_the_project_wide_report_alone_and_modules_beside_it(tmp_path, manifest):
    put(tmp_path / "a" / "csynth.xml", csynth_xml(modules=True))
    assert [m.name for m in read_results(tmp_path / "a", manifest).csynth.modules] == ["fill"]
    write_reports(tmp_path / "b", version="2019.2")
    put(tmp_path / "b" / "fill_csynth.xml", csynth_xml("2019.2", top="fill", lut="5"))
    modules = read_results(tmp_path / "b", manifest).csynth.modules
    assert [(m.name, m.used["lut"]) for m in modules] == [("fill", 5)]


def test_every_generation_has_the_same_keys(tmp_path, manifest):
    keys = list(synthesis_metrics(None, manifest))
    for version in ("2018.3", "2020.1", "2024.1"):
        write_reports(tmp_path / version, version=version)
        result = synthesis_metrics(read_results(tmp_path / version, manifest), manifest)
        assert list(result) == keys
    assert set(synthesis_metrics(None, manifest).values()) == {None}
    assert synthesis_tables(None) == {"modules": [], "loops": []}


def metrics_of(folder, manifest):
    return synthesis_metrics(read_results(folder, manifest), manifest)


@pytest.mark.parametrize(
    ("estimated", "slack", "noted"),
    [
        ("3.650", 0.0, False),
        ("3.659", -0.009, False),
        ("3.670", -0.02, True),
        ("4.200", -0.55, True),
    ],
)
def test_c_synthesis_must_reach_the_period_less_the_uncertainty(
    tmp_path, manifest, estimated, slack, noted
):
    write_reports(tmp_path, estimated=estimated)
    result = metrics_of(tmp_path, manifest)
    assert result["clock_slack_ns"] == pytest.approx(slack)
    assert (f"slack {slack:g} ns" in result["note"]) == noted


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("export_impl.xml", export_xml(achieved="6.871", met="TRUE")),
        ("export_impl.xml", export_xml(achieved="6.871").replace("<TIMING_MET>TRUE<", "<A>T<")),
        ("export_syn.xml", export_xml("synth", achieved="6.871", met="FALSE")),
        (f"{TOP}_export.xml", OLD_EXPORT),
    ],
)
def test_a_missed_clock_is_noted_in_every_form_of_export(tmp_path, manifest, file, text):
    write_reports(tmp_path)
    put(tmp_path / file, text.replace("<A>T</TIMING_MET>", ""))
    result = metrics_of(tmp_path, manifest)
    assert result["export_timing_met"] is False
    assert "Vivado misses the clock: 6.871 of 5 ns." in result["note"]


def test_an_old_export_that_meets_the_clock(tmp_path, manifest):
    write_reports(tmp_path)
    put(tmp_path / f"{TOP}_export.xml", OLD_EXPORT.replace("6.871", "4.9"))
    assert metrics_of(tmp_path, manifest)["export_timing_met"] is True


def test_vivado_s_resources_are_compared_with_the_part_too(tmp_path, manifest):
    write_reports(tmp_path)
    put(tmp_path / "export_impl.xml", export_xml().replace("<LUT>120000<", "<LUT>871681<"))
    note = metrics_of(tmp_path, manifest)["note"]
    assert f"Vivado: LUT 871681 exceeds the 871680 of {PART}." in note


def test_steps_that_were_asked_for_and_left_no_report_are_noted(tmp_path, manifest):
    write_reports(tmp_path)
    asked = replace(manifest, target=replace(manifest.target, cosim=True, export="impl"))
    note = metrics_of(tmp_path, asked)["note"]
    assert "co-simulation that the design asks for" in note and "the export impl" in note
    put(tmp_path / "export_syn.xml", export_xml("synth"))
    assert "Vivado's report is of syn, not of impl." in metrics_of(tmp_path, asked)["note"]


def test_another_clock_uncertainty_is_refused(tmp_path, manifest):
    write_reports(tmp_path)
    asked = replace(manifest, target=replace(manifest.target, clock_uncertainty=10.0))
    with pytest.raises(PipelineError, match=r"clock uncertainty is 1\.35 ns, but must be 0\.5 ns"):
        read_results(tmp_path, asked)


def test_the_interval_of_a_free_running_design_is_that_of_its_last_process(tmp_path, manifest):
    write_reports(tmp_path, modules=True)
    put(tmp_path / f"{TOP}_cosim.rpt", cosim_rpt(*["NA"] * 7))
    put(tmp_path / "fill_cosim.rpt", cosim_rpt(6000, 6100, 6200, 6240, 6250, 6260, 9))
    result = metrics_of(tmp_path, manifest)
    assert (result["cosim"], result["cosim_latency_max_cycles"]) == ("PASS", None)
    assert result["cosim_interval_avg_cycles"] == 6250


def test_a_design_that_starts_and_ends_does_not_pass_after_0_cycles(tmp_path, manifest):
    called = replace(manifest, top="resmlp_simd")
    put(tmp_path / "resmlp_simd_csynth.xml", csynth_xml(top="resmlp_simd"))
    put(tmp_path / "resmlp_simd_cosim.rpt", cosim_rpt(*[0] * 7))
    with pytest.raises(PipelineError, match="Pass after 0 cycles"):
        read_results(tmp_path, called)


def test_a_co_simulation_of_two_languages_passes_only_if_both_do(tmp_path, manifest):
    write_reports(tmp_path)
    vhdl = NOT_RUN.replace("NA", "Pass", 1).replace("NA", "9")
    put(tmp_path / f"{TOP}_cosim.rpt", cosim_rpt(*["NA"] * 7, status="Fail", other=vhdl))
    with pytest.raises(PipelineError, match="Co-simulation did not pass"):
        read_results(tmp_path, manifest)


def test_a_success_that_cannot_be_built_is_noted(tmp_path, manifest):
    write_reports(tmp_path / "a", estimated="7.160", lut="900000")
    put(tmp_path / "a" / "export_impl.xml", export_xml(achieved="5.600", met="FALSE"))
    result = synthesis_metrics(read_results(tmp_path / "a", manifest), manifest)
    assert result["note"] == (
        "The estimated clock of 7.16 ns misses the 3.65 ns that 5 ns leave after the uncertainty: "
        f"slack -3.51 ns. LUT 900000 exceeds the 871680 of {PART}. There is no log of C "
        "simulation. Vivado misses the clock: 5.6 of 5 ns."
    )
    assert result["lut_percent"] > 100 and result["export_timing_met"] is False


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        (f"{TOP}_csim.log", "CSim done with 3 errors.", "C simulation failed"),
        (f"{TOP}_cosim.rpt", cosim_rpt(*["NA"] * 7, status="Fail"), "did not pass"),
        (f"{TOP}_cosim.rpt", cosim_rpt(*["NA"] * 7, status="NA"), "did not pass"),
        (f"{TOP}_csim.log", "@E Simulation failed: Function 'main' returns", "simulation failed"),
        (f"{TOP}_csim.log", "MISMATCH mean\nCSim done with 0 errors.", "simulation failed"),
        (f"{TOP}_csim.log", "INFO: [SIM 2] CSIM start", "does not show the end of C simulation"),
        ("export_impl.xml", export_xml(top="another"), "top function is another"),
        ("export_impl.xml", export_xml(part="xc7"), "part is xc7"),
        ("export_impl.xml", export_xml(target="10.000"), "its clock is 10 ns, but must be 5 ns"),
        ("export_syn.xml", export_xml("synth", target="10.000"), "its clock is 10 ns"),
        (f"{TOP}_export.xml", OLD_EXPORT.replace("5.000", "10.000"), "its clock is 10 ns"),
        (f"{TOP}_csynth.xml", csynth_xml()[:500], "cut off"),
    ],
)
def test_a_failure_over_there_is_no_result(tmp_path, manifest, file, text, message):
    write_reports(tmp_path / "a")
    put(tmp_path / "a" / file, text)
    with pytest.raises(PipelineError, match=message):
        read_results(tmp_path / "a", manifest)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        '{"a": 1}',
        '{"target": 3}',
        "[" * 100_000,
        "{",
        '{"name": "a", "top": "b", "target": {"part": "c"}, "sources": {}}',
    ],
)
def test_what_is_no_manifest_is_refused_by_name(tmp_path, text):
    put(tmp_path / "manifest.json", text)
    with pytest.raises(PipelineError, match=r"manifest\.json is not the manifest"):
        read_manifest(tmp_path / "manifest.json")


@pytest.mark.parametrize("file", ["/etc/passwd", "../a", "src/..", "src/a/b", "a.cpp", ""])
def test_a_manifest_that_leads_out_of_the_project_is_refused(project, file):
    path = project / "manifest.json"
    values = json.loads(path.read_text()) | {"sources": {file: "0" * 64}}
    path.write_text(json.dumps(values))
    with pytest.raises(PipelineError, match="lists a source"):
        read_manifest(path)


def test_a_missing_manifest_is_named(tmp_path):
    with pytest.raises(PipelineError, match=r"manifest\.json cannot be read"):
        read_manifest(Path(tmp_path / "manifest.json"))


@pytest.mark.compiler
def test_the_project_alone_compiles_and_passes(random_network, tmp_path):
    """What C simulation does in the tool: the project's sources and flags, and ap_int."""
    network = random_network(tables=True)
    tokens = np.random.default_rng(0).integers(
        -128, 128, (2, network.num_patches, network.patch_dim), dtype=np.int32
    )
    samples = int_resmlp.make_samples(network, tokens, np.zeros(2))
    sizes = Sizes.of(network)
    folding = published_folding(sizes)
    depths = size_fifos(streaming_network(sizes, folding)).depths
    design = Design("", STREAMING, sizes, folding, depths)
    texts = {
        "config.hpp": headers_module.config_text(network),
        "params.hpp": headers_module.params_text(network),
        "design.hpp": design_text(design),
        "golden.hpp": golden_text(samples),
    }
    for name, text in texts.items():
        put(tmp_path / "generated" / name, text)
    generated = [tmp_path / "generated" / name for name in texts]
    project = tmp_path / "project"
    write_project(project, NAME, accelerator_sources(STREAMING, *generated), TARGET)
    flags = ["-std=c++14", "-O0", "-w", "-isystem", str(gpp.ap_types_folder())]
    sources = ["src/resmlp_top.cpp", "src/testbench.cpp"]
    subprocess.run(["g++", *flags, *sources, "-o", "csim.exe"], cwd=project, check=True)
    done = subprocess.run(["./csim.exe"], cwd=project, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("PASS images 2 "), done.stdout


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "a; rm -r b"),
        ("top", "x*"),
        ("target.part", "xc7}; exec ls; {"),
        ("target.clock_ns", "5; exit"),
        ("target.clock_ns", float("nan")),
        ("target.clock_ns", 0),
        ("target.flow_target", "[exec ls]"),
        ("target.clock_uncertainty", -1),
        ("target.cosim", 1),
        ("target.export", "../impl"),
    ],
)
def test_a_manifest_with_a_value_that_could_be_a_command_is_refused(project, key, value):
    path = project / "manifest.json"
    values = json.loads(path.read_text())
    *inside, last = key.split(".")
    (values[inside[0]] if inside else values)[last] = value
    path.write_text(json.dumps(values))
    with pytest.raises(PipelineError, match=rf"manifest\.json: {last} is .*no project can have"):
        read_manifest(path)
