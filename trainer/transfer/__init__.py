"""Experience in files: Parquet, MCAP and Minari out and in, CSV in. None of them is the record itself."""
