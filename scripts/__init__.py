"""The verbs that people type, one file each: parsing and printing. The packages hold what is behind them."""
