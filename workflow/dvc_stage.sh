#!/bin/sh
# One DVC stage is one Snakemake target; Snakemake decides what in it has to run.
set -e
# shellcheck disable=SC2086
exec snakemake ${SNAKEMAKE_ARGS:---profile profiles/local} -- "$1"
