#!/bin/sh
# dvc_stage.sh CONFIGFILE TARGET: one DVC stage is one Snakemake target; Snakemake decides what in it
# has to run. Then results that are not what the config asks for end the stage, and DVC records none.
set -e
# shellcheck disable=SC2086
snakemake ${SNAKEMAKE_ARGS:---profile profiles/local} --configfile "$1" -- "$2"
python -m rebar provenance --configfile "$1" "$2"
