"""From the candidates of a run to the one that is trained and tested."""
