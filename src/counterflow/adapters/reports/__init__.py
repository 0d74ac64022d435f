"""A delivery report as JSON, CSV, Parquet or a picture."""
