"""Pictures of results, one file per picture; each returns a matplotlib figure."""
