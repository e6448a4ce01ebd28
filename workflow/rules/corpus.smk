# From sources to packed token streams.
rule collect:
    input:
        source_files("collect"),
    output:
        made("collect"),
    log:
        log_of("collect"),
    conda:
        ENVIRONMENT
    threads: asks("collect", "cpus")
    resources:
        runtime=asks("collect", "minutes"),
        mem_mb=asks("collect", "mem_mb"),
        gpu=asks("collect", "gpus"),
        nodes=asks("collect", "nodes"),
    params:
        job=job("collect"),
    shell:
        run("collect")


rule train_classifier:
    input:
        source_files("train_classifier"),
    output:
        made("train_classifier"),
    log:
        log_of("train_classifier"),
    conda:
        ENVIRONMENT
    threads: asks("train_classifier", "cpus")
    resources:
        runtime=asks("train_classifier", "minutes"),
        mem_mb=asks("train_classifier", "mem_mb"),
        gpu=asks("train_classifier", "gpus"),
        nodes=asks("train_classifier", "nodes"),
    params:
        job=job("train_classifier"),
    shell:
        run("train_classifier")


rule score:
    input:
        reads("score"),
    output:
        made("score"),
    log:
        log_of("score"),
    conda:
        ENVIRONMENT
    threads: asks("score", "cpus")
    resources:
        runtime=asks("score", "minutes"),
        mem_mb=asks("score", "mem_mb"),
        gpu=asks("score", "gpus"),
        nodes=asks("score", "nodes"),
    params:
        job=job("score"),
    shell:
        run("score")


rule rewrite:
    input:
        reads("rewrite"),
        prompts=prompt_files(CONFIG.rewrite),
    output:
        made("rewrite"),
    log:
        log_of("rewrite"),
    conda:
        ENVIRONMENT
    threads: asks("rewrite", "cpus")
    resources:
        runtime=asks("rewrite", "minutes"),
        mem_mb=asks("rewrite", "mem_mb"),
        gpu=asks("rewrite", "gpus"),
        nodes=asks("rewrite", "nodes"),
    params:
        job=job("rewrite"),
    shell:
        run("rewrite")


rule mix:
    input:
        reads("mix"),
    output:
        made("mix"),
    log:
        log_of("mix"),
    conda:
        ENVIRONMENT
    threads: asks("mix", "cpus")
    resources:
        runtime=asks("mix", "minutes"),
        mem_mb=asks("mix", "mem_mb"),
        gpu=asks("mix", "gpus"),
        nodes=asks("mix", "nodes"),
    params:
        job=job("mix"),
    shell:
        run("mix")


rule tokenize:
    input:
        reads("tokenize"),
    output:
        made("tokenize"),
    log:
        log_of("tokenize"),
    conda:
        ENVIRONMENT
    threads: asks("tokenize", "cpus")
    resources:
        runtime=asks("tokenize", "minutes"),
        mem_mb=asks("tokenize", "mem_mb"),
        gpu=asks("tokenize", "gpus"),
        nodes=asks("tokenize", "nodes"),
    params:
        job=job("tokenize"),
    shell:
        run("tokenize")
