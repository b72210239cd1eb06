"""The chained log: commits, the chain that says which of them count, the writer, sealing, Kafka and memory."""
