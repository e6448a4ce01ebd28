# From packed tokens to base and aligned models.
rule pretrain:
    input:
        reads("pretrain"),
    output:
        made("pretrain"),
    log:
        log_of("pretrain"),
    priority: 10  # the longest jobs first: the many short ones then fill all cores to the end
    conda:
        ENVIRONMENT
    params:
        job=job("pretrain"),
    shell:
        run("pretrain")


rule align:
    input:
        reads("align"),
    output:
        made("align"),
    log:
        log_of("align"),
    conda:
        ENVIRONMENT
    params:
        job=job("align"),
    shell:
        run("align")
