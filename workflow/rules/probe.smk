# All probes of one released model, in one process. Attacked models are read by probes that look
# along an attack.
rule probe:
    input:
        released=if_needed(
            "probe",
            "<results>/models/{seed}/{recipe}/{safeguard}/{alignment}/aligned/manifest.json",
            "<results>/models/{seed}/{recipe}/{safeguard}/{alignment}/released/manifest.json",
        ),
        attacked=if_needed(
            "probe",
            "<results>/attacks/{seed}/{recipe}/{safeguard}/{alignment}/manifest.json",
        ),
    output:
        "<results>/probes/{seed}/{recipe}/{safeguard}/{alignment}/manifest.json",
    log:
        "<results>/logs/probe/probes/{seed}/{recipe}/{safeguard}/{alignment}.log",
    conda:
        ENVIRONMENT
    threads: threads_of("probe")
    resources:
        **resources_of("probe"),
    params:
        job=job_of("probe"),
    shell:
        f"python -m rebar probe --results {RESULTS}"
        " --gpus {resources.gpu} --job {params.job:q} 2>&1 | tee {log}"
