"""The server under load: real processes, wrk, and a client that sends at a fixed rate."""
