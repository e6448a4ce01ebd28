# From generations to the comparison table, and the import into MLflow; targets of a chapter each.
localrules:
    summarize,
    report,
    tracking_db,
    track,


rule summarize:
    input:
        chapter("evaluate"),
    output:
        RESULTS / "summary.csv",
        RESULTS / "metrics.json",
        RESULTS / "headline.csv",
        RESULTS / "costs.csv",
    log:
        RESULTS / "logs/summarize.log",
    conda:
        ENVIRONMENT
    params:
        job=job("summarize"),
    shell:
        run("summarize")


if not CONFIG.audit.asks_judges:

    localrules:
        audit,


# How far the judges can be trusted. Without an audit: section it writes a header only.
rule audit:
    input:
        chapter("evaluate"),
    output:
        RESULTS / grid.AUDIT,
    log:
        RESULTS / "logs/audit.log",
    conda:
        ENVIRONMENT
    resources:
        runtime=asks("audit", "minutes"),
        mem_mb=asks("audit", "mem_mb"),
        gpu=asks("audit", "gpus"),
    params:
        job=job("audit"),
    shell:
        run("audit")


rule report:
    input:
        RESULTS / "summary.csv",
        RESULTS / "costs.csv",
        chapter("probe"),
        RESULTS / grid.AUDIT,
    output:
        RESULTS / "report.html",
        RESULTS / "table.md",
        RESULTS / "table.csv",
        RESULTS / "probes.csv",
        RESULTS / "breaks.csv",
        RESULTS / "resistance.csv",
        report(
            directory(RESULTS / "figures"),
            patterns=["{figure}.png"],
            caption="../report/figures.rst",
            category="figures",
        ),
    log:
        RESULTS / "logs/report.log",
    conda:
        ENVIRONMENT
    params:
        job=job("report"),
    shell:
        run("report")


rule tracking_db:
    output:
        RESULTS / "tracking_db.json",
    log:
        RESULTS / "logs/tracking_db.log",
    conda:
        ENVIRONMENT
    shell:
        f"python -m rebar tracking_db --results {RESULTS} 2>&1 | tee {{log}}"


rule track:
    input:
        RESULTS / "tracking_db.json",
        RESULTS / "summary.csv",
        RESULTS / "table.md",
    output:
        RESULTS / "tracking.json",
    log:
        RESULTS / "logs/track.log",
    conda:
        ENVIRONMENT
    params:
        job=job("track"),
    shell:
        run("track")


rule corpus:
    input:
        chapter("tokenize"),


rule models:
    input:
        chapter("pretrain"),
        chapter("align"),
        chapter("safeguard"),


rule attacks:
    input:
        chapter("attack"),
        chapter("search"),


rule evaluations:
    input:
        chapter("evaluate"),


rule probes:
    input:
        chapter("probe"),
