# All attacks on one released model, in one process.
rule attack:
    input:
        reads("attack"),
    output:
        made("attack"),
    log:
        log_of("attack"),
    conda:
        ENVIRONMENT
    threads: asks("attack", "cpus")
    resources:
        runtime=asks("attack", "minutes"),
        mem_mb=asks("attack", "mem_mb"),
        gpu=asks("attack", "gpus"),
        nodes=asks("attack", "nodes"),
    params:
        job=job("attack"),
    shell:
        run("attack")
