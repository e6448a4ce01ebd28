"""Around a run: Snakemake's lock, its records in git, how far a grid is."""
