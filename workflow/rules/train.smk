# From packed tokens to base and aligned models.
rule pretrain:
    input:
        reads("pretrain"),
    output:
        made("pretrain"),
    log:
        log_of("pretrain"),
    params:
        job=job("pretrain"),
    shell:
        RUN


rule align:
    input:
        reads("align"),
    output:
        made("align"),
    log:
        log_of("align"),
    params:
        job=job("align"),
    shell:
        RUN
