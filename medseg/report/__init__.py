"""One page from the tables: statistics, figures, the worst cases."""
