# From packed tokens to base, aligned and released models.
rule pretrain:
    input:
        reads("pretrain"),
    output:
        made("pretrain"),
    log:
        log_of("pretrain"),
    priority: 10  # the longest jobs first: the many short ones then fill all cores to the end
    conda:
        ENVIRONMENT
    threads: asks("pretrain", "cpus")
    resources:
        runtime=asks("pretrain", "minutes"),
        mem_mb=asks("pretrain", "mem_mb"),
        gpu=asks("pretrain", "gpus"),
        nodes=asks("pretrain", "nodes"),
    params:
        job=job("pretrain"),
    shell:
        run("pretrain")


rule align:
    input:
        reads("align"),
    output:
        made("align"),
    log:
        log_of("align"),
    conda:
        ENVIRONMENT
    threads: asks("align", "cpus")
    resources:
        runtime=asks("align", "minutes"),
        mem_mb=asks("align", "mem_mb"),
        gpu=asks("align", "gpus"),
        nodes=asks("align", "nodes"),
    params:
        job=job("align"),
    shell:
        run("align")


rule safeguard:
    input:
        reads("safeguard"),
    output:
        made("safeguard"),
    log:
        log_of("safeguard"),
    conda:
        ENVIRONMENT
    threads: asks("safeguard", "cpus")
    resources:
        runtime=asks("safeguard", "minutes"),
        mem_mb=asks("safeguard", "mem_mb"),
        gpu=asks("safeguard", "gpus"),
        nodes=asks("safeguard", "nodes"),
    params:
        job=job("safeguard"),
    shell:
        run("safeguard")
