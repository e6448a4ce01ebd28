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
        made("collect"),
        made("train_classifier"),
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
        made("score"),
        made("train_classifier"),
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
        expand(made("score"), shard=grid.shards(CONFIG), allow_missing=True),
        expand(made("rewrite"), shard=grid.shards(CONFIG), allow_missing=True),
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
        made("mix"),
        expand(made("collect"), shard=grid.shards(CONFIG), allow_missing=True),
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
