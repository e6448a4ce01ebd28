# All attacks on one released model, in one process. The base model is read by attacks that go back
# towards it.
rule attack:
    input:
        released=if_needed(
            "attack",
            "<results>/models/{seed}/{recipe}/{safeguard}/{alignment}/aligned/manifest.json",
            "<results>/models/{seed}/{recipe}/{safeguard}/{alignment}/released/manifest.json",
        ),
        base=if_needed(
            "attack", "<results>/models/{seed}/{recipe}/{safeguard}/base/manifest.json"
        ),
    output:
        "<results>/attacks/{seed}/{recipe}/{safeguard}/{alignment}/manifest.json",
    log:
        "<results>/logs/attack/attacks/{seed}/{recipe}/{safeguard}/{alignment}.log",
    conda:
        ENVIRONMENT
    threads: threads_of("attack")
    resources:
        **resources_of("attack"),
    params:
        job=job_of("attack"),
    shell:
        f"python -m rebar attack --results {RESULTS}"
        " --gpus {resources.gpu} --job {params.job:q} 2>&1 | tee {log}"
