# All tuned attackers of one released model, in one process.
rule search:
    input:
        reads("search"),
    output:
        made("search"),
    log:
        log_of("search"),
    conda:
        ENVIRONMENT
    threads: asks("search", "cpus")
    resources:
        runtime=asks("search", "minutes"),
        mem_mb=asks("search", "mem_mb"),
        gpu=asks("search", "gpus"),
        nodes=asks("search", "nodes"),
    params:
        job=job("search"),
    shell:
        run("search")
