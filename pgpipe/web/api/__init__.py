"""The search API of `pgpipe serve --api`: for applications, by tokens, as roles of the database."""
