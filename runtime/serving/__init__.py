"""HTTP without domain words: answers, strict bodies, problem documents, health, metrics, a server that drains."""
