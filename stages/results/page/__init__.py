"""The page of the report: its HTML, and what it holds."""
