# From sources to packed token streams.
rule collect:
    input:
        input_files(CONFIG.collect.sources),
    output:
        made("collect"),
    log:
        log_of("collect"),
    params:
        job=job("collect"),
    shell:
        RUN


rule train_classifier:
    input:
        input_files(CONFIG.train_classifier.sources),
    output:
        made("train_classifier"),
    log:
        log_of("train_classifier"),
    params:
        job=job("train_classifier"),
    shell:
        RUN


rule score:
    input:
        made("collect"),
        made("train_classifier"),
    output:
        made("score"),
    log:
        log_of("score"),
    params:
        job=job("score"),
    shell:
        RUN


rule rewrite:
    input:
        made("score"),
        made("train_classifier"),
    output:
        made("rewrite"),
    log:
        log_of("rewrite"),
    params:
        job=job("rewrite"),
    shell:
        RUN


rule mix:
    input:
        expand(made("score"), shard=grid.shards(CONFIG), allow_missing=True),
        expand(made("rewrite"), shard=grid.shards(CONFIG), allow_missing=True),
    output:
        made("mix"),
    log:
        log_of("mix"),
    params:
        job=job("mix"),
    shell:
        RUN


rule tokenize:
    input:
        made("mix"),
        expand(made("collect"), shard=grid.shards(CONFIG), allow_missing=True),
    output:
        made("tokenize"),
    log:
        log_of("tokenize"),
    params:
        job=job("tokenize"),
    shell:
        RUN
