"""Every published number of the explainers, made again; another formula for each method, a file for each family."""
