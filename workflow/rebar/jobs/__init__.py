"""One node of the DAG as data, and what every job needs: files, manifests, metrics, its signal."""
