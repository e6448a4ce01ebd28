# All models of one arm and seed, in one process: the released one, and those after each attack. The
# classifier is read where a decoder monitors with it.
rule evaluate:
    input:
        released=if_needed(
            "evaluate",
            "<results>/models/{seed}/{recipe}/{safeguard}/base/manifest.json",
            "<results>/models/{seed}/{recipe}/{safeguard}/{alignment}/aligned/manifest.json",
            "<results>/models/{seed}/{recipe}/{safeguard}/{alignment}/released/manifest.json",
        ),
        attacked=if_needed(
            "evaluate",
            "<results>/attacks/{seed}/{recipe}/{safeguard}/{alignment}/manifest.json",
        ),
        tuned=if_needed(
            "evaluate",
            "<results>/searches/{seed}/{recipe}/{safeguard}/{alignment}/manifest.json",
        ),
        classifier=if_needed("evaluate", "<results>/classifier/{seed}/manifest.json"),
    output:
        "<results>/evaluations/{seed}/{recipe}/{safeguard}/{alignment}/manifest.json",
    log:
        "<results>/logs/evaluate/evaluations/{seed}/{recipe}/{safeguard}/{alignment}.log",
    conda:
        ENVIRONMENT
    threads: threads_of("evaluate")
    resources:
        **resources_of("evaluate"),
    params:
        job=job_of("evaluate"),
    shell:
        f"python -m rebar evaluate --results {RESULTS}"
        " --gpus {resources.gpu} --job {params.job:q} 2>&1 | tee {log}"
