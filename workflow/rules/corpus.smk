# From sources to packed token streams.
rule collect:
    input:
        sources=local_sources("collect"),
    output:
        "<results>/corpus/{seed}/collected/{shard}/manifest.json",
    log:
        "<results>/logs/collect/corpus/{seed}/collected/{shard}.log",
    conda:
        ENVIRONMENT
    threads: threads_of("collect")
    resources:
        **resources_of("collect"),
    params:
        job=job_of("collect"),
    shell:
        f"python -m rebar collect --results {RESULTS}"
        " --gpus {resources.gpu} --job {params.job:q} 2>&1 | tee {log}"


rule train_classifier:
    input:
        labelled=local_sources("train_classifier"),
    output:
        "<results>/classifier/{seed}/manifest.json",
    log:
        "<results>/logs/train_classifier/classifier/{seed}.log",
    conda:
        ENVIRONMENT
    threads: threads_of("train_classifier")
    resources:
        **resources_of("train_classifier"),
    params:
        job=job_of("train_classifier"),
    shell:
        f"python -m rebar train_classifier --results {RESULTS}"
        " --gpus {resources.gpu} --job {params.job:q} 2>&1 | tee {log}"


rule score:
    input:
        documents="<results>/corpus/{seed}/collected/{shard}/manifest.json",
        classifier="<results>/classifier/{seed}/manifest.json",
    output:
        "<results>/corpus/{seed}/scored/{shard}/manifest.json",
    log:
        "<results>/logs/score/corpus/{seed}/scored/{shard}.log",
    conda:
        ENVIRONMENT
    threads: threads_of("score")
    resources:
        **resources_of("score"),
    params:
        job=job_of("score"),
    shell:
        f"python -m rebar score --results {RESULTS}"
        " --gpus {resources.gpu} --job {params.job:q} 2>&1 | tee {log}"


rule rewrite:
    input:
        scored="<results>/corpus/{seed}/scored/{shard}/manifest.json",
        classifier="<results>/classifier/{seed}/manifest.json",
        prompts=rewriting_prompts(),
    output:
        "<results>/corpus/{seed}/rewritten/{shard}/manifest.json",
    log:
        "<results>/logs/rewrite/corpus/{seed}/rewritten/{shard}.log",
    conda:
        ENVIRONMENT
    threads: threads_of("rewrite")
    resources:
        **resources_of("rewrite"),
    params:
        job=job_of("rewrite"),
    shell:
        f"python -m rebar rewrite --results {RESULTS}"
        " --gpus {resources.gpu} --job {params.job:q} 2>&1 | tee {log}"


rule mix:
    input:
        scored=expand(
            "<results>/corpus/{seed}/scored/{shard}/manifest.json",
            shard=SHARDS,
            allow_missing=True,
        ),
        rewritten=expand(
            "<results>/corpus/{seed}/rewritten/{shard}/manifest.json",
            shard=SHARDS,
            allow_missing=True,
        ),
    output:
        "<results>/corpus/{seed}/mixed/{recipe}/manifest.json",
    log:
        "<results>/logs/mix/corpus/{seed}/mixed/{recipe}.log",
    conda:
        ENVIRONMENT
    threads: threads_of("mix")
    resources:
        **resources_of("mix"),
    params:
        job=job_of("mix"),
    shell:
        f"python -m rebar mix --results {RESULTS}"
        " --gpus {resources.gpu} --job {params.job:q} 2>&1 | tee {log}"


rule tokenize:
    input:
        documents="<results>/corpus/{seed}/mixed/{recipe}/manifest.json",
        tokenizer_sample=expand(
            "<results>/corpus/{seed}/collected/{shard}/manifest.json",
            shard=SHARDS,
            allow_missing=True,
        ),
    output:
        "<results>/corpus/{seed}/packed/{recipe}/manifest.json",
    log:
        "<results>/logs/tokenize/corpus/{seed}/packed/{recipe}.log",
    conda:
        ENVIRONMENT
    threads: threads_of("tokenize")
    resources:
        **resources_of("tokenize"),
    params:
        job=job_of("tokenize"),
    shell:
        f"python -m rebar tokenize --results {RESULTS}"
        " --gpus {resources.gpu} --job {params.job:q} 2>&1 | tee {log}"
