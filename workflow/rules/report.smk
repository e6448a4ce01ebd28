# From generations to the comparison table, and the import into MLflow.
localrules:
    summarize,
    report,
    tracking_db,
    track,


rule summarize:
    input:
        answers=all_of(
            "<results>/evaluations/{seed}/{recipe}/{safeguard}/{alignment}/manifest.json"
        ),
    output:
        summary="<results>/summary.csv",
        metrics="<results>/metrics.json",
        headline="<results>/headline.csv",
        costs="<results>/costs.csv",
    log:
        "<results>/logs/summarize.log",
    conda:
        ENVIRONMENT
    params:
        job=job_of("summarize"),
    shell:
        f"python -m rebar summarize --results {RESULTS}"
        " --job {params.job:q} 2>&1 | tee {log}"


if not CONFIG.audit.asks_judges:

    localrules:
        audit,


# How far the judges can be trusted. Without an audit: section it writes a header only.
rule audit:
    input:
        answers=all_of(
            "<results>/evaluations/{seed}/{recipe}/{safeguard}/{alignment}/manifest.json"
        ),
    output:
        "<results>/audit.csv",
    log:
        "<results>/logs/audit.log",
    conda:
        ENVIRONMENT
    threads: threads_of("audit")
    resources:
        **resources_of("audit"),
    params:
        job=job_of("audit"),
    shell:
        f"python -m rebar audit --results {RESULTS}"
        " --gpus {resources.gpu} --job {params.job:q} 2>&1 | tee {log}"


rule report:
    input:
        summary="<results>/summary.csv",
        costs="<results>/costs.csv",
        probes=all_of(
            "<results>/probes/{seed}/{recipe}/{safeguard}/{alignment}/manifest.json"
        ),
        audit="<results>/audit.csv",
    output:
        page="<results>/report.html",
        table="<results>/table.md",
        table_csv="<results>/table.csv",
        probes="<results>/probes.csv",
        breaks="<results>/breaks.csv",
        resistance="<results>/resistance.csv",
        conditions="<results>/conditions.csv",
        figures=report(
            directory("<results>/figures"),
            patterns=["{figure}.png"],
            caption="../report/figures.rst",
            category="figures",
        ),
    log:
        "<results>/logs/report.log",
    conda:
        ENVIRONMENT
    params:
        job=job_of("report"),
    shell:
        f"python -m rebar report --results {RESULTS}"
        " --job {params.job:q} 2>&1 | tee {log}"


rule tracking_db:
    output:
        "<results>/tracking_db.json",
    log:
        "<results>/logs/tracking_db.log",
    conda:
        ENVIRONMENT
    shell:
        f"python -m rebar tracking_db --results {RESULTS}" " 2>&1 | tee {log}"


rule track:
    input:
        store="<results>/tracking_db.json",
        summary="<results>/summary.csv",
        table="<results>/table.md",
    output:
        "<results>/tracking.json",
    log:
        "<results>/logs/track.log",
    conda:
        ENVIRONMENT
    params:
        job=job_of("track"),
    shell:
        f"python -m rebar track --results {RESULTS}"
        " --job {params.job:q} 2>&1 | tee {log}"


# Targets: all that the stages of a target make. `snakemake TARGET` and dvc.yaml name them.
rule corpus:
    input:
        all_of_target("corpus"),


# Base, aligned and released models.
rule models:
    input:
        all_of_target("models"),


# Attacked models, tuned attacks among them.
rule attacks:
    input:
        all_of_target("attacks"),


rule evaluations:
    input:
        all_of_target("evaluations"),


rule probes:
    input:
        all_of_target("probes"),
