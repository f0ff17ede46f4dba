"""The verbs: one file each, run as `./pipeline VERB`; files that begin with an underscore are the machinery behind them."""
