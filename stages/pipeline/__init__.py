"""What every stage needs before it begins: command line, parameters, paths, data set."""
