# Build the bitstream: vivado -mode batch -source design.tcl
#
# Block design: processor, kernel and, in front of a streaming kernel, one AXI DMA. Writes resmlp.bit
# and resmlp.hwh, which PYNQ loads, and reports of the resources and of the timing.
set kind {@KIND@}
set part {@PART@}
set board {@BOARD_PART@}
set clock_mhz {@CLOCK_MHZ@}
set kernel {@KERNEL@}
set ip_folder {@IP_FOLDER@}
set token_bits {@TOKEN_BITS@}
set memory_ports {@MEMORY_PORTS@}

if {![file isdirectory $ip_folder]} {
  puts "ERROR: $ip_folder is missing; run `make ip` first."
  exit 1
}

create_project resmlp vivado -part $part -force
set board_part [lindex [lsort -dictionary [get_board_parts -quiet $board:*]] end]
if {$board_part eq ""} {
  puts "ERROR: Vivado does not know the board $board; install its board files (README.md)."
  exit 1
}
set_property board_part $board_part [current_project]
set_property ip_repo_paths $ip_folder [current_project]
update_ip_catalog

proc newest {vlnv} {
  return [lindex [lsort -dictionary [get_ipdefs -all $vlnv]] end]
}

create_bd_design design_1

# The processor: one master port for registers, one slave port to its memory, one clock.
if {$kind eq "zynq"} {
  create_bd_cell -type ip -vlnv [newest xilinx.com:ip:processing_system7:*] ps
  apply_bd_automation -rule xilinx.com:bd_rule:processing_system7 -config {make_external "FIXED_IO, DDR" apply_board_preset "1" Master "Disable" Slave "Disable"} [get_bd_cells ps]
  set_property -dict [list CONFIG.PCW_USE_M_AXI_GP0 {1} CONFIG.PCW_USE_S_AXI_HP0 {1} CONFIG.PCW_FPGA0_PERIPHERAL_FREQMHZ $clock_mhz] [get_bd_cells ps]
  set registers /ps/M_AXI_GP0
  set memory S_AXI_HP0
  set clock /ps/FCLK_CLK0
} else {
  create_bd_cell -type ip -vlnv [newest xilinx.com:ip:zynq_ultra_ps_e:*] ps
  apply_bd_automation -rule xilinx.com:bd_rule:zynq_ultra_ps_e -config {apply_board_preset "1"} [get_bd_cells ps]
  set_property -dict [list CONFIG.PSU__USE__M_AXI_GP0 {1} CONFIG.PSU__USE__M_AXI_GP1 {0} CONFIG.PSU__USE__M_AXI_GP2 {0} CONFIG.PSU__USE__S_AXI_GP2 {1} CONFIG.PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ $clock_mhz] [get_bd_cells ps]
  set registers /ps/M_AXI_HPM0_FPD
  set memory S_AXI_HP0_FPD
  set clock /ps/pl_clk0
}

# Connect a register port to the processor, and a memory port to its memory.
proc connect_registers {port} {
  global registers
  apply_bd_automation -rule xilinx.com:bd_rule:axi4 -config [list Clk_master Auto Clk_slave Auto Clk_xbar Auto Master $registers Slave /$port intc_ip {New AXI Interconnect} master_apm 0] [get_bd_intf_pins $port]
}
set first_memory_port 1
proc connect_memory {port} {
  global memory first_memory_port
  if {$first_memory_port} {
    set first_memory_port 0
    apply_bd_automation -rule xilinx.com:bd_rule:axi4 -config [list Clk_master Auto Clk_slave Auto Clk_xbar Auto Master /$port Slave /ps/$memory intc_ip {New AXI SmartConnect} master_apm 0] [get_bd_intf_pins ps/$memory]
  } else {
    apply_bd_automation -rule xilinx.com:bd_rule:axi4 -config [list Clk_master Auto Clk_slave Auto Clk_xbar Auto Master /$port Slave /ps/$memory intc_ip {/axi_smc} master_apm 0] [get_bd_intf_pins $port]
  }
}

create_bd_cell -type ip -vlnv xilinx.com:hls:$kernel:1.0 ${kernel}_0
if {$kernel eq "resmlp_axis"} {
  # A DMA without scatter-gather: 2^26 - 1 bytes a transfer. Its memory side has at least 32 bits.
  set memory_bits [expr {$token_bits < 32 ? 32 : $token_bits}]
  create_bd_cell -type ip -vlnv [newest xilinx.com:ip:axi_dma:*] axi_dma_0
  set_property -dict [list CONFIG.c_m_axi_s2mm_data_width.VALUE_SRC USER CONFIG.c_s_axis_s2mm_tdata_width.VALUE_SRC USER] [get_bd_cells axi_dma_0]
  set_property -dict [list CONFIG.c_include_sg {0} CONFIG.c_sg_include_stscntrl_strm {0} CONFIG.c_sg_length_width {26} CONFIG.c_m_axi_mm2s_data_width $memory_bits CONFIG.c_m_axis_mm2s_tdata_width $token_bits CONFIG.c_mm2s_burst_size {256} CONFIG.c_m_axi_s2mm_data_width {32} CONFIG.c_s_axis_s2mm_tdata_width {8} CONFIG.c_s2mm_burst_size {256}] [get_bd_cells axi_dma_0]
  connect_registers axi_dma_0/S_AXI_LITE
  connect_bd_intf_net [get_bd_intf_pins axi_dma_0/M_AXIS_MM2S] [get_bd_intf_pins ${kernel}_0/tokens]
  connect_bd_intf_net [get_bd_intf_pins ${kernel}_0/logits] [get_bd_intf_pins axi_dma_0/S_AXIS_S2MM]
  apply_bd_automation -rule xilinx.com:bd_rule:clkrst -config [list Clk $clock Freq {} Ref_Clk0 {} Ref_Clk1 {} Ref_Clk2 {}] [get_bd_pins ${kernel}_0/ap_clk]
} else {
  connect_registers ${kernel}_0/s_axi_control
}
foreach port $memory_ports {
  connect_memory $port
}

assign_bd_address
validate_bd_design
save_bd_design
make_wrapper -files [get_files design_1.bd] -top -import
set_property top design_1_wrapper [current_fileset]

launch_runs impl_1 -to_step write_bitstream -jobs 4
wait_on_run impl_1
if {[get_property PROGRESS [get_runs impl_1]] ne "100%"} {
  puts "ERROR: the implementation failed; see vivado/resmlp.runs/impl_1/runme.log."
  exit 1
}
open_run impl_1
report_utilization -file utilization.rpt
report_timing_summary -file timing.rpt
file copy -force vivado/resmlp.runs/impl_1/design_1_wrapper.bit resmlp.bit
set handoff sources_1/bd/design_1/hw_handoff/design_1.hwh
file copy -force [lindex [glob vivado/resmlp.{gen,srcs}/$handoff] 0] resmlp.hwh
exit 0
