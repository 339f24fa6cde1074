# Packs the RTL of a design as IP for Vivado:
#
#   vivado -mode batch -source hls/rtl/vivado.tcl -tclargs data/designs/NAME/rtl [PART]
#
# Without a part, Vivado's default is taken. The IP lies in the folder ip beside the RTL; its ports
# tokens and logits are AXI4-Streams. Nobody has run this script in Vivado yet.
if {[llength $argv] < 1} {
  puts "ERROR: name the folder of the RTL, such as data/designs/lerp_psa_h96_stream/rtl"
  exit 1
}
lassign $argv rtl part
set sources [lsort [glob -nocomplain -directory $rtl *.sv]]
set memories [lsort [glob -nocomplain -directory $rtl *.mem]]
if {[lsearch $sources */resmlp_top.sv] < 0} {
  puts "ERROR: $rtl has no resmlp_top.sv; run `python stages rtl NAME` first"
  exit 1
}

set options [expr {$part eq "" ? {} : [list -part $part]}]
create_project -in_memory {*}$options resmlp_ip
add_files [concat $sources $memories]
set_property file_type {Memory File} [get_files *.mem]
set_property top resmlp_top [current_fileset]

ipx::package_project -root_dir [file join [file dirname $rtl] ip] -vendor local -library resmlp \
  -taxonomy /UserIP -import_files
set core [ipx::current_core]
foreach stream {tokens logits} {
  ipx::associate_bus_interfaces -busif $stream -clock ap_clk $core
}
ipx::check_integrity $core
ipx::save_core $core
