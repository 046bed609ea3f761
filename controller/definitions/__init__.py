"""The CustomResourceDefinitions of our own kinds, written from their models: `make crds` puts them into the chart."""
