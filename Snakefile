# Table of contents: what is made stands in workflow/rules/, how in workflow/rebar/stages/.
from rebar.driver.lock import note_owner, remove_dead_lock
from rebar.driver.provenance import restore

# Not inside a cluster's job: the folder belongs to the driver.
if workflow.is_main_process:
    remove_dead_lock()
    restore()

if "name" not in config:

    configfile: "config/demo.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/corpus.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/attack.smk"
include: "workflow/rules/search.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/probe.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        rules.summarize.output,
        rules.report.output,
        rules.track.output,


onstart:
    if workflow.is_main_process:
        note_owner(force=True)
        check_hub_access()
