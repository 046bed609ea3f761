"""Where objects come from: `files` reads and watches files and folders; a source for clusters stands beside it."""
