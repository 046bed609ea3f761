"""What stands in the cluster for each Gateway: manifests.py says what, deployer.py sees to it that it does."""
