# All models of one arm and seed, in one process.
rule evaluate:
    input:
        reads("evaluate"),
    output:
        made("evaluate"),
    log:
        log_of("evaluate"),
    conda:
        ENVIRONMENT
    threads: asks("evaluate", "cpus")
    resources:
        runtime=asks("evaluate", "minutes"),
        mem_mb=asks("evaluate", "mem_mb"),
        gpu=asks("evaluate", "gpus"),
        nodes=asks("evaluate", "nodes"),
    params:
        job=job("evaluate"),
    shell:
        run("evaluate")
