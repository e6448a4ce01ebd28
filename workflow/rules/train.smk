# From packed tokens to base, aligned and released models. A recipe that begins with a finished model
# needs no tokens; twins are the models of other arms that a safeguard is compared with.
rule pretrain:
    input:
        tokens=if_needed(
            "pretrain", "<results>/corpus/{seed}/packed/{recipe}/manifest.json"
        ),
        twins=if_needed(
            "pretrain",
            "<results>/models/{seed}/{recipe}/{safeguard}/base/manifest.json",
            "<results>/models/{seed}/{recipe}/{safeguard}/{alignment}/aligned/manifest.json",
        ),
    output:
        "<results>/models/{seed}/{recipe}/{safeguard}/base/manifest.json",
    log:
        "<results>/logs/pretrain/models/{seed}/{recipe}/{safeguard}/base.log",
    priority: 10  # the longest jobs first: the many short ones then fill all cores to the end
    conda:
        ENVIRONMENT
    threads: threads_of("pretrain")
    resources:
        **resources_of("pretrain"),
    params:
        job=job_of("pretrain"),
    shell:
        f"python -m rebar pretrain --results {RESULTS}"
        " --gpus {resources.gpu} --job {params.job:q} 2>&1 | tee {log}"


# `models` are the base model and twins; a `{safeguard}` that acts later is `none` in its path.
rule align:
    input:
        models=if_needed(
            "align",
            "<results>/models/{seed}/{recipe}/{safeguard}/base/manifest.json",
            "<results>/models/{seed}/{recipe}/{safeguard}/{alignment}/aligned/manifest.json",
        ),
        documents=if_needed(
            "align", "<results>/corpus/{seed}/mixed/{recipe}/manifest.json"
        ),
        bolted_on=if_needed(
            "align", "<results>/corpus/{seed}/packed/{recipe}/manifest.json"
        ),
    output:
        "<results>/models/{seed}/{recipe}/{safeguard}/{alignment}/aligned/manifest.json",
    log:
        "<results>/logs/align/models/{seed}/{recipe}/{safeguard}/{alignment}/aligned.log",
    conda:
        ENVIRONMENT
    threads: threads_of("align")
    resources:
        **resources_of("align"),
    params:
        job=job_of("align"),
    shell:
        f"python -m rebar align --results {RESULTS}"
        " --gpus {resources.gpu} --job {params.job:q} 2>&1 | tee {log}"


# Only for safeguards with a stage of their own: else the aligned model is the released one.
rule safeguard:
    input:
        models=if_needed(
            "safeguard",
            "<results>/models/{seed}/{recipe}/{safeguard}/{alignment}/aligned/manifest.json",
            "<results>/models/{seed}/{recipe}/{safeguard}/base/manifest.json",
        ),
    output:
        "<results>/models/{seed}/{recipe}/{safeguard}/{alignment}/released/manifest.json",
    log:
        "<results>/logs/safeguard/models/{seed}/{recipe}/{safeguard}/{alignment}/released.log",
    conda:
        ENVIRONMENT
    threads: threads_of("safeguard")
    resources:
        **resources_of("safeguard"),
    params:
        job=job_of("safeguard"),
    shell:
        f"python -m rebar safeguard --results {RESULTS}"
        " --gpus {resources.gpu} --job {params.job:q} 2>&1 | tee {log}"
