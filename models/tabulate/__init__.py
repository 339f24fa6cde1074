"""Any 1-D function as an exact INT8 table: one step from a trained module to hardware."""
