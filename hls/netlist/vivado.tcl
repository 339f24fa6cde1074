# Packs the RTL in this folder as IP for Vivado: vivado -mode batch -source vivado.tcl
#
# The argument of -tclargs is the part; without it Vivado's default is taken. The IP lies in ./ip,
# and its ports tokens and logits are AXI4-Streams. Nobody has run this script in Vivado yet.
set folder [file normalize [file dirname [info script]]]
set part [lindex $argv 0]
if {$part eq ""} {
  create_project -force -in_memory resmlp_ip
} else {
  create_project -force -in_memory -part $part resmlp_ip
}
add_files [lsort [glob -directory $folder *.sv]]
add_files [lsort [glob -directory $folder *.mem]]
set_property file_type {Memory File} [get_files *.mem]
set_property top resmlp_top [current_fileset]
ipx::package_project -root_dir [file join $folder ip] -vendor local -library resmlp \
  -taxonomy /UserIP -import_files -set_current true
set core [ipx::current_core]
foreach stream {tokens logits} {
  ipx::associate_bus_interfaces -busif $stream -clock ap_clk $core
}
ipx::check_integrity $core
ipx::save_core $core
