"""What every stage needs at its start: command line, parameters, paths, data set."""
