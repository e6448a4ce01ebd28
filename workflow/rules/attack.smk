# All attacks on one released model, in one process.
rule attack:
    input:
        reads("attack"),
    output:
        made("attack"),
    log:
        log_of("attack"),
    conda:
        ENVIRONMENT
    params:
        job=job("attack"),
    shell:
        run("attack")
