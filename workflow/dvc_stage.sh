#!/bin/sh
# dvc_stage.sh CONFIGFILE TARGET: one DVC stage is one Snakemake target; Snakemake decides what in it
# has to run. A grid without searches or probes has empty folders of them. Then results that are not what the config asks for end the stage, and DVC records none.
set -e
name=$(sed -n 's/^name: *//p' "$1")
mkdir -p "results/$name/searches" "results/$name/probes"
# shellcheck disable=SC2086
snakemake ${SNAKEMAKE_ARGS:---profile profiles/local} --configfile "$1" -- "$2"
python -m rebar provenance --configfile "$1" "$2"
