# All probes of one released model, in one process.
rule probe:
    input:
        reads("probe"),
    output:
        made("probe"),
    log:
        log_of("probe"),
    conda:
        ENVIRONMENT
    threads: asks("probe", "cpus")
    resources:
        runtime=asks("probe", "minutes"),
        mem_mb=asks("probe", "mem_mb"),
        gpu=asks("probe", "gpus"),
        nodes=asks("probe", "nodes"),
    params:
        job=job("probe"),
    shell:
        run("probe")
