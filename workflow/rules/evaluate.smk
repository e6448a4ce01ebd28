# All models of one arm and seed, in one process.
rule evaluate:
    input:
        reads("evaluate"),
    output:
        made("evaluate"),
    log:
        log_of("evaluate"),
    conda:
        ENVIRONMENT
    params:
        job=job("evaluate"),
    shell:
        run("evaluate")
