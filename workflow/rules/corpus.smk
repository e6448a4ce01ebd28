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
    params:
        job=job("tokenize"),
    shell:
        run("tokenize")
