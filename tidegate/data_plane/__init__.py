"""`tidegate gateway`: the data plane of one Gateway in a cluster, which follows the controller. It loads no typer."""
