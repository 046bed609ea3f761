"""What the benchmark scripts share: starting and ending programs, CPU time from the kernel, load, tables."""
