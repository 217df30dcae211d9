"""Server: nothing. The network is plaintext and small; its plan is proved again for every run."""
