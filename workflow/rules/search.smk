# All tuned attackers of one released model, in one process.
rule search:
    input:
        released=if_needed(
            "search",
            "<results>/models/{seed}/{recipe}/{safeguard}/{alignment}/aligned/manifest.json",
            "<results>/models/{seed}/{recipe}/{safeguard}/{alignment}/released/manifest.json",
        ),
    output:
        "<results>/searches/{seed}/{recipe}/{safeguard}/{alignment}/manifest.json",
    log:
        "<results>/logs/search/searches/{seed}/{recipe}/{safeguard}/{alignment}.log",
    conda:
        ENVIRONMENT
    threads: threads_of("search")
    resources:
        **resources_of("search"),
    params:
        job=job_of("search"),
    shell:
        f"python -m rebar search --results {RESULTS}"
        " --gpus {resources.gpu} --job {params.job:q} 2>&1 | tee {log}"
